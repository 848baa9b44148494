"""A process that makes a clip with checkpoints on disk and is meant to be killed: ``python -m tests.pipelines.doomed``.

Arguments: the folder for checkpoints and signs of life, and where it is to wait for its end: ``sampling`` (it only
goes slower there) or ``decoding``.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.generator import Generator
from studio.jobs.checkpoints import Checkpoints, checkpoint_key
from studio.media import Preview
from studio.registry import Registry
from studio.request import GenerationRequest, ResolvedRequest

STEPS = 30
WISH = GenerationRequest(model="micro-wan", prompt="a red circle bouncing on a black background", seed=3,
                         num_inference_steps=STEPS)  # fmt: skip


class FiledRun:
    """A `RunContext` that keeps every step in a folder; `steps` in it grows by a byte with each."""

    def __init__(self, folder: Path, resolved: ResolvedRequest, waits_in: str | None = None) -> None:
        self.workdir = folder
        self.steps: list[int] = []
        self._checkpoints = Checkpoints(folder, checkpoint_key(resolved.as_json(), weights_sha256=None, device="cpu"))
        self._waits_in = waits_in
        self._stage = ""
        self._questions = 0

    def progress(self, done: int, total: int, preview: Preview | None = None) -> None:
        self._stage = "sampling"
        self.steps.append(done)
        with open(self.workdir / "steps", "ab") as stream:
            stream.write(b".")
        if self._waits_in == "sampling":
            time.sleep(0.02)

    def stage(self, name: str, detail: str = "") -> None:
        self._stage = name

    def raise_if_canceled(self) -> None:
        if self._stage == self._waits_in == "decoding":
            self._questions += 1
            if self._questions == 3:  # before the decoder starts, before its first part, and now in its midst
                (self.workdir / "decoding").touch()
                signal.pause()

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def keep(self, stage: str, content: bytes) -> None:
        self._checkpoints.keep(stage, content)

    def kept(self, stage: str) -> bytes | None:
        return self._checkpoints.kept(stage)

    def wants_checkpoint(self) -> bool:
        return True

    def bill(self, cost: Any, *, units: float | None = None, unit: str = "") -> None:
        raise AssertionError("a local model costs nothing")

    def save_operation(self, operation: Any) -> None:
        raise AssertionError("a local generator has no remote operation")


def micro_wan() -> tuple[Generator, ResolvedRequest]:
    """Return the generator and the request that both the doomed process and its heir run."""
    generator = Registry(load_catalog(), Settings()).generator("micro-wan")
    return generator, generator.resolve(WISH)


if __name__ == "__main__":
    generator, resolved = micro_wan()
    with generator.session():
        generator.generate(resolved, FiledRun(Path(sys.argv[1]), resolved, waits_in=sys.argv[2]))
