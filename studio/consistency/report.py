"""What the checks found, as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_MAX_WORST_FRAMES = 12


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check's verdict on one clip.

    score: in [0, 1], 1 is clean and 0.5 is the threshold; None where nothing could be said.
    value: the measured figure in `unit`, None where nothing could be said. threshold: in `unit`.
    passed: None where nothing could be said; `reason` then says why. It also puts a failure into plain words.
    series: one figure per frame in `series_unit`, None where a frame has none.
    worst_frames: indices, worst first; empty when nothing stands out.
    """

    id: str
    title: str
    unit: str
    threshold: float
    score: float | None
    value: float | None
    passed: bool | None
    reason: str = ""
    series: tuple[float | None, ...] = ()
    series_unit: str = ""
    worst_frames: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object; figures are rounded, so that a report of 20 checks stays in the tens of kilobytes."""
        return {
            "id": self.id,
            "title": self.title,
            "score": _rounded(self.score),
            "value": _rounded(self.value),
            "unit": self.unit,
            "threshold": self.threshold,
            "passed": self.passed,
            "reason": self.reason,
            "worst_frames": list(self.worst_frames),
            "series": [_rounded(item) for item in self.series],
            "series_unit": self.series_unit,
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """What all checks say about a clip.

    passed: False when one check says no, True when at least one says yes and none says no, None when none could tell.
    It follows the worst check and is never an average.
    """

    checks: tuple[CheckResult, ...]
    num_frames: int
    frame_rate: Fraction
    width: int
    height: int
    passed: bool | None

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "schema": 1,
            "passed": self.passed,
            "num_frames": self.num_frames,
            "frame_rate": str(self.frame_rate),
            "width": self.width,
            "height": self.height,
            "checks": [check.as_json() for check in self.checks],
        }


def verdict(results: Iterable[CheckResult]) -> bool | None:
    """Return the verdict of the worst check."""
    known = [result.passed for result in results if result.passed is not None]
    return all(known) if known else None


def score_of(value: float, threshold: float) -> float:
    """Return 1 for a value of 0, 0.5 at the threshold, towards 0 above: 1 / (1 + (x / x0)^2)."""
    return 1.0 / (1.0 + (value / threshold) ** 2)


def worst_indices(series: Iterable[float | None], above: float) -> tuple[int, ...]:
    """Return the frames whose figure reaches `above`, highest first, at most a dozen."""
    found = [(-value, index) for index, value in enumerate(series) if value is not None and value >= above]
    return tuple(index for _value, index in sorted(found)[:_MAX_WORST_FRAMES])


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
