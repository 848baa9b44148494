"""A lock file that is there only while somebody holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def alone(path: Path, *, timeout_seconds: float = 0.0) -> Iterator[None]:
    """Let nobody else hold this file meanwhile; it is gone afterwards.

    Raises filelock's `Timeout` if somebody else holds it for longer than `timeout_seconds`.
    """
    with FileLock(path, timeout=timeout_seconds):
        try:
            yield
        finally:
            # While it is held: whoever has opened it and waits sees that it is gone, and begins again with a new one.
            with suppress(OSError):  # Windows removes no file that is open
                path.unlink()
