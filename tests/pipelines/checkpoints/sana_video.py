"""Tiny SANA-Video checkpoints: with Wan's VAE as at 480p, and with that of LTX-2 as at 720p."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from studio.request import Role
from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import clip, common, loaded, picture
from tests.pipelines.conftest import word_tokenizer

TOKENS = 8


def save_sana_video(folder: Path, *, has_ltx_vae: bool = False) -> Path:
    """Write a tiny random SANA-Video checkpoint."""
    import torch
    from diffusers import DPMSolverMultistepScheduler, SanaVideoPipeline, SanaVideoTransformer3DModel
    from transformers import Gemma2Config, Gemma2Model

    torch.manual_seed(0)
    vae = _ltx_vae() if has_ltx_vae else _wan_vae()
    channels = 8 if has_ltx_vae else 4
    patch_size = (1, 1, 1) if has_ltx_vae else (1, 2, 2)
    transformer = SanaVideoTransformer3DModel(
        in_channels=channels, out_channels=channels, num_attention_heads=2, attention_head_dim=12, num_layers=2,
        num_cross_attention_heads=2, cross_attention_head_dim=12, cross_attention_dim=24, caption_channels=16,
        sample_size=8, patch_size=patch_size, qk_norm="rms_norm_across_heads", rope_max_seq_len=32,
    )  # fmt: skip
    encoder = Gemma2Model(
        Gemma2Config(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                     num_key_value_heads=1, head_dim=8, pad_token_id=0, eos_token_id=1, bos_token_id=2)
    )  # fmt: skip
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0)
    SanaVideoPipeline(
        tokenizer=word_tokenizer(), text_encoder=encoder, vae=vae, transformer=transformer, scheduler=scheduler
    ).save_pretrained(folder)
    return folder


def _wan_vae() -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.7, 1.3, 0.9, 1.1],
    )  # fmt: skip


def _ltx_vae() -> Any:
    import torch
    from diffusers import AutoencoderKLLTX2Video

    vae = AutoencoderKLLTX2Video(
        latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1), upsample_residual=(False,) * 3,
        upsample_factor=(1, 1, 1), decoder_causal=False, spatial_compression_ratio=32, temporal_compression_ratio=8,
    )  # fmt: skip
    vae.latents_mean.copy_(torch.linspace(-0.3, 0.3, 8))
    vae.latents_std.copy_(torch.linspace(0.7, 1.3, 8))
    return vae


def _stock(class_name: str, folder: Path, resolved: Any, rng: Any) -> np.ndarray[Any, Any]:
    arguments = {
        **common(resolved, rng),
        "prompt": f"{resolved.prompt} motion score: {resolved.options['motion_score']}.",
        "frames": resolved.num_frames,
        "use_resolution_binning": False,
        "max_sequence_length": TOKENS,
    }
    if resolved.conditioning(Role.FIRST_FRAME) is not None:
        arguments["image"] = picture(resolved, Role.FIRST_FRAME)
    return clip(loaded(class_name, folder)(**arguments))


def _case(name: str, base: str, class_name: str, **more: Any) -> FamilyCase:
    kind = more.pop("kind", {})
    return FamilyCase(
        name=name,
        base=base,
        save=partial(save_sana_video, **kind),
        stock=partial(_stock, class_name),
        settings={"max_sequence_length": TOKENS},
        **more,
    )


LARGE = {
    "kind": {"has_ltx_vae": True},
    "parameters": {
        # The decoder mirrors edges, for which a side needs two latents.
        "width": {"min": 32, "max": 256, "default": 64, "step": 32, "offset": 0},
        "height": {"min": 32, "max": 256, "default": 64, "step": 32, "offset": 0},
        "num_frames": {"min": 1, "max": 17, "default": 9},
    },
}
CASES = [
    _case("sana text", "sana-video-2b-480p", "SanaVideoPipeline"),
    _case("sana picture", "sana-video-2b-480p", "SanaImageToVideoPipeline", roles=(Role.FIRST_FRAME,)),
    _case("sana text, 720p", "sana-video-2b-720p", "SanaVideoPipeline", **LARGE),
    _case("sana picture, 720p", "sana-video-2b-720p", "SanaImageToVideoPipeline", roles=(Role.FIRST_FRAME,), **LARGE),
]
