"""The stock pipeline of Stable Video Diffusion on the meta device. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from diffusers import EulerDiscreteScheduler

from benchmarks.svd_memory.staged_svd import StagedPipeline, picture_processor
from benchmarks.svd_memory.stages import Stages
from pipelines.meta_pipeline import build_meta_pipeline


class MetaScheduler(EulerDiscreteScheduler):  # type: ignore[misc]
    """Keeps its schedule in main memory and goes through it in order: on the meta device no number can be looked at."""

    def set_timesteps(self, num_inference_steps: Any = None, device: Any = None, **more: Any) -> None:  # noqa: ARG002
        super().set_timesteps(num_inference_steps, device="cpu", **more)
        self.set_begin_index(0)


class MetaPipeline(StagedPipeline):
    """The same without looking at a number on the device."""

    @property
    def do_classifier_free_guidance(self) -> bool:
        return True


def build(folder: Path, stages: Stages) -> MetaPipeline:
    """Return the pipeline of a folder of configurations, in float16. Its weights lie on the meta device."""
    parts = build_meta_pipeline(folder, torch.float16, {}).components
    parts["feature_extractor"] = picture_processor()
    parts["scheduler"] = MetaScheduler.from_config(parts["scheduler"].config)
    pipeline = MetaPipeline(**parts)
    pipeline.stages = stages
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@contextmanager
def offload_to_nowhere() -> Iterator[None]:
    """Let diffusers' model offload work with the meta device, which has no allocator to empty."""
    with patch("diffusers.pipelines.pipeline_utils.empty_device_cache"):
        yield
