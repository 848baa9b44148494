"""Reading the sound of a video or sound file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from studio.errors import UnreadableMedia
from studio.media.containers import open_container, undecodable
from studio.media.types import Audio

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

MAX_AUDIO_SECONDS = 600.0


def read_audio(path: Path | str, *, max_seconds: float = MAX_AUDIO_SECONDS, field: str = "audio") -> Audio | None:
    """Read the first sound track at its own rate and channels, or return None where there is none.

    The first sample belongs to the first video frame: a track that starts later is preceded by silence, one that
    starts earlier is cut. Raises `UnreadableMedia` that blames `field` for damage or more than `max_seconds`.
    """
    path = Path(path)
    with open_container(path, field=field) as (container, _mime_type):
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        if stream.codec_context is None:  # as for pictures, see `studio.media.videos`
            raise undecodable(path, 0, field)
        rate = stream.codec_context.sample_rate
        lead = round((_start_seconds(stream) - _video_start_seconds(container, stream)) * rate)
        samples = _decode(container, stream, path, max_seconds, field)
    if not len(samples):
        return None
    silence = np.zeros((max(lead, 0), samples.shape[1]), np.float32)
    return Audio(samples=np.concatenate([silence, samples[max(-lead, 0) :]]), sample_rate=rate)


def _decode(
    container: InputContainer, stream: AudioStream, path: Path, max_seconds: float, field: str
) -> NDArray[np.float32]:
    """Return (N, C) float32 samples in [-1, 1]."""
    import av

    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    resampler = av.AudioResampler(format="fltp", layout=stream.codec_context.layout, rate=rate)
    blocks: list[NDArray[np.float32]] = []
    count = 0
    try:
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                blocks.append(part.to_ndarray().T.astype(np.float32, copy=False))
                count += part.samples
            if count > max_seconds * rate:
                raise UnreadableMedia(f"the sound is longer than {max_seconds:g} seconds", field=field, got=path,
                                      allowed=f"at most {max_seconds:g} seconds", fix="cut it")  # fmt: skip
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        raise UnreadableMedia("the sound track is damaged", field=field, got=path,
                              fix="fetch or export the file again") from error  # fmt: skip
    if not blocks:
        return np.zeros((0, channels), np.float32)
    return np.clip(np.concatenate(blocks), -1.0, 1.0)


def _start_seconds(stream: AudioStream) -> float:
    return float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0


def _video_start_seconds(container: InputContainer, audio: AudioStream) -> float:
    if not container.streams.video:
        return _start_seconds(audio)
    video = container.streams.video[0]
    return float(video.start_time * video.time_base) if video.start_time and video.time_base else 0.0
