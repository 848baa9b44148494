"""A blind, keyed, invisible video watermark: 64 bits in the luma of every frame, readable without the original.

Spread spectrum (Cox et al. 1997, https://doi.org/10.1109/83.650120): a codeword is scattered by the key over a tile of
32 x 32 chips, the tile is repeated over the frame, and the same faint pattern is added to all frames. The reader
averages over time and tiles. It proves nothing by itself: only a signed manifest that names the mark does.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from studio.provenance.codeword import CODED_BITS, PAYLOAD_BITS, decode, encode

ALGORITHM = "org.localvideostudio.watermark.1"

_TILE = 32  # chips per side
_CHIP = 4  # units per side of a chip; a unit is a pixel of the reading grid
_UNITS = 288  # units on the short side of a frame that is large enough
_BAND = (1.0, 2.0)  # sigmas, in units, of the two Gaussians whose difference shapes the pattern
_SMALLEST_SCALED = 96  # lines; a large frame scaled down further than this is not searched for

# Measured on 14 real and drawn clips; see tests/studio/provenance/test_watermark.py for what they must give.
_PATTERN_SCALE = 3.0  # brings the shaped pattern to about 1 level of luma, root mean square
_FLAT, _TEXTURED, _MOST = 0.65, 0.16, 2.5  # amplitude: in flat areas, more per level of texture, never above
_REJECTION, _GAIN_LOW, _GAIN_HIGH = 0.8, 0.4, 2.5  # how far a bit's amplitude follows the picture's support
_FRAME_SIGMA, _FRAME_FLOOR = 3.0, 0.5  # units; levels of luma below which a difference counts as noise
_CLIP_SIGMA, _CLIP_FLOOR = 4.0, 0.03

Gray = NDArray[np.float32]


@dataclass(frozen=True)
class WatermarkRecord:
    """A mark that was read back. algorithm: reverse-DNS name. payload: 64 bits. confidence: in [0, 1]."""

    algorithm: str
    payload: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class WatermarkReading:
    """What a reader found. payload: None unless detected. confidence: share of the codeword read rightly, in [0, 1]."""

    detected: bool
    payload: int | None
    confidence: float


def random_payload() -> int:
    """Return a fresh 64-bit identifier; never 0."""
    return secrets.randbelow((1 << PAYLOAD_BITS) - 1) + 1


class WatermarkEmbedder:
    """Adds one mark to the frames of one clip, frame by frame. Same key, payload and frame: same result.

    key: secret bytes of this install. payload: 0 .. 2**64 - 1. height, width: pixels.
    strength: 1.0 gives 43 to 50 dB on real clips; the amplitude grows with it.
    """

    def __init__(self, key: bytes, payload: int, height: int, width: int, strength: float = 1.0) -> None:
        self._shape = (height, width)
        self._grid = _grid_size(height, width, _unit_pixels(height, width))
        self._amplitude = np.float32(strength * _PATTERN_SCALE * _boost(self._grid))
        self._order, self._signs = _spread(key)
        self._codeword = encode(payload)
        self._chips = self._cover(np.ones(CODED_BITS, np.float32))

    def apply(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a marked copy. frame: (H, W, 3) uint8 RGB -> the same."""
        import cv2

        if frame.shape != (*self._shape, 3) or frame.dtype != np.uint8:
            raise ValueError(f"frame: expected {(*self._shape, 3)} uint8, got {frame.shape} {frame.dtype}")
        host = _to_grid(frame, self._grid)
        delta = self._delta(host)
        full = cv2.resize(delta, self._shape[::-1], interpolation=cv2.INTER_CUBIC)
        steps = np.rint(full).astype(np.int16)
        return np.asarray(cv2.add(frame, cv2.merge([steps] * 3), dtype=cv2.CV_8U), np.uint8)

    def _delta(self, host: Gray) -> Gray:
        """Return what to add to the luma, on the reading grid.

        The picture itself looks like a weak mark to the reader. A bit that it happens to support needs little, one
        that it works against needs more (improved spread spectrum, Malvar and Florencio 2003).
        """
        band = _band_pass(host)
        weight = np.asarray(1 / (np.sqrt(_local_power(band, _FRAME_SIGMA)) + _FRAME_FLOOR), np.float32)
        shade = _tolerance(band) * self._amplitude
        mark = self._bits(_band_pass(self._pattern(self._chips) * shade) * weight)
        support = self._bits(band * weight) / max(float(mark.mean()), 1e-6)
        gain = np.clip(1.0 - _REJECTION * support, _GAIN_LOW, _GAIN_HIGH)
        return self._pattern(self._cover(gain)) * shade

    def _bits(self, band: Gray) -> NDArray[np.float64]:
        """Return how strongly a picture speaks for each bit of the codeword; negative is against it."""
        return _soft_bits(band, self._grid, self._order, self._signs) * self._codeword

    def _cover(self, gain: NDArray[np.floating]) -> Gray:
        tile = ((self._codeword * gain)[self._order] * self._signs).astype(np.float32)
        return _cover(tile.reshape(_TILE, _TILE), self._grid)

    def _pattern(self, chips: Gray) -> Gray:
        return _band_pass(_to_units(chips, self._grid))


