"""Raw frames and sound into one H.264 MP4, and a frame into a JPEG; used by the gate and by nothing else."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from studio.disk import is_full
from studio.errors import DiskFull, MissingPackage, SealFailed, StudioError
from studio.media import Audio

# x264 gives the same bytes on every machine only for the same number of threads, so it is not left to the machine.
_X264_THREADS = 4
_AUDIO_BITS_PER_SECOND = "192000"
_BLOCK_SAMPLES = 2**16
_MAX_TERM = 2**31 - 1
_QUIET = ("-hide_banner", "-nostats", "-loglevel", "error", "-y")
_FULL_DISK_WORDS = ("no space left", "disk quota", "file too large", "disk full")


@dataclass(frozen=True, kw_only=True)
class EncodedFacts:
    """What was written. width, height: pixels in the file, even; padded_*: copies of the last column or row added."""

    path: Path
    width: int
    height: int
    padded_columns: int
    padded_rows: int
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
    audio: Audio | None = None,
    crf: int = 16,
) -> EncodedFacts:
    """Write (H, W, 3) uint8 RGB frames as H.264 High, yuv420p, constant rate, index first; same input, same bytes.

    Colours are converted with the BT.709 matrix to limited range and tagged so. Sound becomes AAC, and is cut or
    lengthened with silence to end with the last frame. Odd sizes grow by a copy of the last column or row, as 4:2:0
    needs even ones. crf: x264's quality, 1 (best) to 51; 16 is hard to tell from the source.

    One frame at a time is held. `destination` appears complete or not at all; one that exists is replaced.
    Raises `DiskFull`, `SealFailed` with ffmpeg's last line, or whatever `frames` raises.
    """
    if frame_rate <= 0 or frame_rate.numerator > _MAX_TERM or frame_rate.denominator > _MAX_TERM:
        raise ValueError(f"frame_rate: expected a positive fraction of 32-bit numbers, got {frame_rate}")
    size = (width + width % 2, height + height % 2)
    picture = destination.with_name(f".{destination.name}.picture")
    partial = destination.with_name(f".{destination.name}.partial")
    with _removed_afterwards(picture), _removed_afterwards(partial):
        num_frames = _feed(_encoding(picture, size, frame_rate, crf), _padded(frames, width, height))
        if num_frames == 0:
            raise SealFailed("there are no frames to encode", field="frames")
        if audio is not None and len(audio.samples):
            # In a second step, when the length is known: ffmpeg's own "-shortest" cuts a little differently each time.
            _feed(_muxing(partial, picture, frame_rate, audio), _blocks(audio, num_frames / frame_rate))
            picture, partial = partial, picture
        with _disk_faults():
            size_bytes = picture.stat().st_size
            os.replace(picture, destination)
    return EncodedFacts(path=destination, width=size[0], height=size[1], padded_columns=width % 2,
                        padded_rows=height % 2, num_frames=num_frames, frame_rate=frame_rate,
                        size_bytes=size_bytes)  # fmt: skip


def encode_jpeg(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Return an (H, W, 3) uint8 RGB image as JPEG without metadata. quality: 1 to 95; 4:4:4 colour from 90 up."""
    import PIL.Image

    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(
        buffer, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, optimize=True
    )
    return buffer.getvalue()


def _encoding(target: Path, size: tuple[int, int], frame_rate: Fraction, crf: int) -> list[str]:
    """Return the command that turns raw RGB frames on its standard input into an MP4."""
    convert = (
        "scale=in_range=pc:out_range=tv:out_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int+bitexact"
    )
    # Tags set as options are overwritten by what the frames say, so the frames have to say it.
    tag = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    return [
        *(_ffmpeg(), *_QUIET, "-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{size[0]}x{size[1]}"),
        *("-color_range", "pc", "-framerate", f"{frame_rate.numerator}/{frame_rate.denominator}", "-i", "pipe:0"),
        *("-vf", f"{convert},format=yuv420p,{tag}", "-fps_mode", "passthrough"),
        *("-c:v", "libx264", "-profile:v", "high", "-preset", "medium", "-crf", str(crf)),
        *("-threads:v", str(_X264_THREADS), "-flags:v", "+bitexact", "-chroma_sample_location", "left"),
        *_output(target, frame_rate),
    ]


