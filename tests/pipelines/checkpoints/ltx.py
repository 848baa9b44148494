"""LTX-Video: a tiny checkpoint of 0.9.5 and later, whose decoder takes a timestep, and one of before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.source_video import end_of_source
from studio.request import Role, Task
from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import clip, common, loaded, picture, video

SIZES = {
    "width": {"min": 32, "max": 96, "default": 64, "step": 32},
    "height": {"min": 32, "max": 96, "default": 32, "step": 32},
    "num_frames": {"min": 9, "max": 25, "default": 9, "step": 8, "offset": 1},
    "sizes": [],
    "max_pixels": None,
}
SETTINGS = {"max_sequence_length": 8}


def save_ltx(folder: Path, *, takes_timestep: bool = True, injects_noise: bool = False) -> Path:
    """Write a tiny random checkpoint. takes_timestep, injects_noise: whether its decoder does."""
    import torch
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXConditionPipeline,
        LTXVideoTransformer3DModel,
    )
    from transformers import T5Config, T5EncoderModel

    from tests.pipelines.conftest import word_tokenizer

    torch.manual_seed(0)
    transformer = LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        num_layers=2, caption_channels=16,
    )  # fmt: skip
    vae = AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True, False), decoder_spatio_temporal_scaling=(True, True, True, False),
        decoder_inject_noise=(injects_noise,) * 5, upsample_residual=(False,) * 4, upsample_factor=(1,) * 4,
        timestep_conditioning=takes_timestep, patch_size=1, patch_size_t=1, encoder_causal=True, decoder_causal=False,
    )  # fmt: skip
    vae.latents_mean.copy_(torch.linspace(-0.3, 0.3, 8))
    vae.latents_std.copy_(torch.linspace(0.7, 1.3, 8))
    for name, parameter in vae.named_parameters():
        if "per_channel_scale" in name:  # zero at first, which would hide the noise
            torch.nn.init.constant_(parameter, 0.5)
    encoder = T5EncoderModel(T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    LTXConditionPipeline(
        vae=vae, text_encoder=encoder, tokenizer=word_tokenizer(), transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def save_early_ltx(folder: Path) -> Path:
    """Write a tiny checkpoint as before 0.9.5."""
    return save_ltx(folder, takes_timestep=False)


def call_of(resolved: Any, rng: Any) -> dict[str, Any]:
    """Return the arguments that all pipelines of the family take."""
    return common(resolved, rng) | {
        "num_frames": resolved.num_frames,
        "frame_rate": float(resolved.frame_rate),
        "max_sequence_length": SETTINGS["max_sequence_length"],
    }


def stock(folder: Path, resolved: Any, rng: Any) -> np.ndarray[Any, Any]:
    """Return what diffusers' LTXConditionPipeline makes."""
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

    pipeline = loaded("LTXConditionPipeline", folder)
    places = {Role.FIRST_FRAME: 0, Role.LAST_FRAME: resolved.num_frames - 1}
    conditions = [
        LTXVideoCondition(image=picture(resolved, item.role), frame_index=places[item.role])
        for item in resolved.conditionings
        if item.role in places
    ]
    part = resolved.options["overlap"] if resolved.task is Task.VIDEO_TO_VIDEO else 0
    if part:
        conditions.append(LTXVideoCondition(video=end_of_source(resolved, part), frame_index=0, strength=1.0))
    more: dict[str, Any] = {"conditions": conditions} if conditions else {}
    if resolved.task is Task.VIDEO_TO_VIDEO and not part:
        more |= _latents_of_source(pipeline, resolved, rng)
    return clip(
        pipeline(
            **call_of(resolved, rng), **more, guidance_rescale=resolved.options["guidance_rescale"],
            image_cond_noise_scale=resolved.options["image_cond_noise_scale"],
            decode_timestep=0.05, decode_noise_scale=0.025,
        )
    )  # fmt: skip


def _latents_of_source(pipeline: Any, resolved: Any, rng: Any) -> dict[str, Any]:
    """Return the arguments that take up given latents with noise over them, as diffusers' page on LTX-Video does."""
    pictures = pipeline.video_processor.preprocess_video(video(resolved), resolved.height, resolved.width)
    latents = pipeline.vae.encode(pictures).latent_dist.sample(rng)
    steps, strength = resolved.num_inference_steps, resolved.options["strength"]
    return {
        "latents": pipeline._normalize_latents(latents, pipeline.vae.latents_mean, pipeline.vae.latents_std),
        "timesteps": [1000.0, *(1000.0 * strength * (1 - step / steps) for step in range(steps))],
        "denoise_strength": steps / (steps + 1) + 0.01,
    }


def early_stock(folder: Path, resolved: Any, rng: Any) -> np.ndarray[Any, Any]:
    """Return what diffusers' LTXPipeline or LTXImageToVideoPipeline makes."""
    if resolved.task is Task.IMAGE_TO_VIDEO:
        pipeline = loaded("LTXImageToVideoPipeline", folder)
        return clip(pipeline(**call_of(resolved, rng), image=picture(resolved, Role.FIRST_FRAME)))
    return clip(loaded("LTXPipeline", folder)(**call_of(resolved, rng)))


CASES = [
    FamilyCase(
        name=f"ltx-{name}", base="ltx-video-0.9.5", save=save_ltx, stock=stock, roles=roles, parameters=SIZES,
        settings=SETTINGS,
    )
    for name, roles in {
        "text": (),
        "image": (Role.FIRST_FRAME,),
        "first-last": (Role.FIRST_FRAME, Role.LAST_FRAME),
        "video": (Role.SOURCE_VIDEO,),
    }.items()
] + [
    FamilyCase(
        name="ltx-end-of-video", base="ltx-video-0.9.5", save=save_ltx, stock=stock, roles=(Role.SOURCE_VIDEO,),
        parameters=SIZES | {"num_frames": {"min": 17, "max": 17, "default": 17}}, settings=SETTINGS,
        fields={"options": {"overlap": 9}},
    )
] + [
    FamilyCase(
        name=f"ltx-early-{name}", base="ltx-video-0.9", save=save_early_ltx, stock=early_stock, roles=roles,
        parameters=SIZES, settings=SETTINGS,
    )
    for name, roles in {"text": (), "image": (Role.FIRST_FRAME,)}.items()
]  # fmt: skip
