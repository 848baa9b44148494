"""Encode training clips once, so that the transformer trains on latents: shards of (prompt tokens, latents) on disk.

Run: python -m weights.training.wan_latents --vae DIR --out DIR/latents --clips 16000
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from weights.training.checkpoint import load_checkpoint, save_checkpoint
from weights.training.wan_text import tokenize
from weights.training.wan_vae import encode_mean, load_vae, to_model_range, with_channels_last
from weights.training.world import render, split_scenes

SHARD_SIZE = 1000
"""Clips per file."""

logger = logging.getLogger(__name__)


def encode_shards(vae_folder: Path, out: Path, *, num_clips: int, seed: int, batch_size: int = 16) -> None:
    """Write shards until `num_clips` are there; every scene comes about equally often. Existing shards are kept."""
    vae = with_channels_last(load_vae(vae_folder))
    scenes = split_scenes()[0]
    for shard in range(num_clips // SHARD_SIZE):
        path = out / f"shard-{shard:03d}.pt"
        if path.exists():
            continue
        started = time.monotonic()
        rng = np.random.default_rng([seed, shard])
        chosen = [scenes[index] for index in rng.choice(len(scenes), SHARD_SIZE, replace=False)]
        latents = []
        for first in range(0, SHARD_SIZE, batch_size):
            batch = chosen[first : first + batch_size]
            frames = np.stack(
                [render(scene, 10_000_000 * seed + shard * SHARD_SIZE + first + i) for i, scene in enumerate(batch)]
            )
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                latents.append(encode_mean(vae, to_model_range(frames)).half())
        save_checkpoint(path, {"tokens": tokenize([scene.prompt for scene in chosen]), "latents": torch.cat(latents)})
        logger.info("%s in %.1f s", path.name, time.monotonic() - started)


def load_shards(folder: Path) -> tuple[Tensor, Tensor]:
    """All shards in `folder`: tokens (N, 16) int64 and raw latents (N, C, T', H', W') float16."""
    states = [state for path in sorted(folder.glob("shard-*.pt")) if (state := load_checkpoint(path)) is not None]
    if not states:
        raise FileNotFoundError(f"no shards in {folder}: run python -m weights.training.wan_latents first")
    return torch.cat([state["tokens"] for state in states]), torch.cat([state["latents"] for state in states])


def channel_statistics(latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of (N, C, T', H', W'): two (C,) float32 tensors."""
    sample = latents[:4000].float().transpose(0, 1).flatten(1)
    return sample.mean(dim=1), sample.std(dim=1)


def main() -> None:
    """Parse the command line and encode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", type=Path, required=True, help="folder with vae.pt")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--clips", type=int, default=16000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    encode_shards(arguments.vae, arguments.out, num_clips=arguments.clips, seed=arguments.seed)


if __name__ == "__main__":
    main()