def _muxing(target: Path, picture: Path, frame_rate: Fraction, audio: Audio) -> list[str]:
    """Return the command that adds the float samples on its standard input to an encoded picture."""
    return [
        *(_ffmpeg(), *_QUIET, "-i", f"file:{picture}"),
        *("-f", "f32le", "-ar", str(audio.sample_rate), "-ac", str(audio.samples.shape[1]), "-i", "pipe:0"),
        *("-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", "-c:a", "aac", "-b:a", _AUDIO_BITS_PER_SECOND),
        # Packets are laid down by their times alone, not by which thread was faster.
        *("-flags:a", "+bitexact", "-max_interleave_delta", "0"),
        *_output(target, frame_rate),
    ]


def _output(target: Path, frame_rate: Fraction) -> list[str]:
    return [
        *("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-movflags", "+faststart"),
        *("-video_track_timescale", str(_timescale(frame_rate)), "-f", "mp4", f"file:{target}"),
    ]


def _timescale(frame_rate: Fraction) -> int:
    """Return ticks per second, so that every frame lasts a whole number of them; 10,000 or more, as players expect."""
    factor = max(1, -(-10_000 // frame_rate.numerator))
    return frame_rate.numerator * factor


def _feed(command: list[str], pieces: Iterator[NDArray[Any]]) -> int:
    """Write arrays to ffmpeg's standard input, and return how many there were. No process is ever left behind."""
    # Its own session, so that Ctrl-C in the terminal reaches this program alone, which then stops ffmpeg.
    with _disk_faults():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   start_new_session=True)  # fmt: skip
    stdin, stderr = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stderr)
    last_lines: deque[bytes] = deque(maxlen=20)
    reader = threading.Thread(target=last_lines.extend, args=(stderr,), daemon=True)
    reader.start()
    count = 0
    try:
        for piece in pieces:
            count += 1
            if not _deliver(stdin, piece):
                break  # ffmpeg stopped reading; its exit status and last line say why
        _close(stdin)
        return_code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        _close(stdin)
        reader.join(timeout=10)
        _close(stderr)
    if return_code != 0 and count:
        raise _failure(return_code, b"".join(last_lines).decode("utf-8", "replace"))
    return count


def _deliver(pipe: IO[bytes], piece: NDArray[Any]) -> bool:
    try:
        pipe.write(piece.data)
    except (BrokenPipeError, ConnectionError):
        return False
    return True


def _close(pipe: IO[bytes]) -> None:
    with suppress(OSError):  # the last buffered bytes may find nobody to read them
        pipe.close()


def _padded(frames: Iterable[NDArray[np.uint8]], width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """Yield contiguous frames of even size, each checked."""
    for index, frame in enumerate(frames):
        if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
            raise SealFailed(f"frame {index} does not fit", field="frames", got=f"{frame.shape} {frame.dtype}",
                             allowed=f"({height}, {width}, 3) uint8")  # fmt: skip
        if width % 2 or height % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        yield np.ascontiguousarray(frame)


@contextmanager
def _removed_afterwards(path: Path) -> Iterator[None]:
    """Make sure that a file is gone at the end; where all went well it was moved away before."""
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _disk_faults() -> Iterator[None]:
    """Turn what the operating system says into a sentence for people."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise _disk_full() from error
        raise SealFailed("the clip could not be written", got=error.strerror or error,
                         fix="check the folder, then seal it again") from error  # fmt: skip


def _blocks(audio: Audio, duration_seconds: Fraction) -> Iterator[NDArray[np.float32]]:
    """Yield the samples in pieces, cut or followed by silence to last as long as the picture."""
    missing = round(duration_seconds * audio.sample_rate)
    for start in range(0, min(missing, len(audio.samples)), _BLOCK_SAMPLES):
        block = audio.samples[start : start + min(_BLOCK_SAMPLES, missing)]
        missing -= len(block)
        yield np.nan_to_num(block).clip(-1.0, 1.0).astype("<f4", order="C")
    while missing > 0:
        silence = np.zeros((min(missing, _BLOCK_SAMPLES), audio.samples.shape[1]), "<f4")
        missing -= len(silence)
        yield silence


def _failure(return_code: int, output: str) -> StudioError:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    is_cut_off = return_code == -getattr(signal, "SIGXFSZ", 0)
    if is_cut_off or any(word in line.lower() for line in lines for word in _FULL_DISK_WORDS):
        return _disk_full()
    last = lines[-1] if lines else f"exit status {return_code}"
    return SealFailed("the clip could not be encoded", got=f"ffmpeg: {last}", fix="seal it again")


def _disk_full() -> DiskFull:
    return DiskFull("there is no room left to write the clip", fix="free some space, then seal it again")


def _ffmpeg() -> str:
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        path = shutil.which("ffmpeg")
        if path is None:
            raise MissingPackage("ffmpeg was not found", fix="pip install imageio-ffmpeg") from error
        return path
