"""What is measured: everything at full size on a GPU, the same code in miniature on a CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.svd_memory.staged_svd import Shape

ARCHITECTURE = Path(__file__).resolve().parents[2] / "pipelines" / "architectures" / "svd-xt"


@dataclass(frozen=True, kw_only=True)
class Size:
    """Configurations and shapes.

    svd: configurations by network. shape: of the clip; num_steps: of its sampling. wan_vae: configuration;
    wan_latents: (1, C, T, h, w). hunyuan: configuration; hunyuan_latents: (1, C, T, h, w); hunyuan_tokens: of the two
    texts, filled up and of them meant. temporal: (positions, heads, frames, channels of a head).
    rounds, clip_rounds, warm_ups: how often work is timed, and done before. compiler: backend of torch.compile.
    """

    name: str
    svd: Mapping[str, Mapping[str, Any]]
    shape: Shape
    num_steps: int
    wan_vae: Mapping[str, Any]
    wan_latents: tuple[int, ...]
    hunyuan: Mapping[str, Any]
    hunyuan_latents: tuple[int, ...]
    hunyuan_tokens: tuple[tuple[int, int], tuple[int, int]]
    temporal: tuple[tuple[int, int, int, int], ...]
    rounds: int
    clip_rounds: int
    warm_ups: int
    compiler: str


def _configurations(folder: Path) -> dict[str, dict[str, Any]]:
    return {name: json.loads((folder / name / "config.json").read_text()) for name in ("unet", "vae", "image_encoder")}


FULL = Size(
    name="full",
    svd=_configurations(ARCHITECTURE),
    shape=Shape(),
    num_steps=25,
    wan_vae={},  # diffusers' defaults are those of Wan 2.1
    wan_latents=(1, 16, 21, 60, 104),
    hunyuan={"task_type": "t2v"},
    hunyuan_latents=(1, 65, 9, 30, 53),
    hunyuan_tokens=((1000, 60), (256, 0)),
    # The four shapes of SVD at 25 frames of 1024x576 with guidance, and four clips of it at once.
    temporal=(
        (18432, 5, 25, 64),
        (4608, 10, 25, 64),
        (1152, 20, 25, 64),
        (288, 20, 25, 64),
        (73728, 5, 25, 64),
    ),
    rounds=10,
    clip_rounds=3,
    warm_ups=3,
    compiler="inductor",
)

TINY = Size(
    name="tiny",
    svd={
        "unet": {
            "block_out_channels": (32, 64),
            "layers_per_block": 1,
            "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            "cross_attention_dim": 16,
            "num_attention_heads": 4,
            "projection_class_embeddings_input_dim": 96,
            "addition_time_embed_dim": 32,
            "num_frames": 3,
        },
        "vae": {
            "block_out_channels": (32, 32),
            "layers_per_block": 1,
            "down_block_types": ("DownEncoderBlock2D", "DownEncoderBlock2D"),
            "latent_channels": 4,
        },
        "image_encoder": {
            "hidden_size": 16,
            "projection_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 224,
            "intermediate_size": 16,
            "patch_size": 32,
        },
    },
    shape=Shape(width=32, height=32, num_frames=3),
    num_steps=2,
    wan_vae={
        "base_dim": 8,
        "z_dim": 4,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
        "latents_mean": [0.0] * 4,
        "latents_std": [1.0] * 4,
    },
    wan_latents=(1, 4, 2, 4, 4),
    hunyuan={
        "in_channels": 9,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 2,
        "num_refiner_layers": 1,
        "mlp_ratio": 2.0,
        "text_embed_dim": 16,
        "text_embed_2_dim": 8,
        "image_embed_dim": 12,
        "rope_axes_dim": (2, 2, 4),
        "task_type": "t2v",
    },
    hunyuan_latents=(1, 9, 2, 4, 6),
    hunyuan_tokens=((10, 4), (6, 0)),
    temporal=((12, 2, 5, 8), (70, 1, 25, 16)),
    rounds=2,
    clip_rounds=1,
    warm_ups=1,
    compiler="eager",
)
