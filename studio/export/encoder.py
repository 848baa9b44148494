"""Raw frames and sound into one H.264 MP4, and a frame into a JPEG; used by the gate and by nothing else."""

from __future__ import annotations

import errno
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
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from studio.errors import DiskFull, MissingPackage, SealFailed, StudioError
from studio.media import Audio

# x264 gives the same bytes on every machine only for the same number of threads, so it is not left to the machine.
_X264_THREADS = 4
_AUDIO_BITS_PER_SECOND = 192_000
_MAX_TERM = 2**31 - 1
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
    needs even ones. crf: x264's quality, 0 (lossless) to 51; 16 is hard to tell from the source.

    One frame at a time is held. `destination` appears complete or not at all; one that exists is replaced.
    Raises `DiskFull`, `SealFailed` with ffmpeg's last line, or whatever `frames` raises.
    """
    if frame_rate <= 0 or frame_rate.numerator > _MAX_TERM or frame_rate.denominator > _MAX_TERM:
        raise ValueError(f"frame_rate: expected a positive fraction of 32-bit numbers, got {frame_rate}")
    padded_columns, padded_rows = width % 2, height % 2
    size = (width + padded_columns, height + padded_rows)
    partial = destination.with_name(f".{destination.name}.partial")
    with _removed_afterwards(partial), _sound_file(audio, destination) as sound:
        command = _command(partial, size, frame_rate, audio, sound, crf)
        num_frames = _feed(command, _padded(frames, width, height))
        with _disk_faults():
            size_bytes = partial.stat().st_size
            os.replace(partial, destination)
    return EncodedFacts(path=destination, width=size[0], height=size[1], padded_columns=padded_columns,
                        padded_rows=padded_rows, num_frames=num_frames, frame_rate=frame_rate,
                        size_bytes=size_bytes)  # fmt: skip


def encode_jpeg(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Return an (H, W, 3) uint8 RGB image as JPEG without metadata. quality: 1 to 95; 4:4:4 colour from 90 up."""
    import PIL.Image

    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(
        buffer, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, optimize=True
    )
    return buffer.getvalue()


def _command(
    target: Path, size: tuple[int, int], frame_rate: Fraction, audio: Audio | None, sound: Path | None, crf: int
) -> list[str]:
    rate = f"{frame_rate.numerator}/{frame_rate.denominator}"
    command = [_ffmpeg(), "-hide_banner", "-nostats", "-loglevel", "error", "-y"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{size[0]}x{size[1]}"]
    command += ["-color_range", "pc", "-framerate", rate, "-i", "pipe:0"]
    if audio is not None and sound is not None:
        command += ["-f", "f32le", "-ar", str(audio.sample_rate), "-ac", str(audio.samples.shape[1])]
        command += ["-i", f"file:{sound}", "-map", "0:v:0", "-map", "1:a:0"]
        # Endless silence after the sound, and the end where the picture ends.
        command += ["-af", "apad", "-shortest", "-c:a", "aac", "-b:a", str(_AUDIO_BITS_PER_SECOND)]
    matrix = "scale=in_range=pc:out_range=tv:out_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int+bitexact"
    command += ["-vf", f"{matrix},format=yuv420p", "-fps_mode", "passthrough"]
    command += ["-c:v", "libx264", "-profile:v", "high", "-preset", "medium", "-crf", str(crf)]
    command += ["-threads:v", str(_X264_THREADS), "-color_range", "tv", "-colorspace", "bt709"]
    command += ["-color_primaries", "bt709", "-color_trc", "bt709", "-chroma_sample_location", "left"]
    command += ["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact"]
    command += ["-flags:v", "+bitexact", "-flags:a", "+bitexact", "-movflags", "+faststart"]
    return [*command, "-video_track_timescale", str(_timescale(frame_rate)), "-f", "mp4", f"file:{target}"]


def _timescale(frame_rate: Fraction) -> int:
    """Return ticks per second, so that every frame lasts a whole number of them; 10,000 or more, as players expect."""
    factor = max(1, -(-10_000 // frame_rate.numerator))
    return frame_rate.numerator * factor


def _feed(command: list[str], frames: Iterator[NDArray[np.uint8]]) -> int:
    """Run ffmpeg over the frames, and return how many there were. Whatever happens, no process is left behind."""
    # Its own session, so that Ctrl-C in the terminal reaches this program alone, which then stops ffmpeg.
    with _disk_faults():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   start_new_session=True)  # fmt: skip
    stdin, stderr = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stderr)
    last_lines: deque[bytes] = deque(maxlen=20)
    reader = threading.Thread(target=last_lines.extend, args=(stderr,), daemon=True)
    reader.start()
    num_frames = 0
    try:
        for frame in frames:
            if not _deliver(stdin, frame):
                break  # ffmpeg stopped reading; its exit status and last line say why
            num_frames += 1
        _close(stdin)
        return_code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        _close(stdin)
        reader.join(timeout=10)
        _close(stderr)
    if return_code != 0:
        raise _failure(return_code, b"".join(last_lines).decode("utf-8", "replace"))
    if num_frames == 0:
        raise SealFailed("there are no frames to encode", field="frames")
    return num_frames


def _deliver(pipe: IO[bytes], frame: NDArray[np.uint8]) -> bool:
    try:
        pipe.write(frame.data)
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
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _disk_full() from error
        raise SealFailed("the clip could not be written", got=error.strerror or error,
                         fix="check the folder, then seal it again") from error  # fmt: skip


@contextmanager
def _sound_file(audio: Audio | None, destination: Path) -> Iterator[Path | None]:
    """Lay the samples beside the destination for ffmpeg to read, as its standard input is taken."""
    if audio is None or not len(audio.samples):
        yield None
        return
    path = destination.with_name(f".{destination.name}.sound")
    with _removed_afterwards(path):
        with _disk_faults():
            path.write_bytes(np.nan_to_num(audio.samples).clip(-1.0, 1.0).astype("<f4").data)
        yield path


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
