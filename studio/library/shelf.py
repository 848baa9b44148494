"""Where sealed files lie, and the pictures that go into jobs: in the home folder, or where many machines reach them."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from studio.config import Settings
from studio.disk import is_full, sync_folder, write_durably
from studio.errors import DiskFull, EnvironmentFault, MissingPackage, StoreBusy, StudioError, VerificationFailed

LIBRARY, INPUTS = "library", "inputs"


class ShareFault(StoreBusy):
    """The folder that all machines share cannot be used now; the same works when it can be reached again."""


@dataclass(frozen=True, kw_only=True)
class Placing:
    """Files on their way to a shelf. name: what the first of them will be called there, relative to the shelf.

    publish: called in the transaction that writes the row. withdraw: if that fails. Either may raise OSError.
    """

    name: str
    publish: Callable[[], None]
    withdraw: Callable[[], None]


class Shelf(ABC):
    """A place for files with names relative to it, such as ``2026-01/20260131-235959-0a1b2c3d.mp4``.

    Raises OSError, of a shared one `ShareFault` or `DiskFull`, where it cannot be reached or written.
    """

    @abstractmethod
    def offer(self, files: dict[str, Path]) -> Placing:
        """Bring files here under these names, or near them; they are the library's once a row tells of them."""

    @abstractmethod
    def local(self, name: str, sha256: str) -> Path:
        """Return the file on this machine; it need not be there. sha256: of its content, as it was put in."""

    @abstractmethod
    def beside(self, name: str, suffix: str, sha256: str) -> Path:
        """Return the file of the same stem with another suffix, next to where `local` gives the file of `name`."""

    @abstractmethod
    def shown(self, name: str) -> str:
        """Return where a file is, for people and programs; nothing is fetched for that."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Say whether the file is there."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""

    @abstractmethod
    def files(self) -> Iterator[tuple[str, int, float]]:
        """Yield name, bytes and seconds since the epoch of the last change of everything here."""


class HomeShelf(Shelf):
    """A folder on the same disk as the quarantine: files are moved, so that nothing is written twice."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def offer(self, files: dict[str, Path]) -> Placing:
        moved: list[tuple[Path, Path]] = []

        def publish() -> None:
            # The first name is the one that counts: it appears last.
            for name, source in reversed(files.items()):
                target = self._folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, target)
                moved.append((source, target))
            sync_folder(target.parent)

        def withdraw() -> None:
            for source, target in moved:
                os.replace(target, source)

        return Placing(name=next(iter(files)), publish=publish, withdraw=withdraw)

    def local(self, name: str, sha256: str) -> Path:  # noqa: ARG002
        return self._folder / name

    def beside(self, name: str, suffix: str, sha256: str) -> Path:  # noqa: ARG002
        return (self._folder / name).with_suffix(suffix)

    def shown(self, name: str) -> str:
        return str(self._folder / name)

    def has(self, name: str) -> bool:
        return (self._folder / name).is_file()

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def files(self) -> Iterator[tuple[str, int, float]]:
        for path in self._folder.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file():
                    yield str(path.relative_to(self._folder)), path.stat().st_size, path.stat().st_mtime


