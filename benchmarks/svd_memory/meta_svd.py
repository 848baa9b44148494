"""The stock pipeline of Stable Video Diffusion, run from picture to frames on the meta device. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from diffusers import EulerDiscreteScheduler, StableVideoDiffusionPipeline
from PIL import Image
from transformers import CLIPImageProcessor

from benchmarks.svd_memory.stages import Stages
from pipelines.meta_pipeline import build_meta_pipeline

IMAGE_ENCODING, VAE_ENCODING, STEP, DECODING = "image encoding", "VAE encoding", "step", "decoding"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of a clip: pixels and frames."""

    width: int = 1024
    height: int = 576
    num_frames: int = 25

    def __str__(self) -> str:
        return f"{self.num_frames} frames of {self.width}x{self.height}"


class MetaScheduler(EulerDiscreteScheduler):  # type: ignore[misc]
    """Keeps its schedule in main memory and goes through it in order: on the meta device no number can be looked at."""

    def set_timesteps(self, num_inference_steps: Any = None, device: Any = None, **more: Any) -> None:  # noqa: ARG002
        super().set_timesteps(num_inference_steps, device="cpu", **more)
        self.set_begin_index(0)


class MetaPipeline(StableVideoDiffusionPipeline):  # type: ignore[misc]
    """The stock pipeline, which says where its stages end."""

    stages: Stages

    @property
    def do_classifier_free_guidance(self) -> bool:
        return True  # stock looks at a number on the device

    def _encode_image(self, *given: Any, **named: Any) -> Any:
        self.stages.skip()
        found = super()._encode_image(*given, **named)
        self.stages.end(IMAGE_ENCODING)
        return found

    def _encode_vae_image(self, *given: Any, **named: Any) -> Any:
        found = super()._encode_vae_image(*given, **named)
        self.stages.end(VAE_ENCODING)
        return found

    def end_of_step(self, *_: Any) -> dict[str, Any]:
        """End a stage; a step callback."""
        self.stages.end(STEP)
        return {}


def build(folder: Path, stages: Stages) -> MetaPipeline:
    """Return the pipeline of a folder of configurations, in float16. Its weights lie on the meta device."""
    parts = build_meta_pipeline(folder, torch.float16, {}).components
    square = {"height": 224, "width": 224}
    parts["feature_extractor"] = CLIPImageProcessor(size={"shortest_edge": 224}, crop_size=square)
    parts["scheduler"] = MetaScheduler.from_config(parts["scheduler"].config)
    pipeline = MetaPipeline(**parts)
    pipeline.stages = stages
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run(pipeline: MetaPipeline, shape: Shape, *, num_steps: int, **options: Any) -> Any:
    """Call the pipeline on a picture. Returns what it returns as frames."""
    return pipeline(
        Image.new("RGB", (shape.width, shape.height)),
        height=shape.height,
        width=shape.width,
        num_frames=shape.num_frames,
        num_inference_steps=num_steps,
        callback_on_step_end=pipeline.end_of_step,
        **options,
    ).frames


@contextmanager
def offload_to_nowhere() -> Iterator[None]:
    """Let diffusers' model offload work with the meta device, which has no allocator to empty."""
    with patch("diffusers.pipelines.pipeline_utils.empty_device_cache"):
        yield
