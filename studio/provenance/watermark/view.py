"""The frames of a clip as the reader keeps them: whitened, small, one byte a pixel."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.alignment import Alignment
from studio.provenance.watermark.bars import Area
from studio.provenance.watermark.embedder import FRAME_FLOOR, FRAME_SIGMA, grid_size, to_grid
from studio.provenance.watermark.pattern import Grain, Gray, Grid, band_pass, local_power

_FINEST, _COARSEST = 1.25, 0.8  # pixels kept per unit
_FULL_SCALE = 127.0
_GROUPS = 24


class View:
    """One area of the picture, looked at with one assumption: so many units on its short side.

    area: in pixels of the frame. grain: of the pattern looked for.
    units: on the short side if the picture was only scaled since.
    """

    def __init__(self, area: Area, grain: Grain, units: int) -> None:
        self.grain: Grain = grain
        self._area = area
        short = min(area.height, area.width)
        kept = min(max(short, round(_COARSEST * units)), round(_FINEST * units))
        self.size: Grid = grid_size(area.height, area.width, short / kept)
        self.pixels_per_unit = kept / units
        grid = grid_size(area.height, area.width, short / units)
        self.alignment = Alignment.scaled(grid, self.size)
        self._frames: list[NDArray[np.int8]] = []

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Take one frame. Limited, so that no edge outweighs a flat area where the mark is clear."""
        band = band_pass(to_grid(self._area.cut(frame), self.size), self.pixels_per_unit)
        noise = np.sqrt(local_power(band, FRAME_SIGMA * self.pixels_per_unit)) + FRAME_FLOOR
        self._frames.append(np.rint(np.tanh(band / noise) * _FULL_SCALE).astype(np.int8))
        self.__dict__.pop("mean", None)

    @property
    def count(self) -> int:
        return len(self._frames)

    @cached_property
    def mean(self) -> Gray:
        """The average of all frames, in [-1, 1]. -> size."""
        total = np.zeros(self.size, np.float32)
        for frame in self._frames:
            total += frame
        return total / np.float32(_FULL_SCALE * len(self._frames))

    @property
    def first(self) -> Gray:
        """The first frame alone: a codec spends more bits on it than on those that follow."""
        return self._frames[0].astype(np.float32) / np.float32(_FULL_SCALE)

    def groups(self) -> list[Gray]:
        """The first frame, then averages of at most 23 runs of the others."""
        rest = np.array_split(np.arange(1, len(self._frames)), min(_GROUPS - 1, max(len(self._frames) - 1, 1)))
        runs = [np.mean([self._frames[index] for index in run], axis=0) for run in rest if len(run)]
        return [self.first, *(np.asarray(run / _FULL_SCALE, np.float32) for run in runs)]
