"""The folder of the signing identity: private files that appear whole, and an identity replaced without a gap.

``current`` holds the identity in use. Replacing it goes: the new files as ``next``; the old certificates, without their
key, as ``retired-*``; ``current`` becomes ``.outgoing-*``; ``next`` becomes ``current``; the outgoing key is destroyed.
Whoever finds the folder after a crash between two of these steps finishes them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from studio.disk import is_full, sync_folder
from studio.errors import DiskFull, EnvironmentFault, StoreFault

CURRENT, NEXT, WATERMARK = "current", "next", "watermark"
CHAIN, KEY, ROOT = "chain.pem", "key.pem", "root.pem"
# An identity that was brought along has this in place of a root of our own; it is empty where no root was given.
AUTHORITY = "authority.pem"

_RETIRED, _OUTGOING = "retired-", ".outgoing-"
_LOCK_SECONDS = 60


class DamagedIdentity(EnvironmentFault):
    """The signing identity or the watermark key on disk cannot be used."""


def publish(folder: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Make `folder/name` with these files appear at once; if another process was faster, leave its own in place.

    Raises StoreFault or DiskFull.
    """
    draft: Path | None = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(folder, 0o700)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
        for file_name, content in files.items():
            _write_private(draft / file_name, content)
        draft.rename(folder / name)
        sync_folder(folder)
    except OSError as error:
        # A full folder cannot be replaced by rename: that is how the slower of two processes learns it lost.
        if not (folder / name).is_dir():
            raise _store_fault(error, folder) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def replace_current(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put these files in place of the identity in use, which retires: its certificates stay, its key is destroyed.

    One process at a time; a crash at any point leaves either the old identity or the new one. Raises as `publish`.
    """
    with _faults(folder), _locked(folder):
        _finish(folder)
        if (folder / CURRENT).is_dir():
            if (folder / NEXT).exists():  # left by a crash; where it cannot go, it must not be taken for the new one
                shutil.rmtree(folder / NEXT)
            publish(folder, NEXT, files)
            _retire(folder)
            os.replace(folder / CURRENT, folder / f"{_OUTGOING}{secrets.token_hex(4)}")
            _finish(folder)
        else:
            publish(folder, CURRENT, files)


def finish_replacement(folder: Path) -> None:
    """Complete what a crash may have cut short. Raises as `publish`."""
    if folder.is_dir():
        with _faults(folder), _locked(folder):
            _finish(folder)


def is_half_replaced(folder: Path) -> bool:
    """Say whether a replacement did not get to its end: no identity is in use, or the old key is still there."""
    return _is_vacant(folder) or any(folder.glob(f"{_OUTGOING}*"))


def homes(folder: Path) -> list[Path]:
    """Return the folders of every identity this install had: the one in use first, then the retired ones."""
    return [*([folder / CURRENT] if (folder / CURRENT).is_dir() else []), *sorted(folder.glob(f"{_RETIRED}*"))]


def read_private(path: Path) -> bytes:
    """Return a file's bytes, and see to it that nobody else can read them. Raises `DamagedIdentity`."""
    try:
        if os.name != "nt" and path.stat().st_mode & 0o077:
            os.chmod(path, 0o600)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise damaged(f"{path.name} is missing", path.parent) from error
    except OSError as error:
        raise damaged(f"{path.name} cannot be read ({error.strerror or error})", path.parent) from error


def damaged(message: str, home: Path) -> DamagedIdentity:
    """Return the error that says what is wrong with an identity's folder and how to start anew."""
    return DamagedIdentity(
        message,
        got=home,
        allowed="the files as the studio wrote them",
        fix=f"restore them from a backup, or start anew with: mv '{home}' '{aside(home)}'",
    )


def aside(home: Path) -> Path:
    """Return a free name under which an old identity keeps its root trusted."""
    return home.parent / f"{_RETIRED}{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _is_vacant(folder: Path) -> bool:
    return not (folder / CURRENT).exists() and (folder / NEXT).is_dir()


def _retire(folder: Path) -> None:
    """Keep the certificates of the identity in use, so that its files stay ours; its key is not among them."""
    home = folder / CURRENT
    kept = {name: (home / name).read_bytes() for name in (CHAIN, ROOT, AUTHORITY) if (home / name).is_file()}
    publish(folder, aside(home).name, kept)


def _finish(folder: Path) -> None:
    if _is_vacant(folder):
        os.replace(folder / NEXT, folder / CURRENT)
        sync_folder(folder)
    if (folder / CURRENT).exists():
        for outgoing in folder.glob(f"{_OUTGOING}*"):
            _destroy(outgoing / KEY)
            shutil.rmtree(outgoing, ignore_errors=True)


def _destroy(key: Path) -> None:
    """Overwrite and delete. A disk that keeps old blocks may still hold a copy: only encryption helps against that."""
    with suppress(FileNotFoundError):
        size = key.stat().st_size
        with open(key, "rb+") as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
        key.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=_LOCK_SECONDS, mode=0o600):
            yield
    except Timeout as error:
        raise StoreFault(
            "another process is changing the signing identity", got=folder, fix="wait for it to end and retry"
        ) from error


@contextmanager
def _faults(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _store_fault(error, folder) from error


def _write_private(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _store_fault(error: OSError, folder: Path) -> EnvironmentFault:
    if is_full(error):
        return DiskFull("there is no room to write the signing identity", got=folder, fix="free some space")
    return StoreFault(
        f"the signing identity cannot be written ({error.strerror or error})",
        got=folder,
        allowed="a folder this user can write",
        fix="set STUDIO_HOME to another folder",
    )
