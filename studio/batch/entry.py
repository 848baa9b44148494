"""One job of a batch, and a batch: what was read from a file, complete and in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio.config import VisibleLabel
from studio.consistency.policy import Policy
from studio.request import GenerationRequest


@dataclass(frozen=True, kw_only=True)
class BatchEntry:
    """One job, after sweeps and templates.

    number: from 1, in the order of the file. where: its place there, such as ``line 12``.
    key: 64 hex digits that are the same whenever this entry is read again, wherever it then stands in the file: the
    digest of what is written about it, and of its number among entries of which the same is written. What is inside
    the pictures it names is no part of that.
    name: what people call it. priority: -100 to 100, higher first. on_fail, label: None takes the setting.
    output: absolute; where the sealed clip is copied to.
    """

    number: int
    where: str
    request: GenerationRequest
    key: str
    name: str | None = None
    priority: int = 0
    on_fail: Policy | None = None
    label: VisibleLabel | None = None
    output: Path | None = None


@dataclass(frozen=True, kw_only=True)
class BatchFile:
    """A batch as it was read. path: absolute. digest: hex SHA-256 of the file's bytes."""

    path: Path
    digest: str
    entries: tuple[BatchEntry, ...]
