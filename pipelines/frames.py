"""Decoded frames, piece by piece, as they come out of a VAE: from tensors in [-1, 1] to a clip in eight bits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
    Raises `GenerationFailed` where values are not finite, or where there are more or fewer frames than asked for.
    """
    frames = _room(resolved, run.workdir)
    done = 0
    for piece in pieces:
        end = done + len(piece)
        if end > len(frames) or piece.shape[2:] != frames.shape[1:3]:
            break
        values = (piece * 0.5 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
        frames[done:end] = to_uint8(values)
        done = end
        if done < len(frames):
            run.raise_if_canceled()
    if done != len(frames):
        raise GenerationFailed(
            "the model decoded a clip of another shape than was asked for",
            allowed=f"{len(frames)} frames of {resolved.width}x{resolved.height}",
        )
    return frames


def to_uint8(frames: np.ndarray[Any, Any]) -> Frames:
    """Return frames in [0, 1] as eight bits, rounded. Raises `GenerationFailed` where one is not finite."""
    if not math.isfinite(float(frames.sum(dtype=np.float64))):
        raise GenerationFailed("the model's output is not finite", fix="try another seed, or STUDIO_DEVICE=cpu")
    return (frames * 255.0).round().clip(0, 255).astype(np.uint8)


def _room(resolved: ResolvedRequest, workdir: Path) -> Frames:
    shape = (resolved.num_frames, resolved.height, resolved.width, 3)
    if math.prod(shape) <= MOST_BYTES_IN_MEMORY:
        return np.empty(shape, np.uint8)
    return np.memmap(workdir / FILE_NAME, np.uint8, "w+", shape=shape)
