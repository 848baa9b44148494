"""Dissolves: one picture blends over into another, where one shot was asked for."""

from __future__ import annotations

from typing import ClassVar

from studio.consistency.calibration import rank_of, threshold_of
from studio.consistency.check import Check, inconclusive, spread, verdict_of
from studio.consistency.report import CheckResult, Event, worst_indices
from studio.consistency.spans import runs
from studio.consistency.timeline import Timeline
from studio.consistency.transitions import BLEND_REACH

_MIN_FRAMES = 2 * BLEND_REACH + 1


class Dissolve(Check):
    """Finds frames that are a mixture of earlier and later ones.

    value: 1 less the relative error with which a frame, and those a quarter and three quarters of the way, equal the
    linear blend of the frames six before and six after it, on Lab thumbnails; scaled down where those two differ by
    less than 9 levels, and where motion explains how the frames follow from each other. Fades to and from black or
    white are left out. Threshold: from benchmarks/consistency; .72 in the study that found F1 .92 to .97 with none on
    hard cuts, without regard to motion.
    """

    id: ClassVar[str] = "dissolve"
    title: ClassVar[str] = "Dissolves"
    unit: ClassVar[str] = "likeness to a blend"
    threshold: ClassVar[float] = threshold_of("dissolve")

    def finish(self, timeline: Timeline) -> CheckResult:
        places, scores = timeline.analysed, timeline.blends
        if len(scores) < _MIN_FRAMES:
            return inconclusive(self, f"fewer than {_MIN_FRAMES} frames to compare")
        series = spread(places, scores, self._num_frames)
        events = []
        for first, last in runs([score >= self.threshold for score in scores]):
            value = float(scores[first : last + 1].max())
            begin = int(places[max(0, first - BLEND_REACH // 2)])
            end = int(places[min(len(places) - 1, last + BLEND_REACH // 2)])
            events.append(Event(first_frame=begin, last_frame=end, value=value, rank=rank_of(self.id, value),
                                reason=f"one picture dissolves into another in frames {begin} to {end}"))  # fmt: skip
        events = sorted(events, key=lambda event: -event.value)
        return verdict_of(self, float(scores.max()), series=series, series_unit=self.unit, events=events,
                          worst_frames=worst_indices(series, self.threshold))  # fmt: skip
