"""Small UNets of Stable Video Diffusion's class: the real one at tiny configurations, with random weights."""

from __future__ import annotations

from typing import Any

import torch

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def small_unet(dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """Build a UNet of two levels, with attention on the first; every parameter differs from its initial value."""
    from diffusers import UNetSpatioTemporalConditionModel

    tiny = {
        "in_channels": 8,
        "out_channels": 4,
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "num_attention_heads": (2, 4),
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 24,
        "num_frames": 4,
    }
    rng = torch.Generator().manual_seed(0)
    unet = UNetSpatioTemporalConditionModel(**(tiny | config)).eval()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.copy_(
                parameter + 0.1 * torch.randn(parameter.shape, generator=rng) * parameter.std().nan_to_num(1)
            )
        for name, parameter in unet.named_parameters():
            if name.endswith(("bias", "mix_factor")):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng))
    return unet.to(dtype)


def inputs_of(
    unet: Any, *, batch: int = 1, frames: int = 4, height: int = 8, width: int = 8, tokens: int = 1, seed: int = 0
) -> Inputs:
    """Return what a pipeline calls the UNet with."""
    rng = torch.Generator().manual_seed(seed)
    shapes = (
        (batch, frames, unet.config.in_channels, height, width),
        (batch, tokens, unet.config.cross_attention_dim),
        (batch, unet.config.projection_class_embeddings_input_dim // unet.config.addition_time_embed_dim),
    )
    sample, context, conditions = (torch.randn(shape, generator=rng).to(unet.dtype) for shape in shapes)
    return sample, torch.tensor(1.6), context, conditions
