"""What the checks know about a frame: a few kilobytes of figures, taken once and shared by all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.consistency.picture import PictureFacts

Floats = NDArray[np.float32]

THUMB_ROWS, THUMB_COLUMNS = 27, 48
FLASH_ROWS, FLASH_COLUMNS = 18, 24


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionFacts:
    """How a frame follows from the one analysed before it and leads to the next.

    On (r, c) tiles of about 20x20 pixels, and (fr, fc) fine tiles of about 8x8, of the picture at about 320x180
    (`AnalysisFrame.small`); all float32. Levels are OpenCV's 8-bit Lab. "Moved" is the earlier picture, carried along
    the optical flow to where its contents are now.

    flow: (r, c, 2) x and y, pixels of `small` from the earlier frame to this one. valid: (r, c) share of the pixels,
    0 to 1, that both frames show: forward and backward flow agree. affine: (2, 3) the camera's move, from the earlier
    to this picture, in pixels of `small` from its centre. residual: (r, c, 3) mean of (this - moved) over valid
    pixels, L, a, b.
    absolute: (r, c) mean of |this L - moved L| over valid pixels. raw: (r, c) mean of |this L - earlier L|, unmoved.
    gradient: (r, c) mean length of the gradient of L, levels per pixel.
    boil: (r, c) mean over pixels of the smaller of |residual L| to the earlier and to the next frame, over the gradient
    around it. Only where valid; the last frame of a clip has its residual to the earlier frame alone.
    surprise: (r, c) mean of |this - moved| summed over L, a, b, over all pixels, valid or not.
    drift: (fr, fc) mean of (this L - moved L) over the gradient around it, valid pixels.
    jump: (fr, fc, 3) mean of (this - moved), L, a, b, all pixels.
    """

    flow: Floats
    valid: Floats
    affine: Floats
    residual: Floats
    absolute: Floats
    raw: Floats
    gradient: Floats
    boil: Floats
    surprise: Floats
    drift: Floats
    jump: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameFacts:
    """One frame in figures.

    lightness: mean L, 0 to 255. contrast: the largest standard deviation over the frame of R, G or B, levels.
    dark_share: share of pixels with L below 26.
    thumb: (27, 48, 3) uint8 Lab. flash: (18, 24, 4) float32: relative luminance 0 to 1, R / (R + G + B), CIE 1976 u'
    and v' (WCAG 2.2, general and red flash).
    change: levels by which the most changed 8x8 block differs from the frame before, NaN for the first frame.
    unchanged: share of pixels equal to the frame before, only counted where `change` is small.
    mean_change: mean |difference of L| to the frame before, NaN for the first frame.
    sharpness: ln of (1 + the variance of the Laplacian of L). columns: (W - 1,) and rows: (H - 1,) mean |difference| of
    luma between neighbouring columns and rows of the full picture, levels.
    motion: None for the first frame and for frames left out because the rate is above 30 frames per second.
    picture: of every eighth analysed frame, the first included; None for the others.
    """

    index: int
    time_seconds: float
    lightness: float
    contrast: float
    dark_share: float
    thumb: NDArray[np.uint8]
    flash: Floats
    change: float
    unchanged: float
    mean_change: float
    sharpness: float
    columns: Floats
    rows: Floats
    is_analysed: bool
    motion: MotionFacts | None
    picture: PictureFacts | None
