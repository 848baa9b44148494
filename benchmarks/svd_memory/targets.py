"""What is aimed at for Stable Video Diffusion XT, 25 frames of 1024x576, and whether it is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.memory import DEVICE_SPREAD, DEVICE_WORKSPACE

GIB = 2**30
# The CUDA context takes this much of a card; sizes of cards are taken as decimal, which is the stricter reading.
CONTEXT_GB = 0.6


@dataclass(frozen=True, kw_only=True)
class Target:
    """A whole clip, exact, in at most so many bytes and so many times less than stock. is_stretch: hoped for."""

    name: str
    most_bytes: float
    times: float = 1.0
    is_stretch: bool = False
    has_allocator: bool = False

    def reached(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Say which row, of those in order of speed, is the first that reaches it. rows: the first is stock's."""
        stock = rows[0]["peak_bytes"]
        found = next((row for row in rows if self._is_met(row, stock)), None)
        return {
            "target": self.name,
            "is_stretch": self.is_stretch,
            "is_met": found is not None,
            "by": found["name"] if found else None,
        }

    def _is_met(self, row: Mapping[str, Any], stock: int) -> bool:
        peak = row["peak_bytes"]
        size = taken(peak) if self.has_allocator else peak
        return bool(row["is_ours"] and row["is_exact"] and size <= self.most_bytes and stock >= self.times * peak)


def _card(gigabytes: int, *, is_stretch: bool = False) -> Target:
    return Target(
        name=f"fits a card of {gigabytes} GB, {CONTEXT_GB} GB of it the context's, allocator's losses included",
        most_bytes=(gigabytes - CONTEXT_GB) * 1e9,
        is_stretch=is_stretch,
        has_allocator=True,
    )


TARGETS = (
    Target(name="at least 4 times less than stock, and at most 7.2 GiB", most_bytes=7.2 * GIB, times=4),
    Target(
        name="at least 6 times less than stock, and at most 5.3 GiB", most_bytes=5.3 * GIB, times=6, is_stretch=True
    ),
    _card(8),
    _card(6),
    _card(4, is_stretch=True),
)


MOST_ABOVE = 1.10


def check(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each target whether it is met and by which row."""
    return [*(target.reached(rows) for target in TARGETS), _forecasts(rows)]


def taken(peak_bytes: int) -> float:
    """Return what a GPU's allocator takes for a peak of live tensors."""
    return peak_bytes * DEVICE_SPREAD + DEVICE_WORKSPACE


def _forecasts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Judge the planner, which goes through the stages apart, by the runs as a whole."""
    planned = [row for row in rows if row.get("forecast_bytes")]
    wrong = [row["name"] for row in planned if not 1 <= row["forecast_bytes"] / taken(row["peak_bytes"]) <= MOST_ABOVE]
    return {
        "target": "the planner's forecast is at most 10 % above the count, and never below it",
        "is_stretch": False,
        "is_met": bool(planned) and not wrong,
        "by": "not " + ", not ".join(wrong) if wrong else None,
    }
