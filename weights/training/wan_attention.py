"""Wan's attention in plain matrix products, to train on a CPU in bfloat16: same weights, same result as the stock one.

PyTorch's fused CPU attention has a slow backward pass at 80 tokens, and the stock processor leaves bfloat16 for norms
and rotates by strided writes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import Tensor


class MatrixAttention:
    """Drop-in for diffusers' `WanAttnProcessor`, without image keys: hidden states (B, N, D), text (B, M, D)."""

    def __call__(
        self,
        attention: WanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return (B, N, D). `attention_mask` is not supported, as in Wan it is always None."""
        if attention_mask is not None:
            raise ValueError("MatrixAttention takes no attention mask")
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = _normalised(attention.to_q(hidden_states), attention.norm_q)
        key = _normalised(attention.to_k(source), attention.norm_k)
        value = attention.to_v(source)
        query, key, value = (part.unflatten(2, (attention.heads, -1)) for part in (query, key, value))
        if rotary_emb is not None:
            cosine = rotary_emb[0].to(query.dtype)
            sine = rotary_emb[1].to(query.dtype) * _signs(query.shape[-1], query.dtype)
            query, key = (part * cosine + _pairs_swapped(part) * sine for part in (query, key))
        query, key, value = (part.transpose(1, 2).flatten(0, 1) for part in (query, key, value))
        scores = torch.bmm(query, key.mT) * query.shape[-1] ** -0.5
        mixed = torch.bmm(scores.softmax(dim=-1).to(value.dtype), value)
        mixed = mixed.unflatten(0, (hidden_states.shape[0], attention.heads)).transpose(1, 2).flatten(2)
        output: Tensor = attention.to_out[0](mixed)
        return output


def _normalised(x: Tensor, norm: torch.nn.RMSNorm) -> Tensor:
    return F.rms_norm(x, norm.normalized_shape, norm.weight.to(x.dtype), norm.eps)


def _signs(width: int, dtype: torch.dtype) -> Tensor:
    return torch.tensor([-1.0, 1.0], dtype=dtype).repeat(width // 2)


def _pairs_swapped(x: Tensor) -> Tensor:
    return x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
