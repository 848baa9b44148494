"""The files that still wait for a time stamp: one small file each, so that a crash loses none."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.config import Settings
from studio.disk import is_full, sync_folder, write_durably
from studio.errors import DiskFull, StoreFault

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LOCK_SECONDS = 300
_ENTRY, _BEFORE = ".json", ".before"


@dataclass(frozen=True, kw_only=True)
class WaitingStamp:
    """One file without a time stamp that should have one.

    asset_id: of the file. reason: why the authority gave none. since: of the first attempt. attempts: so far.
    """

    asset_id: str
    reason: str
    since: datetime
    attempts: int = 1

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"since": self.since.isoformat()}


class StampQueue:
    """What waits, in a folder of its own below the studio's home."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.home / "timestamps"

    def add(self, asset_id: str, reason: str) -> WaitingStamp:
        """Note that an asset got no time stamp, once more if it waits already. Raises StoreFault or DiskFull."""
        before = self.get(asset_id)
        if before is None:
            entry = WaitingStamp(asset_id=asset_id, reason=reason, since=datetime.now(UTC))
        else:
            entry = replace(before, reason=reason, attempts=before.attempts + 1)
        content = json.dumps(entry.as_json()).encode()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self._path(asset_id, _ENTRY), lambda stream: stream.write(content))
        except OSError as error:
            if is_full(error):
                raise DiskFull("there is no room to note a missing time stamp", fix="free some space") from error
            raise StoreFault(f"a missing time stamp cannot be noted ({error.strerror or error})") from error
        return entry

    def get(self, asset_id: str) -> WaitingStamp | None:
        """Return what waits for this asset, None if nothing does or the note cannot be read."""
        path = self._path(asset_id, _ENTRY)
        try:
            found = json.loads(path.read_bytes())
            return WaitingStamp(
                asset_id=asset_id,
                reason=str(found["reason"]),
                since=datetime.fromisoformat(found["since"]),
                attempts=int(found["attempts"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def __iter__(self) -> Iterator[WaitingStamp]:
        """Go through what waits, oldest first."""
        found = (self.get(path.stem) for path in self._folder.glob(f"*{_ENTRY}") if _NAME.fullmatch(path.stem))
        yield from sorted((item for item in found if item is not None), key=lambda item: (item.since, item.asset_id))

    def done(self, asset_id: str) -> None:
        """Forget an asset."""
        self._path(asset_id, _ENTRY).unlink(missing_ok=True)
        self.before(asset_id).unlink(missing_ok=True)

    def before(self, asset_id: str) -> Path:
        """Return where the file as it was is kept while it is being replaced."""
        return self._path(asset_id, _BEFORE)

    def keep_before(self, asset_id: str, path: Path) -> None:
        """Keep a second name for the file as it is, until `done`. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = self.before(asset_id)
        kept.unlink(missing_ok=True)
        try:
            os.link(path, kept)
        except OSError:  # a disk without hard links
            shutil.copyfile(path, kept)
        sync_folder(self._folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time replace files by stamped ones. Raises StoreFault when it takes too long."""
        from filelock import FileLock, Timeout

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with FileLock(self._folder / ".lock", timeout=_LOCK_SECONDS, mode=0o600):
                yield
        except Timeout as error:
            raise StoreFault("another process is adding time stamps", fix="wait for it to end and retry") from error

    def _path(self, asset_id: str, suffix: str) -> Path:
        if not _NAME.fullmatch(asset_id):
            raise ValueError(f"{asset_id!r} is no asset's id")
        return self._folder / f"{asset_id}{suffix}"
