"""How often the checks flag what the shipped model makes, and for what."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

from benchmarks.watermark import results as watermark_results
from studio.consistency.runner import run_checks

PATH = watermark_results.FOLDER / "consistency_models.json"
_NUM_CLIPS = 100


def measure(num_clips: int = _NUM_CLIPS) -> dict[str, Any]:
    """Return the share of micro-wan's clips that fail, by check, over prompts that it was never trained on."""
    import torch

    from benchmarks.micro_models.wan import SamplingSettings, held_out_scenes, load_pipelines
    from weights.training.world import FRAME_RATE, HEIGHT, NUM_FRAMES, WIDTH

    pipeline, _ = load_pipelines(watermark_results.REPOSITORY / "weights" / "micro-wan")
    settings = SamplingSettings()
    failed: dict[str, list[str]] = {}
    for number, scene in enumerate(held_out_scenes(num_clips)):
        made = pipeline(
            prompt=scene.prompt, negative_prompt="", height=HEIGHT, width=WIDTH, num_frames=NUM_FRAMES,
            num_inference_steps=settings.num_inference_steps, guidance_scale=settings.guidance_scale,
            max_sequence_length=settings.max_sequence_length, generator=torch.Generator().manual_seed(number),
            output_type="np",
        )  # fmt: skip
        frames = (made.frames[0] * 255).round().clip(0, 255).astype("uint8")
        found = [check.id for check in run_checks(frames, Fraction(FRAME_RATE)).checks if check.passed is False]
        if found:
            failed[f"{number}: {scene.prompt}"] = found
    by_check = Counter(name for names in failed.values() for name in names)
    return {"clips": num_clips, "flagged": len(failed) / num_clips, "by_check": dict(by_check.most_common()),
            "which": failed}  # fmt: skip


def write(found: dict[str, Any]) -> None:
    """Keep the figures as data."""
    watermark_results.write(PATH, {name: found[name] for name in ("clips", "flagged", "by_check")},
                            [{"clip": name, "failed": checks} for name, checks in found["which"].items()])  # fmt: skip


def format_models(found: dict[str, Any]) -> str:
    """Return the figures as text."""
    lines = [f"{found['clips']} clips of micro-wan, {found['flagged']:.0%} flagged"]
    lines += [f"  {name}: {count}" for name, count in found["by_check"].items()]
    return "\n".join([*lines, *(f"  {prompt}: {', '.join(names)}" for prompt, names in found["which"].items())])
