"""Train micro-wan's causal video autoencoder (diffusers' `AutoencoderKLWan`) on clips of the procedural world.

16x smaller in space, 4x in time: (3, 17, 128, 128) pixels become (32, 5, 8, 8) latents.
Run: python -m weights.training.wan_vae --minutes 35 --out DIR
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import patchify, unpatchify
from numpy.typing import NDArray
from torch import Tensor

from weights.training.checkpoint import TrainingClock, load_checkpoint, save_checkpoint
from weights.training.optim import WallClockSchedule, WeightAverage, build_optimizer
from weights.training.world import Scene, render, split_scenes

LATENT_CHANNELS = 32
LATENT_NOISE = 0.08
"""Standard deviation of the noise added to latents in training, so that near latents decode alike."""
LATENT_PULL = 2e-4
"""Weight of the pull of latents towards zero (the pipelines read the posterior's mean, never its variance)."""

logger = logging.getLogger(__name__)


def build_vae() -> AutoencoderKLWan:
    """Return an untrained autoencoder in the Wan 2.2 shape (residual blocks, 4-pixel patches), about 2 M parameters."""
    return AutoencoderKLWan(
        base_dim=24,
        decoder_base_dim=28,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[True, True],
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
        is_residual=True,
        in_channels=48,
        out_channels=48,
        patch_size=4,
        scale_factor_temporal=4,
        scale_factor_spatial=16,
    )


def with_channels_last(vae: AutoencoderKLWan) -> AutoencoderKLWan:
    """Lay the kernels out channels-last, which oneDNN's bfloat16 convolutions read fastest; values do not change."""
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last_3d)
        elif isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last)
    return vae


