"""A stretch of about 1.7 seconds of a clip, the unit in which most checks judge and were calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.consistency.facts import FrameFacts
from studio.consistency.motion import TILE_PIXELS
from studio.consistency.report import Region

WINDOW_FRAMES = 40
WINDOW_STRIDE = 20


class Window:
    """Up to 40 analysed frames in a row, shown to all checks; they keep none of it.

    frames: their facts, n of them. fading: (n,) bool, part of a fade, where nothing else is to be judged.
    broken: (n,) bool, the frame does not follow from the one before: a cut, or a blank frame.
    step: frames of the clip per analysed frame. frames_per_second: of the analysed frames.
    """

    def __init__(
        self,
        frames: Sequence[FrameFacts],
        fading: NDArray[np.bool_],
        broken: NDArray[np.bool_],
        step: int,
        frames_per_second: float,
    ) -> None:
        self.frames = tuple(frames)
        self.fading = fading
        self.broken = broken
        self.step = step
        self.frames_per_second = frames_per_second
        self._stacks: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def indices(self) -> NDArray[np.int64]:
        """(n,) indices in the clip."""
        return np.array([frame.index for frame in self.frames])

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """(n,) whether a frame's motion may be judged: it has one, and no fade or break accounts for it."""
        moves = np.array([frame.motion is not None for frame in self.frames])
        return moves & ~self.fading & ~self.broken

    def stack(self, name: str) -> NDArray[Any]:
        """Return one of `FrameFacts`' figures for all frames: (n, ...)."""
        if name not in self._stacks:
            self._stacks[name] = np.stack([np.asarray(getattr(frame, name)) for frame in self.frames])
        return self._stacks[name]

    def motion(self, name: str) -> NDArray[np.float32]:
        """Return one of `MotionFacts`' arrays for all frames: (n, ...), zeros where a frame has none."""
        key = f"motion.{name}"
        if key not in self._stacks:
            found = [None if frame.motion is None else getattr(frame.motion, name) for frame in self.frames]
            known = next((item for item in found if item is not None), np.zeros((1, 1), np.float32))
            blank = np.zeros_like(known)
            self._stacks[key] = np.stack([blank if item is None else item for item in found])
        return self._stacks[key]

    @cached_property
    def has_motion(self) -> bool:
        """Whether any frame has motion facts."""
        return any(frame.motion is not None for frame in self.frames)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the analysed picture in pixels, to within half a tile."""
        rows, columns = self.motion("valid").shape[1:3]
        return rows * TILE_PIXELS, columns * TILE_PIXELS

    @cached_property
    def camera_speed(self) -> NDArray[np.float32]:
        """(n,) how far the picture's centre moves with the camera, pixels of `small` per analysed frame."""
        if not self.has_motion:
            return np.zeros(len(self), np.float32)
        moves = self.motion("affine")
        return np.asarray(np.hypot(moves[:, 0, 2], moves[:, 1, 2]), np.float32)

    @cached_property
    def speed(self) -> NDArray[np.float32]:
        """(n,) mean length of the flow over the picture, pixels of `small` per analysed frame."""
        if not self.has_motion:
            return np.zeros(len(self), np.float32)
        flow = self.motion("flow")
        return np.asarray(np.hypot(flow[..., 0], flow[..., 1]).mean(axis=(1, 2)), np.float32)


def tile_region(row: float, column: float, height: float, width: float, tiles: tuple[int, int]) -> Region:
    """Return the part of the frame that `height` x `width` tiles from (row, column) on cover. tiles: rows, columns."""
    rows, columns = tiles
    x, y = max(0.0, column / columns), max(0.0, row / rows)
    return Region(x=x, y=y, width=min(1.0 - x, width / columns), height=min(1.0 - y, height / rows))
