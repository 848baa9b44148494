"""A raw clip that can be walked again and again, one frame in memory at a time."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.generator import RawClip
from studio.media import (
    EncodedClip,
    FrameClip,
    Image,
    Sound,
    TimedFrame,
    count_frames,
    frame_times,
    iter_frames,
    open_sound,
    probe_video,
)

# A clip whose frames stray further than this from an even beat, in frames, is shown by its own times.
_UNEVEN = 0.75
_HIGHEST_RATE = Fraction(60)
_COMMON_RATES = tuple(
    Fraction(*rate)
    for rate in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001), (60, 1))
)
# Evening out may repeat frames, but not turn a few odd time stamps into hours.
_MOST_REPEATS, _MOST_ADDED_FRAMES = 8, 900
# Frames of a mapped file after which what was read is given back to the system.
_FRAMES_KEPT_MAPPED = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A clip on its way through the gate.

    frames: starts a walk through the frames as they came, with their times; raises `UnreadableMedia` at damage.
    width, height: pixels. expected_frames: as the file counts them; only a walk knows for sure.
    raw_rate: frames per second, on average, of `frames`. frame_rate: at which it leaves.
    is_even: whether frames come at an even beat; others are repeated or left out so that they do.
    draw: changes each frame on its way out, after the checks saw it: a visible label, say.
    """

    frames: Callable[[], Iterator[TimedFrame]]
    width: int
    height: int
    expected_frames: int
    raw_rate: Fraction
    frame_rate: Fraction
    is_even: bool = True
    sound: Sound | None = None
    draw: Callable[[Image], Image] | None = None

    def walk(self, watch: Callable[[Image], None] | None = None) -> Iterator[Image]:
        """Yield (H, W, 3) uint8 RGB frames at `frame_rate`. watch: is shown each raw frame first."""
        timed = self.frames() if watch is None else _watched(self.frames(), watch)
        images = (frame.image for frame in timed) if self.is_even else even(timed, self.frame_rate)
        yield from images if self.draw is None else map(self.draw, images)


def open_clip(clip: RawClip) -> Source:
    """Return a raw clip as a source. Raises `UnreadableMedia` for a file that makes no sense."""
    return _open_file(clip.path) if isinstance(clip, EncodedClip) else _open_frames(clip)


def even(frames: Iterable[TimedFrame], frame_rate: Fraction) -> Iterator[Image]:
    """Yield what a viewer sees at each tick of an even beat: the latest frame whose time has come.

    The last frame is shown as long as a frame of this clip is on average; some picture comes out in any case.
    """
    rate = float(frame_rate)
    tick, count, shown, shown_at = 0, 0, None, 0.0
    for frame in frames:
        # A time stamp that is off by a rounding belongs to the tick beside it.
        while shown is not None and tick < frame.time_seconds * rate - 0.25:
            yield shown
            tick += 1
        shown, shown_at, count = frame.image, frame.time_seconds, count + 1
    if shown is None:
        return
    average = shown_at / (count - 1) if count > 1 else 0.0
    for _ in range(max(round((shown_at + average) * rate), 1) - tick):
        yield shown


def _watched(frames: Iterator[TimedFrame], watch: Callable[[Image], None]) -> Iterator[TimedFrame]:
    for frame in frames:
        watch(frame.image)
        yield frame


def _open_frames(clip: FrameClip) -> Source:
    num_frames, height, width = clip.frames.shape[:3]
    return Source(
        frames=lambda: _iter_array(clip.frames, clip.frame_rate),
        width=width,
        height=height,
        expected_frames=num_frames,
        raw_rate=clip.frame_rate,
        frame_rate=clip.frame_rate,
        sound=None if clip.audio is None or not len(clip.audio.samples) else Sound.of(clip.audio),
    )


def _iter_array(frames: NDArray[np.uint8], frame_rate: Fraction) -> Iterator[TimedFrame]:
    """Yield the frames of an array; those of a mapped file are forgotten again, as the file still has them."""
    forget = _forgetting(frames)
    for index, image in enumerate(frames):
        yield TimedFrame(image=np.asarray(image), time_seconds=float(index / frame_rate))
        if index % _FRAMES_KEPT_MAPPED == 0:
            forget()


def _forgetting(frames: NDArray[np.uint8]) -> Callable[[], None]:
    """Return what gives the memory of a file mapped for reading back to the system; nothing for other arrays."""
    mapping: object = frames.base
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if advice is None or not isinstance(mapping, mmap.mmap) or getattr(frames, "mode", "") != "r":
        return lambda: None
    return lambda: mapping.madvise(advice)


def _open_file(path: Path) -> Source:
    facts = probe_video(path)
    times = frame_times(path)
    even_rate = None if times is None else _even_rate(times, facts.frame_rate)
    return Source(
        frames=lambda: iter_frames(path),
        width=facts.width,
        height=facts.height,
        expected_frames=count_frames(path) if times is None else len(times),
        raw_rate=facts.frame_rate,
        frame_rate=even_rate or facts.frame_rate,
        is_even=even_rate is None,
        sound=open_sound(path) if facts.has_audio else None,
    )


def _even_rate(times: list[Fraction], average_rate: Fraction) -> Fraction | None:
    """Return the rate at which a clip of uneven frames is to be shown, None for one whose frames come evenly."""
    if len(times) < 3 or times[-1] <= 0:
        return None
    beat = times[-1] / (len(times) - 1)
    if max(abs(time - index * beat) for index, time in enumerate(times)) <= beat * Fraction(_UNEVEN):
        return None
    steps = sorted(float(after - before) for before, after in pairwise(times) if after > before)
    shortest = steps[len(steps) // 10]
    rate = min(_nearest_common(1 / shortest), max(_HIGHEST_RATE, average_rate))
    num_frames = times[-1] * rate
    return rate if num_frames <= _MOST_REPEATS * len(times) + _MOST_ADDED_FRAMES else None


def _nearest_common(rate: float) -> Fraction:
    nearest = min(_COMMON_RATES, key=lambda common: abs(float(common) - rate))
    if abs(float(nearest) - rate) < 0.02 * rate:
        return nearest
    return max(Fraction(rate).limit_denominator(100), Fraction(1))
