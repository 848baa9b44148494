"""One walk through a file's sound, with the times that the file states, that goes on behind damage."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studio.media.containers import open_container
from studio.media.salvage import decode_on
from studio.media.types import TimedSound

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_BLOCK_SECONDS = 0.5
# Containers round time stamps to a millisecond, and encoders leave out less than this at seams.
_SMALLEST_GAP_SECONDS = 0.03


class SoundWalk:
    """Walks once through the first sound track of a file, half a second in memory at a time.

    Unlike `Sound`, which is made to be encoded again, it fills no gaps: a track that starts late starts late.
    num_lost: packets that could not be decoded so far.
    """

    def __init__(self, path: Path | str, *, field: str = "video") -> None:
        self._path = Path(path)
        self._field = field
        self.num_lost = 0

    def blocks(self) -> Iterator[TimedSound]:
        """Yield the sound in order, nothing where there is none. Raises `UnreadableMedia` for what is no media file."""
        with open_container(self._path, field=self._field) as (container, _mime_type):
            if not container.streams.audio or container.streams.audio[0].codec_context is None:
                return
            stream = container.streams.audio[0]
            rate = stream.codec_context.sample_rate
            if rate and rate > 0:
                yield from _joined(self._parts(container, stream), rate)

    def _parts(self, container: InputContainer, stream: AudioStream) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """Yield (seconds after the first picture, (N, C) samples) of each decoded frame, at one rate and layout."""
        import av

        context = stream.codec_context
        resampler = av.AudioResampler(format="fltp", layout=context.layout, rate=context.sample_rate)
        start = _picture_starts(container)
        after = 0.0
        for frame in decode_on(container, stream, self._lose):
            at = after if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base - start)
            try:
                samples = _samples(resampler, frame)
            except (av.FFmpegError, ValueError):
                self._lose()
                continue
            if len(samples):
                yield at, samples
                after = at + len(samples) / context.sample_rate

    def _lose(self) -> None:
        self.num_lost += 1


def _samples(resampler: Any, frame: AudioFrame) -> NDArray[np.float32]:
    parts = [part.to_ndarray().T for part in resampler.resample(frame)]
    samples = np.concatenate(parts) if parts else np.zeros((0, 1))
    # A damaged frame may hold anything, and what is no number would silence every figure.
    return np.asarray(np.nan_to_num(np.clip(samples, -1.0, 1.0)), np.float32)


def _joined(parts: Iterator[tuple[float, NDArray[np.float32]]], rate: int) -> Iterator[TimedSound]:
    """Join what follows without a gap to blocks of about half a second."""
    waiting: list[NDArray[np.float32]] = []
    start, end = 0.0, 0.0
    for at, samples in parts:
        is_apart = bool(waiting) and abs(at - end) > _SMALLEST_GAP_SECONDS
        if waiting and (is_apart or end - start >= _BLOCK_SECONDS or waiting[-1].shape[1] != samples.shape[1]):
            yield TimedSound(samples=np.concatenate(waiting), sample_rate=rate, start_seconds=start)
            waiting = []
        if not waiting:
            # Rounded time stamps would otherwise open a gap of a sample between blocks.
            start = at if is_apart or abs(at - end) > _SMALLEST_GAP_SECONDS else end
            end = start
        waiting.append(samples)
        end += len(samples) / rate
    if waiting:
        yield TimedSound(samples=np.concatenate(waiting), sample_rate=rate, start_seconds=start)


def _picture_starts(container: InputContainer) -> Fraction:
    """Return when the first picture is shown by the file's clock, in seconds; where there is none, the sound starts."""
    stream: Any = (*container.streams.video, *container.streams.audio)[0]
    if stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    return Fraction(stream.start_time * stream.time_base)
