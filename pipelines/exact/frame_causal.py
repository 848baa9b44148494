"""The VAEs of HunyuanVideo and HunyuanVideo-1.5 without the mask of their attention: the same frames, less memory.

In the middle of both VAEs each position looks at its own frame and all earlier ones. Stock writes that down as a dense
mask of (T P)^2 numbers for T frames of P positions, 1.5 row after row from Python; frame after frame no mask is needed:
the positions of a frame look at all that is before its end.

Counted for 121 frames at 848x480 in HunyuanVideo-1.5 (T = 31, P = 1590): the mask is 4.5 GiB in bfloat16 and takes
49,290 writes to make; attention is 4 (T P)^2 C against 2 (T P)^2 C (1 + 1/T) FLOP. In HunyuanVideo at 1280x720, which
stock decodes in tiles of 5 latent frames (P = 14,400), the mask is 9.7 GiB in bfloat16 for each tile, made by way
of one of 19 GiB in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.replaced_forward import Forward, replaced_forward

if TYPE_CHECKING:
    import torch


@contextmanager
def without_frame_mask(vae: Any) -> Iterator[None]:
    """Let a stock VAE of HunyuanVideo or HunyuanVideo-1.5 attend frame after frame; it is left as it was found."""
    with ExitStack() as stack:
        for middle in (vae.encoder.mid_block, vae.decoder.mid_block):
            attentions = [part for part in middle.attentions if part is not None]
            if any(hasattr(part, "group_norm") for part in attentions):
                stack.enter_context(replaced_forward(middle, _of_first(middle)))
            else:
                for part in attentions:
                    stack.enter_context(replaced_forward(part, _of_second(part)))
        yield


def attend_frame_by_frame(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Return attention where positions look at their own frame and earlier ones.

    query, key, value: (B, H, T P, D), frame after frame. Returns the same shape.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    positions = query.shape[2] // num_frames
    ends = range(positions, query.shape[2] + 1, positions)
    return torch.cat(
        [
            scaled_dot_product_attention(query[:, :, end - positions : end], key[:, :, :end], value[:, :, :end])
            for end in ends
        ],
        dim=2,
    )


def _of_second(block: Any) -> Callable[[Forward], Forward]:
    """Return what makes the forward of HunyuanVideo-1.5's attention block: (B, C, T, h, w) in and out."""

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        normed = block.norm(hidden)
        shape = hidden.shape
        query, key, value = (
            part(normed).flatten(2).transpose(1, 2).unsqueeze(1).contiguous()
            for part in (block.to_q, block.to_k, block.to_v)
        )
        attended = attend_frame_by_frame(query, key, value, shape[2])
        mixed: torch.Tensor = block.proj_out(attended.squeeze(1).transpose(1, 2).reshape(shape))
        return mixed + hidden

    return lambda _stock: forward


def _of_first(middle: Any) -> Callable[[Forward], Forward]:
    """Return what makes the forward of HunyuanVideo's middle block: (B, C, T, h, w) in and out."""

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        hidden = middle.resnets[0](hidden)
        for attention, resnet in zip(middle.attentions, middle.resnets[1:], strict=True):
            hidden = resnet(hidden if attention is None else _attend(attention, hidden))
        return hidden

    return lambda _stock: forward


def _attend(attention: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Do what diffusers' `Attention` with its standard processor does: normed over groups, with its input added."""
    shape = hidden.shape
    tokens = hidden.permute(0, 2, 3, 4, 1).flatten(1, 3)
    normed = attention.group_norm(tokens.transpose(1, 2)).transpose(1, 2)
    query, key, value = (
        part(normed).view(*tokens.shape[:2], attention.heads, -1).transpose(1, 2)
        for part in (attention.to_q, attention.to_k, attention.to_v)
    )
    attended = attend_frame_by_frame(query, key, value, shape[2]).transpose(1, 2).flatten(2)
    mixed = attention.to_out[1](attention.to_out[0](attended)) + tokens
    # A factor of one but in models of long ago; kept as the library has it.
    scaled: torch.Tensor = mixed / attention.rescale_output_factor
    return scaled.view(shape[0], *shape[2:], shape[1]).permute(0, 4, 1, 2, 3)
