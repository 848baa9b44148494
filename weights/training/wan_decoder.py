"""Refine micro-wan's decoder alone, on latents with the errors a sampler makes; the encoder, and so the latents, stay.

Can run before, after or beside the transformer's training.
Run: python -m weights.training.wan_decoder --minutes 12 --out DIR
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan

from weights.training.checkpoint import TrainingClock, load_checkpoint, save_checkpoint
from weights.training.optim import WallClockSchedule, WeightAverage, build_optimizer
from weights.training.wan_vae import (
    ClipPool,
    decode_unclamped,
    encode_mean,
    load_vae,
    reconstruction_loss,
    with_channels_last,
)
from weights.training.world import split_scenes

MAX_LATENT_NOISE = 0.25
"""Noise is drawn per clip with a standard deviation uniform in [0, this]; latents have one of about 1."""
FAST_SCENE_COPIES = 5
"""Extra copies of bouncing scenes, the fastest (20 pixels a frame) and hardest to decode: half, not 1 in 8."""
CHECKPOINT_NAME = "decoder.pt"

logger = logging.getLogger(__name__)


def refine(out: Path, *, minutes: float, seed: int, clips_per_step: int) -> None:
    """Train post_quant_conv and decoder for `minutes`, from `out`/vae.pt; resumes from `out`/decoder.pt."""
    torch.manual_seed(seed)
    vae = with_channels_last(load_vae(out))
    vae.post_quant_conv.requires_grad_(True)
    vae.decoder.requires_grad_(True)
    parts = torch.nn.ModuleList([vae.post_quant_conv, vae.decoder])
    optimizer = build_optimizer([parts], matrix_learning_rate=1.5e-3, rest_learning_rate=1e-3)
    average = WeightAverage(parts, decay=0.995)
    path = out / CHECKPOINT_NAME
    state = load_checkpoint(path)
    step = 0
    if state is not None:
        parts.load_state_dict(state["parts"])
        optimizer.load_state_dict(state["optimizer"])
        average.load_state_dict(state["average"])
        step = state["step"]
    clock = TrainingClock(elapsed_seconds=0.0 if state is None else state["elapsed_seconds"])
    schedule = WallClockSchedule(minutes=minutes, decay_fraction=0.6)
    scenes = split_scenes()[0]
    scenes += FAST_SCENE_COPIES * [scene for scene in scenes if scene.motion == "bouncing"]
    pool = ClipPool(scenes, size=600, rng=np.random.default_rng([seed, 1, step]))
    recent = 0.0

    def save() -> None:
        save_checkpoint(
            path,
            {
                "parts": parts.state_dict(),
                "optimizer": optimizer.state_dict(),
                "average": average.state_dict(),
                "step": step,
                "elapsed_seconds": clock.elapsed_seconds,
            },
        )

    while not schedule.is_over(clock.elapsed_seconds):
        batch = pool.clips(clips_per_step)
        optimizer.set_learning_rate(schedule.multiplier(clock.elapsed_seconds))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                latents = encode_mean(vae, batch)
            level = MAX_LATENT_NOISE * torch.rand(len(batch), 1, 1, 1, 1)
            output = decode_unclamped(vae, latents + level * torch.randn_like(latents))
        loss = reconstruction_loss(output.float(), batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(parts)
        step += 1
        recent = loss.item() if step == 1 else 0.97 * recent + 0.03 * loss.item()
        if step % 25 == 0:
            logger.info("step %d, %.1f min, loss %.4f", step, clock.elapsed_seconds / 60, recent)
        if clock.is_checkpoint_due():
            save()
    save()


def load_refined_vae(out: Path) -> AutoencoderKLWan:
    """The autoencoder with its refined decoder if there is one, else as `wan_vae` left it; float32, ready to use."""
    vae = load_vae(out)
    state = load_checkpoint(out / CHECKPOINT_NAME)
    if state is not None:
        parts = torch.nn.ModuleList([vae.post_quant_conv, vae.decoder])
        parts.load_state_dict(state["average"]["average"])
    return vae.eval().requires_grad_(False)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder with vae.pt, and for the checkpoint")
    parser.add_argument("--minutes", type=float, default=12.0, help="wall clock to train for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips-per-step", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    refine(arguments.out, minutes=arguments.minutes, seed=arguments.seed, clips_per_step=arguments.clips_per_step)


if __name__ == "__main__":
    main()
