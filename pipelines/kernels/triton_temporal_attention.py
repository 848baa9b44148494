"""Temporal attention as one program in Triton; imported only where it runs. Imports torch and triton.

A program takes one head of as many positions as fill 64 rows with their frames: rows that lie anywhere in memory, so
that nothing is moved before or after. Every row is multiplied with every other, and all but those of the same position
are masked out: waste that costs less than the numbers take to arrive. The grid has one axis, which takes any number of
positions. Softmax in float32, as in FlashAttention (arXiv 2205.14135), without its loop: a sequence is never longer
than the rows.

Tested in Triton's interpreter and compiled for NVIDIA's cards; not yet timed on one.
"""

# mypy: disable-error-code="import-untyped, import-not-found, untyped-decorator, no-untyped-call"
from __future__ import annotations

import torch
import triton
import triton.language as tl

# Of a program; the longest sequence.
ROWS = 64
MOST_CHANNELS = 256
_LOG2_E = 1.4426950408889634


def takes(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> bool:
    """Say whether `temporal_attention` computes these (B, T, N, C)."""
    return query.shape[-1] % heads == 0 and _takes(*(_by_head(x, heads) for x in (query, key, value)))


def takes_rows(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    """Say whether `attention_of_rows` computes these."""
    return query.ndim == 4 and query.shape == key.shape and _takes(*map(_as_positions, (query, key, value)))


def temporal_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, scale: float | None
) -> torch.Tensor:
    """Return (B, T, N, C) for three (B, T, N, C), strided as they may be."""
    result = query.new_empty(query.shape)
    _launch(*(_by_head(x, heads) for x in (query, key, value, result)), scale=scale)
    return result


def attention_of_rows(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None) -> torch.Tensor:
    """Return (N, heads, T, D) for three (N, heads, T, D), in memory as (N, T, heads, D)."""
    rows, heads, frames, channels = query.shape
    result = query.new_empty(rows, frames, heads, channels).transpose(1, 2)
    _launch(*map(_as_positions, (query, key, value, result)), scale=scale)
    return result


def _by_head(x: torch.Tensor, heads: int) -> torch.Tensor:
    return torch.unflatten(x, -1, (heads, -1))


def _as_positions(rows: torch.Tensor) -> torch.Tensor:
    """View (N, heads, T, D) as (1, T, N, heads, D)."""
    return rows.permute(2, 0, 1, 3)[None]


def _takes(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    *_, heads, channels = query.shape
    is_alike = all(
        x.shape == query.shape
        and x.dtype == query.dtype
        and x.stride(-1) == 1
        and (heads == 1 or x.stride(-2) == channels)
        for x in (query, key, value)
    )
    is_small = 0 < query.shape[1] <= ROWS and 0 < channels <= MOST_CHANNELS
    return is_alike and is_small and _is_multiplied_well(query) and query.numel() > 0


def _is_multiplied_well(x: torch.Tensor) -> bool:
    """Say whether the matrix products of this number format are worth having.

    On a card, float32 would go without its matrix units and not fit its registers (compiled: 5 to 20 KB of a program
    in slow memory). The interpreter takes the bits of bfloat16 for integers.
    """
    return x.dtype in ((torch.float16, torch.bfloat16) if x.is_cuda else (torch.float16, torch.float32))


def _launch(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, result: torch.Tensor, *, scale: float | None
) -> None:
    """Write the attention of three (B, T, N, heads, D) into a fourth."""
    batch, frames, positions, heads, channels = query.shape
    together = ROWS // frames
    width = max(16, triton.next_power_of_2(channels))
    grid = (batch * triton.cdiv(positions, together) * heads,)
    with torch.cuda.device_of(query):
        _attend[grid](
            query, key, value, result,
            *query.stride()[:3], *key.stride()[:3], *value.stride()[:3], *result.stride()[:3],
            positions, heads, (channels**-0.5 if scale is None else scale) * _LOG2_E,
            frames=frames, channels=channels, together=together, rows=ROWS, width=width,
            num_warps=8 if width > 128 else 4, num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip


@triton.jit
def _attend(
    query: tl.tensor, key: tl.tensor, value: tl.tensor, result: tl.tensor,
    query_item: tl.tensor, query_frame: tl.tensor, query_position: tl.tensor,
    key_item: tl.tensor, key_frame: tl.tensor, key_position: tl.tensor,
    value_item: tl.tensor, value_frame: tl.tensor, value_position: tl.tensor,
    result_item: tl.tensor, result_frame: tl.tensor, result_position: tl.tensor,
    positions: tl.tensor, heads: tl.tensor, scale: tl.tensor,
    frames: tl.constexpr, channels: tl.constexpr, together: tl.constexpr, rows: tl.constexpr, width: tl.constexpr,
) -> None:  # fmt: skip
    # Neighbouring programs take the heads of the same positions, which lie side by side in memory.
    head = tl.program_id(0) % heads
    block = tl.program_id(0) // heads
    blocks = tl.cdiv(positions, together)
    item = (block // blocks).to(tl.int64)

    row = tl.arange(0, rows)
    place = row // frames
    frame = (row % frames).to(tl.int64)[:, None]
    position = ((block % blocks) * together + place)[:, None]
    column = tl.arange(0, width)[None, :]
    is_inside = (place[:, None] < together) & (position < positions) & (column < channels)
    position = position.to(tl.int64)
    channel = head * channels + column

    query += item * query_item + frame * query_frame + position * query_position + channel
    key += item * key_item + frame * key_frame + position * key_position + channel
    value += item * value_item + frame * value_frame + position * value_position + channel
    result += item * result_item + frame * result_frame + position * result_position + channel
    keys = tl.load(key, is_inside, other=0.0)
    values = tl.load(value, is_inside, other=0.0)
    scores = tl.dot(tl.load(query, is_inside, other=0.0), tl.trans(keys), input_precision="ieee") * scale
    # Each row sees itself at least, so that no maximum is minus infinity.
    scores = tl.where(place[:, None] == place[None, :], scores, float("-inf"))
    weights = tl.exp2(scores - tl.max(scores, 1)[:, None])
    attended = tl.dot(weights.to(values.dtype), values, input_precision="ieee") / tl.sum(weights, 1)[:, None]
    tl.store(result, attended.to(values.dtype), is_inside)
