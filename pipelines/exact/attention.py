"""Attention of the stock UNet's blocks on channels-last rows. Imports torch.

Stock attention processors set on the UNet are not asked: which program attends is chosen by `pipelines.kernels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pipelines.exact.layers import project, project_together
from pipelines.kernels.dot_product_attention import dot_product_attention
from pipelines.kernels.temporal_attention import temporal_attention

# Of so many rows a BLAS computes each as it does among thousands, bit for bit, also where it shares them among threads.
MANY_ROWS = 256


def spatial_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return (B, heads, N, d): every position of a picture attends over all of them."""
    return dot_product_attention(query, key, value)


def attend_in_frames(attention: Any, x: torch.Tensor, shift: torch.Tensor | None) -> torch.Tensor:
    """Return self-attention within each frame + shift. x: (T, N, C). shift: (C,) or None."""
    by_head = (torch.unflatten(part, -1, (attention.heads, -1)) for part in _query_key_value(attention, x))
    attended = spatial_attention(*(part.transpose(1, 2) for part in by_head)).transpose(1, 2).flatten(2)
    return project(attention.to_out[0], attended, shift)


def attend_along_frames(attention: Any, x: torch.Tensor, shift: torch.Tensor | None) -> torch.Tensor:
    """Return self-attention of each position along the frames + shift. x: (T, N, C). shift: (C,) or None."""
    query, key, value = (part[None] for part in _query_key_value(attention, x))
    attended = temporal_attention(query, key, value, heads=attention.heads)[0]
    return project(attention.to_out[0], attended, shift)


def _query_key_value(attention: Any, x: torch.Tensor) -> Sequence[torch.Tensor]:
    """Return query, key and value of (T, N, C) rows, (T, N, C) each."""
    return project_together((attention.to_q, attention.to_k, attention.to_v), x)


class CrossAttention:
    """A block's cross-attention to the context of one clip, which is the same for all its frames and positions.

    context: (1, L, D). sequences, length: what the stock module computes it for, see `answer_of_one_key`.
    answer: (C,), what it adds to every row where L is 1; None where that depends on the row.
    """

    def __init__(self, block: Any, context: torch.Tensor, *, sequences: int, length: int) -> None:
        self.answer: torch.Tensor | None = None
        self._block = block
        self._context = context
        if block.attn2 is not None and context.shape[1] == 1:
            self.answer = answer_of_one_key(block.attn2, context, sequences=sequences, length=length)

    def add_to(self, x: torch.Tensor) -> None:
        """Add what is not in `answer` to contiguous (T, N, C) rows, in place.

        All rows of the clip see the same keys, so that they are one sequence.
        """
        if self._block.attn2 is None or self.answer is not None:
            return
        rows = self._block.norm2(x).flatten(0, 1)[None]
        x.add_(self._block.attn2(rows, encoder_hidden_states=self._context).view(x.shape))


def answer_of_one_key(attention: Any, context: torch.Tensor, *, sequences: int, length: int) -> torch.Tensor:
    """Return the (C,) that cross-attention gives every query where there is one key.

    softmax over one score is 1, so softmax(q k) v = v and the output is to_out(to_v(context)) whatever the query.
    context: (1, 1, D). sequences, length: the stock module computes to_v for so many sequences, the same for each, and
    to_out for so many rows of each. Bit-equal to it: a BLAS goes other ways for one row, a few and many, so that here
    are as many rows as there, up to `MANY_ROWS`. The exception is a dozen rows and fewer on several threads, of which
    the stock module's own differ among each other.
    """
    value = attention.to_v(context.expand(1, min(sequences, MANY_ROWS), -1).contiguous())
    rows = min(sequences * length, MANY_ROWS)
    answer: torch.Tensor = attention.to_out[0](value[:, :1].expand(1, rows, -1).contiguous())[0, 0]
    return answer
