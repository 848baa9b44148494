"""Jump cuts: frames are missing, so that everything is suddenly somewhere else."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.facts import Floats
from studio.consistency.report import Region
from studio.consistency.transitions import Numbers, cut_scores, shot_step, usual_of
from studio.consistency.window import Window

_MIN_FRAMES = 6
_NEIGHBOURS = 9
# Added to what is usual: levels of the picture at about 320x180, its pixels, and a share of the flow, as jerk grows
# with speed.
_CHANGE_FLOOR = 0.1
_JERK_FLOOR, _JERK_PER_SPEED = 0.1, 0.3
# The frames beside a jump jerk as well; what has not changed more than usual must not live on that.
_MOST_JERK = 2.0
# From here on the picture has nothing in common with the one before: a hard cut, and that check's business.
_OTHER_SHOT = 0.5
# What a jump changes stays changed: so many frames on either side are compared.
_SIDE = 3
_LASTING_FROM, _LASTING_TO = 0.3, 0.7
# Below this nothing jumps; not the threshold, which is calibrated on what this measures.
_WORTH_A_LOOK = 1.2
_MOST_CANDIDATES = 6


class JumpCut(WindowCheck):
    """Finds frames before which some are missing.

    value: of the frame where it is most, a mean of two ratios to what is usual in the nine frames on either side: the
    mean difference of lightness to the frame before, unmoved, and the jerk of the optical flow, how far it is from the
    mean of the flow before and after (at most twice the other). Geometric mean in which the first counts twice; scaled
    down where the frames soon look as they did before, or where light alone has changed. Hard cuts are left out.
    Threshold: from benchmarks/consistency.
    """

    id: ClassVar[str] = "jump_cut"
    title: ClassVar[str] = "Jump cuts"
    unit: ClassVar[str] = "times the usual"
    threshold: ClassVar[float] = threshold_of("jump_cut")

    def measure(self, window: Window) -> Measured | str:
        if len(window) < _MIN_FRAMES or not window.has_motion:
            return f"fewer than {_MIN_FRAMES} frames to compare"
        moving = np.array([frame.motion is not None for frame in window.frames])
        if moving.sum() < _MIN_FRAMES - 1:
            return f"fewer than {_MIN_FRAMES} frames to compare"
        series = np.full(len(window), np.nan)
        series[moving] = self._judge(window, moving)
        series[window.fading] = np.nan
        if np.isnan(series).all():
            return "every frame is part of a fade"
        return Measured(value=float(np.nanmax(series)), series=series, frame_threshold=self.threshold)

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"the picture jumps at frame {first}, as if frames before it were missing"

    def _judge(self, window: Window, moving: NDArray[np.bool_]) -> Numbers:
        """Return the figure of each frame that has motion."""
        change = window.motion("raw")[moving].mean(axis=(1, 2)).astype(np.float64)
        flow = window.motion("flow")[moving]
        jerk, speed = _jerk(flow), np.hypot(flow[..., 0], flow[..., 1]).mean(axis=(1, 2)).astype(np.float64)
        stands_out = change / (usual_of(change, _NEIGHBOURS) + _CHANGE_FLOOR)
        least_jerk = _JERK_FLOOR + _JERK_PER_SPEED * usual_of(speed, _NEIGHBOURS)
        jerks = jerk / (usual_of(jerk, _NEIGHBOURS) + least_jerk)
        score = np.cbrt(stands_out * stands_out * np.minimum(jerks, _MOST_JERK * stands_out))
        thumbs = window.stack("thumb")
        steps = np.abs(np.diff(thumbs.astype(np.float32), axis=0)).mean(axis=(1, 2, 3)).astype(np.float64)
        places = np.flatnonzero(moving)
        hidden = 1.0 - window.motion("valid")[moving].mean(axis=(1, 2)).astype(np.float64)
        score[cut_scores(hidden, steps[np.maximum(places - 1, 0)]) >= _OTHER_SHOT] = 0.0
        for candidate in np.argsort(score)[::-1][:_MOST_CANDIDATES]:
            if score[candidate] >= _WORTH_A_LOOK:
                score[candidate] *= _lasts(thumbs, int(places[candidate]))
        return np.asarray(score, np.float64)


def _jerk(flow: Floats) -> Numbers:
    """Return (n,) the mean distance of each flow (n, r, c, 2), pixels, from the mean of those beside it."""
    before, after = np.concatenate([flow[:1], flow[:-1]]), np.concatenate([flow[1:], flow[-1:]])
    off = flow - (before + after) / 2
    return np.asarray(np.hypot(off[..., 0], off[..., 1]).mean(axis=(1, 2)), np.float64)


def _lasts(thumbs: NDArray[np.uint8], place: int) -> float:
    """Return 1 where the pictures from `place` on differ from those before for good, 0 where they soon do not.

    Light is left out of account. thumbs: (n, 27, 48, 3) uint8 Lab. 0 for the window's first: the window before shows it
    with what came before.
    """
    if place == 0:
        return 0.0
    before = thumbs[max(0, place - _SIDE) : place].astype(np.float32)
    after = thumbs[place : place + _SIDE].astype(np.float32)
    step = float(np.abs(after[0] - before[-1]).mean()) + 1e-3
    least = min(shot_step(first, second) for first in before for second in after)
    return float(np.clip((least / step - _LASTING_FROM) / (_LASTING_TO - _LASTING_FROM), 0.0, 1.0))
