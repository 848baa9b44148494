"""Tiny Wan checkpoints of every kind: text, pictures, a video, VACE."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from studio.request import Role
from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import clip, common, loaded, picture, references, video
from tests.pipelines.conftest import save_wan, word_tokenizer

TOKENS = 8
CHANNELS = 4
SETTINGS = {"max_sequence_length": TOKENS, "flow_shift": 3.0}


def save_wan_first_last(folder: Path) -> Path:
    """Write an image-to-video checkpoint whose denoiser sees both pictures through an image encoder."""
    import torch
    from diffusers import WanImageToVideoPipeline, WanTransformer3DModel
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    parts = shared_parts()
    torch.manual_seed(1)
    encoder = CLIPVisionModel(
        CLIPVisionConfig(hidden_size=16, projection_dim=16, num_hidden_layers=2, num_attention_heads=2,
                         image_size=8, intermediate_size=16, patch_size=4)
    )  # fmt: skip
    transformer = WanTransformer3DModel(
        **_denoiser(), in_channels=2 * CHANNELS + 4, image_dim=16, added_kv_proj_dim=24, pos_embed_seq_len=2 * 5
    )
    WanImageToVideoPipeline(
        **parts,
        transformer=transformer,
        image_encoder=encoder,
        image_processor=CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}),
    ).save_pretrained(folder)
    return folder


def save_wan_vace(folder: Path) -> Path:
    """Write a VACE checkpoint."""
    import torch
    from diffusers import WanVACEPipeline, WanVACETransformer3DModel

    parts = shared_parts()
    torch.manual_seed(1)
    # Masks are unfolded by the VAE's 8 x 8.
    transformer = WanVACETransformer3DModel(
        **_denoiser(), in_channels=CHANNELS, vace_layers=[0, 2], vace_in_channels=2 * CHANNELS + 64
    )
    for block in transformer.vace_blocks:  # zero at the beginning of a training
        torch.nn.init.normal_(block.proj_out.weight, std=0.3)
    WanVACEPipeline(**parts, transformer=transformer).save_pretrained(folder)
    return folder


def shared_parts() -> dict[str, Any]:
    """Return all parts but the denoiser, of Wan and of what is built on it."""
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    return {
        "tokenizer": word_tokenizer(),
        "text_encoder": UMT5EncoderModel(
            UMT5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        ),
        "vae": AutoencoderKLWan(
            base_dim=4, z_dim=CHANNELS, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.7, 1.3, 0.9, 1.1],
        ),
        "scheduler": UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    }  # fmt: skip


def _denoiser() -> dict[str, Any]:
    return {
        "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "out_channels": CHANNELS,
        "text_dim": 16, "freq_dim": 32, "ffn_dim": 24, "num_layers": 3, "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 32,
    }  # fmt: skip


def _stock(
    class_name: str, material: Callable[[Any], dict[str, Any]], folder: Path, resolved: Any, rng: Any
) -> np.ndarray[Any, Any]:
    pipeline = loaded(class_name, folder)
    return clip(pipeline(**common(resolved, rng), **material(resolved), max_sequence_length=TOKENS))


def _text(resolved: Any) -> dict[str, Any]:
    experts = {name: value for name, value in resolved.options.items() if name == "guidance_scale_2"}
    return {"num_frames": resolved.num_frames, **experts}


def _first(resolved: Any) -> dict[str, Any]:
    return {**_text(resolved), "image": picture(resolved, Role.FIRST_FRAME)}


def _first_last(resolved: Any) -> dict[str, Any]:
    return {**_first(resolved), "last_image": picture(resolved, Role.LAST_FRAME)}


def _video(resolved: Any) -> dict[str, Any]:
    return {"video": video(resolved), "strength": resolved.options["strength"]}


def _vace(resolved: Any) -> dict[str, Any]:
    return {
        "num_frames": resolved.num_frames,
        "conditioning_scale": float(resolved.options["conditioning_scale"]),
    }


def _vace_references(resolved: Any) -> dict[str, Any]:
    return {**_vace(resolved), "reference_images": references(resolved)}


def _vace_video(resolved: Any) -> dict[str, Any]:
    return {**_vace(resolved), "video": video(resolved)}


def _vace_pictures(resolved: Any) -> dict[str, Any]:
    """Stand the pictures in a grey video, as the example in diffusers' documentation does."""
    import PIL.Image

    size, last = (resolved.width, resolved.height), resolved.conditioning(Role.LAST_FRAME) is not None
    frames = [PIL.Image.new("RGB", size, (128, 128, 128)) for _ in range(resolved.num_frames)]
    mask = [PIL.Image.new("L", size, 255) for _ in range(resolved.num_frames)]
    frames[0], mask[0] = picture(resolved, Role.FIRST_FRAME), PIL.Image.new("L", size, 0)
    if last:
        frames[-1], mask[-1] = picture(resolved, Role.LAST_FRAME), PIL.Image.new("L", size, 0)
    return {**_vace(resolved), "video": frames, "mask": mask}


def _case(name: str, base: str, save: Callable[[Path], Path], class_name: str, **more: Any) -> FamilyCase:
    material = more.pop("material", _text)
    return FamilyCase(
        name=name, base=base, save=save, stock=partial(_stock, class_name, material), settings=SETTINGS, **more
    )


PICTURE, PICTURES = (Role.FIRST_FRAME,), (Role.FIRST_FRAME, Role.LAST_FRAME)
CASES = [
    _case("wan text", "wan2.1-t2v-1.3b", save_wan, "WanPipeline"),
    _case("wan text, two experts", "wan2.2-t2v-a14b", partial(save_wan, experts=2), "WanPipeline"),
    _case(
        "wan picture", "wan2.1-i2v-14b-480p", partial(save_wan, tasks=("i2v",)), "WanImageToVideoPipeline",
        roles=PICTURE, material=_first,
    ),
    _case(
        "wan picture, clean first latent frame", "wan2.2-ti2v-5b", partial(save_wan, expand_timesteps=True),
        "WanImageToVideoPipeline", roles=PICTURE, material=_first,
    ),
    _case(
        "wan first and last picture", "wan2.1-flf2v-14b-720p", save_wan_first_last, "WanImageToVideoPipeline",
        roles=PICTURES, material=_first_last,
    ),
    _case(
        "wan video", "wan2.1-t2v-1.3b", save_wan, "WanVideoToVideoPipeline", roles=(Role.SOURCE_VIDEO,),
        material=_video, fields={"options": {"strength": 0.75}},
    ),
    _case(
        "vace reference", "wan2.1-vace-1.3b", save_wan_vace, "WanVACEPipeline", roles=(Role.REFERENCE,),
        material=_vace_references,
    ),
    _case(
        "vace video", "wan2.1-vace-1.3b", save_wan_vace, "WanVACEPipeline", roles=(Role.SOURCE_VIDEO,),
        material=_vace_video, fields={"options": {"conditioning_scale": 0.5}},
    ),
    _case(
        "vace picture", "wan2.1-vace-1.3b", save_wan_vace, "WanVACEPipeline", roles=PICTURE, material=_vace_pictures,
    ),
    _case(
        "vace first and last picture", "wan2.1-vace-1.3b", save_wan_vace, "WanVACEPipeline", roles=PICTURES,
        material=_vace_pictures,
    ),
]  # fmt: skip
