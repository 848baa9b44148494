"""Copying a sealed file to where the user wants it: whole or not at all, and never over something else unasked."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from studio.disk import is_full
from studio.errors import DiskFull, OutputRefused

T = TypeVar("T")


def check_destination(path: Path, *, suffix: str, overwrite: bool, home: Path, key: str | None = None) -> Path:
    """Refuse early what cannot become an output file. Returns the absolute path.

    home: the studio's own folder, where nothing may be put by hand. key: as in `deliver`.
    """
    try:
        destination = path.expanduser().absolute()
        _check(path, destination, suffix, overwrite, home)
        with open(_temporary(destination, key), "xb") as probe:
            Path(probe.name).unlink()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: the home of an unknown user
        reason = getattr(error, "strerror", None) or error
        raise OutputRefused(f"nothing can be written there ({reason})", field="output", got=path) from error
    return destination


def deliver(
    source: Path,
    destination: Path,
    *,
    overwrite: bool,
    companion: tuple[Path, Path] | None = None,
    key: str | None = None,
) -> None:
    """Copy a sealed file, byte for byte, by way of a temporary file beside the destination.

    companion: (source, destination) of a file that belongs to it; both get their names or neither does, the companion
    first: a process that is killed in between leaves it alone, which is less than a file without its companion.
    key: names the temporary file in place of chance, so that the next one with this key deletes what a process that was
    killed has left; it must be in use once at a time.
    Raises `OutputRefused` or `DiskFull`; then the destinations are as they were.
    """
    with ExitStack() as stack:
        temporary = _copied(source, destination, stack, key)
        if companion is None:
            _publish(temporary, destination, overwrite=overwrite)
            return
        original, beside = companion
        temporary_beside = _copied(original, beside, stack)
        earlier = _kept(beside, stack) if overwrite else None
        _publish(temporary_beside, beside, overwrite=overwrite)
        try:
            _publish(temporary, destination, overwrite=overwrite)
        except BaseException:
            _take_back(beside, earlier)
            raise


def deliver_written(destination: Path, write: Callable[[BinaryIO], T], *, overwrite: bool = False) -> T:
    """Let `write` fill a file, and return what it does: the file appears whole, or not at all.

    Raises `OutputRefused`, `DiskFull`, and whatever `write` raises but OSError, which is taken to be the output's.
    """
    temporary = _temporary(destination)
    try:
        with _write_faults(destination), open(temporary, "xb") as target:
            written = write(target)
            target.flush()
            os.fsync(target.fileno())
        _publish(temporary, destination, overwrite=overwrite)
        return written
    finally:
        temporary.unlink(missing_ok=True)


def _copied(source: Path, destination: Path, stack: ExitStack, key: str | None = None) -> Path:
    """Copy to a temporary file beside the destination, which is gone when the stack unwinds."""
    temporary = _temporary(destination, key)
    stack.callback(temporary.unlink, missing_ok=True)
    with _write_faults(destination), open(temporary, "xb") as target, open(source, "rb") as stream:
        shutil.copyfileobj(stream, target)
        target.flush()
        os.fsync(target.fileno())
    return temporary


def _kept(path: Path, stack: ExitStack) -> Path | None:
    """Give what stands at a path a second name until the stack unwinds; None where nothing does."""
    if not path.is_file():
        return None
    second = _temporary(path)
    stack.callback(second.unlink, missing_ok=True)
    with _write_faults(path):
        try:
            os.link(path, second)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, second)
    return second


def _take_back(path: Path, earlier: Path | None) -> None:
    with suppress(OSError):
        if earlier is None:
            path.unlink()
        else:
            os.replace(earlier, path)


@contextmanager
def _write_faults(destination: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise OutputRefused("this file exists already", field="output", got=destination) from error
    except OSError as error:
        if is_full(error):
            raise DiskFull("no room left for the output", got=destination, fix="free some space") from error
        raise OutputRefused(f"it cannot be written ({error.strerror})", field="output", got=destination) from error


def _check(path: Path, destination: Path, suffix: str, overwrite: bool, home: Path) -> None:
    if destination.is_dir():
        raise OutputRefused("this is a folder", field="output", got=path, allowed=f"a file name ending in {suffix}")
    if destination.suffix.lower() != suffix:
        raise OutputRefused("the name has another ending", field="output", got=path.name, allowed=f"*{suffix}")
    if not destination.parent.is_dir():
        raise OutputRefused("there is no such folder", field="output", got=destination.parent, fix="create it first")
    if destination.parent.resolve().is_relative_to(home.resolve()):
        raise OutputRefused("this is inside the studio's own folder", field="output", got=path, fix="choose another")
    if os.path.lexists(destination):
        if not overwrite:
            raise OutputRefused("this file exists already", field="output", got=path, fix="add --force to replace it")
        if not destination.is_file():
            raise OutputRefused("this is not a plain file", field="output", got=path)


def _temporary(destination: Path, key: str | None = None) -> Path:
    """Return a name that nothing has, for as long as it is needed."""
    path = destination.with_name(f".studio-{key or secrets.token_hex(6)}{destination.suffix}")
    if key is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return path


def remove_leftover(destination: Path, key: str) -> None:
    """Delete the temporary file that a process which was killed has left beside a destination."""
    _temporary(destination, key)


def _publish(temporary: Path, destination: Path, *, overwrite: bool) -> None:
    with _write_faults(destination):
        _name(temporary, destination, overwrite=overwrite)


def _name(temporary: Path, destination: Path, *, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, destination)
        return
    try:
        os.link(temporary, destination)  # fails, atomically, where something stands already
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(destination):
            raise FileExistsError(destination) from None
        os.replace(temporary, destination)
