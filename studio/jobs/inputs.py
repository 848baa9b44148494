"""The pictures and clips that go into a job, kept from its submission on: their owner may move or change them."""

from __future__ import annotations

import mimetypes
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from filelock import FileLock

from studio.disk import require_room, write_durably
from studio.errors import UnreadableMedia
from studio.jobs.quarantine import Quarantine
from studio.library.shelf import SharedShelf
from studio.media import sniff_mime_type
from studio.provenance.sidecar import SIDECAR_SUFFIX, record_beside
from studio.request import Conditioning, ResolvedRequest
from studio.resolving.material import file_sha256


class Inputs:
    """One copy of each file, named by its hash, with a hard link in the folder of every job that needs it.

    How many jobs need a file is what the file system says of its links: with one left, nobody does.
    """

    def __init__(self, folder: Path, quarantine: Quarantine, shared: SharedShelf | None = None) -> None:
        """shared: where the files are for all machines that run jobs, if there are others."""
        self._folder = folder
        self._quarantine = quarantine
        self.shared = shared

    def keep(self, job_id: str, resolved: ResolvedRequest) -> None:
        """Put what a request names into the job's folder. Raises `UnreadableMedia` if it changed since, `DiskFull`."""
        for number, item in enumerate(resolved.conditionings, 1):
            if self._find(job_id, item, number) is not None:
                continue
            with self._alone():
                self._put(job_id, item, number, self._shared(item))

    def _put(self, job_id: str, item: Conditioning, number: int, kept: Path) -> None:
        folder = self._quarantine.folder(job_id)
        for other in (folder / _name(item, number), *folder.glob(f"{_name(item, number)}.*")):
            other.unlink(missing_ok=True)
        for source in (kept, _sidecar(kept)):
            if source.is_file():
                _link(source, folder / f"{_name(item, number)}{source.name.removeprefix(str(item.sha256))}")

    def of(self, job_id: str, resolved: ResolvedRequest) -> ResolvedRequest:
        """Return the request with the kept files in the place of their owner's.

        They are named by role and number: a user's file name stays out of the signed file.
        """
        kept = []
        for number, item in enumerate(resolved.conditionings, 1):
            path = self._find(job_id, item, number)
            if path is None:
                self.keep(job_id, resolved)
                path = self._find(job_id, item, number)
            if path is None:
                raise UnreadableMedia("the file changed while the job started", field=item.role.value, got=item.path)
            kept.append(Conditioning(role=item.role, path=path, sha256=item.sha256))
        return replace(resolved, conditionings=tuple(kept))

    def unused(self) -> list[Path]:
        """Return the files that no job needs any more."""
        return [path for path in self._folder.glob("*") if path.is_file() and path.stat().st_nlink == 1]

    def forget(self, path: Path) -> None:
        """Delete a file if no job needs it, not even one that is just handed in."""
        with self._alone(), suppress(FileNotFoundError):
            if path.stat().st_nlink == 1:
                path.unlink()

    def _alone(self) -> FileLock:
        """Return the lock under which files come and go."""
        self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(self._folder.with_suffix(".lock"))

    def _find(self, job_id: str, item: Conditioning, number: int) -> Path | None:
        folder = self._quarantine.folder(job_id)
        for path in [*sorted(folder.glob(f"{_name(item, number)}.*")), folder / _name(item, number)]:
            is_record = path.suffix == SIDECAR_SUFFIX
            if not is_record and path.is_file() and file_sha256(replace(item, path=path)) == item.sha256:
                return path
        return None

    def _shared(self, item: Conditioning) -> Path:
        known = self._known(item)
        if not item.path.is_file():
            self._fetch(item)
            known = known or self._known(item)
            if known:
                return known[0]
        mime_type = sniff_mime_type(item.path)
        path = known[0] if known else self._copy(item, mimetypes.guess_extension(mime_type or "") or "")
        record = record_beside(item.path, mime_type)
        if record is not None:
            write_durably(_sidecar(path), lambda stream: stream.write(record))
        self._share(path)
        return path

    def _known(self, item: Conditioning) -> list[Path]:
        return [path for path in self._folder.glob(f"{item.sha256}*") if path.suffix != SIDECAR_SUFFIX]

    def _share(self, path: Path) -> None:
        shelf = self.shared
        for source in () if shelf is None else (_sidecar(path), path):
            if shelf is not None and source.is_file():  # written anew, it is young and nobody sweeps it up
                shelf.put(source, source.name)

    def _fetch(self, item: Conditioning) -> None:
        """Bring here what another machine put into the folder of all."""
        shelf, sha256 = self.shared, str(item.sha256)
        if shelf is None or self._known(item):
            return
        records_first = sorted(shelf.find(sha256), key=lambda name: not name.endswith(SIDECAR_SUFFIX))
        for name in records_first:
            if name.endswith(SIDECAR_SUFFIX):
                shelf.fetch(name, self._folder / name)
            else:
                shelf.fetch(name, self._folder / name, partial(shelf.require, name=name, sha256=sha256))

    def _copy(self, item: Conditioning, suffix: str) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{item.sha256}{suffix}"
        with open(item.path, "rb") as source:
            require_room(self._folder, os.fstat(source.fileno()).st_size, what=f"a copy of the {item.role.value}")
            write_durably(path, lambda stream: shutil.copyfileobj(source, stream))
        if file_sha256(replace(item, path=path)) != item.sha256:
            path.unlink(missing_ok=True)
            raise UnreadableMedia("the file changed while the job started", field=item.role.value, got=item.path)
        return path


def _name(item: Conditioning, number: int) -> str:
    return f"{item.role.value}-{number}"


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + SIDECAR_SUFFIX)


def _link(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        with open(source, "rb") as stream:
            write_durably(target, lambda out: shutil.copyfileobj(stream, out))
