"""Hard cuts: from one frame to the next another shot begins, where one shot was asked for."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from studio.consistency.calibration import rank_of, threshold_of
from studio.consistency.check import Check, inconclusive, spread, verdict_of
from studio.consistency.report import MAX_EVENTS, CheckResult, Event, worst_indices
from studio.consistency.timeline import PLAIN_CONTRAST, Timeline

_MIN_FRAMES = 3


class HardCut(Check):
    """Finds the first frame of another shot.

    value: of the worst frame, the share of the picture (0 to 1) that optical flow suddenly finds no match for in the
    frame before, times how far the difference of thumbnails stands out from those around it (1 from eight times on).
    Light is taken out of that difference, so a dimmed, black or flashing frame is none. Threshold: from
    benchmarks/consistency; clean clips stay below .06 and cuts between real shots begin at .5.
    """

    id: ClassVar[str] = "hard_cut"
    title: ClassVar[str] = "Hard cuts"
    unit: ClassVar[str] = "share of the picture"
    threshold: ClassVar[float] = threshold_of("hard_cut")

    def finish(self, timeline: Timeline) -> CheckResult:
        if self._num_frames < _MIN_FRAMES:
            return inconclusive(self, f"fewer than {_MIN_FRAMES} frames")
        places, scores = timeline.cuts_from(0)
        plain = timeline.contrast[places] < PLAIN_CONTRAST
        scores[plain | np.concatenate([[False], plain[:-1]])] = 0.0  # the check for blank frames has these
        series = spread(places, scores, self._num_frames)
        worst = worst_indices(series, self.threshold)
        events = [self._event(int(places[item]), float(scores[item])) for item in np.argsort(-scores)[:MAX_EVENTS]
                  if scores[item] >= self.threshold]  # fmt: skip
        return verdict_of(self, float(scores.max()), series=series, series_unit=self.unit, events=events,
                          worst_frames=worst)  # fmt: skip

    def _event(self, frame: int, score: float) -> Event:
        reason = f"another shot begins at frame {frame}"
        return Event(first_frame=frame, last_frame=frame, value=score, rank=rank_of(self.id, score), reason=reason)
