"""A tiny Mochi checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import clip, common, loaded
from tests.pipelines.conftest import word_tokenizer

TOKENS = 8
CHANNELS = 12  # the pipeline counts on it


def save_mochi(folder: Path) -> Path:
    """Write a tiny random Mochi checkpoint."""
    import torch
    from diffusers import AutoencoderKLMochi, FlowMatchEulerDiscreteScheduler, MochiPipeline, MochiTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    transformer = MochiTransformer3DModel(
        patch_size=2, num_attention_heads=2, attention_head_dim=8, num_layers=2, pooled_projection_dim=16,
        in_channels=CHANNELS, out_channels=None, qk_norm="rms_norm", text_embed_dim=32, time_embed_dim=4,
        max_sequence_length=TOKENS,
    )  # fmt: skip
    torch.nn.init.normal_(transformer.pos_frequencies)
    vae = AutoencoderKLMochi(
        latent_channels=CHANNELS, out_channels=3, encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32), layers_per_block=(1, 1, 1, 1, 1),
    )  # fmt: skip
    encoder = T5EncoderModel(T5Config(vocab_size=32, d_model=32, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    MochiPipeline(
        # As the hub has it: the steps are given as noise levels, from one downwards.
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        vae=vae,
        text_encoder=encoder,
        tokenizer=word_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def _stock(folder: Path, resolved: Any, rng: Any) -> np.ndarray[Any, Any]:
    arguments = {**common(resolved, rng), "num_frames": resolved.num_frames, "max_sequence_length": TOKENS}
    return clip(loaded("MochiPipeline", folder)(**arguments))


CASES = [
    FamilyCase(
        name="mochi text",
        base="mochi-1",
        save=save_mochi,
        stock=_stock,
        settings={"max_sequence_length": TOKENS},
        parameters={"num_frames": {"min": 1, "max": 19, "default": 13}},
    )
]
