"""Finding where a crop was cut out of a clip of known size: the scale is known then, and only the shift is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.alignment import Alignment
from studio.provenance.watermark.despreading import matched
from studio.provenance.watermark.geometry import Candidate
from studio.provenance.watermark.pattern import (
    CHIP_UNITS,
    PILOTS,
    TILE_CHIPS,
    TILE_UNITS,
    Gray,
    Pattern,
    PilotWaves,
    band_pass,
)
from studio.provenance.watermark.view import View

_BATCH = 64
_KEPT = 3  # shifts looked at more closely


def find_shifts(view: View, image: Gray, pattern: Pattern, codewords: NDArray[np.float32]) -> list[Candidate]:
    """Return the likeliest shifts, by correlation with each of the known marks and with the pilot waves.

    image: the view's mean or its first frame. codewords: (n, coded_bits) of -1.0 and 1.0.
    """
    rectified = view.alignment.rectify(image)
    tile = _folded(band_pass(rectified * matched(rectified)))
    spectrum = np.fft.rfft2(tile) * np.conj(np.fft.rfft2(_shaped(_impulse())))
    waves = PilotWaves(pattern, (TILE_UNITS, TILE_UNITS)).sum(np.ones(PILOTS))
    best = [_peak(np.fft.irfft2(np.fft.rfft2(tile) * np.conj(np.fft.rfft2(waves))))]
    for start in range(0, len(codewords), _BATCH):
        chips = (codewords[start : start + _BATCH, pattern.order] * pattern.signs).reshape(-1, TILE_CHIPS, TILE_CHIPS)
        marks = np.kron(chips, np.ones((1, CHIP_UNITS, CHIP_UNITS), np.float32))
        surfaces = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(marks)))
        best = sorted([*best, *map(_peak, surfaces)], reverse=True)[:_KEPT]
    linear, start_pixel = view.alignment.matrix[:, :2], view.alignment.matrix[:, 2]
    return [
        Candidate(Alignment.covering(linear, linear @ np.array([column, row]) + start_pixel, view.size), height)
        for height, row, column in best
    ]


def _folded(image: Gray) -> Gray:
    """Add up all tiles. -> (128, 128) units."""
    rows, columns = (-(-size // TILE_UNITS) * TILE_UNITS for size in image.shape)
    padded = np.pad(image, ((0, rows - image.shape[0]), (0, columns - image.shape[1])))
    return np.asarray(padded.reshape(-1, TILE_UNITS, columns // TILE_UNITS, TILE_UNITS).sum(axis=(0, 2)), np.float32)


def _impulse() -> Gray:
    impulse = np.zeros((TILE_UNITS, TILE_UNITS), np.float32)
    impulse[TILE_UNITS // 2, TILE_UNITS // 2] = 1.0
    return impulse


def _shaped(impulse: Gray) -> Gray:
    """Return the band's response to an impulse, around the corner of the tile."""
    return np.roll(band_pass(impulse), (TILE_UNITS // 2, TILE_UNITS // 2), axis=(0, 1))


def _peak(surface: NDArray[np.floating]) -> tuple[float, int, int]:
    """Return the highest point in standard deviations, its row and its column."""
    row, column = np.unravel_index(int(np.argmax(surface)), surface.shape)
    return float(surface[row, column] / (surface.std() + 1e-12)), int(row), int(column)
