"""The first half of a gated feed-forward layer: GEGLU, a projection whose one half gates the other.

GLU Variants Improve Transformer, arXiv 2002.05202.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.kernels.programs import Program, chosen, is_triton

if TYPE_CHECKING:
    import torch


def geglu(x: torch.Tensor, projection: torch.nn.Module, *, program: Program | None = None) -> torch.Tensor:
    """Return (..., F) for (..., C): value * gelu(gate), both halves of the projection to 2 F channels.

    projection: a linear layer, or one with LoRAs around it. gelu: the exact one. program: of `programs.running` where
    None; one in Triton gates what the projection returns.
    """
    projected = projection(x)
    if is_triton(program, chosen().gated_linear, projected):
        from pipelines.kernels import triton_gated_linear as fused

        if fused.takes(projected):
            return fused.gated(projected)
    return _by_torch(projected)


def _by_torch(projected: torch.Tensor) -> torch.Tensor:
    from torch.nn.functional import gelu

    value, gate = projected.chunk(2, dim=-1)
    return gelu(gate).mul_(value)
