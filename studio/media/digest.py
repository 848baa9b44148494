"""The fingerprint of raw frames, before any encoding or watermark."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class FramesDigest:
    """SHA-256 over raw frames, one at a time.

    Layout: ``studio-frames-v1 uint8 {H}x{W}x3\\n`` in ASCII, then each frame's bytes (rows from the top, RGB
    interleaved, no padding), then ``\\n{T} frames`` in ASCII. All frames have one size.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._shape: tuple[int, ...] | None = None
        self._num_frames = 0

    def update(self, frame: NDArray[np.uint8]) -> None:
        """Add the next frame, (H, W, 3) uint8 RGB."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"frame: expected (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        if self._shape is None:
            self._shape = frame.shape
            self._hash.update(f"studio-frames-v1 uint8 {frame.shape[0]}x{frame.shape[1]}x3\n".encode("ascii"))
        elif frame.shape != self._shape:
            raise ValueError(f"frame {self._num_frames}: expected {self._shape} as before, got {frame.shape}")
        self._hash.update(np.ascontiguousarray(frame).data)
        self._num_frames += 1

    def hexdigest(self) -> str:
        """Return the digest of the frames so far, 64 hex digits; at least one frame is needed."""
        if self._shape is None:
            raise ValueError("frames: expected at least one")
        finished = self._hash.copy()
        finished.update(f"\n{self._num_frames} frames".encode("ascii"))
        return finished.hexdigest()


def frames_sha256(frames: Iterable[NDArray[np.uint8]]) -> str:
    """Return the hex SHA-256 of raw frames, a (T, H, W, 3) uint8 array or an iterable of (H, W, 3): `FramesDigest`."""
    digest = FramesDigest()
    for frame in frames:
        digest.update(frame)
    return digest.hexdigest()
