"""The one buffer that travels through a UNet, channels last, and how much of it a layer computes at a time.

A stream is (B, T, H, W, C), contiguous. Its pictures (T, C, H, W) for convolutions, its rows (T, H W, C) for linear
layers and its columns (1, C, T, H W) for convolutions along the frames are views of the same memory. Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch

from pipelines.plan import Tiling

Held = Callable[[Any], AbstractContextManager[Any]]


def resident(layer: Any) -> AbstractContextManager[Any]:  # noqa: ARG001
    """Hold a layer whose weights are on the device all the time."""
    return nullcontext()


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """A `Tiling` for pictures of one size. frames, positions: of a picture as the UNet is given it; None is all.

    positions_given, channels_given: of such a picture behind the first layer. Deeper layers have smaller pictures and
    more channels; they take as many frames or positions as fill the same memory.
    """

    frames: int | None
    positions: int | None
    positions_given: int
    channels_given: int

    @classmethod
    def of(cls, tiling: Tiling, *, positions: int, channels: int) -> Tiles:
        """Return the tiles for pictures of so many positions, behind a first layer of so many channels."""
        return cls(
            frames=tiling.frames,
            positions=tiling.positions,
            positions_given=positions,
            channels_given=channels,
        )

    def of_frames(self, pictures: torch.Tensor) -> Iterator[slice]:
        """Yield the parts of (T, H, W, C) frames that a layer computes one after the other."""
        given = self.positions_given * self.channels_given
        return _parts(len(pictures), self.frames and self.frames * given // prod(pictures.shape[1:]))

    def of_positions(self, rows: torch.Tensor) -> Iterator[slice]:
        """Yield the parts of the positions of (T, N, C) rows that a layer computes one after the other."""
        return _parts(rows.shape[1], self.positions and self.positions * self.channels_given // rows.shape[2])


def _parts(count: int, step: int | None) -> Iterator[slice]:
    step = count if step is None else max(1, step)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


@dataclass(eq=False, kw_only=True)
class Clip:
    """What one pass through the UNet carries from layer to layer.

    stream: (B, T, H, W, C), changed in place. embedding: (B, E) of time step and conditions. context: (B, L, D) for
    cross-attention. skips: streams that wait for the way up, let go of as they are consumed. held: has the weights of
    the layer that it is given on the device.
    """

    stream: torch.Tensor
    embedding: torch.Tensor
    context: torch.Tensor
    tiles: Tiles
    held: Held
    skips: list[torch.Tensor] = field(default_factory=list)

    @property
    def items(self) -> range:
        return range(self.stream.shape[0])

    @property
    def is_kept(self) -> bool:
        """Whether the stream as it is waits for the way up."""
        return any(skip is self.stream for skip in self.skips)

    def room(self, channels: int) -> torch.Tensor:
        """Return where to write, frame after frame in order, what a layer makes of the stream: (B, T, H, W, channels).

        It is the memory of the stream itself where nobody waits for the stream and the result is no larger: frame k of
        the result lies where no frame after k does.
        """
        shape = (*self.stream.shape[:-1], channels)
        if self.is_kept or channels > self.stream.shape[-1]:
            return self.stream.new_empty(shape)
        return self.stream.view(-1)[: prod(shape)].view(shape)

    def settle(self, written: torch.Tensor) -> None:
        """Let the stream be what was written into its `room`, and let go of the memory that this does not fill."""
        is_part = written.shape[-1] < self.stream.shape[-1] and not self.is_kept
        self.stream = written.clone() if is_part else written

    def replace(self, layer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Let the stream be what a layer makes of its pictures: (n, C, H, W) -> (n, C', H', W')."""
        self.stream = mapped(self.stream, layer, self.tiles)


def mapped(stream: torch.Tensor, layer: Callable[[torch.Tensor], torch.Tensor], tiles: Tiles) -> torch.Tensor:
    """Return the stream of what a layer makes of a stream's pictures, some frames at a time."""
    result = stream
    for item, frames in enumerate(stream):
        for part in tiles.of_frames(frames):
            made = as_frames(layer(as_pictures(frames[part])))
            if len(made) == stream.shape[0] * stream.shape[1]:
                return made.contiguous()[None]
            if result is stream:
                result = made.new_empty(*stream.shape[:2], *made.shape[1:])
            result[item, part] = made
            del made  # before the next is made
    return result


def as_pictures(frames: torch.Tensor) -> torch.Tensor:
    """Return (T, H, W, C) as (T, C, H, W), channels last in memory."""
    return frames.permute(0, 3, 1, 2)


def as_frames(pictures: torch.Tensor) -> torch.Tensor:
    """Return (T, C, H, W) as (T, H, W, C)."""
    return pictures.permute(0, 2, 3, 1)


def as_rows(pictures: torch.Tensor) -> torch.Tensor:
    """Return (T, C, H, W), channels last in memory, as (T, H W, C)."""
    return as_frames(pictures).flatten(1, 2)


def as_columns(rows: torch.Tensor) -> torch.Tensor:
    """Return (T, N, C) as (1, C, T, N): a picture whose columns are the frames."""
    return rows[None].permute(0, 3, 1, 2)
