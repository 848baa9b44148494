"""HunyuanVideo-1.5: tiny checkpoints from text and from a picture, with Qwen2.5-VL's text model, ByT5 and SigLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from studio.request import Role, Task
from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import clip, common, loaded, picture

SIZES = {
    "width": {"min": 16, "max": 96, "default": 48, "step": 16},
    "height": {"min": 16, "max": 96, "default": 32, "step": 16},
    "num_frames": {"min": 5, "max": 25, "default": 9, "step": 4, "offset": 1},
    "sizes": [],
    "max_pixels": None,
}
# The pipelines cut so many tokens, those of the instructions, from the front of each prompt.
INSTRUCTION_TOKENS = 108
TEMPLATE = "{% for _ in range(" + str(INSTRUCTION_TOKENS) + ") %}a {% endfor %}{{ messages[1]['content'] }} moving"
# Of the area that the picture pipeline aims at, in pixels along a side: 48 x 32 is one of its shapes.
TARGET_SIDE = 40


def save_hunyuan15(folder: Path, *, has_picture: bool = False) -> Path:
    """Write a tiny random checkpoint. has_picture: the one that sets a picture in motion."""
    import torch
    from diffusers import (
        AutoencoderKLHunyuanVideo15,
        ClassifierFreeGuidance,
        FlowMatchEulerDiscreteScheduler,
        HunyuanVideo15ImageToVideoPipeline,
        HunyuanVideo15Pipeline,
        HunyuanVideo15Transformer3DModel,
    )
    from transformers import ByT5Tokenizer, Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel, T5Config, T5EncoderModel

    from tests.pipelines.conftest import word_tokenizer

    torch.manual_seed(0)
    transformer = HunyuanVideo15Transformer3DModel(
        in_channels=9, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=2, num_refiner_layers=1,
        mlp_ratio=2.0, text_embed_dim=16, text_embed_2_dim=8, image_embed_dim=12, rope_axes_dim=(2, 2, 4),
        target_size=TARGET_SIDE, task_type="i2v" if has_picture else "t2v",
    )  # fmt: skip
    torch.nn.init.normal_(transformer.cond_type_embed.weight, std=0.5)
    vae = AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(16, 16, 16), layers_per_block=1, spatial_compression_ratio=4,
        temporal_compression_ratio=4, downsample_match_channel=False, upsample_match_channel=False,
    )  # fmt: skip
    tokenizer = word_tokenizer()
    tokenizer.chat_template, tokenizer.padding_side = TEMPLATE, "right"
    parts = {
        "transformer": transformer,
        "vae": vae,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
        "text_encoder": Qwen2_5_VLTextModel(
            Qwen2_5_VLTextConfig(
                vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
                num_key_value_heads=1, pad_token_id=0, bos_token_id=2, eos_token_id=1,
                rope_scaling={"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
            )
        ),
        "tokenizer": tokenizer,
        "text_encoder_2": T5EncoderModel(
            T5Config(vocab_size=400, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
        ),
        "tokenizer_2": ByT5Tokenizer(),
        "guider": ClassifierFreeGuidance(guidance_scale=6.0),
    }  # fmt: skip
    if has_picture:
        HunyuanVideo15ImageToVideoPipeline(**parts, **_siglip()).save_pretrained(folder)
    else:
        HunyuanVideo15Pipeline(**parts).save_pretrained(folder)
    return folder


def _siglip() -> dict[str, Any]:
    from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

    vision = SiglipVisionConfig(
        hidden_size=12, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    return {
        "image_encoder": SiglipVisionModel(vision),
        "feature_extractor": SiglipImageProcessor(size={"height": 28, "width": 28}),
    }


def save_of_picture(folder: Path) -> Path:
    """Write a tiny checkpoint that sets a picture in motion."""
    return save_hunyuan15(folder, has_picture=True)


def stock(folder: Path, resolved: Any, rng: Any) -> np.ndarray[Any, Any]:
    """Return what diffusers' HunyuanVideo-1.5 pipelines make."""
    has_picture = resolved.task is Task.IMAGE_TO_VIDEO
    pipeline = loaded("HunyuanVideo15ImageToVideoPipeline" if has_picture else "HunyuanVideo15Pipeline", folder)
    pipeline.guider = pipeline.guider.new(guidance_scale=resolved.guidance_scale)
    pipeline.scheduler.set_shift(5.0)
    call = common(resolved, rng)
    del call["guidance_scale"]
    if has_picture:
        del call["width"], call["height"]
        call["image"] = picture(resolved, Role.FIRST_FRAME)
    return clip(pipeline(**call, num_frames=resolved.num_frames))


CASES = [
    FamilyCase(
        name="hunyuan15-text", base="hunyuanvideo-1.5-480p-t2v", save=save_hunyuan15, stock=stock, parameters=SIZES
    ),
    FamilyCase(
        name="hunyuan15-image", base="hunyuanvideo-1.5-480p-i2v", save=save_of_picture, stock=stock,
        roles=(Role.FIRST_FRAME,), parameters=SIZES,
    ),
]  # fmt: skip
