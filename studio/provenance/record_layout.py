"""The bytes between the signed parts of a C2PA record, which no hash covers.

Assertions and the claim are hashed and signed; what holds them together is not (C2PA 2.4, "JUMBF embedding"): headers
of boxes, their flags and labels, and the unprotected part of the signature with its padding. Measured on our own files,
the SDK ignores more than a thousand such bytes. In records written by this studio all of them have one right value,
which is checked. Others may write theirs differently and still rightly; there, only padding of a signature that is not
zeros counts, because signers fill it with zeros and nothing but room is ever needed in it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from studio.media.boxes import top_level_boxes
from studio.provenance.sidecar import MAX_RECORD_BYTES

ForeignPart = Literal["padding", "layout"]

MAX_BOXES = 20_000
_MAX_DEPTH = 16

_UUID_OF_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
# Version and flags, what it is, and where an auxiliary box would be. A record that got a time stamp later is in two
# boxes: the original one, where it was, and the update at the end of the file.
_PURPOSES = {name: bytes(4) + name + bytes(9) for name in (b"manifest", b"original", b"update")}
_RECORDS: tuple[list[bytes], ...] = ([], [b"manifest"], [b"original", b"update"])
_TYPE_TAIL = bytes.fromhex("00110010800000aa00389b71")
_GIF_EXTENSION = b"!\xff\x0bC2PA_GIF"
# What begins a segment: neither a byte of the picture, nor filling, nor a restart or start that has no length.
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]", re.DOTALL)
_APP11, _START_OF_SCAN = 0xEB, 0xDA
_APP11_HEADER = b"JP\x02\x11"  # and the number that the SDK gives to the one box that it writes
_LABELS = {
    b"c2pa": {b"c2pa"},
    b"c2as": {b"c2pa.assertions"},
    b"c2cl": {b"c2pa.claim", b"c2pa.claim.v2"},
    b"c2cs": {b"c2pa.signature"},
    b"c2vc": {b"c2pa.credentials"},
    b"c2db": {b"c2pa.databoxes"},
}
_CONTENTS = {b"cbor", b"json", b"bfdb", b"bidb", b"uuid", b"c2sh", b"jp2c"}
_REQUESTABLE, _HAS_ID, _HAS_HASH, _HAS_SALT = 0b11, 0b100, 0b1000, 0b10000
_NIL = 0xF6
_PADDING = ("pad", "pad2")
_UNPROTECTED = {*_PADDING, "sigTst", "sigTst2", "rVals", "x5chain", 33}


class _Foreign(Exception):
    """Something stands where it does not in our own records."""


class _ForeignPadding(Exception):
    """Something stands where nothing but room may be."""


def foreign_part(path: Path, manifest_store: bytes | None = None, *, strict: bool = False) -> ForeignPart | None:
    """Say what in the record was changed where no hash looks: the padding of a signature, or the layout around it.

    manifest_store: the record, where it is kept beside the file. Looked at are MP4, MOV, PNG, RIFF, GIF, JPEG and
    sidecars; a record in any other kind of file is not. Of a JPEG it must be known that there is a record in it.
    strict: the record is this studio's, so every byte must be as it writes them. Otherwise only padding is judged, and
    none in a record whose layout is not understood.
    """
    try:
        for store in _stores(path, strict) if manifest_store is None else (manifest_store,):
            _check_store(store, strict)
    except _ForeignPadding:
        return "padding"
    except (_Foreign, struct.error, IndexError, RecursionError):
        return "layout" if strict else None
    return None


def _stores(path: Path, strict: bool) -> Iterator[bytes]:
    with open(path, "rb") as file:
        head = file.read(12)
        if head[4:8] == b"ftyp":
            purposes = []
            for kind, start, size in top_level_boxes(file):
                file.seek(start)
                if kind == b"uuid" and size <= MAX_RECORD_BYTES and (box := file.read(size))[8:24] == _UUID_OF_C2PA:
                    purpose = box[28:].partition(b"\0")[0]
                    purposes.append(purpose)
                    if strict and not box[24:].startswith(_PURPOSES.get(purpose, b"no purpose of ours")):
                        raise _Foreign
                    if purpose in _PURPOSES:  # the others hold no record, as the hashes of a fragment
                        yield box[24 + len(_PURPOSES[purpose]) :]
            if strict and purposes not in _RECORDS:
                raise _Foreign
        elif head[:4] in (b"\x89PNG", b"RIFF"):
            order, first, kind, extra = (">", 8, b"caBX", 4) if head[:4] == b"\x89PNG" else ("<", 12, b"C2PA", 0)
            yield from _chunks(path, order, first, kind, extra)
        elif head[:4] == b"GIF8":
            file.seek(0)
            yield from _gif_records(file.read(MAX_RECORD_BYTES))
        elif head[:2] == b"\xff\xd8":
            file.seek(0)
            yield from _jpeg_records(file.read(MAX_RECORD_BYTES), strict)


def _chunks(path: Path, order: str, first: int, wanted: bytes, extra: int) -> Iterator[bytes]:
    """Yield the contents of the top-level chunks of this kind. extra: bytes of checksum after each chunk."""
    with open(path, "rb") as file:
        file.seek(first)
        for _ in range(MAX_BOXES):
            header = file.read(8)
            if len(header) < 8:
                return
            size = int.from_bytes(header[:4] if order == ">" else header[4:], "big" if order == ">" else "little")
            if wanted == (header[4:] if order == ">" else header[:4]):
                yield file.read(min(size, MAX_RECORD_BYTES))
                file.seek(extra, 1)
            else:
                file.seek(size + extra, 1)
            file.seek(0 if order == ">" else size % 2, 1)  # RIFF chunks start at even places


def _gif_records(data: bytes) -> Iterator[bytes]:
    """Yield the contents of the application extensions that hold a record, whose pieces have up to 255 bytes."""
    start = 0
    while (start := data.find(_GIF_EXTENSION, start)) >= 0:
        start += len(_GIF_EXTENSION) + 3  # three bytes of version
        pieces = []
        while start < len(data) and data[start]:
            pieces.append(data[start + 1 : start + 1 + data[start]])
            start += 1 + data[start]
        yield b"".join(pieces)


def _jpeg_records(data: bytes, strict: bool) -> Iterator[bytes]:
    """Yield the boxes that stand in APP11 segments (ISO 19566-5, annex D), put together from their pieces.

    They are found as the SDK finds them, which looks at hardly any of the headers of the pieces. In our own records
    those have one right value each, and the pieces follow upon one another.
    """
    boxes: list[list[bytes]] = []
    instance, end = b"", 0
    for number, (start, piece) in enumerate(_app11_segments(data, strict), 1):
        is_next = bool(instance) and piece[2:4] == instance
        if is_next and int.from_bytes(piece[4:8], "big") > len(boxes[-1]):
            boxes[-1].append(piece[16:])
        elif is_next:
            instance = b""
        elif piece[24:28] == b"c2pa":
            boxes.append([piece[8:]])
            instance = piece[2:4]
        if strict:
            # Every piece repeats the header of the box.
            header = _APP11_HEADER + number.to_bytes(4, "big") + (boxes[0][0][:8] if boxes else b"")
            if piece[:16] != header or start != (end or start):
                raise _Foreign
        end = start + 4 + len(piece)
    if strict and not boxes:
        raise _Foreign
    yield from (b"".join(pieces) for pieces in boxes)


def _app11_segments(data: bytes, strict: bool) -> Iterator[tuple[int, bytes]]:
    """Yield (start, content) of the APP11 segments. strict: only of those in front of the picture, without gaps."""
    end = 2
    for _ in range(MAX_BOXES):
        found = _MARKER.search(data, end)
        if found is None or found[0] == b"\xff\xd9":
            return
        start, marker = found.start(), data[found.start() + 1]
        if strict and (start != end or marker == _START_OF_SCAN):
            return
        end = start + 2 + max(int.from_bytes(data[start + 2 : start + 4], "big"), 2)
        if marker == _APP11:
            yield start, data[start + 4 : end]
    raise _Foreign


def _check_store(store: bytes, strict: bool) -> None:
    size, kind = struct.unpack(">I4s", store[:8])
    if size != len(store) or kind != b"jumb":
        raise _Foreign
    _check_superbox(store, 8, len(store), strict, 0)


def _check_superbox(data: bytes, start: int, end: int, strict: bool, depth: int) -> None:
    """Check a box that begins with its description and holds others; `start` is after its header."""
    kinds = list(_boxes(data, start, end))
    if not kinds or kinds[0][0] != b"jumd" or depth > _MAX_DEPTH:
        raise _Foreign
    described = data[kinds[0][1] : kinds[0][1] + 4]
    if strict:
        _check_description(data, kinds[0][1], kinds[0][2])
    for kind, inner, inner_end in kinds[1:]:
        if kind == b"jumb":
            _check_superbox(data, inner, inner_end, strict, depth + 1)
        elif strict and kind not in _CONTENTS:
            raise _Foreign
        elif strict and kind == b"bfdb":
            _check_file_description(data[inner:inner_end])
        elif described == b"c2cs" and kind == b"cbor":
            _check_signature(data[inner:inner_end], strict)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start of the content, end) of boxes that fill the space exactly."""
    while start < end:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        if size < 8 or start + size > end:
            raise _Foreign
        yield kind, start + 8, start + size
        start += size


