"""Proof that sealing works here: a tiny clip goes through the real gate into a library that is thrown away."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np

from studio import __version__
from studio.config import Settings
from studio.export.gate import Gate
from studio.jobs.quarantine import RawMaterial
from studio.library.store import Store, new_id
from studio.media import FrameClip
from studio.provenance.inspect import State, read_c2pa
from studio.provenance.manifest import Provenance
from studio.provenance.origin import Origin
from studio.provenance.trust import trusted_lists
from studio.request import ResolvedRequest, Task

# No plug-in, no program, no authority and nobody's database is troubled by a test.
_ALONE = {
    "shared_identity": None,
    "database_url": None,
    "assets_url": None,
    "signer": None,
    "signer_command": None,
    "timestamp_url": None,
}


def seal_a_test_clip(settings: Settings) -> State:
    """Return the state that the sealed clip reads with: ``trusted`` when all is well."""
    with tempfile.TemporaryDirectory(dir=settings.home, prefix="selftest-") as folder:
        scratch = settings.model_copy(update=_ALONE | {"home": Path(folder)})
        with Store(scratch) as store:
            job_id = new_id()
            store.add_job(job_id, _request().as_json())
            asset = Gate(scratch, store).seal(_material(job_id), Path(folder))
            return read_c2pa(asset.path, lists=trusted_lists(scratch)).state


def _request() -> ResolvedRequest:
    return ResolvedRequest(
        model="selftest",
        task=Task.TEXT_TO_VIDEO,
        prompt="",
        negative_prompt="",
        seed=0,
        width=64,
        height=64,
        num_frames=6,
        frame_rate=Fraction(8),
        num_inference_steps=None,
        guidance_scale=None,
        conditionings=(),
        generate_audio=False,
        options={},
    )


def _material(job_id: str) -> RawMaterial:
    request = _request()
    frames = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), dtype=np.uint8)
    provenance = Provenance(
        job_id=job_id,
        origin=Origin.TEXT_TO_VIDEO,
        task=request.task.value,
        model_id=request.model,
        model_name="self-test",
        pipeline="none",
        width=request.width,
        height=request.height,
        num_frames=request.num_frames,
        frame_rate=request.frame_rate,
        created_at=datetime.now(UTC),
        studio_version=__version__,
    )
    return RawMaterial(
        clip=FrameClip(frames=frames, frame_rate=request.frame_rate),
        provenance=provenance,
        request=request,
        seconds=0.0,
    )
