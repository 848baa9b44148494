"""The copies of sealed clips that a batch file asks for, each made as soon as its job has succeeded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from studio.batch.entry import BatchEntry
from studio.delivery import check_destination, deliver, remove_leftover
from studio.errors import DiskFull, OutputRefused, StudioError
from studio.library.asset import Asset, file_sha256

SUFFIX = ".mp4"


def copy_key(batch_path: Path, output: Path) -> str:
    """Return what names the temporary file of a copy: the same whenever the same file is run."""
    return hashlib.sha256(f"{batch_path}\0{output}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Copies:
    """Makes the copies of one run. batch_path: of the batch file. overwrite: whatever stands there is replaced."""

    def __init__(self, batch_path: Path, home: Path, *, overwrite: bool) -> None:
        self._batch_path = batch_path
        self._home = home
        self._overwrite = overwrite
        self._made: dict[int, Path] = {}
        self.errors: dict[int, StudioError] = {}

    def check(self, output: Path) -> Path:
        """Refuse early what cannot become an output. Returns the absolute path. Raises `OutputRefused`."""
        key = copy_key(self._batch_path, output)
        return check_destination(output, suffix=SUFFIX, overwrite=self._overwrite, home=self._home, key=key)

    def tidy(self, entries: Iterable[BatchEntry]) -> None:
        """Delete what an earlier run that was killed has left beside the outputs."""
        for entry in entries:
            if entry.output is not None:
                remove_leftover(entry.output, copy_key(self._batch_path, entry.output))

    def wants(self, entry: BatchEntry) -> bool:
        """Say whether an entry's copy is still to be made."""
        is_tried = entry.number in self._made or isinstance(self.errors.get(entry.number), OutputRefused)
        return entry.output is not None and not is_tried

    def make(self, entry: BatchEntry, asset: Asset) -> None:
        """Copy a clip to its entry's output. A copy of it that stands there already will do.

        What goes wrong is kept in `errors`; raises `DiskFull`, which may pass.
        """
        if entry.output is None:
            return
        try:
            if not _is_copy(entry.output, asset):
                key = copy_key(self._batch_path, entry.output)
                deliver(asset.path, entry.output, overwrite=self._overwrite, key=key)
        except StudioError as error:
            self.errors[entry.number] = error
            if isinstance(error, DiskFull):
                error.advise("the clip is sealed and in the library; free some space, then --resume copies it")
                raise
            error.advise(f"the clip is sealed and in the library: `studio library export {asset.id} FILE` copies it")
        except OSError as error:
            reason = f"the clip cannot be copied there ({error.strerror or error})"
            self.errors[entry.number] = OutputRefused(reason, field="output", got=entry.output)
        else:
            self._made[entry.number] = entry.output
            self.errors.pop(entry.number, None)

    def path_of(self, entry: BatchEntry) -> Path | None:
        """Return where an entry's copy is, None where there is none."""
        return self._made.get(entry.number)


def _is_copy(path: Path, asset: Asset) -> bool:
    if not path.is_file() or path.is_symlink() or path.stat().st_size != asset.size_bytes:
        return False
    return file_sha256(path) == asset.sha256
