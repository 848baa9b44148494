"""How well micro-svd keeps a photograph that it never saw, and whether it moves as much as it is told.

Through the unmodified stock pipeline: python -m benchmarks.micro_models.photographs [--photos DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.training.photograph_clips import NUM_FRAMES, SIZE, measure_flow, to_bytes
from weights.training.photographs import HELD_OUT_NAMES, fit_square, read_picture

MODEL = Path(__file__).resolve().parents[2] / "weights" / "micro-svd"
ENDINGS = frozenset({".png", ".jpg", ".jpeg"})


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """What a user gets by default; the catalog row of micro-svd says the same."""

    num_inference_steps: int = 6
    min_guidance_scale: float = 1.0
    max_guidance_scale: float = 1.0
    noise_aug_strength: float = 0.02
    fps: int = 7
    decode_chunk_size: int = 14


def held_out_photographs(folder: Path | None = None) -> dict[str, NDArray[np.uint8]]:
    """Name -> (128, 128, 3) uint8: scikit-image's held-out photographs if installed, and the pictures in `folder`."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS] if folder else []
    found = importlib.util.find_spec("skimage")
    if found and found.submodule_search_locations:
        data = Path(found.submodule_search_locations[0]) / "data"
        paths += [path for path in sorted(data.glob("*.png")) if path.stem in HELD_OUT_NAMES]
    return {path.stem: fit_square(read_picture(path), SIZE) for path in paths}


def psnr(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two pictures of bytes, in decibels."""
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's coefficient in [-1, 1], for values without ties."""
    ranks = [np.argsort(np.argsort(np.asarray(values))) for values in (first, second)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def reconstruct(pipeline: Any, photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Through the autoencoder and back, one frame: the ceiling of what the first frame can reach."""
    import torch

    pixels = torch.from_numpy(photograph).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        latents = pipeline.vae.encode(pixels.to(pipeline.vae.dtype)).latent_dist.mode()
        output = pipeline.vae.decode(latents, num_frames=1).sample[0].float()
    return to_bytes(((output + 1) / 2).permute(1, 2, 0).numpy())


def animate(
    pipeline: Any, photograph: NDArray[np.uint8], *, motion_bucket_id: int, seed: int, settings: SamplingSettings
) -> NDArray[np.uint8]:
    """One clip (14, 128, 128, 3) uint8 from the stock pipeline."""
    import torch
    from PIL import Image

    frames = pipeline(
        Image.fromarray(photograph),
        height=SIZE,
        width=SIZE,
        num_frames=NUM_FRAMES,
        motion_bucket_id=motion_bucket_id,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
        **asdict(settings),
    ).frames[0]
    return to_bytes(frames)


def load_pipeline(model: Path) -> Any:
    """The stock pipeline in float32, from local files only."""
    import torch
    from diffusers import StableVideoDiffusionPipeline

    pipeline = StableVideoDiffusionPipeline.from_pretrained(model, dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def measure(
    model: Path = MODEL,
    *,
    photos: Path | None = None,
    seeds: Sequence[int] = (0,),
    buckets: Sequence[int] = (15, 60, 105, 150, 195, 240),
    settings: SamplingSettings | None = None,
) -> dict[str, Any]:
    """Animate every held-out photograph with every seed and motion bucket.

    Returns `settings`, `photographs` (one row each: vae_psnr and first_frame_psnr in dB, rank_correlation, flow per
    bucket in pixels per frame, seconds per clip) and `mean`, their averages.
    """
    settings = settings or SamplingSettings()
    pipeline = load_pipeline(model)
    rows = []
    for name, photograph in held_out_photographs(photos).items():
        flows, first_psnrs, started = np.zeros((len(seeds), len(buckets))), [], time.perf_counter()
        for i, seed in enumerate(seeds):
            for j, bucket in enumerate(buckets):
                clip = animate(pipeline, photograph, motion_bucket_id=bucket, seed=seed, settings=settings)
                flows[i, j] = measure_flow(clip)
                first_psnrs.append(psnr(clip[0], photograph))
        seconds = (time.perf_counter() - started) / flows.size
        rows.append(
            {
                "name": name,
                "vae_psnr": psnr(reconstruct(pipeline, photograph), photograph),
                "first_frame_psnr": float(np.mean(first_psnrs)),
                "first_frame_psnr_worst": float(np.min(first_psnrs)),
                "rank_correlation": float(np.mean([rank_correlation(buckets, row) for row in flows])),
                "flow": {str(bucket): float(value) for bucket, value in zip(buckets, flows.mean(0), strict=True)},
                "seconds": seconds,
            }
        )
    names = ("vae_psnr", "first_frame_psnr", "rank_correlation", "seconds")
    mean = {name: float(np.mean([row[name] for row in rows])) for name in names}
    return {"settings": asdict(settings), "seeds": list(seeds), "photographs": rows, "mean": mean}


def format_table(result: dict[str, Any]) -> str:
    """A Markdown table, one row a photograph, their mean last."""
    lines = [
        "| unseen photograph | autoencoder, dB | frame 1, dB | rank correlation | flow, px/frame | seconds a clip |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["photographs"]:
        flows = list(row["flow"].values())
        lines.append(
            f"| {row['name']} | {row['vae_psnr']:.1f} | {row['first_frame_psnr']:.1f} | {row['rank_correlation']:.2f} "
            f"| {flows[0]:.2f} to {flows[-1]:.2f} | {row['seconds']:.1f} |"
        )
    mean = result["mean"]
    lines.append(
        f"| **mean** | {mean['vae_psnr']:.1f} | {mean['first_frame_psnr']:.1f} | {mean['rank_correlation']:.2f} | "
        f"| {mean['seconds']:.1f} |"
    )
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--photos", type=Path, default=None, help="a folder of further photographs")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=SamplingSettings.num_inference_steps)
    parser.add_argument("--json", type=Path, default=None, help="also write the numbers here")
    arguments = parser.parse_args()
    settings = SamplingSettings(num_inference_steps=arguments.steps)
    result = measure(arguments.model, photos=arguments.photos, seeds=range(arguments.seeds), settings=settings)
    print(format_table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
