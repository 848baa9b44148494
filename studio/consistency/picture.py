"""What one picture looks like by itself, in figures: too dear for every frame, so every eighth is looked at."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.consistency.frame import AnalysisFrame
from studio.media import Image

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Of the analysed frames.
PICTURE_STRIDE = 8
LAGS = (1, 2, 4, 8, 16, 32)
# Levels per pixel: 0.25, 0.35, 0.5, 0.71, 1, ... 32.
SLOPE_EDGES = tuple(0.25 * 2 ** (step / 2) for step in range(15))
# Stretches of each line whose steps are kept apart: an object's edge rarely runs through all of them.
BANDS = 8
_CELL_PIXELS = 8
_MOST_CELLS = 128 * 72
# Levels: a step between two columns counts for no more than this, so that lines do not drown surfaces.
_SOFT_STEP = 16
# Levels between the darkest and the lightest of 3x3 pixels where a colour counts as smooth.
_SMOOTH_LEVELS = 2
SPREAD_SCALE = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureFacts:
    """A picture's own figures; levels are those of 8-bit luma at full size unless said otherwise.

    entropy: bits of the histogram of L of `small`, 0 to 8. slopes: (16,) share of the pixels of `small` by the length
    of the gradient of L, between `SLOPE_EDGES`. likeness: (2, 6) correlation of L of `small` with itself `LAGS` pixels
    across and down, -1 to 1; 0 where the picture is plain or smaller than that.
    column_steps: (8, W - 1) and row_steps: (8, H - 1) float16 mean signed step to the next column or row, in each
    eighth of the line's length; none counts as more than 16. column_ridges: (W - 1,) and row_ridges: (H - 1,) mean of
    twice the absolute step less those on either side, the same bound.
    levels: (3, 256) share of all pixels that have this level of R, G, B where its 3x3 pixels differ by 2 at most.
    cells: (ch, cw) uint8 mean luma of blocks of 8x8 pixels, larger in pictures above 1024x576. cell_spread: the same of
    the standard deviation, in quarters of a level.
    """

    entropy: float
    slopes: Floats
    likeness: Floats
    column_steps: NDArray[np.float16]
    row_steps: NDArray[np.float16]
    column_ridges: Floats
    row_ridges: Floats
    levels: Floats
    cells: Bytes
    cell_spread: Bytes


def describe_picture(frame: AnalysisFrame) -> PictureFacts:
    """Put a picture into figures; about 14 ms at 1024x576 on one core."""
    import cv2

    luma = frame.luma
    lightness = np.asarray(cv2.cvtColor(frame.small, cv2.COLOR_RGB2LAB)[:, :, 0], np.float32)
    shares = np.bincount(lightness.astype(np.uint8).reshape(-1), minlength=256) / lightness.size
    known = shares[shares > 0]
    column_steps, column_ridges = _profiles(luma)
    row_steps, row_ridges = _profiles(np.ascontiguousarray(luma.T))
    cells, spread = _cells(luma)
    return PictureFacts(
        entropy=float(-(known * np.log2(known)).sum()),
        slopes=_slopes(lightness),
        likeness=np.array([[_likeness(lightness, lag, axis) for lag in LAGS] for axis in (1, 0)], np.float32),
        column_steps=column_steps,
        row_steps=row_steps,
        column_ridges=column_ridges,
        row_ridges=row_ridges,
        levels=_smooth_levels(frame.image),
        cells=cells,
        cell_spread=spread,
    )


def _slopes(lightness: Floats) -> Floats:
    import cv2

    across = cv2.Sobel(lightness, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(lightness, cv2.CV_32F, 0, 1, scale=1 / 8)
    lengths = np.asarray(cv2.magnitude(across, down)).reshape(-1)
    # Half octaves: the place of a length among the edges by its logarithm, which is faster than a search.
    places = (2 * np.log2(np.maximum(lengths, 1e-3) / SLOPE_EDGES[0])).astype(np.float32)
    bins = np.clip(np.floor(places).astype(np.int32) + 1, 0, len(SLOPE_EDGES))
    return (np.bincount(bins, minlength=len(SLOPE_EDGES) + 1) / lengths.size).astype(np.float32)


def _likeness(lightness: Floats, lag: int, axis: int) -> float:
    if lightness.shape[axis] <= lag + 1:
        return 0.0
    first, second = (
        (lightness[:, :-lag], lightness[:, lag:]) if axis == 1 else (lightness[:-lag], lightness[lag:])
    )  # fmt: skip
    left, right = first - first.mean(), second - second.mean()
    power = float(np.sqrt((left * left).mean() * (right * right).mean()))
    return float((left * right).mean()) / power if power > 1e-3 else 0.0


def _profiles(luma: Bytes) -> tuple[NDArray[np.float16], Floats]:
    """Return the mean signed step between neighbouring columns, (8, W - 1), and the mean ridge, (W - 1,)."""
    import cv2

    height, width = luma.shape
    if width < 2:
        return np.zeros((BANDS, 0), np.float16), np.zeros(0, np.float32)
    step = np.asarray(cv2.subtract(luma[:, 1:], luma[:, :-1], dtype=cv2.CV_16S)).reshape(height, width - 1)
    soft = np.clip(step, -_SOFT_STEP, _SOFT_STEP).astype(np.float32)
    edges = [band * height // BANDS for band in range(BANDS + 1)]
    bands = [_column_means(soft[first : max(end, first + 1)]) for first, end in itertools.pairwise(edges)]
    sizes = _column_means(np.abs(soft))
    sides = np.pad(sizes, 1, mode="edge")
    return np.stack(bands).astype(np.float16), (2 * sizes - sides[:-2] - sides[2:]).astype(np.float32)


def _column_means(values: Floats) -> Floats:
    import cv2

    return np.asarray(cv2.reduce(values, 0, cv2.REDUCE_AVG), np.float32).reshape(-1)


def _smooth_levels(image: Image) -> Floats:
    import cv2

    square = np.ones((3, 3), np.uint8)
    counts = []
    for channel in cv2.split(image):
        span = np.asarray(cv2.morphologyEx(channel, cv2.MORPH_GRADIENT, square), np.uint8)
        smooth = (span <= _SMOOTH_LEVELS).view(np.uint8)
        counts.append(cv2.calcHist([channel], [0], smooth, [256], [0, 256]).reshape(-1))
    return (np.stack(counts) / image[:, :, 0].size).astype(np.float32)


def _cells(luma: Bytes) -> tuple[Bytes, Bytes]:
    import cv2

    height, width = luma.shape
    side = max(float(_CELL_PIXELS), (height * width / _MOST_CELLS) ** 0.5)
    size = (max(1, round(width / side)), max(1, round(height / side)))
    exact = luma.astype(np.float32)
    means = np.asarray(cv2.resize(exact, size, interpolation=cv2.INTER_AREA), np.float32)
    squares = np.asarray(cv2.resize(exact * exact, size, interpolation=cv2.INTER_AREA), np.float32)
    spread = SPREAD_SCALE * np.sqrt(np.maximum(squares - means * means, 0))
    return np.rint(means).astype(np.uint8), np.minimum(np.rint(spread), 255).astype(np.uint8)
