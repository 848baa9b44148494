"""Networks with random weights, made on the device. Imports torch and diffusers."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    AutoencoderKLWan,
    EulerDiscreteScheduler,
    HunyuanVideo15Transformer3DModel,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from benchmarks.local_speed.bench import Bench
from benchmarks.local_speed.sizes import ARCHITECTURE
from benchmarks.svd_memory.staged_svd import Marks, StagedPipeline, picture_processor


def svd_pipeline(bench: Bench, stages: Marks) -> StagedPipeline:
    """Return Stable Video Diffusion's pipeline, all networks on the device."""
    configurations = bench.size.svd
    with bench.device:
        parts = {
            "unet": UNetSpatioTemporalConditionModel.from_config(configurations["unet"]),
            "vae": AutoencoderKLTemporalDecoder.from_config(configurations["vae"]),
            "image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**configurations["image_encoder"])),
        }
    parts = {name: _filled(network, bench) for name, network in parts.items()}
    scheduler = EulerDiscreteScheduler.from_pretrained(ARCHITECTURE / "scheduler", local_files_only=True)
    pipeline = StagedPipeline(**parts, scheduler=scheduler, feature_extractor=picture_processor())
    pipeline.stages = stages
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def wan_vae(bench: Bench) -> Any:
    """Return Wan's VAE, in float32 as its model cards ask."""
    with bench.device:
        network = AutoencoderKLWan(**bench.size.wan_vae)
    return _filled(network, bench, torch.float32)


def hunyuan_transformer(bench: Bench) -> Any:
    """Return the transformer of HunyuanVideo-1.5, in bfloat16 on a GPU."""
    with bench.device:
        network = HunyuanVideo15Transformer3DModel(**bench.size.hunyuan)
    return _filled(network, bench, torch.bfloat16 if bench.is_cuda else torch.float32)


def _filled(network: Any, bench: Bench, dtype: torch.dtype | None = None) -> Any:
    """Give a network weights that keep numbers about as large as they come in: normal, by the square root of fan-in.

    Zeros would be faster than real numbers, and what is no number slower or wrong.
    """
    network = network.to(bench.device, dtype or bench.dtype).eval().requires_grad_(False)
    rng = bench.rng()
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            weight.normal_(0, weight[0].numel() ** -0.5, generator=rng)
        elif name.endswith("bias"):
            weight.normal_(0, 0.02, generator=rng)
        elif weight.numel() > 1:  # of a norm; single numbers, such as shares of a blend, stay as they are
            weight.normal_(1, 0.02, generator=rng)
    return network
