"""Whatever is done to a sealed file, `studio verify` says no and names the reason."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from studio.app import Studio
from studio.inspection import FILE_MISMATCH, LAYOUT_MISMATCH, PADDING_MISMATCH, UNBOUND_MISMATCH
from studio.media.boxes import top_level_boxes
from studio.provenance.inspect import read_c2pa
from studio.provenance.record_layout import foreign_part
from studio.provenance.trust import own_list
from studio.provenance.unbound_boxes import unbound_sha256
from studio.request import GenerationRequest


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


@pytest.mark.slow
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


# -- the tamper matrix of MP4 ----------------------------------------------------------------------------------------


def boxes_of(path: Path) -> dict[bytes, tuple[int, int]]:
    with open(path, "rb") as file:
        return {kind: (start, size) for kind, start, size in top_level_boxes(file)}


def flipped_in(
    kind: bytes, inside: bytes | None = None, share: float = 0.5, after: int = 6
) -> Callable[[bytes, dict], bytes]:
    """Flip a bit in a box: after the name `inside` where one is given, else at this share of its length."""

    def change(content: bytes, boxes: dict[bytes, tuple[int, int]]) -> bytes:
        start, size = boxes[kind]
        position = content.index(inside, start) + after if inside else start + 8 + int(share * (size - 9))
        return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]

    return change


def replaced(old: bytes, new: bytes) -> Callable[[bytes, dict], bytes]:
    return lambda content, _boxes: content.replace(old, new, 1)


def inserted(extra: bytes) -> Callable[[bytes, dict], bytes]:
    return lambda content, _boxes: content + extra


CONTENT, RECORD, UNREADABLE = "assertion.bmffHash.mismatch", "assertion.hashedURI.mismatch", "general.error"
FOREIGN_UUID = b"\0\0\0\x20uuid" + bytes(range(16)) + b"SMUGGLED"
MATRIX: dict[str, tuple[Callable[[bytes, dict], bytes], str, str | None]] = {
    "first byte of mdat": (flipped_in(b"mdat", share=0.0), "altered", CONTENT),
    "middle of mdat": (flipped_in(b"mdat"), "altered", CONTENT),
    "last byte of mdat": (flipped_in(b"mdat", share=1.0), "altered", CONTENT),
    "mvhd": (flipped_in(b"moov", b"mvhd"), "altered", CONTENT),
    "stsz": (flipped_in(b"moov", b"stsz"), "altered", CONTENT),
    "udta": (flipped_in(b"moov", b"mdirappl", after=1), "altered", CONTENT),
    "size of a box in udta": (flipped_in(b"moov", b"udta"), "altered", UNREADABLE),
    "model name in the record": (replaced(b"Scripted", b"Skripted"), "altered", RECORD),
    "source type in the record": (
        replaced(b"/trainedAlgorithmicMedia", b"/digitalCapture\0AAAAAAAA"),
        "altered",
        RECORD,
    ),
    "appended bytes": (inserted(b"tail"), "altered", CONTENT),
    "appended bytes that look like a huge box": (inserted(b"appended"), "altered", UNREADABLE),
    "appended unknown box": (inserted(b"\0\0\0\x10abcdSMUGGLED"), "altered", CONTENT),
    "appended foreign uuid": (inserted(FOREIGN_UUID), "altered", CONTENT),
    "appended mdat": (inserted(b"\0\0\0\x10mdatSMUGGLED"), "altered", CONTENT),
    "truncated": (lambda content, _boxes: content[:-64], "altered", CONTENT),
    "ftyp": (replaced(b"isom", b"isoM"), "altered", UNBOUND_MISMATCH),
    "appended free": (inserted(b"\0\0\0\x10freeSMUGGLED"), "altered", UNBOUND_MISMATCH),
    "appended skip": (inserted(b"\0\0\0\x10skipSMUGGLED"), "altered", UNBOUND_MISMATCH),
    "padding of the signature": (flipped_in(b"uuid", b"\x63pad\x59\x03", after=30), "altered", PADDING_MISMATCH),
    "label in the record": (replaced(b"c2pa.signature\0", b"c2pa.signatura\0"), "altered", LAYOUT_MISMATCH),
    "record renamed to padding": (
        lambda content, boxes: content.replace(b"uuid", b"free", 1),
        "recovered",
        None,
    ),
    "record cut out, index not mended": (
        lambda content, boxes: content[: boxes[b"uuid"][0]] + content[sum(boxes[b"uuid"]) :],
        "unknown",
        None,
    ),
}


# Nothing is left to see, so there is no mark to be read either.
UNDECODABLE = {"first byte of mdat", "record cut out, index not mended", "size of a box in udta"}


@pytest.mark.parametrize("name", MATRIX)
def test_every_change_gets_its_word_and_its_code(
    name: str, studio: Studio, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, in an install that does not know the file, and with an independent verifier where it looks as well."""
    change, word, code = MATRIX[name]
    path = tmp_path / "changed.mp4"
    path.write_bytes(change(sealed.read_bytes(), boxes_of(sealed)))
    assert path.read_bytes() != sealed.read_bytes()
    found = studio.verify(path)
    assert found.conclusion.word == word
    if name not in UNDECODABLE:
        assert found.asset is not None
        assert found.asset.id in found.conclusion.sentence
    if code is not None:
        assert code in found.c2pa.codes
        assert found.c2pa.state == "invalid"
    elsewhere = Studio(studio.settings.model_copy(update={"home": tmp_path / "stranger"}))
    seen = elsewhere.verify(path)
    elsewhere.store.close()
    assert seen.conclusion.word == ("unknown" if word == "recovered" else word)
    assert seen.asset is None
    _oracle_agrees(path, studio, monkeypatch, tmp_path)


def _oracle_agrees(path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compare the library that the studio uses with another implementation, in what both look at."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ENCYPHER_TELEMETRY", "0")
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    oracle = pytest.importorskip("encypher_c2pa")
    own = own_list(studio.settings.identity_folder)
    assert own is not None
    reading = read_c2pa(path, lists=[own])
    options = {"no_default_trust": True, "trust_pem": own.pem.decode(), "telemetry": False, "online": False}
    try:
        theirs = oracle.verify(str(path), "video/mp4", **options)
    except ValueError:  # it cannot parse the file, or finds no record
        theirs = {"integrity": "none"}
    if path.read_bytes()[-4:] == b"tail":  # it passes over a tail that is too short to be a box
        return
    if not foreign_part(path, strict=True):  # where it looks at more bytes than the SDK does, as we do
        assert (theirs["integrity"] == "valid") == (reading.state == "trusted")
    if CONTENT in reading.codes:
        assert theirs.get("hard_binding") in ("mismatch", None)


def test_two_installs_see_each_others_files_as_valid_and_not_trusted(
    studio: Studio, sealed: Path, tmp_path: Path
) -> None:
    other = Studio(studio.settings.model_copy(update={"home": tmp_path / "other"}))
    other.__dict__["registry"] = studio.registry
    theirs = other.generate(GenerationRequest(model="scripted-moving", seed=5)).asset.path
    for reader, path, state in ((studio, sealed, "trusted"), (studio, theirs, "valid"), (other, theirs, "trusted"),
                                (other, sealed, "valid")):  # fmt: skip
        found = reader.verify(path)
        assert (found.c2pa.state, found.conclusion.word) == (state, "intact")
        assert (found.c2pa.trust_list == "this studio") == (state == "trusted")
        assert ("signingCredential.untrusted" in found.c2pa.codes) == (state == "valid")
    other.store.close()
