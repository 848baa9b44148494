"""Blank generation: the model gave noise or haze, or nothing at all, where a picture should be."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from studio.consistency.check import BLANK_CONTRAST, Check, ClipContext, inconclusive, result
from studio.consistency.facts import FrameFacts
from studio.consistency.picture import LAGS, SLOPE_EDGES, SPREAD_SCALE, PictureFacts
from studio.consistency.report import CheckResult
from studio.consistency.timeline import Timeline

# The length of the gradient of Gaussian noise of any colour follows Rayleigh's law: its root mean square is so many
# times its mean. Pictures have few edges and much that is smooth: 1.29 and more in every clean clip that was measured.
_NOISE_RATIO = (4 / np.pi) ** 0.5
_PICTURE_RATIO = 1.45
# Levels: a picture's standard deviation from where its light is as spread as in ordinary ones.
_ORDINARY_SPREAD = 30.0
_MIN_FRAMES = 2


class BlankGeneration(Check):
    """Finds clips without structure: noise, a textured haze, or one plain colour throughout.

    value: 0 (a picture) to 1 (noise): how close the gradients' lengths come to those of noise, times how little larger
    structure there is: the greater of one less the standard deviation of luma over 30 levels (haze) and one less the
    correlation of neighbours four pixels apart (noise), both at about 320x180. The least over every eighth frame
    outside of fades: it has to be so throughout. A plain frame counts as 1.
    Threshold: set by hand; clean clips measure .23 and less, a failed generation that shows noise .5.
    """

    id: ClassVar[str] = "blank_generation"
    title: ClassVar[str] = "Noise or nothing instead of a picture"
    unit: ClassVar[str] = "likeness to noise, 0 to 1"
    threshold: ClassVar[float] = 0.42

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._figures: dict[int, float] = {}
        self._num_frames = 0

    def update(self, facts: FrameFacts) -> None:
        self._num_frames = facts.index + 1
        if facts.picture is not None:
            is_plain = facts.contrast < BLANK_CONTRAST
            self._figures[facts.index] = 1.0 if is_plain else noise_likeness(facts.picture)

    def finish(self, timeline: Timeline) -> CheckResult:
        if self._num_frames < _MIN_FRAMES:
            return inconclusive(self, f"fewer than {_MIN_FRAMES} frames")
        indices = np.array(list(self._figures))
        judged = indices[~timeline.fading(indices)]
        if len(judged) == 0:
            return inconclusive(self, "the clip fades throughout")
        reason = "the clip shows noise or a plain surface, and no picture"
        return result(self, min(self._figures[int(index)] for index in judged),
                      series=[self._figures.get(index) for index in range(self._num_frames)], series_unit=self.unit,
                      frame_threshold=self.threshold, reason=reason)  # fmt: skip


def noise_likeness(picture: PictureFacts) -> float:
    """Return 0 for a picture to 1 for noise."""
    if picture.slopes[0] > 0.999:
        return 0.0
    middles = np.array([0.6 * SLOPE_EDGES[0], *(edge * 2**0.25 for edge in SLOPE_EDGES)])
    mean = float((picture.slopes * middles).sum())
    ratio = float((picture.slopes * middles**2).sum()) ** 0.5 / mean
    is_noise = float(np.clip((_PICTURE_RATIO - ratio) / (_PICTURE_RATIO - _NOISE_RATIO), 0, 1))
    cells, spread = picture.cells.astype(np.float32), picture.cell_spread.astype(np.float32) / SPREAD_SCALE
    deviation = float((cells.var() + (spread**2).mean()) ** 0.5)
    haze = 1 - deviation / _ORDINARY_SPREAD
    alone = 1 - float(picture.likeness[:, LAGS.index(4)].mean())
    return is_noise * float(np.clip(max(haze, alone), 0, 1))
