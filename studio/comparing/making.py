"""The jobs of a comparison made here and now: local and remote ones side by side, each by a worker if one takes it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from studio.comparing.comparison import Comparison
from studio.errors import Canceled, RequestError, StudioError
from studio.jobs.attendance import Attendance
from studio.jobs.context import Order
from studio.jobs.desk import JobDesk
from studio.jobs.job import Job, Progress
from studio.jobs.worker import Resident
from studio.jobs.workshop import Workshop
from studio.library.tables import JobRow

LOOK_SECONDS = 0.3

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Shop(Workshop):
    """A workshop in which a model's weights stay loaded from one clip to the next."""

    resident: Resident = field(default_factory=Resident)

    def order(self, row: JobRow) -> Order:
        return replace(super().order(row), open_session=self.resident.session)


class _Attendance(Attendance):
    """Waits for a job that is in the queue already, and takes it up if no worker does."""

    def wait(self, job: Job) -> None:
        self._from_worker(job)


class Making:
    """Brings the jobs of one comparison to their end.

    look: returns the comparison as it is now. show: told it, with the progress of jobs by id as this process knows it.
    is_canceled: asked again and again.
    """

    def __init__(
        self,
        shop: Workshop,
        desk: JobDesk,
        look: Callable[[], Comparison],
        show: Callable[[Comparison, dict[str, Progress]], None],
        is_canceled: Callable[[], bool],
    ) -> None:
        self._shop = shop
        self._desk = desk
        self._look = look
        self._show = show
        self._is_canceled = is_canceled
        self._progress: dict[str, Progress] = {}
        self._stop = threading.Event()

    def work(self, comparison: Comparison) -> None:
        """Return when every job has ended. Raises `Canceled`; then none of them goes on."""
        self._shop.runner.recover()
        jobs = [entry.job for entry in comparison.entries if entry.job is not None and not entry.job.is_final]
        pools = sorted({job.pool for job in jobs})
        lanes = [self._open_lane([job for job in jobs if job.pool == pool]) for pool in pools]
        try:
            while busy := [lane for lane in lanes if not lane.is_set()]:
                self._show(self._look(), dict(self._progress))
                if self._is_canceled():
                    self._stop.set()
                busy[0].wait(LOOK_SECONDS)
        except KeyboardInterrupt:
            self._stop.set()
            for lane in lanes:
                lane.wait()  # its next step; Ctrl-C once more ends the process, and its jobs are picked up later
        except BaseException:
            self._stop.set()
            raise
        self._conclude(jobs)

    def _conclude(self, jobs: Iterable[Job]) -> None:
        if not self._stop.is_set():
            self._show(self._look(), dict(self._progress))
            return
        for job in jobs:
            with suppress(RequestError):  # it has ended
                self._desk.cancel(job.id)
        raise Canceled("canceled; what was finished stays in the library")

    def _open_lane(self, jobs: list[Job]) -> threading.Event:
        """Begin to make jobs one after the other. Returns what is set when that is over.

        Not the thread: one whose `join` an interrupt breaks off is taken for finished while it still runs.
        """
        is_over = threading.Event()
        # It does not keep the process alive.
        threading.Thread(target=self._drive, args=(jobs, is_over), name="comparison", daemon=True).start()
        return is_over

    def _drive(self, jobs: list[Job], is_over: threading.Event) -> None:
        shop = _Shop(self._shop.settings, self._shop.registry, self._shop.store)
        desk = JobDesk(shop)
        try:
            for job in jobs:
                if self._stop.is_set():
                    return
                self._wait(shop, desk, job)
        finally:
            shop.resident.close()
            is_over.set()

    def _wait(self, shop: _Shop, desk: JobDesk, job: Job) -> None:
        def observe(progress: Progress) -> None:
            self._progress[job.id] = progress

        try:
            _Attendance(shop, desk, observe, self._stop.is_set).wait(job)
        except StudioError:
            return  # it stands in the job's row, and its entry tells it
        except KeyboardInterrupt:
            self._stop.set()
        except Exception:  # whatever a model's code raises, the next clip may do better
            _log.exception("job %s", job.id)
            shop.resident.close()
        finally:
            self._progress.pop(job.id, None)
