"""Reading the sound of a video or sound file, whole or piece by piece."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from studio.errors import UnreadableMedia
from studio.media.containers import open_container, undecodable
from studio.media.types import Audio, Sound

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

MAX_AUDIO_SECONDS = 600.0
_BLOCK_SAMPLES = 2**16


def read_audio(path: Path | str, *, max_seconds: float = MAX_AUDIO_SECONDS, field: str = "audio") -> Audio | None:
    """Read the first sound track whole, at its own rate and channels, or return None where there is none.

    The first sample belongs to the first video frame: a track that starts later is preceded by silence, one that
    starts earlier is cut. Raises `UnreadableMedia` that blames `field` for damage or more than `max_seconds`.
    """
    sound = open_sound(path, field=field)
    if sound is None:
        return None
    blocks: list[NDArray[np.float32]] = []
    count = 0
    for block in sound.blocks():
        blocks.append(block)
        count += len(block)
        if count > max_seconds * sound.sample_rate:
            raise UnreadableMedia(f"the sound is longer than {max_seconds:g} seconds", field=field, got=path,
                                  allowed=f"at most {max_seconds:g} seconds", fix="cut it")  # fmt: skip
    return Audio(samples=np.concatenate(blocks), sample_rate=sound.sample_rate)


def open_sound(path: Path | str, *, field: str = "audio") -> Sound | None:
    """Return the first sound track to be read piece by piece, or None where there is none or it is empty.

    It begins with the first video frame, as in `read_audio`. Raises `UnreadableMedia` that blames `field`, damage
    further on when that is read.
    """
    path = Path(path)
    with open_container(path, field=field) as (container, _mime_type):
        if not container.streams.audio:
            return None
        context = container.streams.audio[0].codec_context
        if context is None:  # as for pictures, see `studio.media.videos`
            raise undecodable(path, 0, field)
        rate, channels = context.sample_rate, context.channels
    sound = Sound(sample_rate=rate, channels=channels, blocks=lambda: _in_step(path, field))
    with closing(_in_step(path, field)) as blocks:
        return sound if next(blocks, None) is not None else None


def _in_step(path: Path, field: str) -> Generator[NDArray[np.float32], None, None]:
    """Yield (N, C) float32 samples in [-1, 1] of the first track, the first of them at the first video frame."""
    with open_container(path, field=field) as (container, _mime_type):
        stream = container.streams.audio[0]
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        lead = round((_start_seconds(stream) - _video_start_seconds(container, stream)) * rate)
        early = max(-lead, 0)
        for block in _decode(container, stream, path, field):
            for start in range(0, lead, _BLOCK_SAMPLES):  # silence, once it is sure that something follows it
                yield np.zeros((min(lead - start, _BLOCK_SAMPLES), channels), np.float32)
            lead = 0
            if len(block) > early:
                yield np.clip(block[early:], -1.0, 1.0)
            early = max(early - len(block), 0)


def _decode(container: InputContainer, stream: AudioStream, path: Path, field: str) -> Iterator[NDArray[np.float32]]:
    """Yield (N, C) float32 samples as they are decoded."""
    import av

    rate = stream.codec_context.sample_rate
    resampler = av.AudioResampler(format="fltp", layout=stream.codec_context.layout, rate=rate)
    try:
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                yield part.to_ndarray().T.astype(np.float32, copy=False)
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        raise UnreadableMedia("the sound track is damaged", field=field, got=path,
                              fix="fetch or export the file again") from error  # fmt: skip


def _start_seconds(stream: AudioStream) -> float:
    return float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0


def _video_start_seconds(container: InputContainer, audio: AudioStream) -> float:
    if not container.streams.video:
        return _start_seconds(audio)
    video = container.streams.video[0]
    return float(video.start_time * video.time_base) if video.start_time and video.time_base else 0.0
