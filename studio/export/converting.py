"""A derived file is encoded without a new mark: it carries its parent's, and that is read back from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from studio.errors import SealFailed
from studio.export.derivation import Derivation
from studio.export.encoder import Container, EncodedFacts, encode_video
from studio.export.lookahead import ahead
from studio.export.marking import read_mark
from studio.export.pictures import write_gif, write_still, write_webp
from studio.export.source import Source
from studio.media import Image
from studio.provenance.watermark import ALGORITHM, WatermarkEmbedder, WatermarkRecord

_CONTAINERS: dict[str, Container] = {".mp4": "mp4", ".mov": "mov", ".mkv": "mkv", ".webm": "webm"}

Watch = Callable[[Image], None]
# Makes what changes the frames of one walk; a mark may follow the clip from frame to frame.
Marker = Callable[[], Callable[[Image], Image]]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A finished picture, not signed yet.

    mark: as read back, None where it cannot be. is_inherited: it is the parent's, untouched; else it was strengthened.
    """

    facts: EncodedFacts
    mark: WatermarkRecord | None
    is_inherited: bool = True


def convert(
    source: Source, derivation: Derivation, destination: Path, *, key: bytes, parent_mark: str | None, watch: Watch
) -> Converted:
    """Encode a part of a clip in its new format.

    parent_mark: the parent's mark in hex digits, None where it has none. Another mark on top would destroy both, so
    where the parent's cannot be read back it is only put in once more, and left out where that does not help either.
    watch: is shown each raw frame once. Raises `DiskFull`, `SealFailed`, or what walking the source raises.
    """
    facts = _encode(source, derivation, destination, None, watch)
    if parent_mark is None:
        return Converted(facts=facts, mark=None)
    mark = _read_back(destination, derivation, key, parent_mark)
    if mark is not None:
        return Converted(facts=facts, mark=mark)
    stronger = _strengthened(source, derivation, destination, key, parent_mark)
    return stronger or Converted(facts=facts, mark=None)


def _strengthened(
    source: Source, derivation: Derivation, destination: Path, key: bytes, parent_mark: str
) -> Converted | None:
    """Replace the file by one in which the same mark was put in again, if it can be read there."""
    attempt = destination.with_name(f"stronger-{destination.name}")
    bits = 4 * len(parent_mark)

    def marker() -> Callable[[Image], Image]:
        return WatermarkEmbedder(key, int(parent_mark, 16), source.height, source.width, bits=bits).apply

    try:
        facts = _encode(source, derivation, attempt, marker, None)
    except ValueError:  # a picture too small for this mark
        attempt.unlink(missing_ok=True)
        return None
    mark = _read_back(attempt, derivation, key, parent_mark)
    if mark is None:
        attempt.unlink()
        return None
    attempt.replace(destination)
    return Converted(facts=replace(facts, path=destination), mark=mark, is_inherited=False)


def _read_back(path: Path, derivation: Derivation, key: bytes, parent_mark: str) -> WatermarkRecord | None:
    reading = read_mark(path, key, mime_type=derivation.format.mime_type)
    if reading.payload is None or reading.identifier != parent_mark:
        return None
    return WatermarkRecord(ALGORITHM, reading.payload, reading.confidence, reading.bits)


def _encode(
    source: Source, derivation: Derivation, destination: Path, marker: Marker | None, watch: Watch | None
) -> EncodedFacts:
    walk = _Walks(source, marker, watch)
    shape = {"width": source.width, "height": source.height, "frame_rate": source.frame_rate}
    wanted = derivation.format
    if wanted.kind == "picture":
        image = next(iter(walk()), None)
        if image is None:
            raise SealFailed("the clip ends before this frame", field="frame", got=derivation.frame)
        return write_still(image, destination, mime_type=wanted.mime_type, frame_rate=source.frame_rate)
    if wanted.kind == "animation":
        write = write_gif if wanted.suffix == ".gif" else write_webp
        return write(walk, destination, **shape)  # type: ignore[arg-type]
    with ahead(walk()) as frames:
        return encode_video(frames, destination, container=_CONTAINERS[wanted.suffix], audio=source.sound, **shape)  # type: ignore[arg-type]


class _Walks:
    """Walks through a source as often as wanted; only the first is watched."""

    def __init__(self, source: Source, marker: Marker | None, watch: Watch | None) -> None:
        self._source = source
        self._marker = marker
        self._watch = watch

    def __call__(self) -> Iterator[Image]:
        watch, self._watch = self._watch, None
        frames = self._source.walk(watch)
        return frames if self._marker is None else map(self._marker(), frames)
