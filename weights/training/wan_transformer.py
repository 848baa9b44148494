"""Train micro-wan's transformer and text encoder together, by rectified flow on encoded clips.

x_t = (1 - s) x_0 + s noise, the network predicts noise - x_0 (Liu et al. 2022, arXiv:2209.03003). Three samples in ten
keep their first latent frame clean at time 0, which is how Wan 2.2 TI2V (`expand_timesteps`) learns image to video.
Run: python -m weights.training.wan_transformer --minutes 75 --latents DIR/latents --out DIR
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn
from transformers import UMT5EncoderModel

from weights.training.checkpoint import TrainingClock, load_checkpoint, save_checkpoint
from weights.training.optim import WallClockSchedule, WeightAverage, build_optimizer
from weights.training.wan_attention import MatrixAttention
from weights.training.wan_latents import channel_statistics, load_shards
from weights.training.wan_text import build_text_encoder, embed_tokens, tokenize

NUM_TRAIN_TIMESTEPS = 1000
TOKENS_PER_LATENT_FRAME = 16
"""8 x 8 latents in patches of 2 x 2."""

logger = logging.getLogger(__name__)


def build_transformer(*, latent_channels: int, text_width: int) -> WanTransformer3DModel:
    """Return an untrained transformer: 6 layers, 192 wide, 80 tokens a clip, about 3.7 M parameters.

    It starts as the zero function: the last projection is zero, so the first loss is the variance of the target.
    """
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=4,
        attention_head_dim=48,
        in_channels=latent_channels,
        out_channels=latent_channels,
        text_dim=text_width,
        freq_dim=128,
        ffn_dim=640,
        num_layers=6,
        cross_attn_norm=True,
        rope_max_seq_len=32,
    )
    nn.init.zeros_(transformer.proj_out.weight)
    nn.init.zeros_(transformer.proj_out.bias)
    return transformer


class TextToLatents(nn.Module):
    """The two networks that are trained together."""

    def __init__(self, *, latent_channels: int) -> None:
        super().__init__()
        self.text_encoder: UMT5EncoderModel = build_text_encoder()
        self.transformer = build_transformer(
            latent_channels=latent_channels, text_width=self.text_encoder.config.d_model
        )

    def forward(self, latents: Tensor, timesteps: Tensor, token_ids: Tensor) -> Tensor:
        """Velocity (B, C, T', H', W') at noisy `latents`, (B, tokens) `timesteps` in [0, 1000], (B, 16) `token_ids`."""
        text = embed_tokens(self.text_encoder, token_ids)
        velocity: Tensor = self.transformer(latents, timesteps, text, return_dict=False)[0]
        return velocity


@dataclass(frozen=True, kw_only=True)
class FlowRecipe:
    """How training samples are made. shift moves the noise levels up: s' = shift s / (1 + (shift - 1) s)."""

    shift: float = 3.0
    prompt_dropout: float = 0.1
    clean_first_frame: float = 0.3


def flow_loss(model: TextToLatents, latents: Tensor, token_ids: Tensor, recipe: FlowRecipe) -> Tensor:
    """Mean squared error of the predicted velocity on `latents` (B, C, T', H', W'), normalised, of prompts (B, 16)."""
    batch_size, _, num_frames, _, _ = latents.shape
    level = torch.sigmoid(torch.randn(batch_size))
    level = recipe.shift * level / (1 + (recipe.shift - 1) * level)
    is_frame_clean = torch.zeros(batch_size, num_frames, dtype=torch.bool)
    is_frame_clean[:, 0] = torch.rand(batch_size) < recipe.clean_first_frame
    levels = torch.where(is_frame_clean, 0.0, level[:, None])
    is_prompt_dropped = torch.rand(batch_size) < recipe.prompt_dropout
    token_ids = torch.where(is_prompt_dropped[:, None], tokenize([""]), token_ids)
    noise = torch.randn_like(latents)
    per_frame = levels[:, None, :, None, None]
    noisy = (1 - per_frame) * latents + per_frame * noise
    timesteps = (NUM_TRAIN_TIMESTEPS * levels).repeat_interleave(TOKENS_PER_LATENT_FRAME, dim=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        velocity = model(noisy, timesteps, token_ids)
    weight = (~is_frame_clean).float()[:, None, :, None, None]
    error = (velocity.float() - (noise - latents)).square() * weight
    return error.sum() / (weight.sum() * error[0, :, 0].numel())


def train(out: Path, latents_folder: Path, *, minutes: float, seed: int, batch_size: int, recipe: FlowRecipe) -> None:
    """Train until `minutes` are used; resumes from `out`/transformer.pt and reads new shards as they come."""
    torch.manual_seed(seed)
    tokens, latents = load_shards(latents_folder)
    mean, std = channel_statistics(latents)
    model = TextToLatents(latent_channels=latents.shape[1])
    model.transformer.set_attn_processor(MatrixAttention())
    optimizer = build_optimizer([model], matrix_learning_rate=2e-3, rest_learning_rate=2e-3, weight_decay=0.01)
    average = WeightAverage(model, decay=0.9995)
    path = out / "transformer.pt"
    state = load_checkpoint(path)
    step = 0
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load_state_dict(state["average"])
        mean, std, step = state["mean"], state["std"], state["step"]
        torch.manual_seed(seed + step)
    clock = TrainingClock(elapsed_seconds=0.0 if state is None else state["elapsed_seconds"])
    schedule = WallClockSchedule(minutes=minutes, warmup_seconds=40.0)
    logger.info(
        "parameters %.2f M, %d clips, start at step %d",
        sum(p.numel() for p in model.parameters()) / 1e6,
        len(tokens),
        step,
    )
    recent = 0.0
    while not schedule.is_over(clock.elapsed_seconds):
        optimizer.set_learning_rate(schedule.multiplier(clock.elapsed_seconds))
        chosen = torch.randint(len(tokens), (batch_size,))
        batch = (latents[chosen].float() - mean.view(1, -1, 1, 1, 1)) / std.view(1, -1, 1, 1, 1)
        loss = flow_loss(model, batch, tokens[chosen], recipe)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(model)
        step += 1
        recent = loss.item() if step == 1 else 0.98 * recent + 0.02 * loss.item()
        if step % 50 == 0:
            logger.info("step %d, %.1f min, loss %.4f", step, clock.elapsed_seconds / 60, recent)
        if clock.is_checkpoint_due():
            _save(path, model, optimizer, average, mean, std, step, clock)
            tokens, latents = load_shards(latents_folder)
    _save(path, model, optimizer, average, mean, std, step, clock)
    summary = {
        "steps": step,
        "minutes": clock.elapsed_seconds / 60,
        "loss": recent,
        "clips": len(tokens),
        "batch_size": batch_size,
    }
    (out / "transformer_summary.json").write_text(json.dumps(summary))


def _save(
    path: Path,
    model: TextToLatents,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    mean: Tensor,
    std: Tensor,
    step: int,
    clock: TrainingClock,
) -> None:
    state: dict[str, Any] = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.state_dict(),
        "mean": mean,
        "std": std,
        "step": step,
        "elapsed_seconds": clock.elapsed_seconds,
    }
    save_checkpoint(path, state)


def load_trained(out: Path) -> tuple[TextToLatents, Tensor, Tensor]:
    """The averaged networks of the last checkpoint in `out`, and the latents' mean and std per channel, each (C,)."""
    state = load_checkpoint(out / "transformer.pt")
    if state is None:
        raise FileNotFoundError(f"no checkpoint at {out / 'transformer.pt'}: train the transformer first")
    model = TextToLatents(latent_channels=len(state["mean"]))
    model.load_state_dict(state["average"]["average"])
    return model.eval().requires_grad_(False), state["mean"], state["std"]


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument(
        "--latents", type=Path, required=True, help="folder with the shards of weights.training.wan_latents"
    )
    parser.add_argument("--minutes", type=float, default=75.0, help="wall clock to train for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    train(
        arguments.out,
        arguments.latents,
        minutes=arguments.minutes,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        recipe=FlowRecipe(),
    )


if __name__ == "__main__":
    main()
