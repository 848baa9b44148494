"""Tiny CogVideoX checkpoints: the first generation and 1.5, from text, a picture and a video."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from studio.request import Role
from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import clip, common, loaded, picture, video
from tests.pipelines.conftest import word_tokenizer

TOKENS = 8
CHANNELS = 4


def save_cogvideox(
    folder: Path,
    *,
    class_name: str = "CogVideoXPipeline",
    is_dpm: bool = False,
    is_second: bool = False,
    has_rotary_positions: bool = False,
) -> Path:
    """Write a checkpoint. is_dpm: with the solver that remembers a step. is_second: CogVideoX 1.5."""
    import diffusers
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    takes_picture = "Image" in class_name
    vae = diffusers.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8), latent_channels=CHANNELS, layers_per_block=1, norm_num_groups=2,
        temporal_compression_ratio=4, scaling_factor=0.7, invert_scale_latents=is_second,
    )  # fmt: skip
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=CHANNELS * (2 if takes_picture else 1),
        out_channels=CHANNELS, time_embed_dim=8, text_embed_dim=16, num_layers=2, sample_width=4, sample_height=4,
        sample_frames=9, patch_size=2, patch_size_t=2 if is_second else None, temporal_compression_ratio=4,
        max_text_seq_length=TOKENS, use_rotary_positional_embeddings=has_rotary_positions or is_second,
        ofs_embed_dim=8 if is_second and takes_picture else None, patch_bias=not is_second,
    )  # fmt: skip
    kind = diffusers.CogVideoXDPMScheduler if is_dpm else diffusers.CogVideoXDDIMScheduler
    scheduler = kind(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False
    )
    encoder = T5EncoderModel(T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    getattr(diffusers, class_name)(
        tokenizer=word_tokenizer(), text_encoder=encoder, vae=vae, transformer=transformer, scheduler=scheduler
    ).save_pretrained(folder)
    return folder


def _stock(
    class_name: str, material: Callable[[Any], dict[str, Any]], folder: Path, resolved: Any, rng: Any
) -> np.ndarray[Any, Any]:
    pipeline = loaded(class_name, folder)
    dynamic = {"use_dynamic_cfg": resolved.options["use_dynamic_cfg"]}
    return clip(pipeline(**common(resolved, rng), **material(resolved), **dynamic, max_sequence_length=TOKENS))


def _text(resolved: Any) -> dict[str, Any]:
    return {"num_frames": resolved.num_frames}


def _first(resolved: Any) -> dict[str, Any]:
    return {**_text(resolved), "image": picture(resolved, Role.FIRST_FRAME)}


def _video(resolved: Any) -> dict[str, Any]:
    return {"video": video(resolved), "strength": resolved.options["strength"]}


def _case(name: str, base: str, class_name: str, **more: Any) -> FamilyCase:
    material, saved = more.pop("material", _text), more.pop("saved", {})
    return FamilyCase(
        name=name,
        base=base,
        save=partial(save_cogvideox, **saved),
        stock=partial(_stock, class_name, material),
        settings={"max_sequence_length": TOKENS},
        parameters={"num_frames": {"min": 1, "max": 17, "default": 9}},
        **more,
    )


TEXT, PICTURE, VIDEO = (f"CogVideoX{kind}Pipeline" for kind in ("", "ImageToVideo", "VideoToVideo"))
CASES = [
    _case("cogvideox text", "cogvideox-2b", TEXT),
    _case(
        "cogvideox text, remembering solver", "cogvideox-5b", TEXT,
        saved={"is_dpm": True, "has_rotary_positions": True}, fields={"options": {"use_dynamic_cfg": True}},
    ),
    _case(
        "cogvideox picture", "cogvideox-5b-i2v", PICTURE, roles=(Role.FIRST_FRAME,), material=_first,
        saved={"class_name": PICTURE, "is_dpm": True, "has_rotary_positions": True},
    ),
    _case("cogvideox video", "cogvideox-2b", VIDEO, roles=(Role.SOURCE_VIDEO,), material=_video),
    _case(
        "cogvideox video, remembering solver", "cogvideox-5b", VIDEO, roles=(Role.SOURCE_VIDEO,), material=_video,
        saved={"is_dpm": True, "has_rotary_positions": True}, fields={"options": {"strength": 0.75}},
    ),
    _case("cogvideox 1.5 text", "cogvideox1.5-5b", TEXT, saved={"is_dpm": True, "is_second": True}),
    _case(
        "cogvideox 1.5 picture", "cogvideox1.5-5b-i2v", PICTURE, roles=(Role.FIRST_FRAME,), material=_first,
        saved={"class_name": PICTURE, "is_dpm": True, "is_second": True},
    ),
]  # fmt: skip
