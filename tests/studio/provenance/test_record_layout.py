"""What no hash of C2PA covers inside a record has one right value, and is looked at byte by byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.media.boxes import top_level_boxes
from studio.provenance.certificates import SigningIdentity
from studio.provenance.inspect import read_c2pa
from studio.provenance.origin import Origin
from studio.provenance.record_layout import has_foreign_parts
from studio.provenance.trust import identity_list
from tests.studio.provenance.conftest import SignedFile, provenance_of


def record_of(path: Path) -> tuple[int, int]:
    with open(path, "rb") as file:
        return next((start, size) for kind, start, size in top_level_boxes(file) if kind == b"uuid")


def test_files_as_they_were_signed_have_no_foreign_parts(signed_file: SignedFile, clips: Path) -> None:
    first = signed_file(name="first.mp4")
    second = signed_file(provenance_of(Origin.VIDEO_EDIT, parent=first), name="second.mp4")
    assert not has_foreign_parts(first, strict=True)
    assert not has_foreign_parts(second, strict=True)
    assert not has_foreign_parts(clips / "portrait_river_c2pa.mp4", strict=True)
    assert not has_foreign_parts(clips / "static_bottles.mp4", strict=True)


def test_every_byte_of_the_record_is_watched_by_the_sdk_or_by_us(
    signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    """The SDK alone lets more than a thousand changes pass; together nothing passes."""
    path = signed_file(name="first.mp4")
    content = path.read_bytes()
    start, size = record_of(path)
    changed = tmp_path / "changed.mp4"
    unnoticed, only_here = [], 0
    # All headers, and a sample of the rest: every change is one reading.
    for position in [*range(start + 8, start + 400), *range(start + 400, start + size, 23)]:
        broken = bytearray(content)
        broken[position] ^= 1 << position % 8
        changed.write_bytes(broken)
        is_foreign = has_foreign_parts(changed, strict=True)
        state = read_c2pa(changed, lists=[identity_list(identity)]).state
        only_here += is_foreign and state == "trusted"
        if state in ("trusted", "valid") and not is_foreign:
            unnoticed.append(position - start)
    assert unnoticed == []
    assert only_here > 20


@pytest.mark.parametrize("where", ["after the signature", "in the store", "behind the store"])
def test_a_box_that_was_slipped_in_is_noticed(where: str, signed_file: SignedFile, tmp_path: Path) -> None:
    content = signed_file(name="first.mp4").read_bytes()
    start, size = record_of(tmp_path / "first.mp4")
    smuggled = b"\x00\x00\x00\x10freeSMUGGLED"
    record = bytearray(content[start : start + size] + smuggled)
    record[:4] = len(record).to_bytes(4, "big")
    store, manifest = 24 + 21, 24 + 21 + 8 + 30
    for box in {"after the signature": (store, manifest), "in the store": (store,), "behind the store": ()}[where]:
        record[box : box + 4] = (int.from_bytes(record[box : box + 4], "big") + len(smuggled)).to_bytes(4, "big")
    changed = tmp_path / "changed.mp4"
    changed.write_bytes(content[:start] + record + content[start + size :])
    assert has_foreign_parts(changed, strict=True)


@pytest.mark.parametrize("kind", ["png", "wav", "jpg", "gif", "webp", "mov"])
def test_records_in_other_containers_are_looked_at_too(
    kind: str, unsigned: Path, signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    from tests.studio.provenance.conftest import run_ffmpeg

    plain = tmp_path / f"plain.{kind}"
    source = ["-f", "lavfi", "-i", "sine=duration=0.2"] if kind == "wav" else ["-i", str(unsigned), "-frames:v", "1"]
    run_ffmpeg(*source, str(plain))
    mime_type = {"wav": "audio/wav", "jpg": "image/jpeg", "mov": "video/quicktime"}.get(kind, f"image/{kind}")
    path = signed_file(source=plain, mime_type=mime_type, name=f"signed.{kind}")
    assert read_c2pa(path, lists=[identity_list(identity)]).state == "trusted"
    assert not has_foreign_parts(path, strict=True)
    content = bytearray(path.read_bytes())
    content[content.index(b"jumdc2as") + 20] ^= 0x80
    path.write_bytes(content)
    assert has_foreign_parts(path, strict=True)
