"""Windows as jobs of the queue: each is sealed as a clip of its own, and one that is finished is never made again.

A job's client key says which window of which extension it is: ``extend:DIGEST:RUN:NUMBER``. The run is the id that the
finished clip will have. The same wish again finds the run that was not finished, by its digest, and goes on with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from studio.errors import RequestError
from studio.jobs.attendance import Attendance
from studio.jobs.context import Observer, Order
from studio.jobs.desk import JobDesk
from studio.jobs.failure import error_of_job
from studio.jobs.job import Job, JobWish
from studio.jobs.states import FailureReason, JobState
from studio.jobs.worker import Resident
from studio.jobs.workshop import Workshop
from studio.library.asset import Asset
from studio.library.store import Store, new_id
from studio.library.tables import JobRow
from studio.request import ResolvedRequest

_PREFIX = "extend"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One go at an extension. id: of the finished clip. seed: of the first window, None while nothing is decided.

    is_new: no earlier process worked on it.
    """

    digest: str
    id: str
    seed: int | None = None
    is_new: bool = True

    def key(self, number: int) -> str:
        """Return the client key of a window's job. number: from 1."""
        return f"{_PREFIX}:{self.digest}:{self.id}:{number}"


def find_run(store: Store, digest: str) -> Run:
    """Return the latest run of an extension that did not come to its end, or a new one."""
    beginning = JobRow.client_key.startswith(f"{_PREFIX}:{digest}:", autoescape=True)
    with store.database.read() as session:
        query = sa.select(JobRow.client_key, JobRow.request).where(beginning)
        rows = [(str(row[0]), row[1]) for row in session.execute(query.order_by(JobRow.created_at, JobRow.id))]
    for key, request in reversed(rows):
        run_id, number = key.split(":")[2:]
        if number == "1" and not store.has_asset(run_id):
            return Run(digest=digest, id=run_id, seed=int(request["seed"]), is_new=False)
    return Run(digest=digest, id=new_id())


@dataclass(frozen=True)
class _HoldingWorkshop(Workshop):
    """A workshop in which a model's weights stay loaded from one window to the next."""

    resident: Resident = field(default_factory=Resident)

    def order(self, row: JobRow) -> Order:
        return replace(super().order(row), open_session=self.resident.session)


class _Attendance(Attendance):
    """Also waits for a job that is in the queue already, and takes it up if no worker does."""

    def wait(self, job: Job) -> Asset:
        return self._from_worker(job)


class WindowMaker:
    """Makes windows one after the other, as a person who waits for each. Used as a context; it holds the weights.

    observe, is_canceled: as for any clip.
    """

    def __init__(self, shop: Workshop, observe: Observer, is_canceled: Callable[[], bool]) -> None:
        self._shop = _HoldingWorkshop(shop.settings, shop.registry, shop.store)
        self._desk = JobDesk(self._shop)
        self._observe = observe
        self._is_canceled = is_canceled

    def __enter__(self) -> WindowMaker:
        self._shop.runner.recover()
        return self

    def __exit__(self, *_: object) -> None:
        self._shop.resident.close()

    def known(self, key: str) -> Job | None:
        """Return the job of a window that was begun, None for one that was not."""
        with self._shop.store.database.read() as session:
            job_id = session.scalar(sa.select(JobRow.id).where(JobRow.client_key == key))
        return None if job_id is None else self._desk.job(job_id)

    def make(self, resolved: ResolvedRequest, wish: JobWish, observe: Observer) -> Asset:
        """Make a window that was not begun. Raises what ended its job."""
        return self._attendance(observe).make(resolved, wish)

    def go_on(self, job: Job, observe: Observer) -> Asset:
        """Return what a window's job made, or bring it to its end. Raises what ended it."""
        if job.state == JobState.SUCCEEDED and not self._desk.is_gone(job):
            return self._shop.store.asset(job.id)
        if job.state == JobState.HELD or job.reason == FailureReason.REFUSED:
            raise error_of_job(job)
        if job.reason == FailureReason.UNSEALED:
            return self._shop.runner.retry_seal(job.id, observe)
        if job.is_final:
            job = self._desk.retry(job.id)
        if job.state == JobState.QUEUED and (job.is_paused or self._desk.is_queue_paused()):
            what, name = ("job", f" {job.id}") if job.is_paused else ("queue", "")
            raise RequestError(f"a window waits in the queue, and the {what} is paused", field="job", got=job.id,
                               fix=f"`studio queue resume{name}`")  # fmt: skip
        return self._attendance(observe).wait(job)

    def _attendance(self, observe: Observer) -> _Attendance:
        return _Attendance(self._shop, self._desk, observe, self._is_canceled)
