"""HunyuanVideo: tiny checkpoints from text (Llama and CLIP), and from a picture in both ways it can enter (Llava)."""

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
# The templates of the prompts, cut at fixed places, are made of these; whatever else is said is unknown.
SPECIAL_TOKENS = ["<pad>", "</s>", "<s>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<image>", "\n\n"]
WORDS = ["<unk>", "a", "red", "circle", "moving", "black"]
VOCABULARY = {word: number for number, word in enumerate([*SPECIAL_TOKENS, *WORDS])}
IN_PLACE, BESIDE = "token_replace", "latent_concat"


def llama_tokenizer(beginning: str) -> Any:
    """Return a tokenizer that puts the parts of the pipelines' templates where they look for them.

    beginning: tokens before all others.
    """
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{beginning} $A", special_tokens=[("<s>", VOCABULARY["<s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", bos_token="<s>", unk_token="<unk>",
        padding_side="right",
    )  # fmt: skip


def save_hunyuan(folder: Path, *, condition: str | None = None) -> Path:
    """Write a tiny random checkpoint. condition: how a picture enters, None for one from text."""
    import torch
    from diffusers import (
        AutoencoderKLHunyuanVideo,
        FlowMatchEulerDiscreteScheduler,
        HunyuanVideoImageToVideoPipeline,
        HunyuanVideoPipeline,
        HunyuanVideoTransformer3DModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    from tests.pipelines.conftest import word_tokenizer

    torch.manual_seed(0)
    transformer = HunyuanVideoTransformer3DModel(
        in_channels=9 if condition == BESIDE else 4, out_channels=4, num_attention_heads=2, attention_head_dim=10,
        num_layers=1, num_single_layers=1, num_refiner_layers=1, patch_size=1, patch_size_t=1,
        guidance_embeds=condition != BESIDE, text_embed_dim=16, pooled_projection_dim=8, rope_axes_dim=(2, 4, 4),
        image_condition_type=condition,
    )  # fmt: skip
    vae = AutoencoderKLHunyuanVideo(
        latent_channels=4, down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4, block_out_channels=(8, 8, 8, 8), layers_per_block=1,
        norm_num_groups=4, mid_block_add_attention=True,
    )  # fmt: skip
    clip_text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=32, hidden_size=8, intermediate_size=8, num_attention_heads=2, num_hidden_layers=1,
            pad_token_id=0, bos_token_id=2, eos_token_id=1,
        )
    )  # fmt: skip
    parts = {
        "transformer": transformer, "vae": vae, "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
        "tokenizer": llama_tokenizer("<s> <s>" if condition is None else "<s>"), "text_encoder_2": clip_text,
        "tokenizer_2": word_tokenizer(),
    }  # fmt: skip
    if condition is None:
        from transformers import LlamaModel

        HunyuanVideoPipeline(**parts, text_encoder=LlamaModel(_llama())).save_pretrained(folder)
    else:
        HunyuanVideoImageToVideoPipeline(**parts, **_llava()).save_pretrained(folder)
    return folder


def _llama() -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_attention_heads=2, num_hidden_layers=2,
        pad_token_id=VOCABULARY["<pad>"], bos_token_id=VOCABULARY["<s>"], eos_token_id=VOCABULARY["</s>"],
    )  # fmt: skip


def _llava() -> dict[str, Any]:
    """Return a text encoder that sees pictures of 24 x 24 patches, and their processor."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_attention_heads=2, num_hidden_layers=2, image_size=336, patch_size=14
    )
    encoder = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision, text_config=_llama(), image_token_index=VOCABULARY["<image>"],
            pad_token_id=VOCABULARY["<pad>"],
        )
    )  # fmt: skip
    processor = CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    return {"text_encoder": encoder, "image_processor": processor}


def save_in_place(folder: Path) -> Path:
    """Write a tiny checkpoint whose picture takes the place of the first frame."""
    return save_hunyuan(folder, condition=IN_PLACE)


def save_beside(folder: Path) -> Path:
    """Write a tiny checkpoint whose picture stands beside the frames."""
    return save_hunyuan(folder, condition=BESIDE)


def stock(folder: Path, resolved: Any, rng: Any) -> np.ndarray[Any, Any]:
    """Return what diffusers' HunyuanVideo pipelines make."""
    has_picture = resolved.task is Task.IMAGE_TO_VIDEO
    pipeline = loaded("HunyuanVideoImageToVideoPipeline" if has_picture else "HunyuanVideoPipeline", folder)
    # With the picture beside them it makes four frames more than it returns.
    is_longer = pipeline.transformer.config.image_condition_type == BESIDE
    more = {"image": picture(resolved, Role.FIRST_FRAME)} if has_picture else {}
    return clip(
        pipeline(
            **common(resolved, rng), **more, num_frames=resolved.num_frames + 4 * is_longer,
            true_cfg_scale=resolved.options["true_cfg_scale"],
        )
    )  # fmt: skip


CASES = [
    FamilyCase(name=f"hunyuan-{name}", base=base, save=save, stock=stock, roles=roles, parameters=SIZES)
    for name, base, save, roles in (
        ("text", "hunyuanvideo", save_hunyuan, ()),
        ("image", "hunyuanvideo-i2v", save_in_place, (Role.FIRST_FRAME,)),
        ("image-beside", "hunyuanvideo-i2v", save_beside, (Role.FIRST_FRAME,)),
    )
]
