"""A run that remembers all that a generator told it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from studio.errors import Canceled
from studio.generator import Cost


class RecordingRun:
    """A `RunContext` over a folder. cancel_when: asked again and again whether somebody wants the run to stop.

    operation: what is kept of it now, as it was written down; operations: all that ever was. bills: cost, units, unit.
    """

    def __init__(self, workdir: Path, *, cancel_when: Callable[[], bool] = lambda: False) -> None:
        workdir.mkdir(parents=True, exist_ok=True)
        self.workdir = workdir
        self.cancel_when = cancel_when
        self.operation: dict[str, Any] | None = None
        self.operations: list[str] = []
        self.notes: list[str] = []
        self.stages: list[str] = []
        self.steps: list[tuple[int, int]] = []
        self.bills: list[tuple[Cost | None, float | None, str]] = []
        self._kept: dict[str, bytes] = {}

    def progress(self, done: int, total: int, preview: object = None) -> None:
        self.steps.append((done, total))

    def stage(self, name: str, detail: str = "") -> None:
        self.stages.append(name)

    def raise_if_canceled(self) -> None:
        if self.cancel_when():
            raise Canceled

    def keep(self, stage: str, content: bytes) -> None:
        self._kept[stage] = content

    def kept(self, stage: str) -> bytes | None:
        return self._kept.get(stage)

    def wants_checkpoint(self) -> bool:
        return False

    def save_operation(self, operation: Mapping[str, Any]) -> None:
        text = json.dumps(operation)
        self.operations.append(text)
        self.operation = json.loads(text)

    def forget_operation(self) -> None:
        self.operation = None

    def note(self, text: str) -> None:
        self.notes.append(text)

    def bill(self, cost: Cost | None, *, units: float | None = None, unit: str = "") -> None:
        self.bills.append((cost, units, unit))