class SharedShelf(Shelf):
    """A folder of a file system that many machines reach, by the URL of `fsspec`.

    Every file gets a folder of its own with a name that nobody else has, and is whole there before a row tells of it.
    So no worker can write over what another one made, however late it comes; what no row tells of is swept up.
    Of a file system that is mounted here the files themselves are used, of others copies, fetched when they are
    wanted and checked by their SHA-256.
    """

    def __init__(self, url: str, room: str, cache: Path) -> None:
        """url: of the assets. room: its folder there. cache: for what is fetched; nobody misses it."""
        self._url = url.rstrip("/")
        self._room = room
        self._cache = cache / room

    def offer(self, files: dict[str, Path]) -> Placing:
        token = secrets.token_hex(6)
        placed = {str(PurePosixPath(name).parent / token / PurePosixPath(name).name): path
                  for name, path in files.items()}  # fmt: skip

        def withdraw() -> None:
            for name in placed:
                with suppress(StudioError):
                    self.remove(name)

        try:
            for name, source in placed.items():
                self.put(source, name)
        except BaseException:
            withdraw()
            raise
        return Placing(name=next(iter(placed)), publish=lambda: None, withdraw=withdraw)

    def put(self, source: Path, name: str) -> None:
        """Copy a file here, whole or not at all where the file system can tell the difference."""
        with self._faults(), open(source, "rb") as stream:
            if self._mounted is not None:
                target = self._mounted / name
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_durably(target, lambda out: shutil.copyfileobj(stream, out))
                return
            self._system.makedirs(self._parent_of(name), exist_ok=True)
            self._system.put_file(str(source), self._path(name))

    def local(self, name: str, sha256: str) -> Path:
        if self._mounted is not None:
            return self._mounted / name
        return self._fetched(name, sha256, lambda path: self.require(path, name, sha256))

    def beside(self, name: str, suffix: str, sha256: str) -> Path:
        other = str(PurePosixPath(name).with_suffix(suffix))
        return self._mounted / other if self._mounted is not None else self._fetched(other, sha256, lambda _path: None)

    def shown(self, name: str) -> str:
        return str(self._mounted / name) if self._mounted is not None else f"{self._url}/{self._room}/{name}"

    def has(self, name: str) -> bool:
        with self._faults():
            if self._mounted is not None and not self._mounted.parent.is_dir():
                raise ShareFault("the shared folder is not there", got=self._url, fix="mount it")
            self._system.invalidate_cache()  # other machines write here too
            return bool(self._system.isfile(self._path(name)))

    def fetch(self, name: str, path: Path, check: Callable[[Path], None] = lambda _path: None) -> None:
        """Copy a file from here to `path`, whole or not at all. check: looks at it first, and refuses by raising."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with self._faults():
                self._system.get_file(self._path(name), str(draft))
            check(draft)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)

    def size_of(self, name: str) -> int | None:
        """Return the bytes of a file, None if it is not there."""
        with self._faults():
            return int(self._system.size(self._path(name))) if self._system.isfile(self._path(name)) else None

    def remove(self, name: str) -> None:
        with self._faults(), suppress(FileNotFoundError):
            self._system.rm_file(self._path(name))
        if self._mounted is not None:
            with suppress(OSError):  # the folder that it had for itself, but not one with other files
                (self._mounted / name).parent.rmdir()

    def find(self, beginning: str) -> list[str]:
        """Return the names, of files right here, that begin like this."""
        with self._faults():
            self._system.invalidate_cache()
            return sorted(PurePosixPath(path).name for path in self._system.glob(self._path(f"{beginning}*")))

    def files(self) -> Iterator[tuple[str, int, float]]:
        with self._faults():
            self._system.invalidate_cache()
            root = self._path("")
            found = self._system.find(root, detail=True) if self._system.isdir(root) else {}
            for path, facts in found.items():
                name = str(PurePosixPath(path).relative_to(PurePosixPath(root)))
                yield name, int(facts.get("size") or 0), self._changed_at(path)

    def _changed_at(self, path: str) -> float:
        try:
            moment = self._system.modified(path)
        except (NotImplementedError, FileNotFoundError):
            return datetime.now(UTC).timestamp()  # nobody knows: not old enough to be swept up
        return float((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())

    def _fetched(self, name: str, sha256: str, check: Callable[[Path], None]) -> Path:
        # The cache is ordered by the content of the file that is wanted, so that a changed one is another.
        path = self._cache / sha256 / PurePosixPath(name).name
        if not path.is_file() and self.has(name):
            self.fetch(name, path, check)
        return path

    def require(self, path: Path, name: str, sha256: str) -> None:
        """Raise `VerificationFailed` unless a copy of a file has this SHA-256."""
        with open(path, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != sha256:
            raise VerificationFailed(
                "the file in the shared folder is not the one that was put there", got=self.shown(name), allowed=sha256
            )

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        import fsspec

        try:
            system, root = fsspec.core.url_to_fs(self._url)
        except ImportError as error:
            raise MissingPackage(
                f"this kind of address needs a package ({error})",
                field="STUDIO_ASSETS_URL",
                got=self._url,
                fix="install it into the studio's environment",
            ) from error
        except ValueError as error:
            raise EnvironmentFault(f"this address is not understood ({error})", field="STUDIO_ASSETS_URL",
                                   got=self._url) from error  # fmt: skip
        return system, root

    @property
    def _system(self) -> Any:
        return self._opened[0]

    @cached_property
    def _mounted(self) -> Path | None:
        """The folder on this machine, where there is one."""
        from fsspec.implementations.local import LocalFileSystem

        return Path(self._opened[1]) / self._room if isinstance(self._system, LocalFileSystem) else None

    def _path(self, name: str) -> str:
        return f"{self._opened[1].rstrip('/')}/{self._room}/{name}".rstrip("/")

    def _parent_of(self, name: str) -> str:
        return self._path(name).rpartition("/")[0]

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Tell what any file system says in one kind of sentence."""
        try:
            yield
        except StudioError:
            raise
        except Exception as error:  # every file system has its own
            if is_full(error):
                raise DiskFull("there is no room left in the shared folder", got=self._url) from error
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            raise ShareFault(
                f"the shared folder cannot be used ({reason})",
                field="STUDIO_ASSETS_URL",
                got=self._url,
                fix="see that it can be reached and written from here",
            ) from error


def library_shelf(settings: Settings) -> Shelf:
    """Return where this library's sealed files lie."""
    return shared_shelf(settings, LIBRARY) or HomeShelf(settings.library_folder)


def shared_shelf(settings: Settings, room: str) -> SharedShelf | None:
    """Return a folder that all machines of this library reach, None where nobody configured one."""
    url = settings.assets_url
    return None if url is None else SharedShelf(url, room, settings.home / "cache")
