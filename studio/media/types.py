"""Clips, pictures and sound in memory and on disk: types only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Frames = NDArray[np.uint8]

_BLOCK_SAMPLES = 2**16


@dataclass(frozen=True, kw_only=True, eq=False)
class Audio:
    """Sound. samples: (N, C) float32 in [-1, 1]. sample_rate: Hz."""

    samples: NDArray[np.float32]
    sample_rate: int

    def __post_init__(self) -> None:
        shape, dtype = self.samples.shape, self.samples.dtype
        if dtype != np.float32 or len(shape) != 2 or shape[1] == 0:
            raise ValueError(f"samples: expected (N, C) float32 with at least one channel, got {shape} {dtype}")
        if self.sample_rate <= 0:
            raise ValueError(f"sample_rate: expected more than 0, got {self.sample_rate}")

    @property
    def duration_seconds(self) -> Fraction:
        return Fraction(len(self.samples), self.sample_rate)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sound:
    """Sound that is read piece by piece, as often as wanted, and never held whole. sample_rate: Hz.

    blocks: starts a reading from the beginning; yields (N, C) float32 in [-1, 1], C = channels, N > 0.
    """

    sample_rate: int
    channels: int
    blocks: Callable[[], Iterator[NDArray[np.float32]]]

    @classmethod
    def of(cls, audio: Audio) -> Sound:
        """Return sound in memory as a stream; samples are never copied whole."""

        def blocks() -> Iterator[NDArray[np.float32]]:
            for start in range(0, len(audio.samples), _BLOCK_SAMPLES):
                yield audio.samples[start : start + _BLOCK_SAMPLES]

        return cls(sample_rate=audio.sample_rate, channels=audio.samples.shape[1], blocks=blocks)

    def between(self, start_seconds: Fraction, end_seconds: Fraction | None) -> Sound:
        """Return the part from `start_seconds` up to `end_seconds`, None for all that follows."""
        first = round(start_seconds * self.sample_rate)
        end = None if end_seconds is None else round(end_seconds * self.sample_rate)

        def blocks() -> Iterator[NDArray[np.float32]]:
            position = 0
            for block in self.blocks():
                part = block[max(first - position, 0) : None if end is None else max(end - position, 0)]
                position += len(block)
                if len(part):
                    yield part
                if end is not None and position >= end:
                    return

        return Sound(sample_rate=self.sample_rate, channels=self.channels, blocks=blocks)


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameClip:
    """A raw clip. frames: (T, H, W, 3) uint8 RGB. frame_rate: frames per second. audio starts with the first frame."""

    frames: Frames
    frame_rate: Fraction
    audio: Audio | None = None

    def __post_init__(self) -> None:
        shape, dtype = self.frames.shape, self.frames.dtype
        if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise ValueError(f"frames: expected (T, H, W, 3) uint8 with no empty axis, got {shape} {dtype}")
        if self.frame_rate <= 0:
            raise ValueError(f"frame_rate: expected more than 0, got {self.frame_rate}")

    @property
    def duration_seconds(self) -> Fraction:
        return Fraction(len(self.frames)) / self.frame_rate


@dataclass(frozen=True, kw_only=True)
class EncodedClip:
    """A clip that came already encoded, as providers send it. mime_type: such as ``video/mp4``."""

    path: Path
    mime_type: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Preview:
    """A cheap look at a clip in the making. image: (H, W, 3) uint8 RGB."""

    image: Image


@dataclass(frozen=True, kw_only=True, eq=False)
class TimedFrame:
    """One decoded frame. image: (H, W, 3) uint8 RGB, upright. time_seconds: since the first frame."""

    image: Image
    time_seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class TimedSound:
    """A piece of sound. samples: (N, C) float32 in [-1, 1]. sample_rate: Hz. start_seconds: since the first frame."""

    samples: NDArray[np.float32]
    sample_rate: int
    start_seconds: float


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What a video file is, as its header and its first frame say.

    container: such as ``mp4``, ``webm``, ``gif``. codec: ffmpeg's name, such as ``h264``.
    width, height: pixels of the upright picture, after rotation; pixels are counted as stored, not stretched.
    frame_rate: frames per second, average over the file.
    num_frames: as the header claims, None where it says nothing; some headers are off by one.
    duration_seconds: None where unknown. pixel_format: ffmpeg's name, such as ``yuv420p``.
    rotation: degrees counter-clockwise that a player turns the stored picture (0, 90, 180 or 270).
    faststart: True when the index stands before the data (MP4 and MOV only), so that playing starts at once.
    """

    container: str
    codec: str
    width: int
    height: int
    frame_rate: Fraction
    num_frames: int | None
    duration_seconds: float | None
    pixel_format: str
    has_audio: bool
    rotation: int
    faststart: bool
