"""Decoded frames, piece by piece, as they come out of a VAE: from tensors in [-1, 1] to a clip in eight bits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.disk import require_room
from studio.errors import GenerationFailed
from studio.generator import RunContext
from studio.media import Frames
from studio.request import ResolvedRequest

if TYPE_CHECKING:
    import torch

# A clip above this lies in a file of the job's folder, which the system writes out when memory gets short.
MOST_BYTES_IN_MEMORY = 256 * 2**20
FILE_NAME = "decoded.rgb"


def collect_frames(pieces: Iterator[torch.Tensor], resolved: ResolvedRequest, run: RunContext) -> Frames:
    """Return (T, H, W, 3) frames of consecutive pieces (n, 3, H, W).

    Rounded as diffusers' `VaeImageProcessor` and a conversion to eight bits would. A cancel is heard between pieces.
    Raises `GenerationFailed` where values are not finite, or where there are more or fewer frames than asked for;
    `DiskFull` where a large clip has no room.
    """
    frames = _room(resolved, run.workdir)
    done = 0
    for piece in pieces:
        end = done + len(piece)
        if end > len(frames) or piece.shape[2:] != frames.shape[1:3]:
            raise _of_another_shape(resolved)
        if not math.isfinite(_total(piece)):  # looked at here: infinity clamped is an ordinary white
            raise _not_finite()
        values = (piece * 0.5 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
        frames[done:end] = to_uint8(values)
        done = end
        if done < len(frames):
            run.raise_if_canceled()
    if done != len(frames):
        raise _of_another_shape(resolved)
    return frames


def to_uint8(frames: np.ndarray[Any, Any]) -> Frames:
    """Return frames in [0, 1] as eight bits, rounded. Raises `GenerationFailed` where one is not finite."""
    with np.errstate(invalid="ignore"):  # of infinities that cancel out
        total = float(frames.sum(dtype=np.float64))
    if not math.isfinite(total):
        raise _not_finite()
    return (frames * 255.0).round().clip(0, 255).astype(np.uint8)


def _room(resolved: ResolvedRequest, workdir: Path) -> Frames:
    shape = (resolved.num_frames, resolved.height, resolved.width, 3)
    if math.prod(shape) <= MOST_BYTES_IN_MEMORY:
        return np.empty(shape, np.uint8)
    # A mapped file that outgrows its disk ends the process with a signal, not with an error.
    require_room(workdir, math.prod(shape), what="the clip's frames")
    return np.memmap(workdir / FILE_NAME, np.uint8, "w+", shape=shape)


def _total(piece: torch.Tensor) -> float:
    """Return the sum of all values, which is finite where they are, in a sixth of the time of a look at each."""
    import torch

    return float(piece.sum(dtype=torch.float32))


def _not_finite() -> GenerationFailed:
    return GenerationFailed("the model's output is not finite", fix="try another seed, or STUDIO_DEVICE=cpu")


def _of_another_shape(resolved: ResolvedRequest) -> GenerationFailed:
    return GenerationFailed(
        "the model decoded a clip of another shape than was asked for",
        allowed=f"{resolved.num_frames} frames of {resolved.width}x{resolved.height}",
    )
