"""The mark goes into the frames, the frames into a file, and the mark is read back from what the file shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from studio.export.encoder import EncodedFacts, encode_mp4
from studio.export.lookahead import ahead
from studio.export.source import Source
from studio.media import Image, iter_frames, read_image
from studio.provenance.watermark import (
    ALGORITHM,
    FULL_BITS,
    MAX_FRAMES,
    SHORT_BITS,
    UNITS,
    Grain,
    WatermarkDetector,
    WatermarkEmbedder,
    WatermarkReading,
    WatermarkRecord,
    natural_grain,
)

# Strength and length of the payload, tried in turn until the mark is read back from the encoded file. The first keeps
# all bounds of quality; flat, dark or tiny clips need more, and the smallest have room for a short identifier only.
LADDER = ((1.0, FULL_BITS), (1.6, FULL_BITS), (2.5, FULL_BITS), (1.6, SHORT_BITS), (2.5, SHORT_BITS))
# A file that was sent on is coded about so hard.
_TRIAL_FRAMES, _TRIAL_CRF = 12, 33

_STILLS = ("image/png", "image/jpeg")


def mark_and_encode(
    source: Source,
    destination: Path,
    *,
    key: bytes,
    payload: int,
    watch: Callable[[Image], None] | None = None,
) -> tuple[EncodedFacts, WatermarkRecord | None]:
    """Encode with the weakest and longest mark that survives the encoder; without one if none does.

    payload: 64 bits; where only a short mark fits, its lowest 24.
    watch: is shown each raw frame, once, in the first walk, and in another thread.
    Raises `DiskFull`, `SealFailed`, or what walking the source raises.
    """
    grain = _lasting_grain(source, destination, key, payload)
    for rung in LADDER[_first_rung(source, destination, key, payload, grain) :]:
        facts, record = _attempt(source, destination, key, payload, grain, rung, watch)
        watch = None
        if record is not None:
            return facts, record
    return _encode(source, destination, None, watch), None


def _first_rung(source: Source, destination: Path, key: bytes, payload: int, grain: Grain) -> int:
    """Return where to start on the ladder: for a long clip, what fails on its beginning is not tried on all of it."""
    if source.expected_frames <= 2 * MAX_FRAMES:
        return 0
    beginning = replace(source, frames=lambda: islice(source.frames(), MAX_FRAMES), sound=None)
    trial = destination.with_name(f"trial-{destination.name}")
    try:
        for number, rung in enumerate(LADDER):
            if _attempt(beginning, trial, key, payload, grain, rung, None)[1] is not None:
                return number
    finally:
        trial.unlink(missing_ok=True)
    return len(LADDER)


def _attempt(
    source: Source,
    destination: Path,
    key: bytes,
    payload: int,
    grain: Grain,
    rung: tuple[float, int],
    watch: Callable[[Image], None] | None,
) -> tuple[EncodedFacts, WatermarkRecord | None]:
    """Mark, encode, and read the mark back."""
    strength, bits = rung
    carried = payload % (1 << bits)
    embedder = WatermarkEmbedder(key, carried, source.height, source.width, strength, bits=bits, grain=grain)
    facts = _encode(source, destination, embedder.apply, watch)
    reading = read_mark(destination, key)
    is_read = reading.payload == carried and reading.bits == bits
    return facts, WatermarkRecord(ALGORITHM, carried, reading.confidence, bits) if is_read else None


def _lasting_grain(source: Source, destination: Path, key: bytes, payload: int) -> Grain:
    """Return the grain of pattern that is still read after the clip's first frames were coded hard.

    Texture drowns a coarse pattern, a low bit rate a fine one. In a large frame a coarse one would be seen sooner, in
    a small one fine chips would be smaller than a pixel, so there is a choice for sizes in between alone.
    """
    natural = natural_grain(source.height, source.width)
    if natural == "fine" or min(source.height, source.width) < UNITS["fine"]:
        return natural
    frames = list(islice(source.walk(), _TRIAL_FRAMES))
    trial = destination.with_name(f"trial-{destination.name}")
    grains: tuple[Grain, ...] = ("coarse", "fine")
    try:
        for grain in grains:
            embedder = WatermarkEmbedder(key, payload, source.height, source.width, grain=grain)
            encode_mp4(
                map(embedder.apply, frames),
                trial,
                width=source.width,
                height=source.height,
                frame_rate=source.frame_rate,
                crf=_TRIAL_CRF,
            )
            if read_mark(trial, key).payload == payload:
                return grain
    finally:
        trial.unlink(missing_ok=True)
    return natural


def read_mark(path: Path, key: bytes, *, mime_type: str = "video/mp4") -> WatermarkReading:
    """Read the mark from what a finished file shows, from its first seconds where it is long."""
    detector = WatermarkDetector(key)
    if mime_type in _STILLS:
        detector.update(read_image(path))
    else:
        with ahead(islice(iter_frames(path), MAX_FRAMES)) as frames:
            for timed in frames:
                detector.update(timed.image)
    return detector.finish()


def _encode(
    source: Source,
    destination: Path,
    mark: Callable[[Image], Image] | None,
    watch: Callable[[Image], None] | None,
) -> EncodedFacts:
    # Reading and checking in one thread, marking in this one, encoding in ffmpeg's own.
    with ahead(source.walk(watch)) as frames:
        return encode_mp4(
            frames if mark is None else map(mark, frames),
            destination,
            width=source.width,
            height=source.height,
            frame_rate=source.frame_rate,
            audio=source.sound,
        )
