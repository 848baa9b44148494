"""What a fault is made from, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from studio.consistency.report import Region

Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """A clean clip, and what a fault may take from elsewhere.

    frames: (T, H, W, 3) uint8 RGB. following: (S, H, W, 3) what comes next in the shot, S may be 0.
    donor: (D, H, W, 3) frames of another shot. frame_rate: frames per second.
    """

    frames: Frames
    following: Frames
    donor: Frames
    frame_rate: Fraction
    rng: np.random.Generator

    @property
    def count(self) -> int:
        """The number of frames, T."""
        return len(self.frames)

    def length(self, wanted: int) -> int:
        """Return how long something of `wanted` frames may be in this clip: at most a third of it, at least 1."""
        return max(1, min(wanted, self.count // 3))

    def start(self, length: int = 1) -> int:
        """Draw where something of `length` frames begins, away from both ends of the clip."""
        first, last = self.count // 4, max(self.count // 4, self.count - self.count // 4 - length)
        return int(self.rng.integers(first, last + 1))

    def ordered(self, order: NDArray[np.intp] | list[int]) -> Frames:
        """Return the frames with these indices, which run on into what follows."""
        return np.concatenate([self.frames, self.following])[np.asarray(order, np.intp)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Injected:
    """A clip with a fault.

    event_frames: where somebody who looks for it may rightly say that it is; every frame for a fault that lasts.
    changed_frames: no other frame differs from the clean one. region: no other part differs; None for all of it.
    """

    frames: Frames
    event_frames: tuple[int, ...]
    changed_frames: range
    region: Region | None = None

    @property
    def is_located(self) -> bool:
        """Whether the fault happens at a time, rather than throughout."""
        return 3 * len(self.event_frames) <= 2 * len(self.frames)
