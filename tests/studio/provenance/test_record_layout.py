"""What no hash of C2PA covers inside a record has one right value, and is looked at byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from studio.app import Studio
from studio.config import PromptPolicy
from studio.media.boxes import top_level_boxes
from studio.provenance.certificates import SigningIdentity
from studio.provenance.inspect import read_c2pa
from studio.provenance.origin import Origin
from studio.provenance.record_layout import foreign_part
from studio.provenance.trust import identity_list
from tests.studio.inspection.hostile import box as iso_box
from tests.studio.provenance.conftest import PROVENANCE, SignedFile, provenance_of, run_ffmpeg
from tests.studio.provenance.test_inspect import C2PA_BOX, FTYP


def record_of(path: Path) -> tuple[int, int]:
    with open(path, "rb") as file:
        return next((start, size) for kind, start, size in top_level_boxes(file) if kind == b"uuid")


def test_files_as_they_were_signed_have_no_foreign_parts(signed_file: SignedFile, clips: Path) -> None:
    first = signed_file(name="first.mp4")
    second = signed_file(provenance_of(Origin.VIDEO_EDIT, parent=first), name="second.mp4")
    assert not foreign_part(first, strict=True)
    assert not foreign_part(second, strict=True)
    assert not foreign_part(clips / "portrait_river_c2pa.mp4", strict=True)
    assert not foreign_part(clips / "static_bottles.mp4", strict=True)


@pytest.mark.slow
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
        is_foreign = foreign_part(changed, strict=True) is not None
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
    assert foreign_part(changed, strict=True)


@pytest.mark.parametrize("kind", ["png", "wav", "jpg", "gif", "webp", "mov"])
def test_records_in_other_containers_are_looked_at_too(
    kind: str, unsigned: Path, signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    plain = tmp_path / f"plain.{kind}"
    source = ["-f", "lavfi", "-i", "sine=duration=0.2"] if kind == "wav" else ["-i", str(unsigned), "-frames:v", "1"]
    run_ffmpeg(*source, str(plain))
    mime_type = {"wav": "audio/wav", "jpg": "image/jpeg", "mov": "video/quicktime"}.get(kind, f"image/{kind}")
    path = signed_file(source=plain, mime_type=mime_type, name=f"signed.{kind}")
    assert read_c2pa(path, lists=[identity_list(identity)]).state == "trusted"
    assert not foreign_part(path, strict=True)
    content = bytearray(path.read_bytes())
    content[content.index(b"jumdc2as") + 20] ^= 0x80
    path.write_bytes(content)
    assert foreign_part(path, strict=True)


def app11_segments(content: bytes) -> list[tuple[int, int]]:
    """Return (start, size in bytes) of the segments that hold the record of a JPEG."""
    found, start = [], 2
    while content[start + 1] != 0xDA:
        size = 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        if content[start + 1] == 0xEB:
            found.append((start, size))
        start += size
    return found


@pytest.fixture
def sealed_jpeg(signed_file: SignedFile, unsigned: Path, tmp_path: Path) -> Callable[[int], Path]:
    """A function that signs a JPEG whose record takes this many segments: one or more."""

    def make(pieces: int) -> Path:
        run_ffmpeg("-i", str(unsigned), "-frames:v", "1", str(tmp_path / "plain.jpg"))
        room = bytes(65_000 * (pieces - 1)) or b"a small picture"
        path = signed_file(
            source=tmp_path / "plain.jpg", mime_type="image/jpeg", name="signed.jpg", thumbnail_jpeg=room
        )
        assert len(app11_segments(path.read_bytes())) == pieces
        return path

    return make


@pytest.mark.parametrize("pieces", [1, 3])
def test_every_bit_in_the_headers_of_a_jpegs_segments_is_watched(
    pieces: int, sealed_jpeg: Callable[[int], Path], identity: SigningIdentity, tmp_path: Path
) -> None:
    """The SDK alone looks neither at JP nor at most of the numbers."""
    path = sealed_jpeg(pieces)
    assert read_c2pa(path, lists=[identity_list(identity)]).state == "trusted"
    assert foreign_part(path, strict=True) is None
    content = path.read_bytes()
    changed = tmp_path / "changed.jpg"
    unnoticed, only_here = [], 0
    for start, _size in app11_segments(content):
        for bit in range(20 * 8):
            broken = bytearray(content)
            broken[start + bit // 8] ^= 1 << bit % 8
            changed.write_bytes(broken)
            is_foreign = foreign_part(changed, strict=True) is not None
            state = read_c2pa(changed, lists=[identity_list(identity)]).state
            only_here += is_foreign and state == "trusted"
            if state in ("trusted", "valid") and not is_foreign:
                unnoticed.append((start, bit))
    assert unnoticed == []
    assert only_here > 50


def test_segments_beside_those_of_our_own_record_are_noticed(
    sealed_jpeg: Callable[[int], Path], tmp_path: Path
) -> None:
    content = sealed_jpeg(2).read_bytes()
    (first, size), (second, second_size) = app11_segments(content)
    again = content[second : second + second_size]
    hollow = b"\xff\xeb\0\x12" + content[first + 4 : first + 12] + bytes(8)
    remark = b"\xff\xfe\0\x06SEEN"
    changed = tmp_path / "changed.jpg"
    for place, added in ((first, hollow), (second, remark), (second, b"\xff"), (second + second_size, again)):
        changed.write_bytes(content[:place] + added + content[place:])
        assert foreign_part(changed, strict=True) == "layout"
    changed.write_bytes(content[:first] + content[first + size + second_size :])
    assert foreign_part(changed, strict=True) == "layout"


@pytest.mark.parametrize("letters", [b"JP", b"XX"])
def test_what_is_hidden_in_the_padding_of_a_jpeg_is_found_on_another_install(
    letters: bytes, sealed_jpeg: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(sealed_jpeg(1).read_bytes())
    ((start, _size),) = app11_segments(content)
    content[start + 4 : start + 6] = letters
    padding = content.rindex(b"\x63pad\x59") + 7
    assert not any(content[padding : padding + 1000])
    content[padding : padding + 1000] = b"S" * 1000
    path = tmp_path / "hidden.jpg"
    path.write_bytes(content)
    assert read_c2pa(path).state == "valid"
    assert foreign_part(path) == "padding"
    assert foreign_part(path, strict=True)
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "elsewhere"))
    assert Studio().verify(path, search=False).c2pa.state == "invalid"


def test_a_strangers_jpeg_without_a_record_that_can_be_found_is_no_finding(clips: Path) -> None:
    assert foreign_part(clips / "img_face_b.jpg") is None


@pytest.mark.parametrize("bit", range(8))
def test_what_announces_the_thumbnail_is_watched(
    bit: int, signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    path = signed_file(thumbnail_jpeg=b"a small picture")
    assert foreign_part(path, strict=True) is None
    content = bytearray(path.read_bytes())
    content[content.index(b"bfdb") + 4] ^= 1 << bit
    path.write_bytes(content)
    assert read_c2pa(path, lists=[identity_list(identity)]).state == "trusted"
    assert foreign_part(path, strict=True) == "layout"
    assert foreign_part(path) is None


def test_a_prompt_that_looks_like_padding_accuses_nobody(signed_file: SignedFile) -> None:
    """Spelled in CBOR, padding of 88 bytes begins with the same letters."""
    prompt = "a cpadXylophone in the rain, " + "played for a long time by somebody who loves it " * 5
    told = replace(PROVENANCE, prompt=prompt, prompt_policy=PromptPolicy.FULL)
    path = signed_file(told, name="told.mp4")
    assert b"cpadXylophone" in path.read_bytes()
    assert foreign_part(path, strict=True) is None
    assert foreign_part(path, strict=False) is None


def strangers(entries: bytes) -> bytes:
    """Return a record that holds nothing but a signature with these CBOR bytes as its unprotected header."""
    cose = b"\xd2\x84\x43\xa1\x01\x26" + entries + b"\xf6\x58\x40" + bytes(64)
    tail = bytes.fromhex("00110010800000aa00389b71")
    signature = iso_box(b"jumb", iso_box(b"jumd", b"c2cs" + tail + b"\x03c2pa.signature\0"), iso_box(b"cbor", cose))
    manifest = iso_box(b"jumb", iso_box(b"jumd", b"c2ma" + tail + b"\x03urn:c2pa:theirs\0"), signature)
    return iso_box(b"jumb", iso_box(b"jumd", b"c2pa" + tail + b"\x03c2pa\0"), manifest)


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (b"\xa1\x63pad\x48" + bytes(8), None),
        (b"\xa1\x63pad\x48" + b"SMUGGLED", "padding"),
        (b"\xa2\x64pad2\x48" + b"SMUGGLED" + b"\x63pad\x40", "padding"),
        (b"\xa1\x66theirs\x48" + b"anything", None),
        (b"\xbf\x63pad\x48" + bytes(8) + b"\xff", None),
        (b"\xa1\x63pad\x5f\x44" + bytes(4) + b"\x44" + bytes(4) + b"\xff", None),
        (b"\xa1\x63pad\x00", None),
    ],
)
def test_only_padding_that_is_not_zeros_speaks_against_a_strangers_record(
    entries: bytes, found: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.mp4"
    path.write_bytes(FTYP + iso_box(b"uuid", C2PA_BOX, strangers(entries)))
    assert foreign_part(path) == found
    assert foreign_part(path, strangers(entries)) == found


def test_a_strangers_fragments_with_hashes_of_their_own_are_no_finding(tmp_path: Path) -> None:
    """A fragmented MP4 has a record and a box of hashes before every fragment (C2PA 2.4, "Embedding in BMFF")."""
    uuid = C2PA_BOX[:16]
    hashes = iso_box(b"uuid", uuid, bytes(4), b"merkle\0", b"\xa3\x68uniqueId\x01\x67localId\x01\x68location\x00")
    unknown = iso_box(b"uuid", uuid, bytes(4), b"later\0", b"anything")
    path = tmp_path / "fragments.mp4"
    for padding, found in ((bytes(8), None), (b"SMUGGLED", "padding")):
        record = iso_box(b"uuid", C2PA_BOX, strangers(b"\xa1\x63pad\x48" + padding))
        path.write_bytes(FTYP + hashes + unknown + record + hashes)
        assert foreign_part(path) == found
        assert foreign_part(path, strict=True) == "layout"
