"""Sealing a clip of any size through the real gate, without a generator that makes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.app import Studio
from studio.export.gate import Gate
from studio.jobs.quarantine import RawMaterial
from studio.library.store import new_id
from studio.media import FrameClip
from studio.request import ResolvedRequest, Task
from tests.studio.provenance.conftest import PROVENANCE


def seal_frames(studio: Studio, frames: NDArray[np.uint8], frame_rate: int = 24) -> Path:
    """Return the sealed file of (T, H, W, 3) uint8 frames; it is in the studio's library."""
    job_id = new_id()
    height, width = frames.shape[1:3]
    request = ResolvedRequest(
        model="drawn",
        task=Task.TEXT_TO_VIDEO,
        prompt="",
        negative_prompt="",
        seed=0,
        width=width,
        height=height,
        num_frames=len(frames),
        frame_rate=Fraction(frame_rate),
        num_inference_steps=None,
        guidance_scale=None,
        conditionings=(),
        generate_audio=False,
        options={},
    )
    studio.store.add_job(job_id, request.as_json())
    raw = RawMaterial(
        clip=FrameClip(frames=frames, frame_rate=Fraction(frame_rate)),
        provenance=replace(PROVENANCE, job_id=job_id, width=width, height=height, created_at=datetime.now(UTC)),
        request=request,
        seconds=0.0,
    )
    workdir = studio.settings.home / "sealing"
    workdir.mkdir(parents=True, exist_ok=True)
    return Gate(studio.settings, studio.store).seal(raw, workdir).path
