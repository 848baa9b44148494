"""Train the autoencoder of micro-svd: stock `AutoencoderKLTemporalDecoder` on augmented photographs.

    python -m weights.training.svd_vae --minutes 28 --out DIR [--packages DIR]

Only the spatial part is trained: the temporal residual branches start at zero and `time_conv_out` at identity, so that
the decoder treats frames one by one, exactly, whatever the chunk size. Latents are the posterior's mean, as pipelines
read it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from diffusers.models.resnet import SpatioTemporalResBlock
from torch import Tensor

from weights.training.checkpoint import TrainingClock, load_checkpoint, save_checkpoint
from weights.training.group_norm import use_fast_group_norm
from weights.training.optim import WallClockSchedule, WeightAverage, build_optimizer
from weights.training.photographs import PictureMaker, read_photographs, training_picture

LATENT_NOISE = 0.05
"""Standard deviation of the noise added to latents in training, so that the decoder forgives the UNet's errors."""
LATENT_PULL = 1e-3
"""Weight of the mean square of the latents in the loss: keeps their scale near one."""
SMALL_CROP_SHARE = 0.4
"""Share of the run spent on quarter-size pictures: four times as many steps while the network is still coarse."""


def build_vae(*, levels: int = 3, latent_channels: int = 16) -> AutoencoderKLTemporalDecoder:
    """The stock class at 64 channels, 2**(levels - 1) times smaller in space. Temporal branches start as identity."""
    vae = AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * levels,
        block_out_channels=(64,) * levels,
        layers_per_block=1,
        latent_channels=latent_channels,
        sample_size=128,
        scaling_factor=1.0,
        force_upcast=False,
    )
    for module in vae.modules():
        if isinstance(module, SpatioTemporalResBlock):
            for parameter in module.temporal_res_block.conv2.parameters():
                torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        kernel = vae.decoder.time_conv_out.weight.zero_()
        kernel[:, :, 1, 0, 0] = torch.eye(3)
        vae.decoder.time_conv_out.bias.zero_()
    return vae


@contextlib.contextmanager
def spatial_only() -> Iterator[None]:
    """Skip the temporal branches: exact while they are identity, and a third cheaper."""
    original = SpatioTemporalResBlock.forward

    def forward(block: Any, x: Tensor, temb: Tensor | None = None, **_: Any) -> Tensor:
        result: Tensor = block.spatial_res_block(x, temb)
        return result

    SpatioTemporalResBlock.forward = forward
    try:
        yield
    finally:
        SpatioTemporalResBlock.forward = original


def to_channels_last(module: torch.nn.Module) -> None:
    """Lay two-dimensional kernels out channels last, the fast layout for bfloat16 on a CPU."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def draw_batch(maker: PictureMaker, rng: np.random.Generator, *, count: int, size: int) -> Tensor:
    """(count, 3, size, size) in [-1, 1]: pictures of 128 pixels a side, or crops of them."""
    pictures = []
    for _ in range(count):
        picture = training_picture(maker, rng)
        top, left = rng.integers(0, 128 - size + 1, 2)
        pictures.append(picture[top : top + size, left : left + size])
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) * 2 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def reconstruction_loss(vae: AutoencoderKLTemporalDecoder, pictures: Tensor) -> tuple[Tensor, float]:
    """Loss and mean square error in [0, 1] units. The posterior is not sampled: that hides the signal at the start."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        latents = vae.encode(pictures).latent_dist.mean
        noisy = latents + LATENT_NOISE * torch.randn_like(latents)
        output = vae.decode(noisy, num_frames=1).sample.float()
    error = output - pictures
    square = error.square().mean()
    loss = error.abs().mean() + 3 * square + LATENT_PULL * latents.float().square().mean()
    return loss, float(square.detach()) / 4


def freeze_encoder(vae: AutoencoderKLTemporalDecoder, average: WeightAverage) -> None:
    """Fix the encoder at its averaged weights, so that clips can be encoded while the decoder still learns."""
    for prefix, module in (("encoder.", vae.encoder), ("quant_conv.", vae.quant_conv)):
        names = module.state_dict()
        module.load_state_dict({name: average.average[prefix + name] for name in names})
        module.requires_grad_(False)


def train(args: argparse.Namespace) -> None:
    """Train until the minutes are used up, resuming from `out/vae.pt` if it is there."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    maker = PictureMaker(read_photographs(packages=args.packages))
    vae = build_vae(levels=args.levels, latent_channels=args.latent_channels)
    optimizer = build_optimizer([vae], matrix_learning_rate=args.learning_rate, rest_learning_rate=args.learning_rate)
    average = WeightAverage(vae, decay=0.995)
    schedule = WallClockSchedule(minutes=args.minutes)
    path = args.out / "vae.pt"
    state = load_checkpoint(path)
    step, elapsed = 0, 0.0
    if state:
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        average.load_state_dict(state["average"])
        step, elapsed = state["step"], state["elapsed_seconds"]
        rng = np.random.default_rng([args.seed, step])
    to_channels_last(vae)
    use_fast_group_norm(vae)
    clock = TrainingClock(elapsed_seconds=elapsed)

    def save() -> None:
        config = {"levels": args.levels, "latent_channels": args.latent_channels, "minutes": args.minutes}
        progress = {"step": step, "elapsed_seconds": clock.elapsed_seconds, "config": config}
        weights = {"vae": vae.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state_dict()}
        save_checkpoint(path, {**progress, **weights})

    recent: list[float] = []
    is_frozen = False
    with spatial_only():
        while not schedule.is_over(clock.elapsed_seconds):
            optimizer.set_learning_rate(schedule.multiplier(clock.elapsed_seconds))
            if not is_frozen and clock.elapsed_seconds >= 60 * args.encoder_minutes:
                freeze_encoder(vae, average)
                is_frozen = True
                save()
            is_early = clock.elapsed_seconds < SMALL_CROP_SHARE * 60 * args.minutes
            size = 64 if is_early else 128
            count = args.batch if is_early else args.batch // 2
            loss, square = reconstruction_loss(vae, draw_batch(maker, rng, count=count, size=size))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            average.update(vae)
            step += 1
            recent.append(square)
            if step % 25 == 0:
                decibels = -10 * np.log10(np.mean(recent[-25:]))
                line = {"step": step, "seconds": round(clock.elapsed_seconds), "size": size, "encoder": not is_frozen}
                print(json.dumps({**line, "psnr": round(float(decibels), 2)}), flush=True)
            if clock.is_checkpoint_due():
                save()
    save()


def parse_arguments() -> argparse.Namespace:
    """Command line; defaults are those of the shipped model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=28)
    parser.add_argument("--encoder-minutes", type=float, default=16.5, help="after these only the decoder learns")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--packages", type=Path, default=None, help="unpacked wheels that ship photographs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--latent-channels", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    return parser.parse_args()


if __name__ == "__main__":
    train(parse_arguments())
