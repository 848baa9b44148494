"""A generator that costs nothing: what remains of a job's time is the studio's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.generator import Estimate, RunContext
from studio.media import FrameClip
from studio.request import GenerationRequest, ResolvedRequest
from studio.resolve import resolve

ROW = """
[[models]]
id = "noop"
name = "No-op"
summary = "Costs nothing, for measuring"
family = "noop"
where = "remote"
generator = "benchmarks.queue.noop:NoOpGenerator"
tasks = ["text-to-video"]
licence = { id = "Apache-2.0" }

[models.parameters]
width = { min = 64, max = 64, default = 64, step = 16 }
height = { min = 64, max = 64, default = 64, step = 16 }
num_frames = { min = 5, max = 5, default = 5, step = 1 }
frame_rate = { min = 8, max = 8, default = 8 }
prompt = "optional"
"""


def write_row(home: Path) -> None:
    """Let the studio of this home know the model."""
    (home / "catalog").mkdir(parents=True, exist_ok=True)
    (home / "catalog" / "noop.toml").write_text(ROW)


class NoOpGenerator:
    """Gives five grey frames at once."""

    def __init__(self, spec: ModelSpec, settings: Settings) -> None:  # noqa: ARG002
        self.spec = spec

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        return resolve(self.spec, request)

    def estimate(self, resolved: ResolvedRequest) -> Estimate:  # noqa: ARG002
        return Estimate(seconds=0, vram_bytes=0, ram_bytes=0, disk_bytes=0, cost=None, basis="nothing")

    @contextmanager
    def session(self) -> Iterator[None]:
        yield

    def generate(self, resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        run.progress(1, 1)
        shape = (resolved.num_frames, resolved.height, resolved.width, 3)
        return FrameClip(frames=np.full(shape, 128, np.uint8), frame_rate=Fraction(8))
