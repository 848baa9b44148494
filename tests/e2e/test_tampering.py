"""Whatever is done to a sealed file, `studio verify` says no and names the reason."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from studio.app import Studio
from studio.media.boxes import top_level_boxes
from studio.provenance.unbound_boxes import unbound_sha256
from studio.request import GenerationRequest
from studio.verification import FILE_MISMATCH, PADDING_MISMATCH, UNBOUND_MISMATCH


@pytest.fixture
def sealed(studio: Studio, tmp_path: Path) -> Path:
    return studio.generate(GenerationRequest(model="scripted-moving", seed=1), output=tmp_path / "clip.mp4").asset.path


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def copy_of(sealed: Path, tmp_path: Path, change: Callable[[Path], None]) -> Path:
    path = tmp_path / "changed.mp4"
    path.write_bytes(sealed.read_bytes())
    change(path)
    return path


def ffmpeg(source: Path, target: Path, *arguments: str) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-i", str(source), *arguments, str(target)]
    subprocess.run(command, check=True, timeout=60)


def test_an_untouched_copy_is_trusted(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    verification = studio.verify(copy_of(sealed, tmp_path, lambda _path: None))
    assert verification.c2pa.state == "trusted"
    assert verification.reason is None
    assert verification.asset is not None


def test_any_flipped_byte_is_noticed(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    size = sealed.stat().st_size
    for position in [4, 9, 20, 40, *range(60, size, size // 23), size - 1]:
        verification = studio.verify(copy_of(sealed, tmp_path, lambda path, at=position: flip(path, at)))
        assert not verification.is_intact, f"byte {position} of {size}"
        assert verification.reason, f"byte {position} of {size}"


def test_flips_in_picture_index_and_header_are_noticed_without_the_library(
    studio: Studio, sealed: Path, tmp_path: Path
) -> None:
    """What another studio sees: no record to compare with, the file alone."""
    studio.store.forget_asset(sealed.stem)
    with open(sealed, "rb") as file:
        boxes = {kind: (start, size) for kind, start, size in top_level_boxes(file)}
    for kind in (b"ftyp", b"moov", b"mdat"):
        start, size = boxes[kind]
        for position in range(start, start + size, max(1, size // 12)):
            verification = studio.verify(copy_of(sealed, tmp_path, lambda path, at=position: flip(path, at)))
            assert not verification.is_intact, f"{kind!r} byte {position - start} of {size}"


def test_a_changed_header_is_noticed_even_by_a_stranger(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    """C2PA leaves ftyp out of its hash; our own assertion does not."""
    position = sealed.read_bytes().index(b"isom")
    path = copy_of(sealed, tmp_path, lambda path: flip(path, position))
    assert UNBOUND_MISMATCH in studio.verify(path).c2pa.codes
    stranger = Studio(studio.settings.model_copy(update={"home": tmp_path / "stranger"}))
    verification = stranger.verify(path)
    stranger.store.close()
    assert verification.c2pa.state == "invalid"
    assert "header" in (verification.reason or "")


def test_something_hidden_in_the_signature_is_noticed_without_the_library(
    studio: Studio, sealed: Path, tmp_path: Path
) -> None:
    studio.store.forget_asset(sealed.stem)
    content = bytearray(sealed.read_bytes())
    padding = content.index(b"\x63pad\x59") + 6
    content[padding + 100 : padding + 108] = b"SMUGGLED"
    (tmp_path / "smuggled.mp4").write_bytes(content)
    verification = studio.verify(tmp_path / "smuggled.mp4")
    assert PADDING_MISMATCH in verification.c2pa.codes
    assert "padding" in (verification.reason or "")


def test_an_inserted_free_box_is_noticed(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    path = copy_of(sealed, tmp_path, lambda path: path.write_bytes(path.read_bytes() + b"\x00\x00\x00\x08free"))
    assert studio.verify(path).c2pa.state == "invalid"


def test_a_record_that_differs_from_the_library_is_noticed(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    with studio.store.transaction() as session:
        from studio.library.tables import AssetRow

        session.query(AssetRow).update({"sha256": "0" * 64})
    verification = studio.verify(copy_of(sealed, tmp_path, lambda _path: None))
    assert FILE_MISMATCH in verification.c2pa.codes


@pytest.mark.parametrize("arguments", [("-c", "copy"), ("-c", "copy", "-map_metadata", "-1"), ("-crf", "20")])
def test_a_remuxed_or_reencoded_file_lost_its_credentials_but_not_its_mark(
    studio: Studio, sealed: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ffmpeg(sealed, tmp_path / "remuxed.mp4", *arguments)
    verification = studio.verify(tmp_path / "remuxed.mp4")
    assert verification.c2pa.state == "absent"
    assert verification.watermark.detected
    assert verification.asset is not None
    assert "mark says it came from asset" in (verification.reason or "")


def test_stripped_credentials_are_absent(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    content = sealed.read_bytes()
    start = content.index(b"uuid") - 4
    size = int.from_bytes(content[start : start + 4], "big")
    (tmp_path / "stripped.mp4").write_bytes(content[:start] + content[start + size :])
    verification = studio.verify(tmp_path / "stripped.mp4")
    assert verification.c2pa.state == "absent"
    assert "Content Credentials" in (verification.reason or "")


def test_a_truncated_file_is_not_trusted(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    path = copy_of(sealed, tmp_path, lambda path: path.write_bytes(path.read_bytes()[:-100]))
    assert not studio.verify(path).is_intact


def test_another_studio_calls_it_valid(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    stranger = Studio(studio.settings.model_copy(update={"home": tmp_path / "stranger"}))
    verification = stranger.verify(sealed)
    stranger.store.close()
    assert verification.c2pa.state == "valid"
    assert not verification.watermark.detected
    assert "not one this studio knows" in (verification.reason or "")


def test_what_is_not_made_of_boxes_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"\x00\x00\x00\x05ftyp")
    assert unbound_sha256(tmp_path / "x.mp4") is None
