"""One walk through a video file that does not stop at damage, and an account of what was found wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.media.containers import open_container, undecodable
from studio.media.files import is_cut_short, open_regular_file
from studio.media.salvage import decode_on
from studio.media.types import Image, TimedFrame
from studio.media.videos import (
    MAX_FRAME_PIXELS,
    Orientation,
    duration_seconds,
    orientation,
    stated_rate,
    to_rgb,
    video_stream,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Above this size colours are converted the fast way: nobody who looks at a picture of 320x180 made of it could tell.
_EXACT_PIXELS = 1280 * 720
_DECODER_THREADS = 2
_PACKETS_TIMED = 120
_HIGHEST_RATE = 1000
_MOST_REMEMBERED = 1000


@dataclass(frozen=True, kw_only=True)
class VideoHeader:
    """What a file says of its pictures before any is decoded.

    frame_rate: frames per second on average; by the first time stamps where the stated one contradicts them.
    num_frames, seconds: None where the file does not say. has_audio: it announces sound.
    """

    frame_rate: Fraction
    num_frames: int | None
    seconds: float | None
    has_audio: bool

    @property
    def expected_frames(self) -> int | None:
        """How many frames are to be expected, None where nothing tells."""
        if self.num_frames is not None:
            return self.num_frames
        return None if self.seconds is None else max(1, round(self.seconds * self.frame_rate))


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What a walk met.

    num_frames: that were decoded. seconds: from the first frame to the end of the last. num_damaged: frames that the
    decoder had to patch; damaged: the first thousand of them. num_lost: packets that gave no frame at all;
    lost_after: how many frames stood before each of the first thousand. num_backward: frames whose time is not after
    that of the frame before; backward: the first thousand. sizes: (frame, width, height) where the size changes.
    is_cut_short: the container promises more bytes than there are. has_edits: the file leaves out some of its packets,
    so that its counts do not apply.
    """

    num_frames: int = 0
    seconds: float = 0.0
    num_damaged: int = 0
    damaged: tuple[int, ...] = ()
    num_lost: int = 0
    lost_after: tuple[int, ...] = ()
    num_backward: int = 0
    backward: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int, int], ...] = ()
    is_cut_short: bool = False
    has_edits: bool = False


class VideoWalk:
    """Walks once through a video file of any kind, one frame in memory at a time.

    Raises `UnreadableMedia`, which blames `field`, for what is no video at all.
    """

    def __init__(self, path: Path | str, *, field: str = "video") -> None:
        self._path = Path(path)
        self._field = field
        self._damaged = _Places()
        self._lost = _Places()
        self._backward = _Places()
        self._sizes: list[tuple[int, int, int]] = []
        self._num_frames = 0
        self._seconds = 0.0
        self._is_cut_short = False
        with open_container(self._path, field=field) as (container, _mime_type):
            self.header, self._has_edits = _header(container, video_stream(container, self._path, field))

    def frames(self) -> Iterator[TimedFrame]:
        """Yield the frames in the order of their display times, all of the first one's size, as `iter_frames` does.

        Where the size changes, frames are scaled to the first. Times grow from frame to frame, whatever the file says.
        Raises `UnreadableMedia` where not one frame can be decoded.
        """
        with open_container(self._path, field=self._field) as (container, mime_type):
            stream = video_stream(container, self._path, self._field)
            stream.thread_type, stream.thread_count = "AUTO", _DECODER_THREADS
            upright = Upright()
            clock = Clock(stream.time_base or Fraction(1, 1000), 1 / self.header.frame_rate)
            for frame in decode_on(container, stream, self._lose):
                image = None if frame.width * frame.height > MAX_FRAME_PIXELS else converted(frame, upright)
                if image is None:
                    self._lose()
                    continue
                yield self._timed(frame, image, clock)
        with open_regular_file(self._path, field=self._field) as file:
            self._is_cut_short = is_cut_short(file, mime_type)
        if self._num_frames == 0:
            raise undecodable(self._path, 0, self._field)

    def walked(self) -> Walked:
        """Return what was met; complete once `frames` has ended."""
        return Walked(
            num_frames=self._num_frames,
            seconds=self._seconds,
            num_damaged=self._damaged.count,
            damaged=tuple(self._damaged.first),
            num_lost=self._lost.count,
            lost_after=tuple(self._lost.first),
            num_backward=self._backward.count,
            backward=tuple(self._backward.first),
            sizes=tuple(self._sizes[1:]),
            is_cut_short=self._is_cut_short,
            has_edits=self._has_edits,
        )

    def _timed(self, frame: VideoFrame, image: Image, clock: Clock) -> TimedFrame:
        index, self._num_frames = self._num_frames, self._num_frames + 1
        height, width = image.shape[:2]
        if not self._sizes or self._sizes[-1][1:] != (width, height):
            if len(self._sizes) < _MOST_REMEMBERED:
                self._sizes.append((index, width, height))
            else:
                self._sizes[-1] = (index, width, height)
        if frame.is_corrupt:
            self._damaged.add(index)
        if clock.advance(frame):
            self._backward.add(index)
        self._seconds = clock.end_seconds
        return TimedFrame(image=_fitted(image, self._sizes[0][1:]), time_seconds=clock.seconds)

    def _lose(self) -> None:
        self._lost.add(self._num_frames)


