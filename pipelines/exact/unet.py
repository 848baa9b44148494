"""Stable Video Diffusion's UNet in a part of the memory: the stock modules and weights, another order of work.

Stock: UNetSpatioTemporalConditionModel of diffusers. Spatial layers run a few frames at a time and temporal layers a
few positions at a time, in place on one buffer. Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import zip_longest
from typing import Any

import torch

from pipelines.exact.layers import convolve, group_normed
from pipelines.exact.resampling import downsample, upsample
from pipelines.exact.resnet import resnet
from pipelines.exact.streams import Clip, Held, Tiles, mapped, resident
from pipelines.exact.transformer import transformer
from pipelines.plan import Tiling

Forward = Callable[..., Any]

# Where the forward of a module is looked for: accelerate's hooks put theirs in its place and keep it in the first.
_SLOTS = ("_old_forward", "forward")


def exact_forward(unet: Any, tiling: Tiling, *, held: Held = resident) -> Forward:
    """Return a function with the signature and, within rounding, the result of the UNet's stock forward.

    tiling: how much is computed at a time. held: given a layer, returns a context in which its weights are on the
    device; layers come one by one, in the same order in every pass. For inference: nothing is kept for gradients.
    Raises `ValueError` for a UNet of another kind.
    """
    if type(unet).__name__ != "UNetSpatioTemporalConditionModel":
        raise ValueError(f"unet: expected an UNetSpatioTemporalConditionModel, got {type(unet).__name__}")
    return partial(_forward, unet, tiling, held)


@contextmanager
def installed(unet: Any, tiling: Tiling, *, held: Held = resident) -> Iterator[None]:
    """Let calls of the UNet go through `exact_forward` for as long as the context lasts.

    Hooks of accelerate, such as those of model offload, go on working; they may come and go meanwhile.
    """
    exact = exact_forward(unet, tiling, held=held)
    slot = next(slot for slot in _SLOTS if hasattr(unet, slot))
    stock = vars(unet).get(slot)
    setattr(unet, slot, exact)
    try:
        yield
    finally:
        for slot in _SLOTS:
            if vars(unet).get(slot) is exact:
                setattr(unet, slot, stock or type(unet).forward.__get__(unet))
        if stock is None and "_old_forward" not in vars(unet):
            vars(unet).pop("forward", None)


@torch.no_grad()
def _forward(
    unet: Any,
    tiling: Tiling,
    held: Held,
    sample: torch.Tensor,
    timestep: torch.Tensor | float,
    encoder_hidden_states: torch.Tensor,
    added_time_ids: torch.Tensor,
    return_dict: bool = True,
) -> Any:
    """Do what the stock forward does: (B, T, C, H, W) noisy latents in, as many of the model's output out."""
    timesteps = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
    given = (sample, timesteps, encoder_hidden_states, added_time_ids)
    if tiling.is_guidance_split and len(sample) > 1:
        output = sample.new_empty(*sample.shape[:2], unet.config.out_channels, *sample.shape[3:])
        for item in range(len(sample)):
            output[item : item + 1] = _pass(unet, tiling, held, *(tensor[item : item + 1] for tensor in given))
    else:
        output = _pass(unet, tiling, held, *given)
    if not return_dict:
        return (output,)
    from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionOutput

    return UNetSpatioTemporalConditionOutput(sample=output)


def _pass(
    unet: Any,
    tiling: Tiling,
    held: Held,
    sample: torch.Tensor,
    timesteps: torch.Tensor,
    context: torch.Tensor,
    added_time_ids: torch.Tensor,
) -> torch.Tensor:
    embedding = _embedding(unet, held, timesteps, added_time_ids, sample.dtype)
    tiles = Tiles.of(tiling, positions=sample[0, 0, 0].numel(), channels=unet.config.block_out_channels[0])
    with held(unet.conv_in):
        stream = mapped(sample.permute(0, 1, 3, 4, 2).contiguous(), partial(convolve, unet.conv_in), tiles)
    clip = Clip(stream=stream, embedding=embedding, context=context, tiles=tiles, held=held, skips=[stream])
    del stream, sample
    for block in unet.down_blocks:
        _down(block, clip)
    _middle(unet.mid_block, clip)
    for block in unet.up_blocks:
        _up(block, clip)
    with held(unet.conv_norm_out), held(unet.conv_out):
        clip.replace(partial(_end, unet))
    return clip.stream.permute(0, 1, 4, 2, 3).contiguous()


def _end(unet: Any, pictures: torch.Tensor) -> torch.Tensor:
    return convolve(unet.conv_out, group_normed(unet.conv_norm_out, pictures, is_activated=True))


def _embedding(
    unet: Any, held: Held, timesteps: torch.Tensor, added_time_ids: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Return (B, E) of the time step and the conditions that come as numbers."""
    with held(unet.time_embedding):
        embedding: torch.Tensor = unet.time_embedding(unet.time_proj(timesteps).to(dtype))
    conditions = unet.add_time_proj(added_time_ids.flatten()).reshape(len(timesteps), -1)
    with held(unet.add_embedding):
        added: torch.Tensor = unet.add_embedding(conditions.to(embedding.dtype))
    return embedding + added


def _down(block: Any, clip: Clip) -> None:
    for residual, attention in zip_longest(block.resnets, _attentions(block)):
        resnet(residual, clip)
        if attention is not None:
            transformer(attention, clip)
        clip.skips.append(clip.stream)
    if block.downsamplers is not None:
        for layer in block.downsamplers:
            downsample(layer, clip)
        clip.skips.append(clip.stream)


def _middle(block: Any, clip: Clip) -> None:
    resnet(block.resnets[0], clip)
    for attention, residual in zip(block.attentions, block.resnets[1:], strict=True):
        transformer(attention, clip)
        resnet(residual, clip)


def _up(block: Any, clip: Clip) -> None:
    for residual, attention in zip_longest(block.resnets, _attentions(block)):
        resnet(residual, clip, is_joined=True)
        if attention is not None:
            transformer(attention, clip)
    if block.upsamplers is not None:
        for layer in block.upsamplers:
            upsample(layer, clip)


def _attentions(block: Any) -> Any:
    return getattr(block, "attentions", ())
