"""Seams: a straight line through the whole picture where two tiles of it meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.checks.stills import NOTHING_TO_SEE, stills, throughout
from studio.consistency.facts import Floats
from studio.consistency.picture import SPREAD_SCALE, PictureFacts
from studio.consistency.report import Region
from studio.consistency.window import Window

# Of the eight stretches of a line, this many weakest ones are passed over.
_PASSED_OVER = 1
_MARGIN_LINES = 6
_LEAST_LINES = 24
# A black bar at a side: levels, and how far its columns may differ, and where it ends must.
_BAR_LIGHTNESS, _BAR_SPREAD, _BAR_DRIFT, _BAR_END = 32.0, 3.0, 1.5, 6.0
_BAR_MARGIN_CELLS = 3
_DRAWN_STEP, _CROSSING_SPEED = 8.5, 0.25

Axis = Literal["column", "row"]


class Seams(WindowCheck):
    """Looks for one step of light that runs straight through the whole picture and stays where it is.

    value: the step in levels of luma at one upright or level line, one pixel wide, less the steps on either side of it,
    in the second weakest of the eight stretches of the line, all of one sign, mean of every eighth frame of a window
    but the extremes; none counts as more than 16 levels. Edges of things end somewhere, are soft, or move on. Not
    counted: the edges of black bars, and where nothing moves across the line, steps of 8.5 levels and more, which are
    drawn or built. A fainter edge as sharp and as long in front of a camera that stands still looks the same as a seam.
    Threshold: from clean clips (`calibration.json`).
    """

    id: ClassVar[str] = "seams"
    title: ClassVar[str] = "Seams between tiles"
    unit: ClassVar[str] = "levels"
    threshold: ClassVar[float] = threshold_of("seams")

    def measure(self, window: Window) -> Measured | str:
        pictures = stills(window)
        if not pictures:
            return NOTHING_TO_SEE
        across, down = _crossing(window)
        upright = _strongest([picture.column_steps for picture in pictures], _bars(pictures, "column"), across)
        level = _strongest([picture.row_steps for picture in pictures], _bars(pictures, "row"), down)
        if upright is None and level is None:
            return "the picture is too small"
        value, place = max((item for item in (upright, level) if item is not None), key=lambda item: item[0])
        at = max(0.0, place - 0.01)
        is_upright = upright is not None and (value, place) == upright
        region = (
            Region(x=at, y=0.0, width=0.02, height=1.0) if is_upright else Region(x=0.0, y=at, width=1.0, height=0.02)
        )
        return throughout(window, value, self.threshold, region)

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        kind = "an upright" if region is None or region.height > region.width else "a level"
        return f"{kind} line runs straight through the picture in frames {first} to {last}"


def _crossing(window: Window) -> tuple[Floats, Floats]:
    """Return how fast things move across upright lines, (c,), and level ones, (r,), pixels of `small` per frame."""
    flow = window.motion("flow")[window.usable]
    if flow.ndim < 4 or len(flow) == 0:
        return np.zeros(1, np.float32), np.zeros(1, np.float32)
    sizes = np.abs(flow).mean(axis=0)
    return sizes[:, :, 0].mean(axis=0), sizes[:, :, 1].mean(axis=1)


def _strongest(
    steps: Sequence[NDArray[np.float16]], bars: tuple[int, int], crossing: Floats
) -> tuple[float, float] | None:
    """Return the strongest line's step, and its place from 0 to 1.

    steps: (8, lines) each. bars: lines left out at either end. crossing: speeds along the lines' axis.
    """
    usual = _usual(np.stack([item.astype(np.float32) for item in steps]))
    num_lines = usual.shape[1]
    first, last = max(_MARGIN_LINES, bars[0]), num_lines - max(_MARGIN_LINES, bars[1])
    if last - first < _LEAST_LINES:
        return None
    sides = np.pad(usual, ((0, 0), (2, 2)), mode="edge")
    alone = usual - (sides[:, :-4] + sides[:, 1:-3] + sides[:, 3:-1] + sides[:, 4:]) / 4
    # Beside a strong step, `alone` has an echo of it where the picture itself has no step.
    rises, falls = np.minimum(alone, usual), np.minimum(-alone, -usual)
    strength = np.maximum(np.sort(rises, axis=0)[_PASSED_OVER], np.sort(falls, axis=0)[_PASSED_OVER])
    speed = crossing[np.arange(num_lines) * len(crossing) // num_lines]
    strength = np.where((strength >= _DRAWN_STEP) & (speed < _CROSSING_SPEED), 0.0, strength)[first:last]
    best = int(strength.argmax())
    return max(0.0, float(strength[best])), (first + best + 1) / (num_lines + 1)


def _usual(steps: Floats) -> Floats:
    """Return the mean over pictures, (n, 8, lines), without the least and the greatest of four or more."""
    ordered = np.sort(steps, axis=0)
    return np.asarray((ordered[1:-1] if len(steps) >= 4 else ordered).mean(axis=0), np.float32)


def _bars(pictures: Sequence[PictureFacts], axis: Axis) -> tuple[int, int]:
    """Return how many lines at either end belong to black bars and their edges."""
    means: Floats = np.mean([picture.cells.astype(np.float32) for picture in pictures], axis=0)
    spreads: Floats = np.mean([picture.cell_spread.astype(np.float32) for picture in pictures], axis=0) / SPREAD_SCALE
    lines = pictures[0].column_steps.shape[1]
    if axis == "row":
        means, spreads, lines = means.T, spreads.T, pictures[0].row_steps.shape[1]
    side = (lines + 1) / means.shape[1]
    first, last = _bar_cells(means, spreads), _bar_cells(means[:, ::-1], spreads[:, ::-1])
    before, behind = (round((cells + _BAR_MARGIN_CELLS) * side) if cells else 0 for cells in (first, last))
    return before, behind


def _bar_cells(means: Floats, spreads: Floats) -> int:
    """Return how many columns of cells from the left belong to a black bar: plain and alike, with an abrupt end."""
    level = means.mean(axis=0)
    is_bar = (means.std(axis=0) < _BAR_SPREAD) & (spreads.max(axis=0) < _BAR_SPREAD) & (level < _BAR_LIGHTNESS)
    is_bar &= np.abs(level - level[0]) < _BAR_DRIFT
    cells = 0 if is_bar.all() else int(np.argmin(is_bar))
    return cells if cells and np.abs(level[cells : cells + 2] - level[0]).max() >= _BAR_END else 0
