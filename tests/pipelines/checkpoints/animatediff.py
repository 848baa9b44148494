"""A tiny AnimateDiff checkpoint: a motion adapter and a Stable Diffusion checkpoint in one folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from studio.request import Role
from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import clip, common, loaded, video
from tests.pipelines.conftest import word_tokenizer

TOKENS = 8


def save_animatediff(folder: Path) -> Path:
    """Write a tiny random AnimateDiff checkpoint."""
    import torch
    from diffusers import AnimateDiffPipeline, AutoencoderKL, DDIMScheduler, MotionAdapter, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(8,) * 4, layers_per_block=1, sample_size=8, in_channels=4, out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, norm_num_groups=2, attention_head_dim=4,
    )  # fmt: skip
    adapter = MotionAdapter(
        block_out_channels=(8,) * 4, motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=4,
        motion_max_seq_length=32,
    )  # fmt: skip
    for name, parameter in adapter.named_parameters():  # zero at the beginning of a training
        if "proj_out" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    vae = AutoencoderKL(
        block_out_channels=(8, 8), in_channels=3, out_channels=3, latent_channels=4, norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    encoder = CLIPTextModel(
        CLIPTextConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                       max_position_embeddings=TOKENS, eos_token_id=1, bos_token_id=2, pad_token_id=0)
    )  # fmt: skip
    tokenizer = word_tokenizer()
    tokenizer.model_max_length = TOKENS
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False, timestep_spacing="linspace",
        steps_offset=1,
    )  # fmt: skip
    AnimateDiffPipeline(
        vae=vae, text_encoder=encoder, tokenizer=tokenizer, unet=unet, motion_adapter=adapter, scheduler=scheduler
    ).save_pretrained(folder)
    return folder


def _stock(
    class_name: str, material: Callable[[Any], dict[str, Any]], folder: Path, resolved: Any, rng: Any
) -> np.ndarray[Any, Any]:
    return clip(loaded(class_name, folder)(**common(resolved, rng), **material(resolved)))


def _text(resolved: Any) -> dict[str, Any]:
    return {"num_frames": resolved.num_frames}


def _video(resolved: Any) -> dict[str, Any]:
    return {"video": [video(resolved)], "strength": resolved.options["strength"]}


CASES = [
    FamilyCase(
        name="animatediff text",
        base="animatediff-1.5-2",
        save=save_animatediff,
        stock=partial(_stock, "AnimateDiffPipeline", _text),
    ),
    FamilyCase(
        name="animatediff video",
        base="animatediff-1.5-2",
        save=save_animatediff,
        stock=partial(_stock, "AnimateDiffVideoToVideoPipeline", _video),
        roles=(Role.SOURCE_VIDEO,),
    ),
]
