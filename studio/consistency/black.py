"""Black, blank and dimmed frames: the picture goes missing for a moment, or was never there."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.check import BLANK_CONTRAST, AnalysisFrame, Direction, inconclusive, result
from studio.consistency.report import CheckResult

_MIN_FRAMES = 2
# A dip is looked for over this many frames to either side.
_REACH_SECONDS = 0.25
_ABRUPT = 0.5


class BlackFrames:
    """Finds frames that lose their light or their content against the frames on *both* sides, and plain frames.

    value: the largest share lost, 0 to 1. For mean lightness and for contrast (the spread of R, G and B over the
    frame) a frame is compared with the best frame within a quarter of a second before and after it, and the smaller
    loss counts, so a fade or a cut to a darker shot is no dip. Threshold .15: facts/consistency.md 4.1 (`black_dim`,
    two-sided luma dip, set by hand as clean clips stay below .02; AUC 1.0 down to one frame dimmed by half).

    A run of plain frames longer than that counts as 1 unless a fade leads into or out of it, and so does a clip that
    is plain from end to end.
    """

    id: ClassVar[str] = "black"
    title: ClassVar[str] = "Black or blank frames"
    unit: ClassVar[str] = "share lost"
    direction: ClassVar[Direction] = "higher_is_worse"
    threshold: ClassVar[float] = 0.15

    def __init__(self, frame_rate: Fraction) -> None:
        self._reach = max(3, round(float(frame_rate) * _REACH_SECONDS))
        self._lightness: list[float] = []
        self._contrast: list[float] = []

    def update(self, frame: AnalysisFrame) -> None:
        self._lightness.append(frame.mean_lightness)
        self._contrast.append(frame.contrast)

    def finish(self) -> CheckResult:
        if len(self._lightness) < _MIN_FRAMES:
            return inconclusive(self, f"fewer than {_MIN_FRAMES} frames")
        lightness, contrast = np.array(self._lightness), np.array(self._contrast)
        lost = np.maximum(_dips(lightness, self._reach, floor=8.0), _dips(contrast, self._reach, floor=BLANK_CONTRAST * 2))
        for first, last in _plain_runs(contrast):
            if self._is_abrupt(first, last):
                lost[first : last + 1] = 1.0
        value = float(lost.max())
        found = [int(index) for index in np.flatnonzero(lost >= self.threshold)]
        return result(self, value, series=[float(item) for item in lost], series_unit=self.unit,
                      frame_threshold=self.threshold, reason=_in_words(found, len(lost), lightness))  # fmt: skip

    def _is_abrupt(self, first: int, last: int) -> bool:
        """Say whether a run of plain frames begins and ends without a fade, where it begins or ends inside the clip."""
        before = self._contrast[max(0, first - self._reach) : first]
        after = self._contrast[last + 1 : last + 1 + self._reach]
        return all(
            side[edge] >= _ABRUPT * max(side) for side, edge in ((before, -1), (after, 0)) if side
        )


def _dips(levels: NDArray[np.float64], reach: int, floor: float) -> NDArray[np.float64]:
    """Return for each item the share by which it falls below the best on both sides within `reach`; 0 at the ends.

    floor: added to both, so that nearly black clips do not divide noise by noise.
    """
    lost = np.zeros(len(levels))
    for index in range(1, len(levels) - 1):
        before = levels[max(0, index - reach) : index].max()
        after = levels[index + 1 : index + 1 + reach].max()
        lost[index] = max(0.0, 1.0 - (levels[index] + floor) / (min(before, after) + floor))
    return lost


def _plain_runs(contrast: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return (first, last) of each group of plain frames."""
    plain = np.concatenate([[False], contrast < BLANK_CONTRAST, [False]])
    edges = np.flatnonzero(plain[1:] != plain[:-1])
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def _in_words(found: list[int], num_frames: int, lightness: NDArray[np.float64]) -> str:
    if not found:
        return ""
    what = "black" if lightness[found].max() < _BLACK_LIGHTNESS else "blank or much darker than the others"
    if len(found) == num_frames:
        return f"every frame is {what.split(' or ')[0]}"
    return f"{len(found)} of {num_frames} frames are {what}, the first is frame {found[0]}"


# 10 % of full light, as 8-bit L.
_BLACK_LIGHTNESS = 26.0
