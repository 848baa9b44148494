"""Boiling texture: a surface is redrawn from frame to frame instead of moving."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.report import Region
from studio.consistency.tiles import block_region, blocks, is_mostly_plain, peak
from studio.consistency.window import Window

_MIN_FRAMES = 6
_BLOCK = 2
_SPEED_WEIGHT = 0.3
_LASTING_PERCENTILE = 25


class BoilingTexture(WindowCheck):
    """Finds patches whose detail fits neither the frame before nor the one after.

    value: the smaller of the residuals to both neighbours in time, divided by the gradient around each pixel (so that
    an error of the flow at an edge does not count for more than one on a surface), averaged over 2x2 tiles; what three
    quarters of a window's frames exceed, at the worst place. What moves fast is never matched well, so each tile is
    divided by 1 + 0.3 x its own speed or the picture's, whichever is higher (pixels per frame).
    Threshold: from clean clips (`calibration.json`).
    """

    id: ClassVar[str] = "boil"
    title: ClassVar[str] = "Boiling texture"
    unit: ClassVar[str] = "ratio"
    threshold: ClassVar[float] = threshold_of("boil")

    def measure(self, window: Window) -> Measured | str:
        usable = window.usable
        if usable.sum() < _MIN_FRAMES:
            return "too few frames in a row that can be compared"
        if is_mostly_plain(window):
            return "too much of the picture is plain to tell texture from noise"
        flow = window.motion("flow")
        speed = np.maximum(np.hypot(flow[..., 0], flow[..., 1]), window.speed[:, None, None])
        boil = blocks(window.motion("boil") / (1 + _SPEED_WEIGHT * speed), _BLOCK)
        lasting = np.percentile(boil[usable], _LASTING_PERCENTILE, axis=0)
        row, column = place = peak(lasting)
        series = np.where(usable, boil[:, row, column], np.nan)
        region = block_region(place, _BLOCK, window.motion("boil").shape[1:3])
        return Measured(value=float(lasting.max()), series=series, frame_threshold=self.threshold,
                        regions=[region] * len(window))  # fmt: skip

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"a surface is redrawn from frame to frame instead of moving, frames {first} to {last}"
