"""The secret pattern: which bit each chip of the tile carries, and the pilot waves that show the tile's geometry.

A unit is a pixel of the reading grid, a chip is 4 x 4 units, a tile 32 x 32 chips; the tile is repeated over the frame.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.codeword import Code
from studio.provenance.watermark.reading import ALGORITHM

Gray = NDArray[np.float32]
Grid = tuple[int, int]
Grain = Literal["fine", "coarse"]

# Units on the short side. Fine chips suffer less from the picture's texture, coarse ones less from a low bit rate.
UNITS: dict[Grain, int] = {"fine": 320, "coarse": 192}

TILE_CHIPS = 32
CHIP_UNITS = 4
TILE_UNITS = TILE_CHIPS * CHIP_UNITS
BAND = (1.0, 2.0)  # sigmas, in units, of the two Gaussians whose difference shapes the pattern

PILOTS = 12
_CYCLES = (11.0, 22.0)  # of a pilot wave in one tile: where the band is strongest
_APART, _MIRRORED_APART, _OFF_AXIS = 3.0, 2.0, 3


@dataclass(frozen=True)
class Pattern:
    """What a key means for one code.

    order: for each chip of the tile, row by row, the coded bit it carries. signs: -1.0 or 1.0 for each.
    cycles: (PILOTS, 2) whole cycles of each pilot wave in a tile, across and down. phases: (PILOTS,) radians.
    """

    order: NDArray[np.int64]
    signs: NDArray[np.float32]
    cycles: NDArray[np.int64]
    phases: NDArray[np.float64]

    @property
    def coded_bits(self) -> int:
        return int(self.order.max()) + 1

    def chips(self, bits: NDArray[np.floating]) -> Gray:
        """Return the tile that carries these coded bits. bits: (coded_bits,) -> (32, 32)."""
        return (bits[self.order] * self.signs).astype(np.float32).reshape(TILE_CHIPS, TILE_CHIPS)

    def soft_bits(self, image: Gray) -> NDArray[np.float64]:
        """Despread a grid-aligned, band-passed image: collect each bit's chips from all tiles. -> (coded_bits,)."""
        tile = fold(at_chips(image)).reshape(-1) * self.signs
        bits = np.bincount(self.order, weights=tile.astype(np.float64), minlength=self.coded_bits)
        return np.asarray(bits, np.float64)


@lru_cache(maxsize=16)
def pattern_of(key: bytes, code: Code, grain: Grain) -> Pattern:
    """Return the pattern of a key; every grain and code has its own. SHAKE-256 keeps it the same for ever."""
    chips = TILE_CHIPS * TILE_CHIPS
    stream = hashlib.shake_256(f"{ALGORITHM}/{grain}/{code.payload_bits}".encode() + b"\0" + key).digest(9 * chips)
    rank = np.argsort(np.frombuffer(stream[: 8 * chips], ">u8"), kind="stable")
    order = np.empty(chips, np.int64)
    order[rank] = np.arange(chips) % code.coded_bits
    signs = np.where(np.frombuffer(stream[8 * chips :], np.uint8) & 1, 1.0, -1.0).astype(np.float32)
    cycles, phases = _pilots(key, grain)
    return Pattern(order, signs, cycles, phases)


class PilotWaves:
    """The pilot waves on one grid, each with an amplitude of its own."""

    def __init__(self, pattern: Pattern, grid: Grid) -> None:
        across, down = (
            2 * np.pi / TILE_UNITS * np.outer(np.arange(size), cycles)
            for size, cycles in zip(grid[::-1], pattern.cycles.T, strict=True)
        )
        self._across = np.concatenate([np.cos(across), np.sin(across)], axis=1).astype(np.float32)
        self._cosines, self._sines = np.cos(down + pattern.phases), np.sin(down + pattern.phases)
        self._down = np.concatenate([self._cosines, -self._sines], axis=1).astype(np.float32)

    def sum(self, amplitudes: NDArray[np.floating]) -> Gray:
        """Return the waves together. amplitudes: (PILOTS,) -> grid."""
        import cv2

        weighted = self._down * np.tile(amplitudes, 2).astype(np.float32)
        return np.asarray(cv2.gemm(weighted, self._across, 1.0, None, 0.0, flags=cv2.GEMM_2_T), np.float32)

    def found_in(self, image: Gray) -> NDArray[np.float64]:
        """Return how strongly each wave is in a picture, in phase; negative is against it. -> (PILOTS,)."""
        import cv2

        rows = np.asarray(cv2.gemm(image, self._across, 1.0, None, 0.0), np.float32)
        return np.asarray((rows * self._down).sum(axis=0).reshape(2, -1).sum(axis=0), np.float64)


