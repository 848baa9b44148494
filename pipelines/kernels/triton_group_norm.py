"""The two passes of group normalisation as programs in Triton, for tensors whose channels lie side by side.

Imported only where they run. Imports torch and triton. Each pass reads the tensor once; nothing is widened in memory.
Tested in Triton's interpreter and compiled for NVIDIA's cards; not yet timed on one.
"""

# mypy: disable-error-code="import-untyped, import-not-found, untyped-decorator, no-untyped-call"
from __future__ import annotations

import torch
import triton
import triton.language as tl

# Of a program, at a time.
NUMBERS = 4096
MOST_CHANNELS = 128
# Enough for every processor of a large card to have several.
PROGRAMS = 2048
_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def takes(x: torch.Tensor) -> bool:
    """Say whether the functions here compute (B, C, ...): every item dense, its channels side by side."""
    return x.ndim > 2 and x.numel() > 0 and x.dtype in _DTYPES and x[0].movedim(0, -1).is_contiguous()


def channel_moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of each channel of (B, C, ...) and the sum of squared distances from it, (B, C) float32 each."""
    batch, channels = x.shape[:2]
    positions = x[0, 0].numel()
    width, height = _block(channels)
    across = triton.cdiv(channels, width)
    # The positions are dealt out evenly, a whole number of blocks to each part but the last.
    wanted = max(1, min(triton.cdiv(positions, height), PROGRAMS // (batch * across)))
    size = triton.cdiv(triton.cdiv(positions, wanted), height) * height
    parts = triton.cdiv(positions, size)
    means = x.new_empty(batch, parts, channels, dtype=torch.float32)
    squares = torch.empty_like(means)
    with torch.cuda.device_of(x):
        _measure[(batch * parts * across,)](
            x,
            means,
            squares,
            x.stride(0),
            positions,
            channels,
            parts,
            size,
            height=height,
            width=width,
            num_warps=4,
            enable_fp_fusion=True,
        )
    return _joined(means, squares, size, positions - (parts - 1) * size)


def scaled(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, *, is_activated: bool) -> torch.Tensor:
    """Return x * scale + shift, through SiLU where `is_activated`, computed in float32 and rounded once.

    x: (B, C, ...). scale, shift: (B, C) or (1, C) float32.
    """
    batch, channels = x.shape[:2]
    positions = x[0, 0].numel()
    result = x.new_empty(batch, *x.shape[2:], channels).movedim(-1, 1)
    width, height = _block(channels)
    grid = (batch * triton.cdiv(positions, height) * triton.cdiv(channels, width),)
    item = channels if scale.shape[0] > 1 else 0
    with torch.cuda.device_of(x):
        _scale[grid](
            x, scale.contiguous(), shift.contiguous(), result, x.stride(0), item, positions, channels,
            is_activated=is_activated, height=height, width=width, num_warps=4,
        )  # fmt: skip
    return result


def _block(channels: int) -> tuple[int, int]:
    """Return the channels and the positions of a block."""
    width = min(triton.next_power_of_2(channels), MOST_CHANNELS)
    return width, NUMBERS // width


def _joined(
    means: torch.Tensor, squares: torch.Tensor, size: int, size_of_last: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Join the moments of parts, (B, parts, C), of as many positions each but the last."""
    count = size * (means.shape[1] - 1) + size_of_last
    mean = (means[:, :-1].sum(1) * size + means[:, -1] * size_of_last) / count
    distances = (means - mean[:, None]).square()
    between = distances[:, :-1].sum(1) * size + distances[:, -1] * size_of_last
    return mean, squares.sum(1) + between


@triton.jit
def _measure(
    x: tl.tensor, means: tl.tensor, squares: tl.tensor,
    item_stride: tl.tensor, positions: tl.tensor, channels: tl.tensor, parts: tl.tensor, size: tl.tensor,
    height: tl.constexpr, width: tl.constexpr,
) -> None:  # fmt: skip
    across = tl.cdiv(channels, width)
    channel = (tl.program_id(0) % across) * width + tl.arange(0, width)
    item_and_part = tl.program_id(0) // across
    first = (item_and_part % parts) * size
    end = tl.minimum(first + size, positions)
    x += (item_and_part // parts).to(tl.int64) * item_stride
    mean = tl.zeros((width,), tl.float32)
    squared = tl.zeros((width,), tl.float32)
    for start in range(first, end, height):
        position = start + tl.arange(0, height)
        is_inside = (position < end)[:, None] & (channel < channels)[None, :]
        offsets = position.to(tl.int64)[:, None] * channels + channel[None, :]
        numbers = tl.load(x + offsets, is_inside, other=0.0).to(tl.float32)
        before = (start - first).to(tl.float32)
        more = tl.minimum(end - start, height).to(tl.float32)
        block_mean = tl.sum(numbers, 0) / more
        distances = tl.where(is_inside, numbers - block_mean[None, :], 0.0)
        # As in Moments.joined.
        apart = block_mean - mean
        mean += apart * (more / (before + more))
        squared += tl.sum(distances * distances, 0) + apart * apart * (before * more / (before + more))
    place = item_and_part.to(tl.int64) * channels + channel
    tl.store(means + place, mean, channel < channels)
    tl.store(squares + place, squared, channel < channels)


@triton.jit
def _scale(
    x: tl.tensor, scale: tl.tensor, shift: tl.tensor, result: tl.tensor,
    item_stride: tl.tensor, scale_stride: tl.tensor, positions: tl.tensor, channels: tl.tensor,
    is_activated: tl.constexpr, height: tl.constexpr, width: tl.constexpr,
) -> None:  # fmt: skip
    across = tl.cdiv(channels, width)
    down = tl.cdiv(positions, height)
    channel = (tl.program_id(0) % across) * width + tl.arange(0, width)
    block = tl.program_id(0) // across
    position = (block % down) * height + tl.arange(0, height)
    item = (block // down).to(tl.int64)
    is_inside = (position < positions)[:, None] & (channel < channels)[None, :]
    offsets = position.to(tl.int64)[:, None] * channels + channel[None, :]
    numbers = tl.load(x + item * item_stride + offsets, is_inside, other=0.0)
    factor = tl.load(scale + item * scale_stride + channel, channel < channels, other=0.0)
    addend = tl.load(shift + item * scale_stride + channel, channel < channels, other=0.0)
    scaled = numbers.to(tl.float32) * factor[None, :] + addend[None, :]
    if is_activated:
        scaled = scaled * tl.sigmoid(scaled)
    tl.store(result + item * positions * channels + offsets, scaled.to(numbers.dtype), is_inside)