class _Places:
    """Frames that something was found at: all are counted, the first thousand remembered."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[int] = []

    def add(self, index: int) -> None:
        self.count += 1
        if len(self.first) < _MOST_REMEMBERED:
            self.first.append(index)


class Clock:
    """Tells when a frame is shown, in seconds since the first."""

    def __init__(self, tick: Fraction, step: Fraction) -> None:
        self._tick = tick
        self._step = float(step)
        self._first_pts: int | None = None
        self._stated: float | None = None
        self.seconds = -self._step
        self.end_seconds = 0.0

    def advance(self, frame: VideoFrame) -> bool:
        """Go on to the next frame; say whether its time, by its own account, is not after the one before."""
        stated: float | None = None
        if frame.pts is not None:
            self._first_pts = frame.pts if self._first_pts is None else self._first_pts
            stated = float((frame.pts - self._first_pts) * self._tick)
        is_backward = stated is not None and self._stated is not None and stated <= self._stated
        self._stated = stated if stated is not None else self._stated
        # A frame without a usable time stamp follows the one before at the average rate.
        self.seconds = stated if stated is not None and stated > self.seconds else self.seconds + self._step
        lasting = float(frame.duration * self._tick) if frame.duration else self._step
        self.end_seconds = self.seconds + lasting
        return is_backward


class Upright:
    """Turns frames as a player would; the turn is looked up only where it changes."""

    def __init__(self) -> None:
        self._turn: Orientation | None = None
        self._rotation = 0.0

    def apply(self, frame: VideoFrame, image: Image) -> Image:
        if self._turn is None or frame.rotation != self._rotation:
            self._turn, self._rotation = orientation(frame), frame.rotation
        return np.ascontiguousarray(self._turn.apply(image))


def converted(frame: VideoFrame, upright: Upright) -> Image | None:
    """Return the upright picture, (H, W, 3) uint8 RGB; None for a pixel format that nobody can convert."""
    import av

    try:
        return upright.apply(frame, to_rgb(frame, is_exact=frame.width * frame.height <= _EXACT_PIXELS))
    except (av.FFmpegError, ValueError):
        return None


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    import cv2

    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _header(container: InputContainer, stream: VideoStream) -> tuple[VideoHeader, bool]:
    stated, num_frames = stated_rate(stream), stream.frames or None
    # The length of the file is that of its longest track, so it tells nothing of the picture where there is sound.
    is_told = stream.duration is not None or not container.streams.audio
    seconds = duration_seconds(container, stream) if is_told else None
    has_audio = bool(container.streams.audio)
    times, has_edits = _first_times(container, stream)
    rate = stated if stream.codec_context.name == "gif" else _believed(stated, times)
    return VideoHeader(frame_rate=rate, num_frames=num_frames, seconds=seconds, has_audio=has_audio), has_edits


def _first_times(container: InputContainer, stream: VideoStream) -> tuple[list[Fraction], bool]:
    """Return the display times of the first packets, in order, and whether the file leaves some of them out."""
    import av

    tick = stream.time_base or Fraction(1, 1000)
    packets: list[Any] = []
    with suppress(av.FFmpegError, OSError, ValueError, EOFError):  # the walk will tell
        packets = [(item.pts, item.is_discard) for item in islice(container.demux(stream), _PACKETS_TIMED) if item.size]
    return sorted(pts * tick for pts, _ in packets if pts is not None), any(left_out for _, left_out in packets)


def _believed(stated: Fraction, times: list[Fraction]) -> Fraction:
    """Return the stated rate, unless the time stamps are those of at least twice or at most half of it."""
    steps = [float(after - before) for before, after in pairwise(times) if after > before]
    if len(steps) < 2:
        return min(stated, Fraction(_HIGHEST_RATE))
    seen = 1 / median(steps)
    if seen / 2 < stated < seen * 2:
        return stated
    mean = len(steps) / float(times[-1] - times[0])  # uneven steps: half of them may be far from the average
    if mean / 2 < stated < mean * 2:
        return stated
    return min(Fraction(seen).limit_denominator(1001), Fraction(_HIGHEST_RATE)) or Fraction(1, 1001)
