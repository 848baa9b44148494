"""A queue of ten thousand jobs: how long each thing takes that people and workers do with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.queue.noop import write_row
from studio.app import Studio
from studio.config import Settings
from studio.jobs.job import JobWish
from studio.jobs.queue import Scope
from studio.jobs.roll import WorkerCard
from studio.jobs.states import JobState
from studio.request import GenerationRequest

LIMIT_MILLISECONDS = 50.0
_RUNS = 50


def measure(home: Path, jobs: int, database_url: str | None) -> dict[str, Any]:
    """Fill a queue, then list, claim and cancel. Milliseconds, the median and the slowest of 50."""
    write_row(home)
    settings = Settings(home=home, database_url=database_url)
    studio = Studio(settings)
    resolved = studio.resolve(GenerationRequest(model="noop", prompt="a star over the sea"))
    empty = _size(settings)
    started = time.perf_counter()
    ids = [job.id for job in studio.desk.submit_many([(resolved, JobWish(batch_id="b", entry=n)) for n in range(jobs)])]
    submitted = time.perf_counter() - started
    filled = _size(settings)
    victims = iter(ids[jobs // 2 :])
    with studio.workshop.roll.enlist(WorkerCard(device="cpu")) as badge:

        def claim() -> None:
            lease = studio.workshop.queue.claim(badge.row, Scope(prefer="noop"))
            assert lease is not None
            studio.workshop.queue.end(lease, JobState.SUCCEEDED)

        found = {
            "list_a_page": _times(lambda: studio.desk.jobs(JobState.QUEUED, limit=100)),
            "list_in_order": _times(lambda: studio.desk.jobs(JobState.QUEUED, limit=100, newest_first=False)),
            "counts": _times(studio.desk.counts),
            "submit_one": _times(lambda: studio.desk.submit_many([(resolved, JobWish())])),
            "claim_and_end": _times(claim),
            "cancel": _times(lambda: studio.desk.cancel(next(victims))),
            "move_to_the_front": _times(lambda: studio.desk.move(next(victims), to="first")),
        }
    studio.store.close()
    growth = None if empty is None or filled is None else round((filled - empty) / jobs)
    return {
        "jobs": jobs,
        "submit_all_seconds": round(submitted, 2),
        "database_bytes_per_job": growth,
        "milliseconds": found,
        "limit_milliseconds": LIMIT_MILLISECONDS,
    }


def _times(work: Callable[[], object]) -> dict[str, float]:
    times = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return {"median": round(median(times), 2), "slowest": round(max(times), 2)}


def _size(settings: Settings) -> int | None:
    if settings.database_url is not None:
        return None
    beside = settings.database_path.parent.glob(settings.database_path.name + "*")
    return sum(path.stat().st_size for path in beside)
