"""Tiny SkyReels-V2 checkpoints, from text and a picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.source_video import end_of_source
from studio.request import Role
from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import clip, common, loaded, picture
from tests.pipelines.checkpoints.wan import CHANNELS, SETTINGS, TOKENS, shared_parts

FORCING, FORCING_PICTURE, FORCING_VIDEO = (
    f"SkyReelsV2DiffusionForcing{kind}Pipeline" for kind in ("", "ImageToVideo", "VideoToVideo")
)


def save_skyreels(folder: Path, *, takes_picture: bool = False, is_forcing: bool = False) -> Path:
    """Write a tiny random SkyReels-V2 checkpoint. is_forcing: one trained by diffusion forcing."""
    import diffusers
    import torch
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    parts = shared_parts()
    torch.manual_seed(1)
    in_channels = 2 * CHANNELS + 4 if takes_picture else CHANNELS
    seen = {"image_dim": 16, "added_kv_proj_dim": 24} if takes_picture else {}
    parts["transformer"] = diffusers.SkyReelsV2Transformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=in_channels,
        out_channels=CHANNELS, text_dim=16, freq_dim=32, ffn_dim=24, num_layers=2, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=32, inject_sample_info=is_forcing, **seen,
    )  # fmt: skip
    if takes_picture:
        parts["image_encoder"] = CLIPVisionModelWithProjection(
            CLIPVisionConfig(hidden_size=16, projection_dim=16, num_hidden_layers=2, num_attention_heads=2,
                             image_size=8, intermediate_size=16, patch_size=4)
        )  # fmt: skip
        parts["image_processor"] = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    kind = "SkyReelsV2ImageToVideoPipeline" if takes_picture else "SkyReelsV2Pipeline"
    kind = FORCING if is_forcing else kind
    getattr(diffusers, kind)(**parts).save_pretrained(folder)
    return folder


def _stock(
    class_name: str, material: Callable[[Any], dict[str, Any]], folder: Path, resolved: Any, rng: Any
) -> np.ndarray[Any, Any]:
    arguments = {**common(resolved, rng), **material(resolved), "num_frames": resolved.num_frames}
    return clip(loaded(class_name, folder)(**arguments, max_sequence_length=TOKENS))


def _nothing(_resolved: Any) -> dict[str, Any]:
    return {}


def _first(resolved: Any) -> dict[str, Any]:
    return {"image": picture(resolved, Role.FIRST_FRAME)}


def _forcing(resolved: Any) -> dict[str, Any]:
    roles = {Role.FIRST_FRAME: "image", Role.LAST_FRAME: "last_image"}
    given = {name: picture(resolved, role) for role, name in roles.items() if resolved.conditioning(role) is not None}
    options = {name: resolved.options[name] for name in ("ar_step", "causal_block_size")}
    return {**given, **options, "base_num_frames": resolved.num_frames, "fps": 24}


def _end_of_video(folder: Path, resolved: Any, rng: Any) -> np.ndarray[Any, Any]:
    """Return what the stock pipeline makes; it puts the given video, a second time, before the clip."""
    count = resolved.options["overlap"]
    more = {"video": end_of_source(resolved, count), "overlap_history": count}
    found = _stock(FORCING_VIDEO, lambda given: _forcing(given) | more, folder, resolved, rng)
    return found[count:]


def _forcing_case(name: str, class_name: str, default: int = 9, **more: Any) -> FamilyCase:
    return FamilyCase(
        name=name,
        base="skyreels-v2-df-1.3b-540p",
        save=partial(save_skyreels, is_forcing=True),
        stock=_end_of_video if class_name == FORCING_VIDEO else partial(_stock, class_name, _forcing),
        settings={**SETTINGS, "image_flow_shift": 3.0},
        parameters={"num_frames": {"min": 1, "max": 17, "default": default}},
        **more,
    )


CASES = [
    FamilyCase(
        name="skyreels text",
        base="skyreels-v2-t2v-14b-540p",
        save=save_skyreels,
        stock=partial(_stock, "SkyReelsV2Pipeline", _nothing),
        settings=SETTINGS,
    ),
    FamilyCase(
        name="skyreels picture",
        base="skyreels-v2-i2v-14b-540p",
        save=partial(save_skyreels, takes_picture=True),
        stock=partial(_stock, "SkyReelsV2ImageToVideoPipeline", _first),
        roles=(Role.FIRST_FRAME,),
        settings=SETTINGS,
    ),
    _forcing_case("skyreels forcing text", FORCING),
    _forcing_case("skyreels forcing text, lagging", FORCING, fields={"options": {"ar_step": 2}}),
    _forcing_case("skyreels forcing picture", FORCING_PICTURE, roles=(Role.FIRST_FRAME,)),
    _forcing_case(
        "skyreels forcing first and last picture", FORCING_PICTURE, roles=(Role.FIRST_FRAME, Role.LAST_FRAME),
        fields={"options": {"ar_step": 1}},
    ),
    *(
        _forcing_case(
            f"skyreels forcing end of a video, ar_step {lag}", FORCING_VIDEO, 13,
            roles=(Role.SOURCE_VIDEO,), fields={"options": {"overlap": 5, "ar_step": lag}},
        )
        for lag in (0, 1)
    ),
]  # fmt: skip
