"""Attention along the frames of each position of the picture, straight on (B, T, N, C) without moving an axis.

Scaled dot-product attention, arXiv 1706.03762, over sequences as short as a clip: T <= 64. The batch of such a call is
the number of positions, which outgrows the grids of the fused kernels in torch at 65,535 rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.kernels.dot_product_attention import fused_attention
from pipelines.kernels.programs import Program, chosen, is_triton

if TYPE_CHECKING:
    import torch

# Far below the grids of the fused kernels, so that what a part holds beside the result stays small.
POSITIONS_AT_A_TIME = 8_192


def temporal_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    heads: int,
    scale: float | None = None,
    program: Program | None = None,
) -> torch.Tensor:
    """Return (B, T, N, C) for query, key and value (B, T, N, C), C = heads x channels of a head.

    Each of the B x N positions attends over its T frames. The three may be strided views, such as parts of one tensor
    that holds all three, as long as channels lie side by side. scale: 1 / sqrt(channels of a head) where None.
    program: of `programs.running` where None; one in Triton takes T <= 64 and at most 256 channels of a head.
    """
    if is_triton(program, chosen().temporal_attention, query, key, value):
        from pipelines.kernels import triton_temporal_attention as fused

        if fused.takes(query, key, value, heads):
            return fused.temporal_attention(query, key, value, heads, scale)
    return _by_torch(query, key, value, heads, scale)


def _by_torch(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, scale: float | None
) -> torch.Tensor:
    """Attend item after item of the batch: together, the positions of two items could not be rows without a copy."""
    import torch

    result = query.new_empty(query.shape)
    for item in range(query.shape[0]):
        for start in range(0, query.shape[2], POSITIONS_AT_A_TIME):
            part = (item, slice(None), slice(start, start + POSITIONS_AT_A_TIME))
            # (T, N, C) -> (N, heads, T, channels of a head), a view
            *given, attended = (
                torch.unflatten(x[part], -1, (heads, -1)).permute(1, 2, 0, 3) for x in (query, key, value, result)
            )
            attended.copy_(fused_attention(*given, scale=scale))
    return result
