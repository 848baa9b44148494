"""Real worker processes on a generator that costs nothing: overhead of a job, throughput, memory of an idle worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.queue.noop import write_row
from studio.app import Studio
from studio.config import Settings
from studio.jobs.job import Job, JobWish
from studio.request import GenerationRequest

_ROOT = Path(__file__).parents[2]
_OVERHEAD_JOBS, _THROUGHPUT_JOBS = 20, 40
_IDLE_SECONDS = 5.0


def overhead(home: Path) -> dict[str, Any]:
    """Submit job after job to one idle worker; beside them the same clips made by whoever waits, without a queue."""
    studio = _studio(home)
    starts, ends = [], []
    with _workers(home, 1):
        _finish(studio, [_submit(studio)])  # loads what later ones find loaded
        for _ in range(_OVERHEAD_JOBS):
            job = _finish(studio, [_submit(studio)])[0]
            starts.append(_between(job.created_at, job.started_at))
            ends.append(time.time() - _stamp(job.ended_at))
    alone = []
    studio.generate(GenerationRequest(model="noop"))
    for _ in range(_OVERHEAD_JOBS):
        begun = time.perf_counter()
        studio.generate(GenerationRequest(model="noop"))
        alone.append(time.perf_counter() - begun)
    studio.store.close()
    return {
        "submit_to_start_seconds": _summary(starts),
        "finish_to_visible_seconds": _summary(ends),
        "whole_job_without_queue_seconds": _summary(alone),
    }


def throughput(home: Path) -> dict[str, Any]:
    """Jobs per minute with 1, 2 and 4 workers, sealing included: it is what a job costs beside its generation."""
    studio, found = _studio(home), {}
    for number in (1, 2, 4):
        with _workers(home, number):
            warm = [_submit(studio) for _ in range(2 * number)]
            _finish(studio, warm)
            started = time.perf_counter()
            _finish(studio, [_submit(studio) for _ in range(_THROUGHPUT_JOBS)])
            found[str(number)] = round(60 * _THROUGHPUT_JOBS / (time.perf_counter() - started), 1)
    studio.store.close()
    return {"jobs_per_minute": found, "ratio_2_to_1": round(found["2"] / found["1"], 2)}


def idle_memory(home: Path) -> dict[str, Any]:
    """Resident and own memory of a worker that waits, in MiB, and the share of a core that it takes."""
    import psutil

    _studio(home).store.close()
    with _workers(home, 1) as (process,):
        time.sleep(3)
        worker = psutil.Process(process.pid)
        before = sum(worker.cpu_times()[:2])
        time.sleep(_IDLE_SECONDS)
        used = sum(worker.cpu_times()[:2]) - before
        memory = worker.memory_full_info()
    return {
        "resident_mib": round(memory.rss / 2**20, 1),
        "own_mib": round(memory.uss / 2**20, 1),
        "share_of_a_core": round(used / _IDLE_SECONDS, 4),
    }


def _studio(home: Path) -> Studio:
    write_row(home)
    return Studio(Settings(home=home))


def _submit(studio: Studio) -> Job:
    return studio.desk.submit(GenerationRequest(model="noop"), JobWish())


def _finish(studio: Studio, jobs: Sequence[Job]) -> list[Job]:
    *_, last = studio.desk.watch([job.id for job in jobs], interval=0.02)
    bad = [job.error for job in last.values() if job.asset_id is None]
    if bad:
        raise SystemExit(f"a job failed: {bad[0]}")
    return list(last.values())


@contextmanager
def _workers(home: Path, number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    environment = {**os.environ, "STUDIO_HOME": str(home), "PYTHONPATH": str(_ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-c", "from ui.cli import main; main()", "worker", "--attached"]
    processes = [
        subprocess.Popen(command, cwd=_ROOT, env=environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(number)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in processes:
            process.wait(60)


def _between(start: datetime, end: datetime | None) -> float:
    return _stamp(end) - start.timestamp()


def _stamp(moment: datetime | None) -> float:
    if moment is None:
        raise SystemExit("a job has no such time")
    return moment.timestamp()


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(seconds), 3), "slowest": round(max(seconds), 3)}
