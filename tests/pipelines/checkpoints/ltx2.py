"""LTX-2: a tiny checkpoint with Gemma 3, connectors, two VAEs and a vocoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from studio.request import Role, Task
from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import common, loaded, picture

SIZES = {
    "width": {"min": 32, "max": 96, "default": 64, "step": 32},
    "height": {"min": 32, "max": 96, "default": 32, "step": 32},
    "num_frames": {"min": 9, "max": 25, "default": 17, "step": 8, "offset": 1},
    "sizes": [],
    "max_pixels": None,
}
SETTINGS = {"max_sequence_length": 8, "spatio_temporal_guidance_blocks": [1]}
SAMPLE_RATE = 4000


def save_ltx2(folder: Path, *, is_later: bool = False) -> Path:
    """Write a tiny random checkpoint. is_later: as LTX-2.3, with features of each modality and guidance by blocks."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, LTX2Pipeline
    from diffusers.models import LTX2VideoTransformer3DModel
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    from tests.pipelines.conftest import word_tokenizer

    torch.manual_seed(0)
    transformer = LTX2VideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        audio_in_channels=4, audio_out_channels=4, audio_num_attention_heads=2, audio_attention_head_dim=4,
        audio_cross_attention_dim=8, num_layers=2, caption_channels=16, rope_double_precision=False, rope_type="split",
        audio_sampling_rate=SAMPLE_RATE, audio_hop_length=20, vae_scale_factors=(8, 8, 8),
        use_prompt_embeddings=not is_later, cross_attn_mod=is_later, audio_cross_attn_mod=is_later,
        perturbed_attn=is_later,
    )  # fmt: skip
    connectors = LTX2TextConnectors(
        caption_channels=16, text_proj_in_factor=3, video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=8, video_connector_num_layers=1, video_connector_num_learnable_registers=4,
        audio_connector_num_attention_heads=2, audio_connector_attention_head_dim=4 if is_later else 8,
        audio_connector_num_layers=1, audio_connector_num_learnable_registers=4, connector_rope_base_seq_len=32,
        rope_double_precision=False, rope_type="split", per_modality_projections=is_later, video_hidden_dim=16,
        audio_hidden_dim=8,
    )  # fmt: skip
    encoder = Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config={
                "vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
                "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 16,
                "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
            },
            vision_config={
                "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
                "image_size": 14, "patch_size": 14,
            },
            mm_tokens_per_image=1, image_token_index=31, boi_token_index=30, eoi_token_index=29,
        )
    )  # fmt: skip
    vae, audio_vae = _vaes()
    vocoder = LTX2Vocoder(
        in_channels=16, hidden_channels=16, out_channels=2, upsample_kernel_sizes=[10, 8], upsample_factors=[5, 4],
        resnet_kernel_sizes=[3], resnet_dilations=[[1, 3]], leaky_relu_negative_slope=0.1,
        output_sampling_rate=SAMPLE_RATE,
    )  # fmt: skip
    LTX2Pipeline(
        transformer=transformer, vae=vae, audio_vae=audio_vae, scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder=encoder, tokenizer=word_tokenizer(), connectors=connectors, vocoder=vocoder,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def _vaes() -> tuple[Any, Any]:
    """Return the VAEs of picture and sound."""
    import torch
    from diffusers import AutoencoderKLLTX2Video
    from diffusers.models.autoencoders import AutoencoderKLLTX2Audio

    vae = AutoencoderKLLTX2Video(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8), layers_per_block=(1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True), decoder_spatio_temporal_scaling=(True, True, True),
        decoder_inject_noise=(False,) * 4, downsample_type=("spatiotemporal",) * 3, upsample_residual=(False,) * 3,
        upsample_factor=(1, 1, 1), timestep_conditioning=False, patch_size=1, patch_size_t=1, encoder_causal=True,
        decoder_causal=False,
    )  # fmt: skip
    vae.latents_mean.copy_(torch.linspace(-0.3, 0.3, 4))
    vae.latents_std.copy_(torch.linspace(0.7, 1.3, 4))
    audio_vae = AutoencoderKLLTX2Audio(
        base_channels=4, output_channels=2, ch_mult=(1,), num_res_blocks=1, attn_resolutions=None, in_channels=2,
        resolution=32, latent_channels=2, norm_type="pixel", causality_axis="height", dropout=0.0,
        mid_block_add_attention=False, sample_rate=SAMPLE_RATE, mel_hop_length=20, is_causal=True, mel_bins=8,
    )  # fmt: skip
    return vae, audio_vae


def save_later_ltx2(folder: Path) -> Path:
    """Write a tiny checkpoint as LTX-2.3."""
    return save_ltx2(folder, is_later=True)


def both(folder: Path, resolved: Any, rng: Any) -> tuple[np.ndarray[Any, Any], Any]:
    """Return frames (T, H, W, 3) and sound (C, N) of diffusers' LTX-2 pipelines."""
    has_picture = resolved.task is Task.IMAGE_TO_VIDEO
    pipeline = loaded("LTX2ImageToVideoPipeline" if has_picture else "LTX2Pipeline", folder)
    more = {"image": picture(resolved, Role.FIRST_FRAME)} if has_picture else {}
    options = resolved.options
    stg = options.get("stg_scale", 0.0)
    video, audio = pipeline(
        **common(resolved, rng), **more, num_frames=resolved.num_frames, frame_rate=float(resolved.frame_rate),
        audio_guidance_scale=options["audio_guidance_scale"], modality_scale=options["modality_scale"],
        audio_modality_scale=options["modality_scale"], guidance_rescale=options["guidance_rescale"],
        audio_guidance_rescale=options["guidance_rescale"], stg_scale=stg, audio_stg_scale=stg,
        spatio_temporal_guidance_blocks=[1], use_cross_timestep="stg_scale" in options, max_sequence_length=8,
        return_dict=False,
    )  # fmt: skip
    return np.asarray(video[0]), audio[0]


def stock(folder: Path, resolved: Any, rng: Any) -> np.ndarray[Any, Any]:
    """Return the frames of diffusers' LTX-2 pipelines."""
    return both(folder, resolved, rng)[0]


CASES = [
    FamilyCase(
        name=name, base=base, save=save, stock=stock, roles=roles, parameters=SIZES, settings=SETTINGS,
        fields={"generate_audio": True}, has_audio=True,
    )
    for name, base, save, roles in (
        ("ltx2-text", "ltx-2", save_ltx2, ()),
        ("ltx2-image", "ltx-2", save_ltx2, (Role.FIRST_FRAME,)),
        ("ltx2.3-text", "ltx-2.3", save_later_ltx2, ()),
    )
]  # fmt: skip
