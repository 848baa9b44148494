"""Scaled dot-product attention by the program that was chosen for it.

Attention Is All You Need, arXiv 1706.03762.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from pipelines.kernels.programs import DotProduct, chosen, is_triton
from studio.errors import UnsupportedValue

if TYPE_CHECKING:
    import torch

# The fused kernels in torch and xformers put the batch on a grid axis of 65,535.
MOST_ROWS = 32_768

# What torch says when the one kernel that it may use does not take these tensors; versions differ in the words.
_REFUSALS = ("No available kernel", "No viable backend")


def dot_product_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    scale: float | None = None,
    is_causal: bool = False,
) -> torch.Tensor:
    """Return (B, heads, N, D) for query (B, heads, N, d), key (B, heads, M, d) and value (B, heads, M, D).

    mask: spreads over (B, heads, N, M); true where a query sees a key, or numbers added to the scores.
    scale: 1 / sqrt(d) where None. B: any; a large batch is computed in parts.
    The program is that of `programs.running`. Short sequences that attend to themselves run in Triton where temporal
    attention does: stock models bring theirs in this shape. Raises `UnsupportedValue` where one kernel of torch's was
    chosen and does not take these tensors.
    """
    if mask is None and not is_causal and is_triton(None, chosen().temporal_attention, query, key, value):
        from pipelines.kernels import triton_temporal_attention as fused

        if fused.takes_rows(query, key, value):
            return fused.attention_of_rows(query, key, value, scale)
    return fused_attention(query, key, value, mask=mask, scale=scale, is_causal=is_causal)


def fused_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    scale: float | None = None,
    is_causal: bool = False,
) -> torch.Tensor:
    """Do what `dot_product_attention` does, by a kernel of torch's or, where there is no mask, of xformers'."""
    if query.shape[0] <= MOST_ROWS or query.ndim != 4:
        return _attended(query, key, value, mask, scale, is_causal)
    import torch

    # In memory as the queries are, which is how the kernels leave a whole one.
    is_as_wide = value.shape[-1] == query.shape[-1]
    result = torch.empty_like(query) if is_as_wide else query.new_empty(*query.shape[:-1], value.shape[-1])
    for start in range(0, query.shape[0], MOST_ROWS):
        rows = slice(start, start + MOST_ROWS)
        seen = mask[rows] if mask is not None and mask.ndim == query.ndim and mask.shape[0] > 1 else mask
        result[rows] = _attended(query[rows], key[rows], value[rows], seen, scale, is_causal)
    return result


def _attended(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float | None,
    is_causal: bool,
) -> torch.Tensor:
    from torch.nn.functional import scaled_dot_product_attention

    program = chosen().attention
    if program is DotProduct.XFORMERS and mask is None and not is_causal and query.ndim == 4:
        from xformers.ops import memory_efficient_attention  # type: ignore[import-not-found, unused-ignore]

        # xformers has the heads after the tokens.
        tokens_first = (x.transpose(1, 2) for x in (query, key, value))
        attended: torch.Tensor = memory_efficient_attention(*tokens_first, scale=scale).transpose(1, 2)
        return attended
    try:
        with only(program):
            return scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=is_causal, scale=scale)
    except RuntimeError as error:
        if not str(error).startswith(_REFUSALS):
            raise
        raise _refusal(program, query, mask) from error


def only(program: DotProduct) -> AbstractContextManager[None]:
    """Return a context in which torch uses this kernel alone; all of them where it is none of torch's."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kernels = {
        DotProduct.FLASH: SDPBackend.FLASH_ATTENTION,
        DotProduct.EFFICIENT: SDPBackend.EFFICIENT_ATTENTION,
        DotProduct.CUDNN: SDPBackend.CUDNN_ATTENTION,
        DotProduct.MATH: SDPBackend.MATH,
    }
    return sdpa_kernel(kernels[program]) if program in kernels else nullcontext()


def _refusal(program: DotProduct, query: torch.Tensor, mask: torch.Tensor | None) -> UnsupportedValue:
    shape = f"{tuple(query.shape)} {str(query.dtype).removeprefix('torch.')}"
    masked = "" if mask is None else " with a mask"
    return UnsupportedValue(
        f"this attention kernel does not take what the model asks for, {shape}{masked}",
        field="attention",
        got=f"sdpa-{program}",
        fix="choose auto, which takes another kernel where one does not fit",
    )
