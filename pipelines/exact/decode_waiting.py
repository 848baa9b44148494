"""Clips that wait between two layers of a decoder: frame by frame on the device, or in main memory.

Both keep frames channels-last and hand them out in two ways: a few frames with all positions, to layers that look at
one frame, and a tile of positions with all frames, to layers that look along the frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class WaitingClip(Protocol):
    """A clip of (C, H, W) frames between two layers."""

    def append(self, frames: torch.Tensor) -> None:
        """Add (n, C, H, W) frames at the end."""

    def tile(self, positions: slice) -> torch.Tensor:
        """Return (T, n, C): the pixels at some of the H x W positions, in all frames."""

    def blend(self, positions: slice, tile: torch.Tensor | None, branch: torch.Tensor) -> None:
        """Add branch (T, n, C) to the pixels. tile: these, as `tile` gave them, where at hand; it is changed."""

    def drain(self, most: int) -> Iterator[torch.Tensor]:
        """Yield all frames in order, at most so many at a time, and let go of them. (n, C, H, W), channels-last."""

    def successor(self) -> WaitingClip:
        """Return an empty clip for what is made of this one while it drains."""


class FramesOnDevice:
    """Frames in as many tensors as they came in, so that each can be let go of on its own."""

    def __init__(self) -> None:
        self._pieces: deque[torch.Tensor] = deque()
        self._size = (0, 0)

    def append(self, frames: torch.Tensor) -> None:
        """See `WaitingClip.append`; the tensor itself is kept."""
        self._size = (frames.shape[-2], frames.shape[-1])
        self._pieces.append(_as_pixels(frames))

    def tile(self, positions: slice) -> torch.Tensor:
        """See `WaitingClip.tile`. A view where all frames are in one tensor."""
        import torch

        parts = [piece[:, positions] for piece in self._pieces]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def blend(self, positions: slice, tile: torch.Tensor | None, branch: torch.Tensor) -> None:  # noqa: ARG002
        """See `WaitingClip.blend`."""
        import torch

        parts = [piece[:, positions] for piece in self._pieces]
        torch._foreach_add_(parts, torch.split(branch, [len(part) for part in parts]))

    def drain(self, most: int) -> Iterator[torch.Tensor]:
        """See `WaitingClip.drain`. A tensor is let go of with its last frame."""
        import torch

        self._pieces = deque(part for piece in self._pieces for part in torch.split(piece, most))
        while self._pieces:
            yield _as_frames(self._pieces.popleft(), self._size)

    def successor(self) -> FramesOnDevice:
        """See `WaitingClip.successor`."""
        return FramesOnDevice()


class FramesInMainMemory:
    """Frames in one tensor on the parking device; what is read of it is copied to the device that computes.

    The tensor is pinned where a CUDA device computes, so that copies neither block nor pass through a buffer.
    """

    def __init__(
        self,
        num_frames: int,
        *,
        device: torch.device,
        parking: torch.device,
        before: FramesInMainMemory | None = None,
    ) -> None:
        self._num_frames, self._device, self._parking = num_frames, device, parking
        self._before = before
        self._size = (0, 0)
        self._next = 0
        self._pixels: torch.Tensor | None = None

    def append(self, frames: torch.Tensor) -> None:
        """See `WaitingClip.append`."""
        pixels = _as_pixels(frames)
        if self._pixels is None:
            self._size = (frames.shape[-2], frames.shape[-1])
            self._pixels = self._room(pixels)
        _copy(pixels, self._pixels[self._next : self._next + len(pixels)])
        self._next += len(pixels)

    def tile(self, positions: slice) -> torch.Tensor:
        """See `WaitingClip.tile`."""
        waiting = self._waiting[:, positions]
        tile = waiting.new_empty(waiting.shape, device=self._device)
        # Frame by frame, each a run of memory: a strided copy would pass through a buffer that is not pinned.
        for source, target in zip(waiting, tile, strict=True):
            _copy(source, target)
        return tile

    def blend(self, positions: slice, tile: torch.Tensor | None, branch: torch.Tensor) -> None:
        """See `WaitingClip.blend`."""
        tile = self.tile(positions) if tile is None else tile
        for source, target in zip(tile.add_(branch), self._waiting[:, positions], strict=True):
            _copy(source, target)

    def drain(self, most: int) -> Iterator[torch.Tensor]:
        """See `WaitingClip.drain`. The tensor is let go of after the last frame."""
        for start, stop in pairwise([*range(0, self._num_frames, most), self._num_frames]):
            pixels = self._fetched(slice(start, stop))
            if stop == self._num_frames:
                self._pixels = None
            yield _as_frames(pixels, self._size)

    def successor(self) -> FramesInMainMemory:
        """See `WaitingClip.successor`. Frames of the same size take the places of those that are gone."""
        return FramesInMainMemory(self._num_frames, device=self._device, parking=self._parking, before=self)

    def _fetched(self, frames: slice) -> torch.Tensor:
        waiting = self._waiting[frames]
        pixels = waiting.new_empty(waiting.shape, device=self._device)
        _copy(waiting, pixels)
        return pixels

    @property
    def _waiting(self) -> torch.Tensor:
        if self._pixels is None:
            raise RuntimeError("no frames wait here")
        return self._pixels

    def _room(self, like: torch.Tensor) -> torch.Tensor:
        import torch

        shape = (self._num_frames, *like.shape[1:])
        before, self._before = self._before, None
        if before is not None and before._pixels is not None and before._pixels.shape == shape:
            return before._pixels
        if self._device.type == "cuda" and self._parking.type == "cpu":
            try:
                return torch.empty(shape, dtype=like.dtype, device=self._parking, pin_memory=True)
            except RuntimeError:  # systems limit how much may be pinned; copies then take longer
                pass
        return torch.empty(shape, dtype=like.dtype, device=self._parking)


def _as_pixels(frames: torch.Tensor) -> torch.Tensor:
    """Return (n, H x W, C), in the same memory where (n, C, H, W) is channels-last."""
    return frames.permute(0, 2, 3, 1).contiguous().flatten(1, 2)


def _as_frames(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return pixels.view(len(pixels), *size, -1).permute(0, 3, 1, 2)


def _copy(source: torch.Tensor, target: torch.Tensor) -> None:
    # What has no numbers (the meta device) may be counted beside a real device, and cannot be copied to it.
    if not (source.is_meta or target.is_meta):
        target.copy_(source, non_blocking=True)
