"""A tiny Allegro checkpoint; its VAE knows tiles of 24 frames only, which overlap by 80 and 120 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import clip, common, loaded
from tests.pipelines.conftest import word_tokenizer

TOKENS = 8
TILE = 128


def save_allegro(folder: Path) -> Path:
    """Write a tiny random Allegro checkpoint."""
    import torch
    from diffusers import (
        AllegroPipeline,
        AllegroTransformer3DModel,
        AutoencoderKLAllegro,
        EulerAncestralDiscreteScheduler,
    )
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    transformer = AllegroTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, num_layers=1,
        cross_attention_dim=24, sample_width=16, sample_height=16, sample_frames=6, caption_channels=16,
    )  # fmt: skip
    vae = AutoencoderKLAllegro(
        block_out_channels=(4, 4, 4, 4), layers_per_block=1, norm_num_groups=2, latent_channels=4, sample_size=TILE
    )
    encoder = T5EncoderModel(T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    AllegroPipeline(
        tokenizer=word_tokenizer(), text_encoder=encoder, vae=vae, transformer=transformer,
        scheduler=EulerAncestralDiscreteScheduler(beta_start=0.0001, beta_end=0.02, timestep_spacing="trailing"),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def _stock(folder: Path, resolved: Any, rng: Any) -> np.ndarray[Any, Any]:
    pipeline = loaded("AllegroPipeline", folder)
    pipeline.vae.enable_tiling()
    arguments = {**common(resolved, rng), "num_frames": resolved.num_frames, "max_sequence_length": TOKENS}
    return clip(pipeline(**arguments))


CASES = [
    FamilyCase(
        name="allegro text",
        base="allegro",
        save=save_allegro,
        stock=_stock,
        settings={"max_sequence_length": TOKENS},
        parameters={
            "width": {"min": TILE, "max": TILE, "default": TILE},
            "height": {"min": TILE, "max": TILE, "default": TILE},
            "num_frames": {"min": 24, "max": 24, "default": 24},
        },
    )
]
