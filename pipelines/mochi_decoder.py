"""Mochi's decoder, one latent frame after the other: the frames of the whole clip at once in the memory of six.

All its convolutions look back in time only, its norms look at one frame, and it has no attention. diffusers decodes
the whole clip at once; its own frame-wise way pads pictures with zeros instead of their edges and changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pipelines.replaced_forward import Forward, replaced_forward

if TYPE_CHECKING:
    import torch


def decode_mochi(vae: Any, latents: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield what `AutoencoderKLMochi.decode` returns, (n, 3, H, W) for each latent frame.

    latents: (1, C, T, h, w), of the VAE's own spread. Frames: 6 T, less the 5 that only lead up to the first.
    """
    lead = vae.temporal_compression_ratio - 1 if vae.drop_last_temporal_frames else 0
    with ExitStack() as stack:
        for convolution in _causal_convolutions(vae.decoder):
            stack.enter_context(replaced_forward(convolution, _remembering(convolution)))
        memory = None
        for index in range(latents.shape[2]):
            piece, memory = vae.decoder(latents[:, :, index : index + 1], conv_cache=memory)
            yield piece[0].transpose(0, 1)[lead if index == 0 else 0 :]


def _causal_convolutions(decoder: Any) -> list[Any]:
    from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXCausalConv3d

    return [module for module in decoder.modules() if isinstance(module, CogVideoXCausalConv3d)]


def _remembering(convolution: Any) -> Callable[[Forward], Forward]:
    """Return what makes a forward that goes on from the last frames of the piece before, and repeats edges as stock."""
    import torch
    from torch.nn.functional import pad

    sides = (convolution.width_pad, convolution.width_pad, convolution.height_pad, convolution.height_pad, 0, 0)

    def forward(inputs: torch.Tensor, conv_cache: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        back = convolution.time_pad
        before = inputs[:, :, :1].expand(-1, -1, back, -1, -1) if conv_cache is None else conv_cache
        joined = torch.cat([before, inputs], dim=2)
        return convolution.conv(pad(joined, sides, mode="replicate")), joined[:, :, joined.shape[2] - back :]

    return lambda _stock: forward
