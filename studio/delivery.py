"""Copying a sealed file to where the user wants it: whole or not at all, and never over something else unasked."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from studio.errors import DiskFull, OutputRefused


def check_destination(path: Path, *, suffix: str, overwrite: bool) -> Path:
    """Refuse early what cannot become an output file. Returns the absolute path."""
    destination = path.expanduser().absolute()
    if destination.is_dir():
        raise OutputRefused("this is a folder", field="output", got=path, allowed=f"a file name ending in {suffix}")
    if destination.suffix.lower() != suffix:
        raise OutputRefused("the name has another ending", field="output", got=path.name, allowed=f"*{suffix}")
    if not overwrite and os.path.lexists(destination):
        raise OutputRefused("this file exists already", field="output", got=path, fix="add --force to replace it")
    if os.path.lexists(destination) and not destination.is_file():
        raise OutputRefused("this is not a plain file", field="output", got=path)
    folder = destination.parent
    if not folder.is_dir():
        raise OutputRefused("there is no such folder", field="output", got=folder, fix="create it first")
    try:
        descriptor, probe = tempfile.mkstemp(dir=folder, prefix=".studio-")
    except OSError as error:
        raise OutputRefused(f"this folder cannot be written ({error.strerror})", field="output", got=folder) from error
    os.close(descriptor)
    Path(probe).unlink()
    return destination


def deliver(source: Path, destination: Path, *, overwrite: bool) -> None:
    """Copy a sealed file, byte for byte, by way of a temporary file beside the destination."""
    descriptor, name = tempfile.mkstemp(dir=destination.parent, prefix=".studio-", suffix=destination.suffix)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as target, open(source, "rb") as stream:
            shutil.copyfileobj(stream, target)
            target.flush()
            os.fsync(target.fileno())
        os.chmod(temporary, 0o644)
        _publish(temporary, destination, overwrite=overwrite)
    except FileExistsError as error:
        raise OutputRefused(
            "this file exists already", field="output", got=destination, fix="add --force to replace it"
        ) from error
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise DiskFull(
                "no room left for the output", got=destination, fix="`studio library export` copies it later"
            ) from error
        raise OutputRefused(f"it cannot be written ({error.strerror})", field="output", got=destination) from error
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, destination: Path, *, overwrite: bool) -> None:
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
