"""Raw frames and sound into one video file, H.264 or VP9; used by the gate's own modules and by nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from studio.errors import SealFailed
from studio.export.ffmpeg import QUIET, disk_faults, executable, feed, removed_afterwards
from studio.media import Audio, Sound

# x264 gives the same bytes on every machine only for the same number of threads, so it is not left to the machine.
_X264_THREADS = 4
_MAX_TERM = 2**31 - 1

Container = Literal["mp4", "mov", "mkv", "webm"]


@dataclass(frozen=True, kw_only=True)
class EncodedFacts:
    """What was written. width, height: pixels in the file, even; padded_*: copies of the last column or row added."""

    path: Path
    width: int
    height: int
    padded_columns: int = 0
    padded_rows: int = 0
    num_frames: int
    frame_rate: Fraction
    size_bytes: int


def encode_mp4(
    frames: Iterable[NDArray[np.uint8]],
    destination: Path,
    *,
    width: int,
    height: int,
    frame_rate: Fraction,
    audio: Audio | Sound | None = None,
    crf: int = 16,
) -> EncodedFacts:
    """Write (H, W, 3) uint8 RGB frames as H.264 in an MP4 with the index first: `encode_video`. crf: x264's, 1 to 51.

    16 is hard to tell from the source.
    """
    return encode_video(frames, destination, container="mp4", width=width, height=height, frame_rate=frame_rate,
                        audio=audio, crf=crf)  # fmt: skip


def encode_video(
    frames: Iterable[NDArray[np.uint8]],
    destination: Path,
    *,
    container: Container,
    width: int,
    height: int,
    frame_rate: Fraction,
    audio: Audio | Sound | None = None,
    crf: int | None = None,
) -> EncodedFacts:
    """Write (H, W, 3) uint8 RGB frames as yuv420p at a constant rate; same input, same bytes.

    MP4, MOV and MKV hold H.264 High and AAC, WebM holds VP9 and Opus. Colours are converted with the BT.709 matrix to
    limited range and tagged so. Sound is cut or lengthened with silence to end with the last frame. Odd sizes grow by a
    copy of the last column or row, as 4:2:0 needs even ones. crf: the encoder's quality; left out, 16 for x264 and 18
    for VP9.

    One frame at a time is held. `destination` appears complete or not at all; one that exists is replaced.
    Raises `DiskFull`, `SealFailed` with ffmpeg's last line, or whatever `frames` raises.
    """
    if frame_rate <= 0 or frame_rate.numerator > _MAX_TERM or frame_rate.denominator > _MAX_TERM:
        raise ValueError(f"frame_rate: expected a positive fraction of 32-bit numbers, got {frame_rate}")
    sound = _as_stream(audio)
    size = (width + width % 2, height + height % 2)
    picture = destination.with_name(f".{destination.name}.picture")
    partial = destination.with_name(f".{destination.name}.partial")
    with removed_afterwards(picture), removed_afterwards(partial):
        command = _encoding(picture, container, size, frame_rate, crf, is_final=sound is None)
        num_frames = feed(command, _padded(frames, width, height))
        if num_frames == 0:
            raise SealFailed("there are no frames to encode", field="frames")
        if sound is not None:
            # In a second step, when the length is known: ffmpeg's own "-shortest" cuts a little differently each time.
            feed(_muxing(partial, container, picture, frame_rate, sound), _blocks(sound, num_frames / frame_rate))
            picture, partial = partial, picture
        with disk_faults():
            size_bytes = picture.stat().st_size
            os.replace(picture, destination)
    return EncodedFacts(path=destination, width=size[0], height=size[1], padded_columns=width % 2,
                        padded_rows=height % 2, num_frames=num_frames, frame_rate=frame_rate,
                        size_bytes=size_bytes)  # fmt: skip


def raw_input(size: tuple[int, int], frame_rate: Fraction) -> tuple[str, ...]:
    """Return the options under which ffmpeg reads RGB frames of (width, height) from its standard input."""
    return (
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{size[0]}x{size[1]}", "-color_range", "pc"),
        *("-framerate", f"{frame_rate.numerator}/{frame_rate.denominator}", "-i", "pipe:0"),
    )


def _as_stream(audio: Audio | Sound | None) -> Sound | None:
    if isinstance(audio, Audio):
        return Sound.of(audio) if len(audio.samples) else None
    return audio


def _encoding(
    target: Path, container: Container, size: tuple[int, int], frame_rate: Fraction, crf: int | None, *, is_final: bool
) -> list[str]:
    """Return the command that turns raw RGB frames on its standard input into a video."""
    convert = (
        "scale=in_range=pc:out_range=tv:out_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int+bitexact"
    )
    # Tags set as options are overwritten by what the frames say, so the frames have to say it.
    tag = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    return [
        *(executable(), *QUIET, *raw_input(size, frame_rate)),
        *("-vf", f"{convert},format=yuv420p,{tag}", "-fps_mode", "passthrough"),
        *(_vp9(crf or 18) if container == "webm" else _x264(crf or 16)),
        *("-flags:v", "+bitexact", "-chroma_sample_location", "left"),
        *_output(target, container, frame_rate, is_final=is_final),
    ]


def _x264(crf: int) -> tuple[str, ...]:
    quality = ("-profile:v", "high", "-preset", "medium", "-crf", str(crf))
    return ("-c:v", "libx264", *quality, "-threads:v", str(_X264_THREADS))


def _vp9(crf: int) -> tuple[str, ...]:
    speed = ("-deadline", "good", "-cpu-used", "3", "-row-mt", "1", "-threads:v", str(_X264_THREADS))
    return ("-c:v", "libvpx-vp9", "-crf", str(crf), "-b:v", "0", *speed)


def _muxing(target: Path, container: Container, picture: Path, frame_rate: Fraction, sound: Sound) -> list[str]:
    """Return the command that adds the float samples on its standard input to an encoded picture."""
    # Opus knows a few rates only, and 48 kHz is its own.
    codec = ("libopus", "-ar", "48000") if container == "webm" else ("aac",)
    return [
        *(executable(), *QUIET, "-i", f"file:{picture}"),
        *("-f", "f32le", "-ar", str(sound.sample_rate), "-ac", str(sound.channels), "-i", "pipe:0"),
        *("-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", "-c:a", *codec, "-b:a", "192000"),
        # Packets are laid down by their times alone, not by which thread was faster.
        *("-flags:a", "+bitexact", "-max_interleave_delta", "0"),
        *_output(target, container, frame_rate, is_final=True),
    ]


def _output(target: Path, container: Container, frame_rate: Fraction, *, is_final: bool) -> list[str]:
    """Return where the result goes. is_final: not to be read again by the next step, so its index is put first."""
    plain = ("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact")
    if container in ("mkv", "webm"):
        return [*plain, "-f", "webm" if container == "webm" else "matroska", f"file:{target}"]
    index_first = ("-movflags", "+faststart") if is_final else ()
    return [
        *(*plain, *index_first, "-video_track_timescale", str(_timescale(frame_rate))),
        *("-f", container, f"file:{target}"),
    ]


def _timescale(frame_rate: Fraction) -> int:
    """Return ticks per second, so that every frame lasts a whole number of them; 10,000 or more, as players expect."""
    factor = max(1, -(-10_000 // frame_rate.numerator))
    return frame_rate.numerator * factor


def _padded(frames: Iterable[NDArray[np.uint8]], width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """Yield contiguous frames of even size, each checked."""
    for frame in checked(frames, width, height):
        if width % 2 or height % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        yield np.ascontiguousarray(frame)


def checked(frames: Iterable[NDArray[np.uint8]], width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames; raise `SealFailed` at one that is not (height, width, 3) uint8."""
    for index, frame in enumerate(frames):
        if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
            raise SealFailed(f"frame {index} does not fit", field="frames", got=f"{frame.shape} {frame.dtype}",
                             allowed=f"({height}, {width}, 3) uint8")  # fmt: skip
        yield frame


def _blocks(sound: Sound, duration_seconds: Fraction) -> Iterator[NDArray[np.float32]]:
    """Yield the samples in pieces, cut or followed by silence to last as long as the picture."""
    missing = round(duration_seconds * sound.sample_rate)
    for block in sound.blocks():
        if missing <= 0:
            break
        piece = block[:missing]
        missing -= len(piece)
        yield np.nan_to_num(piece).clip(-1.0, 1.0).astype("<f4", order="C")
    while missing > 0:
        silence = np.zeros((min(missing, 2**16), sound.channels), "<f4")
        missing -= len(silence)
        yield silence
