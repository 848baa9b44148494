"""Wobble: the whole picture quivers like jelly, though the camera moves smoothly."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.motion import tile_centres
from studio.consistency.report import Region
from studio.consistency.tiles import is_mostly_plain, textured
from studio.consistency.window import Window

_MIN_FRAMES = 6
_LOW_PERCENTILE = 30
_STILL_PIXELS = 0.3


class Wobble(WindowCheck):
    """Finds motion that changes its direction everywhere at once and that no camera makes.

    value: the acceleration of the flow beyond the camera's affine move, pixels of the analysed picture per frame and
    frame, of the 30th percentile of the tiles with some texture (a subject in front of a still background leaves most
    tiles at 0), times its ratio to the flow itself (what moves steadily accelerates little); the median over a window.
    Threshold: from clean clips (`calibration.json`).
    """

    id: ClassVar[str] = "wobble"
    title: ClassVar[str] = "Wobble"
    unit: ClassVar[str] = "pixels"
    threshold: ClassVar[float] = threshold_of("wobble")

    def measure(self, window: Window) -> Measured | str:
        usable = window.usable
        pairs = usable[:-1] & usable[1:]
        if pairs.sum() < _MIN_FRAMES:
            return "too few frames in a row that can be compared"
        if is_mostly_plain(window):
            return "too much of the picture is plain to see how all of it moves"
        own = own_motion(window)
        turn = np.hypot(*np.moveaxis(own[1:] - own[:-1], -1, 0))
        length = np.hypot(own[..., 0], own[..., 1])
        ratio = turn / (length[1:] + length[:-1] + _STILL_PIXELS)
        quiver = np.percentile((turn * ratio)[:, textured(window)], _LOW_PERCENTILE, axis=1)
        series = np.full(len(window), np.nan)
        series[1:] = np.where(pairs, quiver, np.nan)
        return Measured(value=float(np.median(quiver[pairs])), series=series, frame_threshold=self.threshold)

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"the whole picture quivers like jelly in frames {first} to {last}"


def own_motion(window: Window) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return (n, r, c, 2): the flow beyond the camera's move, pixels of the analysed picture per analysed frame."""
    flow, moves = window.motion("flow"), window.motion("affine")
    rows, columns = flow.shape[1:3]
    centres = tile_centres(rows, columns, window.shape)
    points = np.concatenate([centres, np.ones((rows, columns, 1))], axis=2)
    camera = np.einsum("rck,nmk->nrcm", points, moves)
    return np.asarray(flow - camera, np.float64)