def cover(tile: Gray, grid: Grid) -> Gray:
    """Repeat a tile of chips over a grid of units; the last tiles may be cut off by the edge."""
    rows, columns = -(-grid[0] // TILE_UNITS), -(-grid[1] // TILE_UNITS)
    chips = np.tile(tile, (rows, columns))[: -(-grid[0] // CHIP_UNITS), : -(-grid[1] // CHIP_UNITS)]
    return np.kron(chips, np.ones((CHIP_UNITS, CHIP_UNITS), np.float32))[: grid[0], : grid[1]]


def at_chips(image: Gray) -> Gray:
    """Return the mean over each chip; outside the image is nothing. -> (chip rows, chip columns)."""
    rows, columns = -(-image.shape[0] // CHIP_UNITS), -(-image.shape[1] // CHIP_UNITS)
    padded = np.pad(image, ((0, rows * CHIP_UNITS - image.shape[0]), (0, columns * CHIP_UNITS - image.shape[1])))
    return np.asarray(padded.reshape(rows, CHIP_UNITS, columns, CHIP_UNITS).mean(axis=(1, 3)), np.float32)


def fold(chips: Gray) -> Gray:
    """Add up all tiles. -> (32, 32)."""
    rows, columns = (-(-size // TILE_CHIPS) * TILE_CHIPS for size in chips.shape)
    padded = np.pad(chips, ((0, rows - chips.shape[0]), (0, columns - chips.shape[1])))
    return np.asarray(padded.reshape(-1, TILE_CHIPS, columns // TILE_CHIPS, TILE_CHIPS).sum(axis=(0, 2)), np.float32)


def band_pass(image: Gray, pixels_per_unit: float = 1.0) -> Gray:
    """Keep the band of the pattern."""
    import cv2

    fine, coarse = (cv2.GaussianBlur(image, (0, 0), sigma * pixels_per_unit) for sigma in BAND)
    return np.asarray(fine - coarse, np.float32)


def local_power(image: Gray, sigma: float) -> Gray:
    """Return the mean square around each pixel. sigma: pixels."""
    import cv2

    return np.asarray(cv2.GaussianBlur(image * image, (0, 0), sigma), np.float32)


def _pilots(key: bytes, grain: Grain) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw waves that are whole in a tile, far from each other and from each other's mirror images."""
    low, high = _CYCLES
    span = int(high)
    choice = [
        (across, down)
        for down in range(_OFF_AXIS, span + 1)
        for across in range(-span, span + 1)
        if low <= np.hypot(across, down) <= high and abs(across) >= _OFF_AXIS
    ]
    stream = hashlib.shake_256(f"{ALGORITHM}/{grain}/pilots".encode() + b"\0" + key).digest(8192)
    numbers = np.frombuffer(stream, ">u4").astype(np.int64)
    chosen: list[tuple[int, int]] = []
    used = 0
    while len(chosen) < PILOTS:
        candidate = choice[int(numbers[used]) % len(choice)]
        used += 1
        if all(_are_apart(candidate, other) for other in chosen):
            chosen.append(candidate)
    phases = numbers[used : used + PILOTS] / 2.0**32 * 2 * np.pi
    return np.array(chosen, np.int64), phases


def _are_apart(one: tuple[int, int], other: tuple[int, int]) -> bool:
    across, down = one[0] - other[0], one[1] - other[1]
    mirrored = one[0] + other[0]
    return bool(np.hypot(across, down) >= _APART and np.hypot(mirrored, down) >= _MIRRORED_APART)
