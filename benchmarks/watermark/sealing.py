"""Clips as the studio's gate marks and encodes them, with the frames seen between the two."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.watermark.attacks import GATE_ENCODE, Frames, read_frames
from studio.provenance.watermark import FULL_BITS, WatermarkDetector, WatermarkEmbedder


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A key and a payload; drawn from the clip's name and a number, so that a second run does the same."""

    key: bytes
    payload: int

    @classmethod
    def of(cls, clip: str, number: int) -> Mark:
        """Return the number-th mark of a clip."""
        digest = hashlib.shake_256(f"{clip} {number}".encode()).digest(40)
        return cls(key=digest[:32], payload=int.from_bytes(digest[32:], "big"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Sealed:
    """A clip as it leaves the studio.

    marked: frames before the encoder. shown: frames of the encoded file. payload: what they carry, None for nothing.
    bits: its length.
    """

    marked: Frames
    shown: Frames
    payload: int | None
    bits: int = FULL_BITS


def embed(frames: Frames, mark: Mark, strength: float) -> Frames:
    """Return marked frames. (T, H, W, 3) uint8 RGB -> the same."""
    height, width = frames.shape[1:3]
    embedder = WatermarkEmbedder(mark.key, mark.payload, height, width, strength)
    return np.stack([embedder.apply(frame) for frame in frames])


def seal(frames: Frames, frame_rate: Fraction, mark: Mark, strength: float | None = None) -> Sealed:
    """Mark and encode. strength: of a mark of full length; None leaves this and the length to the gate."""
    if strength is None:
        return _through_the_gate(frames, frame_rate, mark)
    marked = embed(frames, mark, strength)
    return Sealed(marked=marked, shown=GATE_ENCODE(marked, frame_rate), payload=mark.payload)


def detector(mark: Mark, *, with_index: bool = True) -> WatermarkDetector:
    """Return a detector for the mark's key. with_index: tell it the ids of a library of 1,000 clips, this one's too."""
    return WatermarkDetector(mark.key, known=library(mark) if with_index else ())


def library(mark: Mark) -> Sequence[int]:
    """Return the ids of 1,000 clips, this one in the middle."""
    rng = np.random.default_rng(3)
    others = [int(value) for value in rng.integers(1, 2**63, 999)]
    return [*others[:500], mark.payload, *others[500:]]


def _through_the_gate(frames: Frames, frame_rate: Fraction, mark: Mark) -> Sealed:
    from studio.export import marking
    from studio.export.source import open_clip
    from studio.media import FrameClip

    passes: list[list[Frames]] = []

    class Recorded(marking.WatermarkEmbedder):  # type: ignore[misc]  # every attempt of the gate makes a new one
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            passes.append([])

        def apply(self, frame: Frames) -> Frames:
            marked = super().apply(frame)
            passes[-1].append(marked)
            return marked

    with tempfile.TemporaryDirectory(prefix="watermark-seal-") as folder:
        path = Path(folder) / "sealed.mp4"
        with patch.object(marking, "WatermarkEmbedder", Recorded):
            source = open_clip(FrameClip(frames=frames, frame_rate=frame_rate))
            _, record = marking.mark_and_encode(source, path, key=mark.key, payload=mark.payload)
        shown = read_frames(path)
    if record is None:
        return Sealed(marked=frames, shown=shown, payload=None)
    return Sealed(marked=np.stack(passes[-1]), shown=shown, payload=record.payload, bits=record.bits)
