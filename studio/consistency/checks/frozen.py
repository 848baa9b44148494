"""Frozen frames: the picture stands perfectly still where a generated one never does."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from studio.consistency.check import BLANK_CONTRAST, Check, ClipContext, inconclusive, result
from studio.consistency.facts import FrameFacts
from studio.consistency.observer import CODED_CHANGE
from studio.consistency.report import CheckResult
from studio.consistency.spans import Span, runs
from studio.consistency.timeline import Timeline

# Levels, mean of R, G and B: a frame repeats the one before when not even the most changed 8x8 block changed by this.
EXACT_CHANGE = 0.25
# After lossy coding a repeat is not exact any more, but it still changes far less than the clip does otherwise: its
# most changed block by .3 to 2.6 levels at CRF 20, where 20 shared clips never have less than 2.0 (and 4.5 but for one)
# twice in a row; and most of it (.84 to 1.0 of the pixels, CRF 16 to 28) not at all, which sensor grain never leaves.
# Not for clips that hardly move (a median below 8), where nothing tells a coded repeat from rest: four static shared
# clips of low bit rate fired without that.
CODED_SHARE = 1 / 3
UNCHANGED_SHARE = 0.8
MOVING_CHANGE = 8.0
_MIN_FRAMES = 5
_JUDGED_RATE = 30


class FrozenFrames(Check):
    """Finds runs of repeated frames.

    value: frames in the longest run of repeats. Threshold 3, set by hand after a study of real clips (difference < 0.25
    level or < 1/3 of the clip's median); pairs are left alone as the cadence of film and of animation on twos.
    Above 30 frames per second a run is counted as if at 30.

    Unlike in that study, a pair is measured where it changes *most*, not on its mean: a small shape that drifts over a
    plain background leaves the mean at almost nothing. Where a model generates a shape "staying still", some block
    changes by 3 levels or more between any two frames (17 frames of `micro-wan`'s decoder, 8 clips), while a stuck
    decoder or a still image repeats exactly. Freezes of 3 / 6 / 14 frames in 20 shared clips: 20 / 20 / 20 found in raw
    frames, 16 / 17 / 19 after x264 at CRF 20, 1 / 13 / 18 at CRF 28, 0 / 10 / 12 at CRF 36; of the clean ones none.
    Plain frames (black before a fade in, say) are left to the check for blank frames, and repeats that come on time in
    a steady cadence to the check for that.
    """

    id: ClassVar[str] = "frozen"
    title: ClassVar[str] = "Frozen frames"
    unit: ClassVar[str] = "frames"
    threshold: ClassVar[float] = 3.0

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        frame_rate = clip.frame_rate
        self._rate = frame_rate
        self._changes: list[float | None] = []
        self._unchanged: list[float] = []

    def update(self, facts: FrameFacts) -> None:
        is_known = facts.contrast >= BLANK_CONTRAST and not math.isnan(facts.change)
        self._changes.append(facts.change if is_known else None)
        self._unchanged.append(facts.unchanged if is_known else 0.0)

    def finish(self, timeline: Timeline) -> CheckResult:
        if len(self._changes) < _MIN_FRAMES:
            return inconclusive(self, f"fewer than {_MIN_FRAMES} frames")
        repeats = np.array(self._repeats(), bool) & ~timeline.on_time
        stills = [(max(0, first - 1), last) for first, last in runs(repeats)]  # from the one that is repeated
        series: list[float | None] = [None if change is None else 0.0 for change in self._changes]
        for first, last in stills:
            for index in range(first, last + 1):
                series[index] = self._judged(last - first + 1)
        longest = max((self._judged(last - first + 1) for first, last in stills), default=1.0)
        return result(self, longest, series=series, series_unit="frames in the run", frame_threshold=self.threshold,
                      reason=self._in_words(stills))  # fmt: skip

    def _repeats(self) -> list[bool]:
        """Say of each frame whether it repeats the one before."""
        known = [change for change in self._changes if change is not None]
        typical = float(np.median(known)) if known else 0.0
        coded = min(CODED_CHANGE, typical * CODED_SHARE) if typical >= MOVING_CHANGE else 0.0
        return [
            change is not None and (change < EXACT_CHANGE or (change < coded and unchanged >= UNCHANGED_SHARE))
            for change, unchanged in zip(self._changes, self._unchanged, strict=True)
        ]

    def _judged(self, num_frames: int) -> float:
        return num_frames * min(1.0, _JUDGED_RATE / float(self._rate))

    def _in_words(self, stills: list[Span]) -> str:
        long = [still for still in stills if self._judged(still[1] - still[0] + 1) >= self.threshold]
        if any(last - first + 1 == len(self._changes) for first, last in long):
            return "the whole clip is one still image"
        return "the picture stands still in frames " + ", ".join(f"{first} to {last}" for first, last in long[:5])
