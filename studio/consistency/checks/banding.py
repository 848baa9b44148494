"""Banding: smooth surfaces fall into steps because too few levels are left."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.checks.stills import NOTHING_TO_SEE, stills, throughout
from studio.consistency.facts import Floats
from studio.consistency.report import Region
from studio.consistency.window import Window

# From here on levels look like a comb; not the threshold, which is calibrated on what this measures.
_COMB_LIKE = 0.75
# Steps of 9 to 60 levels. Smaller ones are no wider than what the conversion from video levels leaves out by itself.
_SMALLEST_STEP, _LARGEST_STEP = 9.0, 60.0
_NUM_STEPS = 110
# Share of the pixels that must lie on smooth surfaces, in one colour at least.
_LEAST_SURFACE = 0.02
# No level weighs more than this, so that a plain background is not a comb by itself.
_HEAVIEST_LEVEL = 0.03
# A drawing in a few flat colours has few levels and no bands: so many teeth make a comb.
_LEAST_TEETH, _LEAST_TOOTH = 5, 0.02


class Banding(WindowCheck):
    """Measures whether the levels of smooth surfaces form a comb: the same step again and again.

    value: how closely the levels of red, green and blue keep to one common grid, 0 (anywhere) to 1 (only on it): the
    length of the mean of exp(2 pi i level / step) over the pixels whose 3x3 neighbours differ by 2 levels at most, for
    the step from 9 to 60 levels that fits best. The three share the grid's origin, as they do where bits are missing.
    Pictures without smooth surfaces are inconclusive, and so are drawings in fewer than five flat colours whose levels
    happen to lie on a grid.
    Threshold: from clean clips (`calibration.json`).
    """

    id: ClassVar[str] = "banding"
    title: ClassVar[str] = "Banding"
    unit: ClassVar[str] = "regularity of levels, 0 to 1"
    threshold: ClassVar[float] = threshold_of("banding")

    def measure(self, window: Window) -> Measured | str:
        pictures = stills(window)
        if not pictures:
            return NOTHING_TO_SEE
        shares = np.mean([picture.levels for picture in pictures], axis=0)
        smooth = [_capped(share) for share in shares if share.sum() >= _LEAST_SURFACE]
        if not smooth:
            return "the picture has no smooth surfaces"
        waves = _waves()
        fits = np.sum([waves @ share for share in smooth], axis=0) / len(smooth)
        best = int(np.abs(fits).argmax())
        value, phase = float(np.abs(fits[best])), float(np.angle(fits[best]))
        if value >= _COMB_LIKE and max(_num_teeth(share, _steps()[best], phase) for share in smooth) < _LEAST_TEETH:
            return "the picture has too few colours to tell banding from a drawing in flat colours"
        return throughout(window, value, self.threshold)

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"smooth surfaces fall into steps in frames {first} to {last}: too few levels are left"


def _capped(share: Floats) -> NDArray[np.float64]:
    bounded = np.minimum(share / share.sum(), _HEAVIEST_LEVEL).astype(np.float64)
    return np.asarray(bounded / bounded.sum())


def _num_teeth(share: NDArray[np.float64], step: float, phase: float) -> int:
    """Return how many steps of the grid hold a part of the pixels worth counting."""
    tooth = np.round(np.arange(256) / step - phase / (2 * np.pi)).astype(int)
    held = np.bincount(tooth - tooth.min(), weights=share)
    return int((held > _LEAST_TOOTH).sum())


@lru_cache(maxsize=1)
def _steps() -> NDArray[np.float64]:
    return 1 / np.linspace(1 / _SMALLEST_STEP, 1 / _LARGEST_STEP, _NUM_STEPS)


@lru_cache(maxsize=1)
def _waves() -> NDArray[np.complex128]:
    return np.asarray(np.exp(2j * np.pi * np.arange(256) / _steps()[:, None]))
