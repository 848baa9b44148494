"""Duplicate frames: a frame is shown twice where the clip moves, and not as part of a regular cadence."""

from __future__ import annotations

import math
from array import array
from collections import deque
from typing import ClassVar

import numpy as np

from studio.consistency.calibration import threshold_of
from studio.consistency.check import BLANK_CONTRAST, Check, ClipContext, inconclusive, result
from studio.consistency.facts import Floats, FrameFacts
from studio.consistency.report import CheckResult
from studio.consistency.spans import runs
from studio.consistency.timeline import Timeline
from studio.consistency.transitions import Numbers

_MIN_FRAMES = 6
_NEIGHBOURS = 6
# Levels added to both changes, so that clips that hardly move do not divide noise by noise.
_CHANGE_FLOOR = 0.7
# Levels: coding leaves the most changed block of a repeat below this (2 to 8 at CRF 20); where a frame changes by more,
# though by less than its neighbours, the motion rested.
_MOST_OF_A_REPEAT = 9.0
# Pictures go on where those around a repeat differ at least by this share of the larger step beside it; below the other
# they have turned back, and stood for a moment as they did.
_GOES_ON, _TURNS_BACK = 0.8, 0.5
_WAY_FLOOR = 0.2
# A run of so many repeats is a frozen picture and that check's business.
_FROZEN_REPEATS = 2
# So much missing makes a repeat of such a run; not the threshold, which is calibrated on what this measures.
_RUN_SHARE = 0.72


class DuplicateFrames(Check):
    """Finds single frames that repeat the one before.

    value: 1 less the ratio of a frame's change (of its most changed 8x8 block, levels) to what is usual in the six
    frames before it and in the six after, whichever is less, of the frame where that is most: 1 for an exact repeat
    where things move, near 0 where nothing does. Where a frame changes by more than 9 levels, which no coded repeat
    does, or where the motion turns back, it is scaled down. Repeats that come on time in a cadence, runs of two and
    more, fades and plain frames are left out.
    Threshold: from benchmarks/consistency. A coded repeat is not exact, so take files of low bit rate with care.
    """

    id: ClassVar[str] = "duplicate_frames"
    title: ClassVar[str] = "Duplicate frames"
    unit: ClassVar[str] = "share of the usual change missing"
    threshold: ClassVar[float] = threshold_of("duplicate_frames")

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._changes, self._onward = array("f"), array("f")
        self._plain = array("b")
        self._thumbs: deque[Floats] = deque(maxlen=4)

    def update(self, facts: FrameFacts) -> None:
        self._changes.append(facts.change)
        self._plain.append(facts.contrast < BLANK_CONTRAST or math.isnan(facts.change))
        self._onward.append(0.0)  # nothing can be said of the first two frames and the last
        self._thumbs.append(facts.thumb[..., 0].astype(np.float32))
        if len(self._thumbs) == 4:
            self._onward[-2] = _goes_on(self._thumbs)

    def finish(self, timeline: Timeline) -> CheckResult:
        count = len(self._changes)
        if count < _MIN_FRAMES:
            return inconclusive(self, f"fewer than {_MIN_FRAMES} frames")
        missing = _missing(np.array(self._changes, np.float64)) * np.array(self._onward, np.float64)
        missing[np.array(self._plain, bool) | timeline.fading(np.arange(count))] = 0.0
        missing[timeline.on_time] = 0.0
        for first, last in runs(list(missing >= _RUN_SHARE)):
            if last - first + 1 >= _FROZEN_REPEATS:
                missing[first : last + 1] = 0.0
        found = [int(index) for index in np.flatnonzero(missing >= self.threshold)]
        return result(self, float(missing.max()), series=[float(item) for item in missing], series_unit=self.unit,
                      frame_threshold=self.threshold, reason=_in_words(found))  # fmt: skip


def _goes_on(thumbs: deque[Floats]) -> float:
    """Return 1 where the four pictures go on past the middle two, 0 where they turn back as a bouncing ball does."""
    first, second, third, fourth = thumbs
    step = max(float(np.abs(second - first).mean()), float(np.abs(fourth - third).mean()))
    way = float(np.abs(fourth - first).mean())
    share = (way + _WAY_FLOOR) / (step + _WAY_FLOOR)
    return float(np.clip((share - _TURNS_BACK) / (_GOES_ON - _TURNS_BACK), 0.0, 1.0))


def _missing(change: Numbers) -> Numbers:
    """Return (n,) what share of the usual change a frame lacks, 0 to 1."""
    change[0] = change[1]
    usual = np.minimum(_usual_before(change), _usual_before(change[::-1])[::-1])
    missing = np.maximum(0.0, 1.0 - (change + _CHANGE_FLOOR) / (usual + _CHANGE_FLOOR))
    return np.asarray(missing * np.minimum(1.0, _MOST_OF_A_REPEAT / np.maximum(change, 1e-6)), np.float64)


def _usual_before(change: Numbers) -> Numbers:
    """Return (n,) the median of the half a dozen frames before each, each with the larger of itself and the one before.

    Of two, as every second frame may be a repeat. Infinite for the first two frames.
    """
    larger = np.maximum(change[1:], change[:-1])
    known = np.concatenate([np.full(_NEIGHBOURS, np.nan), larger[:-1]])
    medians = np.nanmedian(np.lib.stride_tricks.sliding_window_view(known, _NEIGHBOURS)[1:], axis=1)
    return np.concatenate([[np.inf, np.inf], medians])


def _in_words(found: list[int]) -> str:
    shown = ", ".join(map(str, found[:5]))
    if len(found) == 1:
        return f"frame {shown} repeats the one before it while the picture moves"
    return f"{len(found)} frames repeat the one before them while the picture moves: {shown}"
