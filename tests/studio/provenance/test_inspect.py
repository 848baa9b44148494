"""A stranger's file, however broken or hostile, gets an answer and never an exception."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from studio.media.files import sniff_head
from studio.provenance.certificates import SigningIdentity
from studio.provenance.explain import explain
from studio.provenance.inspect import read_c2pa
from studio.provenance.trust import TrustList, identity_list
from tests.studio.provenance.conftest import SignedFile

FTYP = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 512, b"isom")
C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"\0\0\0\0manifest\0" + b"\0" * 8


def nested(kind: bytes, depth: int) -> bytes:
    """Return boxes within boxes."""
    return b"".join(struct.pack(">I4s", 8 * (depth - level), kind) for level in range(depth))


def nested_records(depth: int) -> bytes:
    """Return a C2PA box that holds record boxes within record boxes."""
    description = struct.pack(">I4s", 30, b"jumd") + bytes.fromhex("6332706100110010800000aa00389b71") + b"\x03c2pa\0"
    length = 8 + len(description)
    boxes = b"".join(struct.pack(">I4s", (depth - level) * length, b"jumb") + description for level in range(depth))
    return struct.pack(">I4s", 8 + len(C2PA_BOX) + len(boxes), b"uuid") + C2PA_BOX + boxes


HOSTILE = {
    "empty": b"",
    "text": b"hello, I am a film\n" * 20,
    "null bytes": bytes(4096),
    "random": np.random.default_rng(0).bytes(4096),
    "deep boxes": FTYP + nested(b"moov", 50_000),
    "deep records": FTYP + nested_records(20_000),
    "endless box": FTYP + struct.pack(">I4sQ", 1, b"uuid", 2**62),
    "zero boxes": FTYP + b"\0\0\0\2moov" * 500,
    "empty record": FTYP + struct.pack(">I4s", 8 + len(C2PA_BOX), b"uuid") + C2PA_BOX,
    "png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31 - 1) + b"caBX" + b"x" * 100,
    "gif": b"GIF89a" + b"\xff" * 500,
    "jpeg": b"\xff\xd8\xff\xeb\xff\xff" * 500,
    "riff": b"RIFF\xff\xff\xff\xffWAVE" + b"LIST\xff\xff\xff\xff" * 500,
    "webp": b"RIFF\xff\xff\xff\xffWEBPC2PA\xff\xff\xff\x7f",
    "webm": b"\x1aE\xdf\xa3" + bytes(200),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("mime_type", [None, "video/mp4", "no/such-type"])
@pytest.mark.timeout(20)
def test_a_hostile_file_gets_an_answer_with_a_reason(name: str, mime_type: str | None, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(HOSTILE[name])
    reading = read_c2pa(path, mime_type=mime_type)
    assert reading.state in ("absent", "invalid")
    assert reading.problem
    assert reading.manifest is None


@pytest.mark.timeout(20)
def test_what_is_not_a_file_is_absent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (
        tmp_path,
        tmp_path / "gone",
        tmp_path / "pipe",
        Path("/dev/zero"),
        Path("nul\0byte"),
        Path("x" * 5000),
    ):
        reading = read_c2pa(path)
        assert reading.state == "absent"
        assert reading.problem


def test_a_signed_file_cut_or_damaged_anywhere_never_raises(
    signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    content = signed_file().read_bytes()
    rng = np.random.default_rng(5)
    broken = tmp_path / "broken.mp4"
    for position in map(int, rng.integers(0, len(content), 80)):
        broken.write_bytes(content[:position])
        assert read_c2pa(broken, lists=[identity_list(identity)]).state in ("absent", "invalid")
        changed = bytearray(content)
        changed[position] ^= 1 << int(rng.integers(0, 8))
        broken.write_bytes(bytes(changed))
        reading = read_c2pa(broken, lists=[identity_list(identity)])
        assert reading.state != "trusted" or not _is_bound(content, position)
        assert reading.problem or reading.state == "trusted"


def _is_bound(content: bytes, position: int) -> bool:
    """Say whether the hard binding covers this byte: picture and index yes; type, padding and the record's box no."""
    padding = content.find(b"free", content.find(b"moov")) - 4
    return position >= content.find(b"moov") - 4 and not padding <= position < padding + 8


def test_unknown_anchors_are_an_absence_of_trust_not_a_crash(signed_file: SignedFile) -> None:
    nonsense = TrustList(name="nonsense", uri=None, pem=b"not a certificate", dated=None)
    assert read_c2pa(signed_file(), lists=[nonsense]).state in ("valid", "absent", "invalid")


@pytest.mark.parametrize(
    ("head", "mime_type"),
    [
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
        (b"\0\0\0\x08wide", "video/quicktime"),
        (b"\0\0\0\x20ftypavif", "image/avif"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0ACON", None),
        (b"GIF89a", "image/gif"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_files_are_known_by_their_first_bytes(head: bytes, mime_type: str | None) -> None:
    assert sniff_head(head) == mime_type


def test_the_most_telling_code_is_put_into_words() -> None:
    codes = ("signingCredential.untrusted", "assertion.bmffHash.mismatch")
    assert explain(codes) == "the picture or sound data was changed after signing"
    assert "contradicts itself" in (explain(("assertion.action.malformed",)) or "")
    assert "expired" in (explain(("signingCredential.untrusted", "signingCredential.expired")) or "")
    assert explain(("signingCredential.ocsp.skipped",)) is None
