"""Files that are built to crash, to hang or to eat memory, each from a few lines."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.studio.provenance.test_inspect import C2PA_BOX, FTYP, nested, nested_records

MIB = 2**20


def box(kind: bytes, *contents: bytes) -> bytes:
    """Return an ISO base media box."""
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of these chunks."""
    written = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def header(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


def riff(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = b"LIST" + struct.pack("<I", len(content) + 4) + b"WAVE" + content
    return b"RIFF" + struct.pack("<I", len(content) + 4) + b"WAVE" + content


def gif(width: int, height: int, frame: tuple[int, int], count: int) -> bytes:
    picture = b"!\xf9\x04\0\0\0\0\0," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\2\2D\1\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + picture * count + b";"


def record(content: bytes) -> bytes:
    return FTYP + box(b"uuid", C2PA_BOX, content)


def described(label: bytes) -> bytes:
    return box(b"jumd", bytes.fromhex("6332706100110010800000aa00389b71") + b"\x03" + label + b"\0")


def flat(side: int) -> bytes:
    return png(header(side, side), (b"IDAT", zlib.compress(bytes(side * (3 * side + 1)))), (b"IEND", b""))


def noise(side: int) -> bytes:
    """A picture of large grey squares without any order, in which a search finds something to try everywhere."""
    cells = np.random.default_rng(0).integers(0, 256, (-(-side // 8), -(-side // 8), 1), np.uint8)
    picture = cells.repeat(8, axis=0)[:side].repeat(8, axis=1)[:, :side].repeat(3, axis=2).reshape(side, -1)
    rows = np.concatenate([np.zeros((side, 1), np.uint8), picture], axis=1).tobytes()
    return png(header(side, side), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))


def segments() -> bytes:
    """A JPEG whose hundred thousand segments claim to be pieces of a record."""
    pieces = (b"\xff\xeb\0\x2aJP\0\1" + i.to_bytes(4, "big") + b"\x80\0\0\0jumb" + b"c2pa" * 6 for i in range(100_000))
    return b"\xff\xd8" + b"".join(pieces) + b"\xff\xd9"


BUILT: dict[str, Callable[[], bytes]] = {
    "deep boxes.mp4": lambda: FTYP + nested(b"moov", 200_000),
    "deep user data.mp4": lambda: FTYP + box(b"moov", nested(b"udta", 5_000)),
    "deep records.mp4": lambda: FTYP + nested_records(100_000),
    "million boxes.mp4": lambda: FTYP + b"\0\0\0\x08free" * 1_000_000,
    "million boxes in the index.mp4": lambda: FTYP + box(b"moov", b"\0\0\0\x08free" * 1_000_000),
    "many records.mp4": lambda: FTYP + box(b"uuid", C2PA_BOX) * 100_000,
    "overflow 64.mp4": lambda: FTYP + struct.pack(">I4sQ", 1, b"uuid", 2**64 - 8) + C2PA_BOX + bytes(99),
    "overflow 63.mp4": lambda: FTYP + struct.pack(">I4sQ", 1, b"moov", 2**63 - 1) + bytes(99),
    "overflow to zero.mp4": lambda: FTYP + struct.pack(">I4sQ", 1, b"free", 2**64 - len(FTYP)) + bytes(99),
    "size zero.mp4": lambda: FTYP + struct.pack(">I4s", 0, b"moov") + bytes(99),
    "size one without more.mp4": lambda: FTYP + struct.pack(">I4s", 1, b"moov"),
    "large record.mp4": lambda: record(box(b"jumb", described(b"c2pa"), box(b"free", bytes(300 * MIB)))),
    "claimed record.mp4": lambda: record(struct.pack(">I4s", 2**32 - 1, b"jumb")),
    "large index.mp4": lambda: FTYP + box(b"moov", bytes(300 * MIB)),
    "sizes of 60 million frames.mp4": lambda: (
        FTYP + box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", box(b"stsz", bytes(240 * MIB)))))))
    ),
    "large record.png": lambda: png(header(8, 8), (b"caBX", box(b"jumb", described(b"c2pa"), bytes(200 * MIB)))),
    "million chunks.png": lambda: png(header(8, 8), *[(b"tEXt", b"")] * 1_000_000),
    "huge.png": lambda: png(header(60_000, 60_000), (b"IDAT", zlib.compress(bytes(MIB))), (b"IEND", b"")),
    "nothing.png": lambda: png(header(0, 0), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")),
    "large flat.png": lambda: flat(11_000),
    "largest flat.png": lambda: flat(5_900),
    "largest noise.png": lambda: noise(5_900),
    "profile bomb.png": lambda: png(
        header(8, 8),
        (b"iCCP", b"x\0\0" + zlib.compress(bytes(200 * MIB), 9)),
        (b"zTXt", b"x\0\0" + zlib.compress(bytes(200 * MIB), 9)),
        (b"IDAT", zlib.compress(bytes(25 * 8))),
        (b"IEND", b""),
    ),
    "bomb.wav": lambda: b"RIFF\xff\xff\xff\xffWAVE" + b"LIST\xff\xff\xff\xff" * 100_000,
    "deep.wav": lambda: riff(5_000),
    "deep.avi": lambda: riff(5_000).replace(b"WAVE", b"AVI ", 1),
    "million frames.gif": lambda: gif(65_535, 65_535, (1, 1), 1_000_000),
    "large frames.gif": lambda: gif(4_000, 4_000, (4_000, 4_000), 50_000),
    "largest frames.gif": lambda: gif(3_000, 3_000, (3_000, 3_000), 50_000),
    "ring.tif": lambda: b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 0x8769, 4, 1, 8) * 65_535 + b"\x08\0\0\0",
    "segments.jpg": segments,
    "filling.jpg": lambda: b"\xff\xd8" + b"\xff" * 50_000_000,
    "remarks.jpg": lambda: b"\xff\xd8" + b"\xff\xfe\0\x02" * 4_000_000,
    "xmp.jpg": lambda: (
        b"\xff\xd8" + (b"\xff\xe1\xff\xfdhttp://ns.adobe.com/xap/1.0/\0" + b"<x>" * 21_834) * 500 + b"\xff\xd9"
    ),
    "broken.webm": lambda: b"\x1aE\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xffwebm" + bytes(2000),
    "segment.webm": lambda: b"\x1aE\xdf\xa3\x84webm\x18S\x80g\x01" + b"\xff" * 7 + b"\x1fC\xb6u\xff" * 200_000,
    "meta.avif": lambda: b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + nested(b"meta", 20_000),
    "items.heic": lambda: (
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
        + struct.pack(">I4sI", 2**31, b"meta", 0)
        + struct.pack(">I4sI", 2**30, b"iloc", 2**24)
        + b"\xff" * 1000
    ),
    "header.mp3": lambda: b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(1000),
    "nothing.mp4": lambda: b"",
}


def write_hostile(folder: Path) -> Iterator[Path]:
    """Write every file in turn and yield its path; only one of them lies on the disk at a time."""
    for name, content in BUILT.items():
        path = folder / name
        path.write_bytes(content())
        yield path
        path.unlink()


def write_no_files(folder: Path) -> list[Path]:
    """Return paths of what is no file at all."""
    os.mkfifo(folder / "pipe.mp4")
    (folder / "folder.mp4").mkdir()
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    (folder / "dangling.mp4").symlink_to(folder / "gone")
    return [*(folder / name for name in ("pipe.mp4", "folder.mp4", "loop.mp4", "dangling.mp4")), Path("/dev/zero")]
