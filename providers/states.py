"""What the studio understands of a provider's job, whatever words that provider uses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from providers.wire import Call
from studio.errors import StudioError
from studio.generator import Cost


class State(StrEnum):
    """Where a job is at its provider. NEEDS_INPUT: it waits for something that the studio never gives."""

    QUEUED = "queued"
    RUNNING = "running"
    NEEDS_INPUT = "needs input"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What a provider says that a job cost. cost: money, if it says so. units: of its own, such as credits."""

    cost: Cost | None = None
    units: float | None = None
    unit: str = ""

    @property
    def word(self) -> Literal["yes", "no"]:
        """Whether anything was charged, in the word that errors use."""
        return "yes" if self.units or (self.cost is not None and self.cost.amount) else "no"


@dataclass(frozen=True, kw_only=True)
class Result:
    """Where a finished clip is: one of the three.

    url: fetched without the key, from public https or from the provider's own origin. It is never kept.
    call: fetched with the key, from the provider's own origin alone. content: the clip came with the answer.
    """

    url: str = ""
    call: Call | None = None
    content: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Status:
    """One answer about a job.

    word: what the provider said. state: what that means; None for a word that is not documented.
    progress: part that is done, 0 to 1; None where the provider does not tell. note: such as the place in a line.
    failure: why it failed; `FAILED` without one is told with the provider's word alone.
    result: of a finished job, where the answer already holds it. outputs, filtered: clips that were made, and withheld.
    wait_seconds: how long the provider wants to be left alone now, where it says so.
    """

    word: str
    state: State | None
    progress: float | None = None
    note: str = ""
    failure: StudioError | None = None
    result: Result | None = None
    charge: Charge | None = None
    outputs: int = 1
    filtered: int = 0
    wait_seconds: float | None = None

    @property
    def percent(self) -> int | None:
        """The part that is done, 0 to 100; None where the provider does not tell, or tells no number."""
        if self.progress is None or not math.isfinite(self.progress):
            return None
        return round(min(max(self.progress, 0.0), 1.0) * 100)
