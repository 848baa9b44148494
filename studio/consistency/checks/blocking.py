"""Blocking: the picture falls into squares on the grid that codecs and decoders work on."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.checks.stills import NOTHING_TO_SEE, stills, throughout
from studio.consistency.facts import Floats
from studio.consistency.report import Region
from studio.consistency.window import Window

_SIDES = (8, 16)
_LEAST_LINES = 4


class Blocking(WindowCheck):
    """Measures how much stronger the steps between pixels are on the grid of 8x8 or 16x16 than beside it.

    value: twice the mean step across a grid line less the steps on either side of it, less the same elsewhere, in
    levels of luma, none counted above 16; the weaker of upright and level lines, the stronger of both grids, from every
    eighth frame of a window. Contents have edges anywhere, so that they cancel out. The grid is taken to begin in the
    upper left corner: blocks of a file that was scaled or cropped later are not found.
    Threshold: from clean clips (`calibration.json`).
    """

    id: ClassVar[str] = "blocking"
    title: ClassVar[str] = "Blocks"
    unit: ClassVar[str] = "levels"
    threshold: ClassVar[float] = threshold_of("blocking")

    def measure(self, window: Window) -> Measured | str:
        pictures = stills(window)
        if not pictures:
            return NOTHING_TO_SEE
        columns = np.mean([picture.column_ridges for picture in pictures], axis=0)
        rows = np.mean([picture.row_ridges for picture in pictures], axis=0)
        found = [(_excess(columns, side), _excess(rows, side)) for side in _SIDES]
        known = [min(pair) for pair in found if None not in pair]  # type: ignore[type-var]
        if not known:
            return "the picture is too small for a grid of blocks"
        return throughout(window, max(0.0, *(float(item or 0.0) for item in known)), self.threshold)

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"the picture falls into square blocks in frames {first} to {last}"


def _excess(ridges: Floats, side: int) -> float | None:
    """Return how much the lines of a grid stand out; None where it has too few."""
    is_line = np.arange(len(ridges)) % side == side - 1
    if is_line.sum() < _LEAST_LINES or is_line.all():
        return None
    return float(ridges[is_line].mean() - ridges[~is_line].mean())
