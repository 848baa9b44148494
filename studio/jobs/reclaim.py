"""What jobs leave on the disk, and taking back what nobody needs any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import sqlalchemy as sa

from studio.jobs.quarantine import InWork
from studio.jobs.states import JobState
from studio.jobs.workshop import Workshop
from studio.library.database import in_parts
from studio.library.tables import AssetRow, JobRow

# A folder without a row may belong to a job that is being handed in just now.
GRACE_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Reclaimed:
    """What was deleted, or would be. size_bytes: of it. kept_bytes: what jobs keep after that.

    removed: folders and files, relative to the home folder, or to the one that
    machines share. over_quota: jobs whose checkpoints went because there was
    no room for them under the quota; they can still be retried, from the start.
    """

    removed: tuple[str, ...]
    over_quota: tuple[str, ...]
    size_bytes: int
    kept_bytes: int


@dataclass(frozen=True)
class _Waste:
    """Something to be deleted. name: for people."""

    name: str
    size_bytes: int
    delete: Callable[[], None]


def reclaim(shop: Workshop, *, quota_bytes: int | None = None, dry_run: bool = False) -> Reclaimed:
    """Delete the leftovers of jobs that have succeeded, were canceled or are forgotten, and inputs without a job.

    quota_bytes: what all jobs together may keep; above it the checkpoints of failed jobs go, the oldest first. A clip
    that was made and waits to be sealed is never deleted: hours or money were spent on it.
    """
    home = shop.settings.home
    folders = _folders(shop)
    waste = [_Waste(str(path.relative_to(home)), size_of(path), partial(_discard, shop, path))
             for path in _leftovers(shop, folders)]  # fmt: skip
    gone = {item.name for item in waste}
    kept = [path for path in folders if str(path.relative_to(home)) not in gone]
    kept_bytes = sum(size_of(path) for path in kept)
    over: list[str] = []
    if quota_bytes is not None:
        for path in sorted(_failed(shop, kept), key=lambda folder: folder.stat().st_mtime):
            if kept_bytes <= quota_bytes:
                break
            size = size_of(path)
            kept_bytes -= size
            waste.append(_Waste(str(path.relative_to(home)), size, partial(_discard, shop, path)))
            over.append(path.name)
    waste += [*_files_without_row(shop), *_inputs_without_job(shop), *_old_copies(shop)]
    for item in () if dry_run else waste:
        item.delete()
    if not dry_run:  # more of them have no job now
        more = _unlinked_inputs(shop)
        waste += more
        for item in more:
            item.delete()
    return Reclaimed(
        removed=tuple(item.name for item in waste),
        over_quota=tuple(over),
        size_bytes=sum(item.size_bytes for item in waste),
        kept_bytes=kept_bytes,
    )


def size_of(path: Path) -> int:
    """Return the bytes of a file or of all files in a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for item in (path, *path.rglob("*")):
        try:
            total += item.stat().st_size if item.is_file() else 0
        except OSError:
            continue
    return total


def _folders(shop: Workshop) -> list[Path]:
    root = shop.settings.quarantine_folder
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []


def _leftovers(shop: Workshop, folders: list[Path]) -> list[Path]:
    states = _states(shop, [path.name for path in folders])
    found = []
    for path in folders:
        state = states.get(path.name)
        is_done = state in (JobState.SUCCEEDED, JobState.CANCELED)
        is_strange = state is None and not shop.quarantine.holds(path.name) and _is_old(path.stat().st_mtime)
        if is_done or is_strange:
            found.append(path)
    return found


def _files_without_row(shop: Workshop) -> list[_Waste]:
    """Return files of the library that no asset owns: a crash came between the move and the commit, and nobody cared.

    A job that is not finished will put its file there again. A file of which this database knows no job may be
    another database's, or be all that is left after one was lost: it is left alone.
    """
    shelf = shop.store.shelf
    files = [(name, size) for name, size, changed_at in shelf.files() if _is_old(changed_at)]
    with shop.store.database.read() as session:
        names = set(session.scalars(sa.select(AssetRow.path)))
    known = {PurePosixPath(name).with_suffix("") for name in names}  # what lies beside them included
    strange = [(name, size) for name, size in files if PurePosixPath(name).with_suffix("") not in known]
    states = _states(shop, [PurePosixPath(name).stem for name, _ in strange])
    done = (JobState.CANCELED, JobState.SUCCEEDED)
    return [
        _Waste(f"library/{name}", size, partial(shelf.remove, name))
        for name, size in strange
        if states.get(PurePosixPath(name).stem) in done
    ]


def _unlinked_inputs(shop: Workshop) -> list[_Waste]:
    home = shop.settings.home
    return [
        _Waste(str(path.relative_to(home)), path.stat().st_size, partial(shop.inputs.forget, path))
        for path in shop.inputs.unused()
    ]


def _inputs_without_job(shop: Workshop) -> list[_Waste]:
    """Return the inputs in the folder of all machines that no job wants, or that one that failed may want again."""
    shelf = shop.inputs.shared
    if shelf is None:
        return []
    over = (JobState.SUCCEEDED, JobState.CANCELED)
    with shop.store.database.read() as session:
        requests = session.scalars(sa.select(JobRow.request).where(JobRow.state.not_in(over)))
        wanted = {item["sha256"] for request in requests for item in request["conditionings"]}
    return [
        _Waste(f"inputs/{name}", size, partial(shelf.remove, name))
        for name, size, changed_at in shelf.files()
        if name.partition(".")[0] not in wanted and _is_old(changed_at)
    ]


def _old_copies(shop: Workshop) -> list[_Waste]:
    """Return what was fetched from elsewhere a while ago; it is fetched again if somebody wants it."""
    home = shop.settings.home
    files = [path for path in (home / "cache").rglob("*") if path.is_file()]
    return [
        _Waste(str(path.relative_to(home)), path.stat().st_size, partial(path.unlink, missing_ok=True))
        for path in files
        if _is_old(path.stat().st_mtime)
    ]


def _is_old(changed_at: float) -> bool:
    return changed_at < time.time() - GRACE_SECONDS


def _failed(shop: Workshop, folders: list[Path]) -> list[Path]:
    states = _states(shop, [path.name for path in folders])
    return [
        path for path in folders if states.get(path.name) == JobState.FAILED and not shop.quarantine.holds(path.name)
    ]


def _states(shop: Workshop, job_ids: list[str]) -> dict[str, JobState]:
    states: dict[str, JobState] = {}
    with shop.store.database.read() as session:
        for part in in_parts(job_ids):
            query = sa.select(JobRow.id, JobRow.state).where(JobRow.id.in_(part))
            states |= {row[0]: JobState(row[1]) for row in session.execute(query)}
    return states


def _discard(shop: Workshop, folder: Path) -> None:
    """Delete a job's folder, unless the job was taken up again meanwhile."""
    with suppress(InWork), shop.quarantine.lock(folder.name):
        if _states(shop, [folder.name]).get(folder.name) not in (JobState.QUEUED, JobState.RUNNING, JobState.HELD):
            shop.quarantine.discard(folder.name)
