"""Putting the mark into frames: as faint as the quality bounds ask, and just as strong as they allow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.codeword import FULL, SHORT
from studio.provenance.watermark.invisibility import largest_amplitude
from studio.provenance.watermark.pattern import (
    PILOTS,
    UNITS,
    Grain,
    Gray,
    Grid,
    PilotWaves,
    band_pass,
    cover,
    local_power,
    pattern_of,
)
from studio.provenance.watermark.reading import FULL_BITS

FINE_FROM_LINES = 400

PILOT_SHARE = 0.3  # of the mark's power
FRAME_SIGMA, FRAME_FLOOR = 3.0, 0.5  # units; levels of luma below which a difference counts as noise
_REJECTION, _GAIN_LOW, _GAIN_HIGH = 0.8, 0.4, 2.5  # how far a bit's amplitude follows the picture's support
_GUARD_EVERY = 8  # frames between two looks at what the quality bounds allow
_NOMINAL = 1.3  # levels of luma, root mean square, before the bounds


class WatermarkEmbedder:
    """Adds one mark to the frames of one clip, one after the other. Same key, payload and frames: same result.

    key: secret bytes of this install. payload: 0 .. 2**bits - 1. bits: 64, or 24 for pictures too small for more.
    height, width: pixels. strength: 1.0 is as strong as the quality bounds of `invisibility` allow; more breaks them.
    grain: of the pattern; chosen by the frame's size unless given.
    """

    def __init__(
        self,
        key: bytes,
        payload: int,
        height: int,
        width: int,
        strength: float = 1.0,
        *,
        bits: int = FULL_BITS,
        grain: Grain | None = None,
    ) -> None:
        code = FULL if bits == FULL_BITS else SHORT
        self._shape = (height, width)
        self._strength = np.float32(strength)
        grain = grain or natural_grain(height, width)
        self._grid = grid_size(height, width, unit_pixels(height, width, grain))
        self._pattern = pattern_of(key, code, grain)
        self._codeword = code.encode(payload)
        self._mark = self._shaped(np.ones(code.coded_bits, np.float32))
        self._scale = np.float32(np.sqrt((1 - PILOT_SHARE) / max(float(np.mean(self._mark**2)), 1e-9)))
        self._waves = PilotWaves(self._pattern, self._grid)
        self._evenly = np.full(PILOTS, np.sqrt(2 * PILOT_SHARE / PILOTS))
        self._pilots = self._waves.sum(self._evenly)
        self._amplitude = np.float32(_NOMINAL)
        self._count = 0
        self._before: Gray | None = None

    def apply(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a marked copy. frame: (H, W, 3) uint8 RGB -> the same."""
        import cv2

        if frame.shape != (*self._shape, 3) or frame.dtype != np.uint8:
            raise ValueError(f"frame: expected {(*self._shape, 3)} uint8, got {frame.shape} {frame.dtype}")
        host = to_grid(frame, self._grid)
        mark = self._informed(host)
        if self._count % _GUARD_EVERY in (0, 1):  # the second frame is the first that can have moved
            motion = 0.0 if self._before is None else float(np.abs(host - self._before).mean())
            self._amplitude = np.float32(largest_amplitude(frame, self._enlarged(mark), motion))
        self._count += 1
        self._before = host
        steps = np.rint(self._enlarged(mark) * (self._amplitude * self._strength)).astype(np.int16)
        return np.asarray(cv2.add(frame, cv2.merge([steps] * 3), dtype=cv2.CV_8U), np.uint8)

    def _informed(self, host: Gray) -> Gray:
        """Return the mark for one frame on the reading grid, about 1 level root mean square.

        The picture itself looks like a weak mark to the reader. A bit that it happens to support needs little, one
        that it works against needs more (improved spread spectrum, Malvar and Florencio 2003).
        """
        band = band_pass(host)
        weight = np.asarray(1 / (np.sqrt(local_power(band, FRAME_SIGMA)) + FRAME_FLOOR), np.float32)
        parts = (self._mark * (self._scale * self._amplitude), self._pilots * self._amplitude)
        seen, seen_waves = (band_pass(part) * weight for part in parts)
        bits = _gain(self._bits(seen), self._bits(band * weight))
        waves = _gain(self._waves.found_in(seen_waves), self._waves.found_in(band * weight))
        return self._shaped(bits) * self._scale + self._waves.sum(waves * self._evenly)

    def _bits(self, image: Gray) -> NDArray[np.float64]:
        """Return how strongly a picture speaks for each bit of the codeword; negative is against it."""
        return self._pattern.soft_bits(band_pass(image)) * self._codeword

    def _shaped(self, gain: NDArray[np.floating]) -> Gray:
        return band_pass(cover(self._pattern.chips(self._codeword * gain), self._grid))

    def _enlarged(self, mark: Gray) -> Gray:
        import cv2

        return np.asarray(cv2.resize(mark, self._shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _gain(mark: NDArray[np.float64], picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the amplitude each part of the mark needs. mark, picture: how strongly each speaks for it."""
    support = picture / max(float(mark.mean()), 1e-6)
    return np.clip(1.0 - _REJECTION * support, _GAIN_LOW, _GAIN_HIGH)


def natural_grain(height: int, width: int) -> Grain:
    """Return the grain that a frame of this size gets unless a trial showed that the other one lasts longer."""
    return "fine" if min(height, width) >= FINE_FROM_LINES else "coarse"


def unit_pixels(height: int, width: int, grain: Grain) -> float:
    """Return pixels per unit; never below 1, as smaller chips would not survive a codec."""
    return max(min(height, width) / UNITS[grain], 1.0)


def grid_size(height: int, width: int, unit: float) -> Grid:
    """Return the size of the reading grid of a frame. unit: pixels per unit."""
    return max(round(height / unit), 1), max(round(width / unit), 1)


def to_grid(frame: NDArray[np.uint8], grid: Grid) -> Gray:
    """Return a frame's luma on a grid. frame: (H, W, 3) uint8 RGB -> grid, levels 0 to 255."""
    import cv2

    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    how = cv2.INTER_CUBIC if grid[0] > frame.shape[0] else cv2.INTER_AREA
    return np.asarray(cv2.resize(gray, grid[::-1], interpolation=how), np.float32)
