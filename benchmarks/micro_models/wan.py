"""Measure micro-wan through the stock diffusers pipelines, on held-out prompts, with the judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.micro_models.judge import ATTRIBUTES, read_clip
from weights.training.world import HEIGHT, NUM_FRAMES, WIDTH, Scene, render, split_scenes

if TYPE_CHECKING:
    from diffusers import WanImageToVideoPipeline, WanPipeline

COLUMNS = (*ATTRIBUTES, "all")


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How clips are sampled; the defaults are the recommended ones of the model card."""

    num_inference_steps: int = 12
    guidance_scale: float = 3.0
    max_sequence_length: int = 16


@dataclass(frozen=True, kw_only=True)
class Score:
    """One line of the table. accuracy: share of clips in [0, 1] per attribute and for all four together."""

    name: str
    num_clips: int
    accuracy: dict[str, float]
    psnr_db: float | None = None
    seconds_per_clip: float | None = None


def held_out_scenes(count: int) -> list[Scene]:
    """`count` held-out scenes, spread over the world by a fixed shuffle."""
    scenes = split_scenes()[1]
    order = np.random.default_rng(7).permutation(len(scenes))
    return [scenes[index] for index in order[:count]]


def judge_clips(scenes: Iterable[Scene], make_clip: Callable[[int, Scene], NDArray[np.uint8]]) -> dict[str, float]:
    """Share of clips per attribute that the judge reads as the scene says."""
    verdicts = [read_clip(make_clip(index, scene)).agrees(scene) for index, scene in enumerate(scenes)]
    return {column: float(np.mean([verdict[column] for verdict in verdicts])) for column in COLUMNS}


def load_pipelines(path: Path) -> tuple[WanPipeline, WanImageToVideoPipeline]:
    """The two stock pipelines over one set of weights, from the folder alone."""
    import torch
    from diffusers import WanImageToVideoPipeline, WanPipeline

    text_to_video = WanPipeline.from_pretrained(path, dtype=torch.float32, local_files_only=True)
    components = {name: part for name, part in text_to_video.components.items() if name != "transformer_2"}
    image_to_video = WanImageToVideoPipeline(**components, expand_timesteps=True)
    for pipeline in (text_to_video, image_to_video):
        pipeline.set_progress_bar_config(disable=True)
    return text_to_video, image_to_video


def measure(path: Path, *, num_clips: int, settings: SamplingSettings) -> dict[str, Any]:
    """Measure judge, autoencoder, text to video and image to video on the same `num_clips` held-out scenes."""
    scenes = held_out_scenes(num_clips)
    text_to_video, image_to_video = load_pipelines(path)
    scores = [
        Score(name="drawn clips (judge)", num_clips=num_clips, accuracy=judge_clips(scenes, _draw)),
        _score_reconstructions(text_to_video, scenes),
        _score_text_to_video(text_to_video, scenes, settings),
        _score_image_to_video(image_to_video, scenes, settings),
    ]
    return {"settings": asdict(settings), "num_clips": num_clips, "scores": [asdict(score) for score in scores]}


def format_table(result: dict[str, Any]) -> str:
    """The result of `measure` as a table in Markdown."""
    lines = [f"| micro-wan, {result['num_clips']} held-out prompts | {' | '.join(COLUMNS)} | PSNR | s/clip |"]
    lines.append("|---" * (len(COLUMNS) + 3) + "|")
    for score in result["scores"]:
        shares = " | ".join(f"{100 * score['accuracy'][column]:.0f} %" for column in COLUMNS)
        psnr = "-" if score["psnr_db"] is None else f"{score['psnr_db']:.1f} dB"
        seconds = "-" if score["seconds_per_clip"] is None else f"{score['seconds_per_clip']:.2f}"
        lines.append(f"| {score['name']} | {shares} | {psnr} | {seconds} |")
    return "\n".join(lines)


def peak_signal_to_noise_db(output: NDArray[np.uint8], target: NDArray[np.uint8]) -> float:
    """PSNR of two uint8 arrays of one shape, in decibels."""
    error = np.mean((output.astype(np.float64) - target.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def _draw(index: int, scene: Scene) -> NDArray[np.uint8]:
    return render(scene, seed=1_000_000 + index)


def _to_uint8(frames: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(255 * frames).astype(np.uint8)


def _score_reconstructions(pipeline: WanPipeline, scenes: list[Scene]) -> Score:
    import torch

    psnr_db: list[float] = []

    def reconstruct(index: int, scene: Scene) -> NDArray[np.uint8]:
        frames = _draw(index, scene)
        clip = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.no_grad():
            output = pipeline.vae.decode(pipeline.vae.encode(clip).latent_dist.mode()).sample
        restored = _to_uint8(pipeline.video_processor.postprocess_video(output, output_type="np")[0])
        psnr_db.append(peak_signal_to_noise_db(restored, frames))
        return restored

    accuracy = judge_clips(scenes, reconstruct)
    return Score(
        name="reconstructed (ceiling)", num_clips=len(scenes), accuracy=accuracy, psnr_db=float(np.mean(psnr_db))
    )


def _score_text_to_video(pipeline: WanPipeline, scenes: list[Scene], settings: SamplingSettings) -> Score:
    import torch

    seconds: list[float] = []

    def sample(index: int, scene: Scene) -> NDArray[np.uint8]:
        started = time.perf_counter()
        rng = torch.Generator().manual_seed(index)
        output = pipeline(
            scene.prompt, height=HEIGHT, width=WIDTH, num_frames=NUM_FRAMES, generator=rng, **asdict(settings)
        )
        seconds.append(time.perf_counter() - started)
        return _to_uint8(output.frames[0])

    accuracy = judge_clips(scenes, sample)
    return Score(
        name="text to video", num_clips=len(scenes), accuracy=accuracy, seconds_per_clip=float(np.median(seconds))
    )


def _score_image_to_video(pipeline: WanImageToVideoPipeline, scenes: list[Scene], settings: SamplingSettings) -> Score:
    import torch
    from PIL import Image

    seconds: list[float] = []
    psnr_db: list[float] = []

    def animate(index: int, scene: Scene) -> NDArray[np.uint8]:
        first_frame = _draw(index, scene)[0]
        started = time.perf_counter()
        output = pipeline(
            Image.fromarray(first_frame),
            prompt=scene.prompt,
            height=HEIGHT,
            width=WIDTH,
            num_frames=NUM_FRAMES,
            generator=torch.Generator().manual_seed(index),
            **asdict(settings),
        )
        seconds.append(time.perf_counter() - started)
        frames = _to_uint8(output.frames[0])
        psnr_db.append(peak_signal_to_noise_db(frames[0], first_frame))
        return frames

    accuracy = judge_clips(scenes, animate)
    return Score(
        name="image to video (PSNR of frame 1)",
        num_clips=len(scenes),
        accuracy=accuracy,
        psnr_db=float(np.mean(psnr_db)),
        seconds_per_clip=float(np.median(seconds)),
    )
