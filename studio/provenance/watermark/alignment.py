"""Where the reading grid lies in a picture, and what that tells about its history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.pattern import TILE_UNITS, Gray, Grid

_MARGIN = 0.015  # below this a scale is not worth mentioning
_DEGREES = 0.15


@dataclass(frozen=True, eq=False)
class Alignment:
    """An affine map. matrix: (2, 3), from units to pixels of a view, centres on whole numbers. grid: units covered."""

    matrix: NDArray[np.float64]
    grid: Grid

    @classmethod
    def scaled(cls, grid: Grid, size: Grid) -> Alignment:
        """Return the alignment of a picture that was only scaled, from a grid to a size in pixels."""
        across, down = size[1] / grid[1], size[0] / grid[0]
        matrix = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]])
        return cls(matrix, grid)

    @classmethod
    def covering(cls, linear: NDArray[np.float64], origin: NDArray[np.float64], size: Grid) -> Alignment:
        """Return the alignment that covers a whole view with tiles.

        linear: (2, 2), units to pixels. origin: a corner of any tile, in pixels; the grid starts at another tile's.
        """
        corners = np.array([[-0.5, -0.5], [size[1] - 0.5, -0.5], [-0.5, size[0] - 0.5], [size[1] - 0.5, size[0] - 0.5]])
        units = (corners - origin) @ np.linalg.inv(linear).T
        first = np.floor(units.min(axis=0) / TILE_UNITS) * TILE_UNITS
        extent = np.ceil(units.max(axis=0) - first).astype(int)
        start = origin + linear @ first
        return cls(np.column_stack([linear, start]), (int(extent[1]), int(extent[0])))

    def mirrored(self, size: Grid) -> Alignment:
        """Return the same for a picture that was mirrored left to right since. size: the view's, in pixels."""
        flip = np.array([[-1.0, 0.0], [0.0, 1.0]])
        matrix = flip @ self.matrix
        matrix[0, 2] += size[1] - 1
        return Alignment(matrix, self.grid)

    def rectify(self, image: Gray) -> Gray:
        """Return a view's picture on the grid; nothing where there is no picture."""
        import cv2

        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(image, self.matrix, self.grid[::-1], flags=flags), np.float32)

    def words(self, plain: Alignment) -> str:
        """Say what was done to the picture. plain: the alignment if nothing but scaling had been done."""
        linear = self.matrix[:, :2]
        told = []
        if np.linalg.det(linear) < 0:
            told.append("mirrored")
            linear = linear * np.array([-1.0, 1.0])
        turned = float(np.degrees(np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])))
        if abs(turned) > _DEGREES:
            told.append(f"turned by {turned:.1f} degrees")
        across, down = np.hypot(*linear) / np.diag(plain.matrix[:, :2])
        if abs(across / down - 1) > 2 * _MARGIN:
            told.append(f"stretched {across / down:.2f} times in width")
        larger = float(np.sqrt(across * down))
        if larger > 1 + _MARGIN:
            told.append(f"cut to {1 / larger:.0%} of its size")
        elif larger < 1 - _MARGIN:
            told.append(f"set into a larger picture, at {larger:.0%} of it")
        return ", ".join(told) or "cut out of a larger picture"
