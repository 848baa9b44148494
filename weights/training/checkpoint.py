"""Atomic checkpoints and a training clock that survives restarts.

Checkpoints are for resuming training only and never ship; what ships is safetensors.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts): readers see the old or the new file, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint, or return None when there is none yet. Nothing but plain data is unpickled."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


class TrainingClock:
    """Counts training seconds across restarts and says when the next checkpoint is due."""

    def __init__(self, *, elapsed_seconds: float = 0.0, checkpoint_every_seconds: float = 120.0) -> None:
        self._origin = time.monotonic() - elapsed_seconds
        self._checkpoint_every_seconds = checkpoint_every_seconds
        self._last_checkpoint = time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """Wall clock spent training so far, in seconds, earlier sessions included."""
        return time.monotonic() - self._origin

    def is_checkpoint_due(self) -> bool:
        """True once per interval; asking and getting True starts the next interval."""
        now = time.monotonic()
        if now - self._last_checkpoint < self._checkpoint_every_seconds:
            return False
        self._last_checkpoint = now
        return True
