"""Draw clips and encode them with the finished autoencoder, as shards that the UNet's training reads.

python -m weights.training.svd_clips --vae DIR/vae.pt --out DIR/clips --shards 30 [--packages DIR]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from weights.training.checkpoint import load_checkpoint
from weights.training.photograph_clips import NUM_FRAMES, draw_clip
from weights.training.photographs import PictureMaker, read_photographs
from weights.training.svd_vae import build_vae, to_channels_last

CLIPS_PER_SHARD = 50
NOISE_STRENGTHS = (0.0, 0.02, -1.0)
"""Noise added to the conditioning picture, in [-1, 1] units, as the pipeline does; -1 stands for a random one."""
STRONGEST_NOISE = 0.1


def load_vae(path: Path) -> AutoencoderKLTemporalDecoder:
    """The averaged autoencoder of a training checkpoint, in evaluation mode."""
    state = load_checkpoint(path)
    if state is None:
        raise FileNotFoundError(f"{path}: train the autoencoder first (weights.training.svd_vae)")
    vae = build_vae(levels=state["config"]["levels"], latent_channels=state["config"]["latent_channels"])
    vae.load_state_dict(state["average"]["average"])
    to_channels_last(vae)
    return vae.eval()


@torch.no_grad()
def encode(vae: AutoencoderKLTemporalDecoder, pictures: Tensor) -> Tensor:
    """(N, 3, 128, 128) in [-1, 1] to the posterior's mean, not scaled: what the pipeline uses as condition."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        parts = [vae.encode(part.contiguous(memory_format=torch.channels_last)) for part in pictures.split(8)]
        return torch.cat([part.latent_dist.mode().float() for part in parts])


def to_pixels(frames: NDArray[np.uint8]) -> Tensor:
    """(T, H, W, 3) uint8 to (T, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def build_shard(
    vae: AutoencoderKLTemporalDecoder, maker: PictureMaker, seed: tuple[int, int], count: int
) -> dict[str, Tensor]:
    """latents (count, 14, C, h, w) and conditions (count, 3, C, h, w) float16, strengths (count, 3), buckets (count),
    firsts (count, 128, 128, 3) uint8."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Tensor]] = {"latents": [], "conditions": [], "strengths": [], "buckets": [], "firsts": []}
    for _ in range(count):
        clip = draw_clip(maker, rng)
        pixels = to_pixels(clip.frames)
        strengths = torch.tensor([s if s >= 0 else rng.uniform(0, STRONGEST_NOISE) for s in NOISE_STRENGTHS])
        noise = torch.from_numpy(rng.normal(size=(len(strengths), *pixels.shape[1:])).astype(np.float32))
        encoded = encode(vae, torch.cat([pixels, pixels[:1] + strengths.view(-1, 1, 1, 1).float() * noise]))
        rows["latents"].append(encoded[:NUM_FRAMES].half())
        rows["conditions"].append(encoded[NUM_FRAMES:].half())
        rows["strengths"].append(strengths.float())
        rows["buckets"].append(torch.tensor(float(clip.motion_bucket_id)))
        rows["firsts"].append(torch.from_numpy(clip.frames[0]))
    return {name: torch.stack(values).contiguous() for name, values in rows.items()}


def main() -> None:
    """Write the shards that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--packages", type=Path, default=None)
    parser.add_argument("--shards", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    vae = load_vae(args.vae)
    maker = PictureMaker(read_photographs(packages=args.packages))
    args.out.mkdir(parents=True, exist_ok=True)
    for index in range(args.first, args.shards, args.stride):
        path = args.out / f"clips-{index:04d}.safetensors"
        if path.exists():
            continue
        shard = build_shard(vae, maker, (args.seed, index), CLIPS_PER_SHARD)
        partial = path.with_suffix(".partial")
        save_file(shard, str(partial))
        os.replace(partial, path)
        print(path.name, flush=True)


if __name__ == "__main__":
    main()
