"""How long a batch will still take, from the pace of its finished jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from statistics import fmean

from studio.jobs.batches import Glance
from studio.jobs.states import JobState


def seconds_left(glances: Iterable[Glance], workers: int, now: datetime | None = None) -> float | None:
    """Return about how many seconds remain until all jobs have ended; None until the first one has told the pace.

    workers: how many work side by side. Jobs that wait for a person are left out.
    """
    now = now or datetime.now(UTC)
    finished: dict[str, list[float]] = defaultdict(list)
    waiting: list[str] = []
    running: list[Glance] = []
    for glance in glances:
        if glance.state == JobState.SUCCEEDED and glance.seconds is not None:
            finished[glance.model].append(glance.seconds)
        elif glance.state == JobState.RUNNING:
            running.append(glance)
        elif glance.state == JobState.QUEUED and not glance.is_paused:
            waiting.append(glance.model)
    if not waiting and not running:
        return 0.0
    every = [seconds for each in finished.values() for seconds in each]
    if not every:
        return None
    pace = {model: fmean(seconds) for model, seconds in finished.items()}
    usual = fmean(every)
    begun = [_left_of(glance, pace.get(glance.model, usual), now) for glance in running]
    total = sum(begun) + sum(pace.get(model, usual) for model in waiting)
    return max([total / max(workers, 1), *begun])


def _left_of(glance: Glance, pace: float, now: datetime) -> float:
    elapsed = 0.0 if glance.started_at is None else max((now - glance.started_at).total_seconds(), 0.0)
    told = glance.progress.eta_seconds if glance.progress is not None else None
    return max(pace - elapsed, told or 0.0, 0.0)