def to_model_range(frames: NDArray[np.uint8]) -> Tensor:
    """Turn (B, T, H, W, 3) uint8 RGB into (B, 3, T, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1.0)


def encode_mean(vae: AutoencoderKLWan, clips: Tensor) -> Tensor:
    """Posterior mean of (B, 3, T, H, W) in [-1, 1]: (B, C, 1 + (T - 1) / 4, H / 16, W / 16), not normalised.

    Equal to `vae.encode(...).latent_dist.mode()`, but all frames after the first go through in one call, not in fours.
    """
    patches = patchify(clips, patch_size=vae.config.patch_size)
    vae.clear_cache()
    chunks = [
        vae.encoder(chunk, feat_cache=vae._enc_feat_map, feat_idx=[0])
        for chunk in (patches[:, :, :1], patches[:, :, 1:])
        if chunk.shape[2]
    ]
    vae.clear_cache()
    moments: Tensor = vae.quant_conv(torch.cat(chunks, dim=2))
    return moments.chunk(2, dim=1)[0]


def decode_unclamped(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """Pixels of (B, C, T', H', W') latents as (B, 3, 4 T' - 3, 16 H', 16 W'), about [-1, 1].

    Without the stock decoder's clamp, whose gradient is zero where an untrained decoder overshoots.
    """
    hidden = vae.post_quant_conv(latents)
    vae.clear_cache()
    chunks = []
    for index, chunk in enumerate((hidden[:, :, :1], hidden[:, :, 1:])):
        if chunk.shape[2]:
            chunks.append(vae.decoder(chunk, feat_cache=vae._feat_map, feat_idx=[0], first_chunk=index == 0))
    vae.clear_cache()
    return unpatchify(torch.cat(chunks, dim=2), patch_size=vae.config.patch_size)


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Weighted L1 on pixels and on differences of neighbouring pixels; the shape and its rim count most.

    Both (B, 3, T, H, W). Background is nine tenths of a picture and trivial to copy. A small shape weighs as much as a
    large one: the weight goes down as the shape's share of the picture goes up.
    """
    background = target[..., :1, :1]
    is_shape = ((target - background).abs().amax(dim=1, keepdim=True) > 0.1).float()
    near_shape = F.max_pool3d(is_shape, kernel_size=(1, 9, 9), stride=1, padding=(0, 4, 4))
    share = near_shape.mean(dim=(1, 2, 3, 4), keepdim=True)
    weight = 1.0 + near_shape * (0.6 / share.clamp(min=0.02)).clamp(max=12.0)
    error = output - target
    pixels = (weight * error.abs()).mean()
    edges = (weight[..., 1:] * error.diff(dim=-1).abs()).mean() + (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
    return pixels + edges


class ClipPool:
    """A rolling pool of rendered training clips, so that rendering stays cheap beside training."""

    def __init__(self, scenes: list[Scene], *, size: int, rng: np.random.Generator) -> None:
        self._scenes = scenes
        self._rng = rng
        self._next = 0
        self._clips = [self._draw() for _ in range(size)]

    def _draw(self) -> NDArray[np.uint8]:
        scene = self._scenes[self._rng.integers(len(self._scenes))]
        return render(scene, int(self._rng.integers(1 << 40)))

    def clips(self, count: int) -> Tensor:
        """`count` whole clips (count, 3, T, H, W) in [-1, 1]; as many old ones are replaced by new drawings."""
        for _ in range(count):
            self._clips[self._next] = self._draw()
            self._next = (self._next + 1) % len(self._clips)
        chosen = self._rng.integers(len(self._clips), size=count)
        return to_model_range(np.stack([self._clips[index] for index in chosen]))

    def images(self, count: int) -> Tensor:
        """`count` single frames (count, 3, 1, H, W) in [-1, 1]."""
        chosen = self._rng.integers(len(self._clips), size=count)
        frames = [self._clips[index][self._rng.integers(len(self._clips[index])), None] for index in chosen]
        return to_model_range(np.stack(frames))


def train(
    out: Path, *, minutes: float, seed: int, image_fraction: float, clips_per_step: int, images_per_step: int
) -> None:
    """Train until `minutes` of wall clock are used; resumes from `out`/vae.pt. Images first, then mostly clips."""
    torch.manual_seed(seed)
    vae = with_channels_last(build_vae())
    optimizer = build_optimizer([vae], matrix_learning_rate=3e-3, rest_learning_rate=2e-3)
    average = WeightAverage(vae, decay=0.995)
    path = out / "vae.pt"
    state = load_checkpoint(path)
    step = 0
    if state is not None:
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        average.load_state_dict(state["average"])
        step = state["step"]
    clock = TrainingClock(elapsed_seconds=0.0 if state is None else state["elapsed_seconds"])
    schedule = WallClockSchedule(minutes=minutes)
    rng = np.random.default_rng([seed, step])
    pool = ClipPool(split_scenes()[0], size=1000, rng=rng)
    logger.info("parameters %.2f M, start at step %d", sum(p.numel() for p in vae.parameters()) / 1e6, step)
    recent: dict[str, float] = {}
    while not schedule.is_over(clock.elapsed_seconds):
        is_image_phase = clock.elapsed_seconds < image_fraction * 60 * minutes
        is_image_step = is_image_phase or step % 6 == 0
        batch = pool.images(images_per_step) if is_image_step else pool.clips(clips_per_step)
        optimizer.set_learning_rate(schedule.multiplier(clock.elapsed_seconds))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latents = encode_mean(vae, batch)
            noisy = latents + LATENT_NOISE * torch.randn_like(latents)
            output = decode_unclamped(vae, noisy)
        loss = reconstruction_loss(output.float(), batch) + LATENT_PULL * latents.float().square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(vae)
        step += 1
        kind = "images" if is_image_step else "clips"
        l1 = (output.detach().float() - batch).abs().mean().item()
        recent[kind] = l1 if kind not in recent else 0.95 * recent[kind] + 0.05 * l1
        if step % 25 == 0:
            numbers = {kind: round(value, 4) for kind, value in recent.items()}
            scale = round(latents.detach().float().std().item(), 3)
            logger.info("step %d, %.1f min, L1 %s, latent std %s", step, clock.elapsed_seconds / 60, numbers, scale)
        if clock.is_checkpoint_due():
            _save(path, vae, optimizer, average, step, clock)
    _save(path, vae, optimizer, average, step, clock)
    (out / "vae_summary.json").write_text(
        json.dumps({"steps": step, "minutes": clock.elapsed_seconds / 60, "l1": recent})
    )


def _save(
    path: Path,
    vae: AutoencoderKLWan,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    step: int,
    clock: TrainingClock,
) -> None:
    state = {
        "vae": vae.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.state_dict(),
        "step": step,
        "elapsed_seconds": clock.elapsed_seconds,
    }
    save_checkpoint(path, state)


def load_vae(out: Path) -> AutoencoderKLWan:
    """The averaged autoencoder of the last checkpoint in `out`, in float32, ready to use."""
    state = load_checkpoint(out / "vae.pt")
    if state is None:
        raise FileNotFoundError(f"no checkpoint at {out / 'vae.pt'}: train the autoencoder first")
    vae = build_vae()
    vae.load_state_dict(state["average"]["average"])
    return vae.eval().requires_grad_(False)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--minutes", type=float, default=35.0, help="wall clock to train for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--image-fraction", type=float, default=0.15, help="share of the time on single frames at the start"
    )
    parser.add_argument("--clips-per-step", type=int, default=2)
    parser.add_argument("--images-per-step", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    train(
        arguments.out,
        minutes=arguments.minutes,
        seed=arguments.seed,
        image_fraction=arguments.image_fraction,
        clips_per_step=arguments.clips_per_step,
        images_per_step=arguments.images_per_step,
    )


if __name__ == "__main__":
    main()
