"""Writing so that it lasts: whole or not at all, there after a power cut, and plain about a full disk."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from studio.errors import DiskFull

# EFBIG: a limit on the size of files (ulimit) ends a write just as a full disk does.
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_MARGIN_BYTES = 2**24


def is_full(error: BaseException) -> bool:
    """Say whether an error means that there is no room left."""
    return isinstance(error, OSError) and error.errno in _FULL


def require_room(folder: Path, size_bytes: int, *, what: str) -> None:
    """Raise `DiskFull` unless `folder`'s disk has room for `size_bytes`. what: such as ``the clip``."""
    if shutil.disk_usage(folder).free < size_bytes + _MARGIN_BYTES:
        raise no_room(folder, size_bytes, what=what)


def no_room(folder: Path, size_bytes: int = 0, *, what: str) -> DiskFull:
    """Return the error that `folder`'s disk has no room for `size_bytes`. what: such as ``the clip``."""
    return DiskFull(
        f"there is no room for {what}",
        got=f"{shutil.disk_usage(folder).free / 2**20:.0f} MiB free in {folder}",
        allowed=f"{(size_bytes + _MARGIN_BYTES) / 2**20:.0f} MiB",
        fix="free some space, or set STUDIO_HOME to another disk",
    )


def write_durably(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file, then give it its name; on any failure `path` is as it was.

    Raises OSError.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.part")
    try:
        with open(part, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut."""
    if os.name != "posix":
        return  # Windows cannot open folders
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
