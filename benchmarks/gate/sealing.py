"""One clip through the gate of a library that is thrown away, with a clock and an eye on the memory."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from studio import __version__
from studio.app import Studio
from studio.config import Settings
from studio.export.gate import Gate
from studio.generator import RawClip
from studio.jobs.quarantine import RawMaterial
from studio.library.store import Store, new_id
from studio.provenance.manifest import Provenance
from studio.provenance.origin import Origin
from studio.request import ResolvedRequest, Task

_REQUEST = ResolvedRequest(
    model="benchmark", task=Task.TEXT_TO_VIDEO, prompt="", negative_prompt="", seed=0, width=64, height=64,
    num_frames=1, frame_rate=Fraction(25), num_inference_steps=None, guidance_scale=None, conditionings=(),
    generate_audio=False, options={},
)  # fmt: skip


def seal(clip: RawClip, *, verifies: bool = False) -> dict[str, Any]:
    """Seal a clip and return seconds of each stage and in all, and peaks of memory in MiB.

    studio_mib: of this process. all_mib: with the encoders it started.
    """
    with TemporaryDirectory(prefix="gate-") as folder:
        settings = Settings(home=Path(folder), database_url=None)
        with Store(settings) as store, _Memory() as memory:
            job_id = new_id()
            store.add_job(job_id, _REQUEST.as_json())
            clock = _Clock()
            asset = Gate(settings, store).seal(_material(clip, job_id), Path(folder), clock.start)
            stages = clock.stop()
            if verifies:
                clock.start("studio verify")
                state = Studio(settings).verify(asset.path).c2pa.state
                stages |= clock.stop() | {"state": state}
            size = {"num_frames": asset.num_frames, "width": asset.width, "height": asset.height}
            size |= {"file_mib": round(asset.size_bytes / 2**20, 1), "is_marked": asset.watermark_id is not None}
        return size | {"seconds": stages} | memory.peaks()


def _material(clip: RawClip, job_id: str) -> RawMaterial:
    provenance = Provenance(
        job_id=job_id, origin=Origin.TEXT_TO_VIDEO, task="text-to-video", model_id="benchmark", model_name="benchmark",
        pipeline="none", width=64, height=64, num_frames=1, frame_rate=Fraction(25), created_at=datetime.now(UTC),
        studio_version=__version__,
    )  # fmt: skip
    return RawMaterial(clip=clip, provenance=provenance, request=replace(_REQUEST), seconds=0.0)


class _Clock:
    def __init__(self) -> None:
        self._began: list[tuple[str, float]] = []

    def start(self, stage: str) -> None:
        self._began.append((stage, time.perf_counter()))

    def stop(self) -> dict[str, Any]:
        end = time.perf_counter()
        ends = [moment for _stage, moment in self._began[1:]] + [end]
        stages = {stage: round(after - at, 3) for (stage, at), after in zip(self._began, ends, strict=True)}
        total = round(end - self._began[0][1], 3)
        self._began.clear()
        return stages | ({"total": total} if len(stages) > 1 else {})


class _Memory:
    """Looks at the resident memory of this process and its children many times a second."""

    def __enter__(self) -> _Memory:
        self._own = self._all = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def peaks(self) -> dict[str, float]:
        return {"studio_mib": round(self._own / 1024, 1), "all_mib": round(self._all / 1024, 1)}

    def _watch(self) -> None:
        while not self._is_over.wait(0.03):
            own = _resident_kib(os.getpid())
            self._own = max(self._own, own)
            self._all = max(self._all, own + sum(map(_resident_kib, _children())))


def _resident_kib(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def _children() -> list[int]:
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found
