"""What the studio's planner says beforehand of the same runs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from benchmarks.svd_memory.staged_svd import Shape
from pipelines.placement import suppose_card
from pipelines.plan import MemoryPlan
from pipelines.svd import StableVideoDiffusionGenerator
from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.request import ResolvedRequest, Task

MODEL = "svd-xt"


def forecast_bytes(plan: MemoryPlan, folder: Path, shape: Shape, home: Path) -> int:
    """Return the device memory that the planner expects, allocator's losses included.

    folder: configurations of an SVD-class model. home: where the planner may keep what it found out.
    """
    generator = StableVideoDiffusionGenerator(load_catalog().get(MODEL), Settings(home=home, database_url=None))
    foresight = generator.foresight(suppose_card(generator.gpu_dtype), folder)
    return foresight.forecast(_request(shape), plan).device_bytes


def _request(shape: Shape) -> ResolvedRequest:
    return ResolvedRequest(
        model=MODEL, task=Task.IMAGE_TO_VIDEO, prompt="", negative_prompt="", seed=0, width=shape.width,
        height=shape.height, num_frames=shape.num_frames, frame_rate=Fraction(7), num_inference_steps=25,
        guidance_scale=3.0, conditionings=(), generate_audio=False,
        options={"decode_chunk_size": shape.num_frames, "min_guidance_scale": 1.0},
    )  # fmt: skip
