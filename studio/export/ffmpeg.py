"""Feeding ffmpeg: arrays in, a file out, no process left behind, and its troubles in sentences."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from numpy.typing import NDArray

from studio.disk import is_full
from studio.errors import DiskFull, MissingPackage, SealFailed, StudioError

QUIET = ("-hide_banner", "-nostats", "-loglevel", "error", "-y")
_FULL_DISK_WORDS = ("no space left", "disk quota", "file too large", "disk full")


def executable() -> str:
    """Return the ffmpeg that is installed with the studio, else the machine's own. Raises `MissingPackage`."""
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        path = shutil.which("ffmpeg")
        if path is None:
            raise MissingPackage("ffmpeg was not found", fix="pip install imageio-ffmpeg") from error
        return path


def feed(command: list[str], pieces: Iterator[NDArray[Any]]) -> int:
    """Write arrays to a command's standard input, and return how many there were. No process is ever left behind.

    Raises `DiskFull`, `SealFailed` with ffmpeg's last line, or whatever `pieces` raises.
    """
    # Its own session, so that Ctrl-C in the terminal reaches this program alone, which then stops ffmpeg.
    with disk_faults():
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


@contextmanager
def removed_afterwards(path: Path) -> Iterator[None]:
    """Make sure that a file is gone at the end; where all went well it was moved away before."""
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def disk_faults() -> Iterator[None]:
    """Turn what the operating system says into a sentence for people."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise _disk_full() from error
        raise SealFailed("the clip could not be written", got=error.strerror or error,
                         fix="check the folder, then seal it again") from error  # fmt: skip


def _deliver(pipe: IO[bytes], piece: NDArray[Any]) -> bool:
    try:
        pipe.write(piece.data)
    except (BrokenPipeError, ConnectionError):
        return False
    return True


def _close(pipe: IO[bytes]) -> None:
    with suppress(OSError):  # the last buffered bytes may find nobody to read them
        pipe.close()


def _failure(return_code: int, output: str) -> StudioError:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    is_cut_off = return_code == -getattr(signal, "SIGXFSZ", 0)
    if is_cut_off or any(word in line.lower() for line in lines for word in _FULL_DISK_WORDS):
        return _disk_full()
    last = lines[-1] if lines else f"exit status {return_code}"
    return SealFailed("the clip could not be encoded", got=f"ffmpeg: {last}", fix="seal it again")


def _disk_full() -> DiskFull:
    return DiskFull("there is no room left to write the clip", fix="free some space, then seal it again")
