"""Train the UNet and the image encoder of micro-svd on encoded clips.

    python -m weights.training.svd_unet --clips DIR/clips --minutes 75 --out DIR

What the network sees is what `StableVideoDiffusionPipeline` feeds: x / sqrt(sigma**2 + 1) beside the conditioning
latents, which are not scaled; timestep 0.25 ln(sigma); added ids (fps - 1, motion bucket, noise strength). The target
is the v of `EulerDiscreteScheduler`: x0 = x / (sigma**2 + 1) - v sigma / sqrt(sigma**2 + 1) (Karras et al. 2022,
table 1, with sigma_data 1).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import _resize_with_antialiasing
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from weights.training.checkpoint import TrainingClock, load_checkpoint, save_checkpoint
from weights.training.fast_temporal import use_fast_temporal_convolutions
from weights.training.group_norm import use_fast_group_norm
from weights.training.optim import WallClockSchedule, WeightAverage, build_optimizer
from weights.training.svd_models import build_image_encoder, build_unet
from weights.training.svd_vae import to_channels_last

LOG_SIGMA_MEAN, LOG_SIGMA_DEVIATION = 1.0, 1.4
"""Sigma is log-normal, shifted to high noise as in SVD (Blattmann et al. 2023, appendix D)."""
FIRST_FRAME_WEIGHT = 4.0
"""The first frame must be the input: its error counts this many times."""
DROP_SHARE = 0.04
"""Share of samples without the image (latents and embedding zero), for classifier-free guidance."""
SMALL_CROP_SHARE = 0.8
"""Share of the run spent on the central quarter of each clip: four times as many steps while the network is coarse."""
SLOWEST_FPS, FASTEST_FPS = 5, 30


class ClipPool:
    """Encoded clips in memory; new shards are picked up as they appear. Shapes: `svd_clips.build_shard`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[str, dict[str, Tensor]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Load shards written since the last call."""
        for path in sorted(self._folder.glob("clips-*.safetensors")):
            if path.name not in self._shards:
                shard = load_file(str(path))
                shard["clip_pixels"] = clip_pixels(shard.pop("firsts")).half()
                self._shards[path.name] = shard

    def __len__(self) -> int:
        return sum(len(shard["buckets"]) for shard in self._shards.values())

    def latent_scale(self) -> float:
        """One over the standard deviation of the latents: the autoencoder's scaling factor."""
        first = self._shards[min(self._shards)]
        return float(1.0 / first["latents"].float().std())

    def draw(self, count: int, random: torch.Generator) -> dict[str, Tensor]:
        """`count` random clips, each with one of its noisy conditions."""
        names = list(self._shards)
        rows: dict[str, list[Tensor]] = {
            key: [] for key in ("latents", "condition", "strength", "bucket", "clip_pixels")
        }
        for _ in range(count):
            shard = self._shards[names[int(torch.randint(len(names), (), generator=random))]]
            index = int(torch.randint(len(shard["buckets"]), (), generator=random))
            which = int(torch.randint(shard["strengths"].shape[1], (), generator=random))
            rows["latents"].append(shard["latents"][index].float())
            rows["condition"].append(shard["conditions"][index, which].float())
            rows["strength"].append(shard["strengths"][index, which])
            rows["bucket"].append(shard["buckets"][index])
            rows["clip_pixels"].append(shard["clip_pixels"][index].float())
        return {key: torch.stack(values) for key, values in rows.items()}


def clip_pixels(firsts: Tensor) -> Tensor:
    """(N, 128, 128, 3) uint8 to the image encoder's (N, 3, 224, 224), resized and normalised as the pipeline does."""
    pictures = firsts.permute(0, 3, 1, 2).float() / 127.5 - 1
    pictures = (_resize_with_antialiasing(pictures, (224, 224)) + 1) / 2
    mean, deviation = torch.tensor(OPENAI_CLIP_MEAN), torch.tensor(OPENAI_CLIP_STD)
    return (pictures - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)


def centre_crop(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The central half by half of latents and condition."""
    side = batch["latents"].shape[-1] // 4
    inside = slice(side, 3 * side)
    return batch | {key: batch[key][..., inside, inside] for key in ("latents", "condition")}


def denoising_loss(models: nn.ModuleDict, batch: dict[str, Tensor], scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted loss, per-sample error (N), per-sample first-frame error (N); errors are mean squares in v."""
    count, frames = batch["latents"].shape[:2]
    clean = batch["latents"] * scale
    sigma = (LOG_SIGMA_MEAN + LOG_SIGMA_DEVIATION * torch.randn(count)).clamp(-4.2, 4.6).exp()
    wide = sigma.view(-1, 1, 1, 1, 1)
    noisy = clean + wide * torch.randn_like(clean)
    keep = (torch.rand(count) >= DROP_SHARE).float()
    condition = batch["condition"] * keep.view(-1, 1, 1, 1)
    fps = torch.randint(SLOWEST_FPS - 1, FASTEST_FPS, (count,)).float()
    added = torch.stack([fps, batch["bucket"], batch["strength"]], dim=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embedding = models["image_encoder"](batch["clip_pixels"]).image_embeds.float()
        embedding = (embedding * keep.view(-1, 1)).unsqueeze(1)
        network_input = torch.cat(
            [noisy / (wide**2 + 1).sqrt(), condition.unsqueeze(1).expand(-1, frames, -1, -1, -1)], dim=2
        )
        output = models["unet"](network_input, 0.25 * sigma.log(), embedding, added, return_dict=False)[0]
    target = (noisy / (wide**2 + 1) - clean) * (wide**2 + 1).sqrt() / wide
    error = (output.float() - target).square().mean((2, 3, 4))
    weights = torch.ones(frames)
    weights[0] = FIRST_FRAME_WEIGHT
    loss = (error * weights / weights.sum()).sum(1).mean()
    return loss, error.detach().mean(1), error.detach()[:, 0]


def train(args: argparse.Namespace) -> None:
    """Train until the minutes are used up, resuming from `out/unet.pt` if it is there."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    random = torch.Generator().manual_seed(args.seed)
    pool = ClipPool(args.clips)
    models = nn.ModuleDict({"unet": build_unet(), "image_encoder": build_image_encoder()})
    optimizer = build_optimizer(
        [models], matrix_learning_rate=args.learning_rate, rest_learning_rate=args.learning_rate
    )
    average = WeightAverage(models, decay=0.998)
    schedule = WallClockSchedule(minutes=args.minutes, decay_fraction=args.decay_fraction)
    path = args.out / "unet.pt"
    state = load_checkpoint(path)
    step, elapsed, scale = 0, 0.0, pool.latent_scale()
    if state:
        models.load_state_dict(state["models"])
        optimizer.load_state_dict(state["optimizer"])
        average.load_state_dict(state["average"])
        step, elapsed, scale = state["step"], state["elapsed_seconds"], state["scale"]
        random.manual_seed(args.seed + step)
        torch.manual_seed(args.seed + step)
    to_channels_last(models)
    use_fast_group_norm(models)
    use_fast_temporal_convolutions(models)
    models["unet"].set_attn_processor(AttnProcessor())  # faster than fused attention for such short sequences
    models.train()
    clock = TrainingClock(elapsed_seconds=elapsed)

    def save() -> None:
        progress = {"step": step, "elapsed_seconds": clock.elapsed_seconds, "scale": scale, "clips": len(pool)}
        weights = {"models": models.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state_dict()}
        save_checkpoint(path, {**progress, **weights})

    recent: list[tuple[float, float]] = []
    while not schedule.is_over(clock.elapsed_seconds):
        optimizer.set_learning_rate(schedule.multiplier(clock.elapsed_seconds))
        is_early = clock.elapsed_seconds < SMALL_CROP_SHARE * 60 * args.minutes
        batch = centre_crop(pool.draw(args.batch, random)) if is_early else pool.draw(args.late_batch, random)
        loss, error, first_error = denoising_loss(models, batch, scale)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(models)
        step += 1
        recent.append((float(error.mean()), float(first_error.mean())))
        if step % 25 == 0:
            every, first = torch.tensor(recent[-25:]).mean(0).tolist()
            line = {"step": step, "seconds": round(clock.elapsed_seconds), "error": round(every, 4)}
            print(json.dumps({**line, "first": round(first, 4), "clips": len(pool)}), flush=True)
        if clock.is_checkpoint_due():
            save()
            pool.refresh()
    save()


def parse_arguments() -> argparse.Namespace:
    """Command line; defaults are those of the shipped model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--decay-fraction", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--late-batch", type=int, default=3, help="whole clips are dearer than crops")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    return parser.parse_args()


if __name__ == "__main__":
    train(parse_arguments())