def _check_description(data: bytes, start: int, end: int) -> None:
    """Check a description box (ISO 19566-5, A.3)."""
    kind, tail, toggles = data[start : start + 4], data[start + 4 : start + 16], data[start + 16]
    label, separator, rest = data[start + 17 : end].partition(b"\0")
    if not separator or toggles & _REQUESTABLE != _REQUESTABLE or toggles >> 5:
        raise _Foreign
    if tail == _TYPE_TAIL and label not in _LABELS.get(kind, {label}):
        raise _Foreign
    rest = rest[4 * bool(toggles & _HAS_ID) + 32 * bool(toggles & _HAS_HASH) :]
    salt = struct.unpack(">I4s", rest[:8]) if toggles & _HAS_SALT else None
    if (salt is None and rest) or (salt is not None and salt[0] != len(rest)):
        raise _Foreign


def _check_file_description(content: bytes) -> None:
    """Check what says of which kind an embedded file is (ISO 19566-5, B.3): a name follows where it is announced."""
    toggles, (_kind, separator, name) = content[0], content[1:].partition(b"\0")
    if not separator or toggles > 1 or bool(name) != bool(toggles):
        raise _Foreign


def _check_signature(cbor: bytes, strict: bool) -> None:
    """Check the unprotected header of a COSE_Sign1 signature (RFC 9052, 4.2): known entries, zeros in the padding."""
    start = 1 if cbor[0] == 0xD2 else 0  # the tag of COSE_Sign1 may be left out
    if cbor[start] != 0x84:
        raise _Foreign
    _major, _value, start = _item(cbor, start + 1)
    major, count, start = _header(cbor, start)
    if major != 5:
        raise _Foreign
    for _ in range(count):
        _major, key, start = _item(cbor, start)
        _major, value, start = _item(cbor, start)
        if strict and key not in _UNPROTECTED:
            raise _Foreign
        if key in _PADDING and isinstance(value, bytes) and any(value):
            raise _ForeignPadding
        if strict and key in _PADDING and not isinstance(value, bytes):
            raise _Foreign
    if strict and cbor[start] != _NIL:  # the payload, which stands elsewhere
        raise _Foreign
    for _ in range(2):  # that payload, and the signature itself
        _major, _value, start = _item(cbor, start)
    if start != len(cbor):
        raise _Foreign


def _header(cbor: bytes, start: int) -> tuple[int, int, int]:
    """Return the major type, the argument and where the content begins (RFC 8949, 3).

    Raises `_Foreign` for an indefinite length, which we never write.
    """
    major, information = cbor[start] >> 5, cbor[start] & 31
    if information < 24:
        return major, information, start + 1
    if information > 27:
        raise _Foreign
    length = 1 << information - 24
    return major, int.from_bytes(cbor[start + 1 : start + 1 + length], "big"), start + 1 + length


def _item(cbor: bytes, start: int, depth: int = 0) -> tuple[int, bytes | str | int | None, int]:
    """Return the major type, the value of a simple item, and where the next one begins."""
    major, argument, start = _header(cbor, start)
    if start > len(cbor) or depth > _MAX_DEPTH:
        raise _Foreign
    if major in (2, 3):
        content = cbor[start : start + argument]
        if len(content) < argument:
            raise _Foreign
        return major, content if major == 2 else content.decode("utf-8", "replace"), start + argument
    if major in (4, 5, 6):
        for _ in range(1 if major == 6 else argument * (major - 3)):
            _major, _value, start = _item(cbor, start, depth + 1)
        return major, None, start
    return major, argument if major == 0 else None, start