class WatermarkDetector:
    """Reads a mark from the frames of one clip; one frame may be enough.

    key: the bytes it was embedded with. An unmarked clip is taken for a marked one with probability below 5e-10.
    """

    def __init__(self, key: bytes) -> None:
        self._order, self._signs = _spread(key)
        self._sums: dict[tuple[int, int], Gray] = {}
        self._count = 0

    def update(self, frame: NDArray[np.uint8]) -> None:
        """Take one decoded frame. frame: (H, W, 3) uint8 RGB; the first one's size sets the grid for all."""
        if not self._sums:
            self._sums = {grid: np.zeros(grid, np.float32) for grid in _candidate_grids(*frame.shape[:2])}
        for grid, total in self._sums.items():
            total += _whitened(_band_pass(_to_grid(frame, grid)))
        self._count += 1

    def finish(self) -> WatermarkReading:
        """Return what the frames seen so far hold; more may follow."""
        for grid, total in self._sums.items():
            soft = _soft_bits(_weighted(total / np.float32(self._count)), grid, self._order, self._signs)
            payload = decode(soft)
            if payload is not None:
                return WatermarkReading(detected=True, payload=payload, confidence=_agreement(soft, payload))
        return WatermarkReading(detected=False, payload=None, confidence=0.0)


def _soft_bits(
    band: Gray, grid: tuple[int, int], order: NDArray[np.int64], signs: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Despread: collect the chips of every coded bit from all tiles. -> (CODED_BITS,)."""
    tile = _fold(_at_chips(_band_pass(band), grid)).reshape(-1)
    weights = (tile * signs).astype(np.float64)
    return np.asarray(np.bincount(order, weights=weights, minlength=CODED_BITS), np.float64)


def _agreement(soft: NDArray[np.float64], payload: int) -> float:
    """Return the share of the soft bits' weight that has the codeword's sign."""
    return float(np.clip((soft * encode(payload)).sum() / np.abs(soft).sum(), 0.0, 1.0))


@lru_cache(maxsize=8)
def _spread(key: bytes) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for each chip of a tile the coded bit it carries and its sign. SHAKE-256, not numpy: stable for ever."""
    chips = _TILE * _TILE
    stream = hashlib.shake_256(ALGORITHM.encode() + b"\0" + key).digest(9 * chips)
    rank = np.argsort(np.frombuffer(stream[: 8 * chips], ">u8"), kind="stable")
    order = np.empty(chips, np.int64)
    order[rank] = np.arange(chips) % CODED_BITS
    signs = np.where(np.frombuffer(stream[8 * chips :], np.uint8) & 1, 1.0, -1.0).astype(np.float32)
    return order, signs


def _unit_pixels(height: int, width: int) -> float:
    """Return pixels per unit. Below 288 lines a unit is a pixel: smaller chips would not survive a codec."""
    return max(min(height, width) / _UNITS, 1.0)


def _grid_size(height: int, width: int, unit: float) -> tuple[int, int]:
    return max(round(height / unit), 1), max(round(width / unit), 1)


def _boost(grid: tuple[int, int]) -> float:
    """Return how much more a small frame needs: with few tiles little is left to average."""
    tiles = grid[0] * grid[1] / (_CHIP * _TILE) ** 2
    return float(np.clip(2.0 / np.sqrt(max(tiles, 1e-3)), 1.0, 1.5))


def _candidate_grids(height: int, width: int) -> list[tuple[int, int]]:
    """Return the grids to try: as embedded at this size, and for a small frame as scaled down from a large one."""
    units = [_unit_pixels(height, width)]
    if _SMALLEST_SCALED <= min(height, width) < _UNITS:
        units.append(min(height, width) / _UNITS)
    return [_grid_size(height, width, unit) for unit in units]


def _to_grid(frame: NDArray[np.uint8], grid: tuple[int, int]) -> Gray:
    import cv2

    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    is_smaller = grid[0] > frame.shape[0]
    how = cv2.INTER_CUBIC if is_smaller else cv2.INTER_AREA
    return np.asarray(cv2.resize(gray, grid[::-1], interpolation=how), np.float32)


def _band_pass(image: Gray) -> Gray:
    import cv2

    fine, coarse = _BAND
    return np.asarray(cv2.GaussianBlur(image, (0, 0), fine) - cv2.GaussianBlur(image, (0, 0), coarse), np.float32)


def _whitened(band: Gray) -> Gray:
    """Return a frame's share of the sum: limited, so that no edge outweighs a flat area where the mark is clear."""
    return np.asarray(np.tanh(band / (np.sqrt(_local_power(band, _FRAME_SIGMA)) + _FRAME_FLOOR)), np.float32)


def _weighted(band: Gray) -> Gray:
    """Weight the average of all frames by how little picture is left in it, as a matched filter does."""
    return np.asarray(band / (_local_power(band, _CLIP_SIGMA) + _CLIP_FLOOR), np.float32)


def _local_power(band: Gray, sigma: float) -> Gray:
    import cv2

    return np.asarray(cv2.GaussianBlur(band * band, (0, 0), sigma), np.float32)


def _tolerance(band: Gray) -> Gray:
    """Return the amplitude that goes unseen: more in texture, less in flat areas."""
    import cv2

    strength = np.abs(band)
    inside = cv2.erode(strength, np.ones((5, 5), np.uint8))  # a lone edge is not texture: the mark would show beside it
    texture = cv2.GaussianBlur(inside + 0.5 * strength, (0, 0), 2.0)
    return np.asarray(np.minimum(_FLAT + _TEXTURED * texture, _MOST), np.float32)


def _cover(tile: Gray, grid: tuple[int, int]) -> Gray:
    """Repeat a tile over a grid. -> (chip rows, chip columns), the last ones possibly cut off by the edge."""
    rows, columns = -(-grid[0] // _CHIP), -(-grid[1] // _CHIP)
    return np.tile(tile, (-(-rows // _TILE), -(-columns // _TILE)))[:rows, :columns]


def _to_units(chips: Gray, grid: tuple[int, int]) -> Gray:
    return np.kron(chips, np.ones((_CHIP, _CHIP), np.float32))[: grid[0], : grid[1]]


def _at_chips(image: Gray, grid: tuple[int, int]) -> Gray:
    """Return the mean over each chip. -> (chip rows, chip columns)."""
    rows, columns = -(-grid[0] // _CHIP), -(-grid[1] // _CHIP)
    padded = np.pad(image, ((0, rows * _CHIP - grid[0]), (0, columns * _CHIP - grid[1])))
    return np.asarray(padded.reshape(rows, _CHIP, columns, _CHIP).mean(axis=(1, 3)), np.float32)


def _fold(chips: Gray) -> Gray:
    """Add up all tiles. -> (32, 32)."""
    rows, columns = -(-chips.shape[0] // _TILE) * _TILE, -(-chips.shape[1] // _TILE) * _TILE
    padded = np.pad(chips, ((0, rows - chips.shape[0]), (0, columns - chips.shape[1])))
    return np.asarray(padded.reshape(-1, _TILE, columns // _TILE, _TILE).sum(axis=(0, 2)), np.float32)
