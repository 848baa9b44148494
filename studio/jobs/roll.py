"""The roll of workers: who takes jobs, and which of them have died.

Death is told without any clock that could be set back. On one machine each worker holds a lock that the system frees
when the process ends, however it ends. Of a worker elsewhere only its counter is seen: one whose counter has stood
still for `LEASE_SECONDS` of the observer's own monotonic time is taken for dead. Should it live after all, it finds
itself struck off and its lease outdated, and nothing that it still writes is accepted.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout

from studio.disk import write_durably
from studio.errors import StudioError
from studio.jobs.glimpse import drawn, forget_glimpse, write_glimpse
from studio.jobs.job import Progress
from studio.jobs.lease import Lease, LeaseLost
from studio.jobs.queue import JobQueue
from studio.library.store import Store
from studio.library.tables import AttemptRow, WorkerRow

LEASE_SECONDS = 30.0
BEAT_SECONDS = 2.0
REPORT_SECONDS = 0.5  # at most so often is written how far a job is
LOOK_SECONDS = 0.25  # how often a worker looks whether its job is to be canceled

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorkerCard:
    """What a worker says of itself. pool, batch_id: the jobs that it takes; None for any. device: of local models.

    is_resident: it stays for other jobs; else it was started for a single one.
    """

    device: str
    pool: str | None = None
    batch_id: str | None = None
    is_resident: bool = True


@dataclass(frozen=True, kw_only=True)
class WorkerView:
    """A worker on the roll. model: whose weights it holds. job_id: what it works on."""

    id: str
    host: str
    pid: int
    pool: str | None
    device: str
    is_resident: bool
    batch_id: str | None
    model: str | None
    job_id: str | None
    is_alive: bool
    started_at: datetime


class Badge:
    """A worker's place on the roll, kept up by a thread for as long as the process lives.

    The thread also carries the progress of the job in hand to its row, with a glimpse of the clip, and brings back what
    people ask of it.
    """

    def __init__(self, store: Store, queue: JobQueue, row: WorkerRow) -> None:
        self.row = row
        self._store = store
        self._queue = queue
        self._lease: Lease | None = None
        self._progress: Progress | None = None
        self._written: Progress | None = None
        self._glimpses = 0
        self._is_odd = False  # the job in hand showed what is no picture, and the log has it
        self._asked: str | None = None
        self._is_lost = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"beat-{row.id}", daemon=True)

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def asked(self) -> str | None:
        """What people ask of the job in hand: cancel, pause or nothing. Raises `LeaseLost` when it is lost."""
        if self._is_lost:
            raise LeaseLost("another worker took this job over", field="job", got=self._lease and self._lease.job_id)
        return self._asked

    @contextmanager
    def holding(self, lease: Lease, model: str) -> Iterator[None]:
        """Work on a job for as long as the context lasts."""
        with self._lock:
            self._lease, self._asked, self._is_lost = lease, None, False
            self._progress = self._written = None
            self._glimpses, self._is_odd = 0, False
            self.row.job_id, self.row.model = lease.job_id, model
        try:
            yield
        finally:
            with self._lock:
                self._lease = None
                self.row.job_id = None
            if self._glimpses:
                with suppress(StudioError):  # it goes with the job at the latest
                    forget_glimpse(self._store, lease.job_id)

    def show(self, progress: Progress) -> None:
        """Take note of how far the job in hand is; written with the next beat."""
        self._progress = progress

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._over.set()
        self._thread.join()

    def _live(self) -> None:
        next_beat = next_report = 0.0
        while not self._over.wait(LOOK_SECONDS):
            try:
                with self._lock:
                    self._look()
                    if time.monotonic() >= next_beat:
                        self._beat()
                        next_beat = time.monotonic() + BEAT_SECONDS
                    if time.monotonic() >= next_report:
                        self._report()
                        next_report = time.monotonic() + REPORT_SECONDS
            except StudioError:
                continue  # a database that does not answer now may do so next time
            except Exception:  # whatever it is: a heart that stops is a death
                _log.exception("worker %s", self.row.id)

    def _look(self) -> None:
        if self._lease is None or self._is_lost:
            return
        try:
            self._asked = self._queue.asked(self._lease)
        except LeaseLost:
            self._is_lost = True

    def _beat(self) -> None:
        changes = {"beat": WorkerRow.beat + 1, "job_id": self.row.job_id, "model": self.row.model}
        with self._store.transaction() as session:
            same = sa.update(WorkerRow).where(WorkerRow.id == self.row.id)
            if session.execute(same.values(**changes)).rowcount != 1:  # type: ignore[attr-defined]
                # Others took us for dead and struck us off. What we hold is theirs now; we go on with what comes.
                self._is_lost = self._lease is not None
                session.merge(_copy(self.row))

    def _report(self) -> None:
        progress = self._progress
        if self._lease is None or self._is_lost or progress is None or progress == self._written:
            return
        picture = self._picture(progress)  # before the transaction, which it would make longer
        with self._store.transaction() as session:
            self._queue.report(session, self._lease, progress)
            if picture is not None:
                self._glimpses += 1
                write_glimpse(session, self._lease.job_id, picture, self._glimpses)
        self._written = progress

    def _picture(self, progress: Progress) -> bytes | None:
        """Return the picture to show, None of what is none: the clip may be right all the same."""
        if progress.preview is None:
            return None
        try:
            return drawn(progress.preview)
        except Exception:  # whatever a plug-in shows
            if not self._is_odd:
                _log.debug("job %s showed what is no picture", self.row.job_id, exc_info=True)
            self._is_odd = True
            return None


class WorkerRoll:
    """Who is on the roll of this library, and who of them has died."""

    def __init__(self, store: Store, queue: JobQueue, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that never go back."""
        self._store = store
        self._queue = queue
        self._folder = home / "workers"
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    @contextmanager
    def enlist(self, card: WorkerCard) -> Iterator[Badge]:
        """Be a worker for as long as the context lasts."""
        host = socket.gethostname()[:200] or "unnamed"
        row = WorkerRow(
            id=f"{host[:40]}-{os.getpid()}-{secrets.token_hex(4)}",
            place=self._place,
            host=host,
            pid=os.getpid(),
            pool=card.pool,
            device=card.device,
            is_resident=card.is_resident,
            batch_id=card.batch_id,
            beat=0,
            started_at=datetime.now(UTC),
        )
        # The lock comes before the row: nobody may ever see a worker that seems to be dead.
        lock = FileLock(self._lock_path(row.id))
        lock.acquire()
        try:
            with self._store.transaction() as session:
                session.add(_copy(row))
            badge = Badge(self._store, self._queue, row)
            badge.start()
            try:
                yield badge
            finally:
                badge.stop()
                with suppress(StudioError):
                    self._strike_off([row.id])
        finally:
            self._lock_path(row.id).unlink(missing_ok=True)
            lock.release()

    def workers(self) -> list[WorkerView]:
        """Return who is on the roll, the oldest first. One elsewhere counts as alive until its time is up."""
        return [_view(row, is_alive=not self._is_dead(row)) for row in self._rows()]

    def work_of(self, worker_id: str) -> list[tuple[str, str | None]]:
        """Return the jobs that a worker took up, each with how that ended; None where it is not over."""
        query = sa.select(AttemptRow.job_id, AttemptRow.outcome).where(AttemptRow.worker == worker_id)
        with self._store.database.read() as session:
            return [(row[0], row[1]) for row in session.execute(query.order_by(AttemptRow.started_at))]

    def bury(self) -> list[str]:
        """Strike off the workers that have died, and return their ids; their jobs are orphans from then on."""
        rows = [row for row in self._rows() if self._is_dead(row)]
        dead, here = [row.id for row in rows], [row.id for row in rows if row.place == self._place]
        if dead:
            self._strike_off(dead)
            for worker_id in here:  # those elsewhere may live after all
                self._lock_path(worker_id).unlink(missing_ok=True)
        return dead

    def _rows(self) -> list[WorkerRow]:
        with self._store.database.read() as session:
            rows = list(session.scalars(sa.select(WorkerRow).order_by(WorkerRow.started_at, WorkerRow.id)))
            session.expunge_all()
        return rows

    def _is_dead(self, row: WorkerRow) -> bool:
        if row.place == self._place:
            return not self._is_locked(row.id)
        beat, since = self._seen.get(row.id, (-1, 0.0))
        if beat != row.beat:
            self._seen[row.id] = (row.beat, self._clock())
            return False
        return self._clock() - since > LEASE_SECONDS

    def _is_locked(self, worker_id: str) -> bool:
        path = self._lock_path(worker_id)
        if not path.exists():
            return False
        lock = FileLock(path, blocking=False)
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        return False

    def _strike_off(self, worker_ids: list[str]) -> None:
        with self._store.transaction() as session:
            session.execute(sa.delete(WorkerRow).where(WorkerRow.id.in_(worker_ids)))

    def _lock_path(self, worker_id: str) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder / f"{worker_id}.lock"

    @cached_property
    def _place(self) -> str:
        """This machine since it was started, with this home: within it, locks tell who lives."""
        name = self._folder / "place"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not name.exists():
            with FileLock(self._folder / "place.lock"):
                if not name.exists():
                    content = secrets.token_hex(8).encode()
                    write_durably(name, lambda stream: stream.write(content))
        boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else f"{uuid.getnode():x}"
        return f"{boot}:{name.read_text().strip()}"


def _copy(row: WorkerRow) -> WorkerRow:
    """Return a row that no session knows yet."""
    return WorkerRow(**{column.name: getattr(row, column.name) for column in WorkerRow.__table__.columns})


def _view(row: WorkerRow, *, is_alive: bool) -> WorkerView:
    names = set(WorkerView.__dataclass_fields__) - {"is_alive"}
    return WorkerView(is_alive=is_alive, **{name: getattr(row, name) for name in names})
