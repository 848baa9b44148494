"""Shows recordings to the checks, and keeps what they say."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from typing import cast

import numpy as np

from benchmarks.consistency import journal
from benchmarks.consistency.observing import Plan, path_of
from benchmarks.consistency.recording import Variant
from studio.consistency.check import Check, ClipContext
from studio.consistency.facts import FrameFacts
from studio.consistency.panel import CheckPanel
from studio.consistency.report import CheckResult
from studio.consistency.runner import available_checks

LOWEST = float("-inf")
_NEAR_FRAMES = 1


@dataclass(frozen=True, kw_only=True)
class Case:
    """What was said of one variant of one segment.

    values: by check id; higher is worse, -inf where nothing could be said. failed: ids. placed: ids that failed and
    found the fault within one frame. flicker: VBench's temporal flickering turned round, higher is worse, 0 to 1.
    warp_error: mean |residual| of L where the flow is valid, levels. is_located: whether the fault has a time at all.
    """

    segment: str
    variant: Variant
    values: dict[str, float] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    placed: frozenset[str] = frozenset()
    flicker: float = 0.0
    warp_error: float = 0.0
    is_located: bool = False


def judge_all(plan: Plan, sources: Mapping[str, str], thresholds: Mapping[str, Mapping[str, float]],
              workers: int) -> list[Case]:  # fmt: skip
    """Judge every recording; those in which nothing can be seen are left out.

    sources: by segment. thresholds: by source and check id; a check without one keeps its own.
    """
    tasks = [(plan, name, dict(thresholds.get(sources[name], {}))) for name in plan.segments]
    if workers == 1:
        found = list(starmap(_judge_segment, tasks))
    else:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            found = pool.starmap(_judge_segment, tasks, chunksize=1)
    return [case for cases in found for case in cases]


def _judge_segment(plan: Plan, segment: str, thresholds: dict[str, float]) -> list[Case]:
    checks = with_thresholds(available_checks(), thresholds)
    cases = []
    for variant in plan.variants:
        recording = journal.load(path_of(plan, segment, variant))
        if recording.is_visible:
            cases.append(judge(segment, variant, recording, checks))
    return cases


def with_thresholds(checks: Sequence[type[Check]], thresholds: Mapping[str, float]) -> list[type[Check]]:
    """Return the checks with other thresholds, where there are some."""
    return [
        cast(type[Check], type(check.__name__, (check,), {"threshold": thresholds[check.id]}))
        if check.id in thresholds
        else check
        for check in checks
    ]


def judge(segment: str, variant: Variant, recording: journal.Recording, checks: Sequence[type[Check]]) -> Case:
    """Let the checks see a recording."""
    panel = CheckPanel(ClipContext(frame_rate=recording.frame_rate), checks)
    panel.take(recording.facts)
    results = panel.finish().checks
    signs = {check.id: 1.0 if check.direction == "higher_is_worse" else -1.0 for check in checks}
    failed = [result for result in results if result.passed is False]
    return Case(
        segment=segment,
        variant=variant,
        values={item.id: LOWEST if item.value is None else signs[item.id] * item.value for item in results},
        failed=frozenset(item.id for item in failed),
        placed=frozenset(item.id for item in failed if is_placed(item, recording.event_frames)),
        flicker=_mean(recording.adjacent_difference) / 255,
        warp_error=_warp_error(recording.facts),
        is_located=bool(recording.event_frames),
    )


def is_placed(result: CheckResult, frames: Sequence[int]) -> bool:
    """Say whether the worst frame, or the start of the worst event, is within a frame of where the fault is."""
    if not frames:
        return False
    named = [*result.worst_frames[:1], *(event.first_frame for event in result.events[:1])]
    return any(abs(frame - known) <= _NEAR_FRAMES for frame in named for known in frames)


def _warp_error(facts: Sequence[FrameFacts]) -> float:
    errors = [
        float((item.motion.absolute * item.motion.valid).sum() / max(float(item.motion.valid.sum()), 1e-6))
        for item in facts
        if item.motion is not None
    ]
    return _mean(np.array(errors))


def _mean(numbers: np.ndarray) -> float:
    return float(numbers.mean()) if len(numbers) else 0.0
