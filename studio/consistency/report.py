"""What the checks found, as plain data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MAX_EVENTS, MAX_WORST_FRAMES = 50, 12


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of the frame; all four are fractions of its width or height, 0 to 1, from the upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def as_json(self) -> dict[str, float]:
        """Return a JSON object."""
        return {name: round(getattr(self, name), 3) for name in ("x", "y", "width", "height")}


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that was seen at a time and a place.

    first_frame, last_frame: indices, both included. value: in the check's unit, its worst in these frames.
    rank: the share of clean clips, 0 to 1, whose worst is below this; None where that was not measured.
    region: None for the whole frame. reason: one line in plain words.
    """

    first_frame: int
    last_frame: int
    value: float
    reason: str
    rank: float | None = None
    region: Region | None = None

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "first_frame": self.first_frame,
            "last_frame": self.last_frame,
            "value": _rounded(self.value),
            "rank": _rounded(self.rank),
            "region": None if self.region is None else self.region.as_json(),
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True)
class NotAssessed:
    """What nobody looked at, and what would mend that. extra: the command that does, empty where none does."""

    id: str
    title: str
    reason: str
    extra: str = ""

    def as_json(self) -> dict[str, str]:
        """Return a JSON object."""
        return {"id": self.id, "title": self.title, "reason": self.reason, "extra": self.extra}


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check's verdict on one clip.

    score: in [0, 1], 1 is clean and 0.5 is the threshold; None where nothing could be said.
    value: the measured figure in `unit`, None where nothing could be said.
    threshold: in `unit`; None where none was calibrated, and then nothing passes or fails.
    passed: None where nothing could be said; `reason` then says why. It also puts a failure into plain words.
    series: one figure per frame in `series_unit`, None where a frame has none.
    series_step: frames per figure of the series; above 1 each figure is the worst of so many (long videos).
    worst_frames: indices, worst first; empty when nothing stands out. events: what was seen when and where.
    """

    id: str
    title: str
    unit: str
    threshold: float | None
    score: float | None
    value: float | None
    passed: bool | None
    reason: str = ""
    series: tuple[float | None, ...] = ()
    series_unit: str = ""
    series_step: int = 1
    worst_frames: tuple[int, ...] = ()
    events: tuple[Event, ...] = ()

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
            "events": [event.as_json() for event in self.events],
            "series": [_rounded(item) for item in self.series],
            "series_unit": self.series_unit,
            "series_step": self.series_step,
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """What all checks say about a clip.

    passed: False when one check says no, True when at least one says yes and none says no, None when none could tell.
    It follows the worst check and is never an average.
    profile: which checks were asked for: gate or deep. calibration: the date of the thresholds, ISO 8601.
    not_assessed: what nobody looked at, and why.
    """

    checks: tuple[CheckResult, ...]
    num_frames: int
    frame_rate: Fraction
    width: int
    height: int
    passed: bool | None
    profile: str = "gate"
    calibration: str = ""
    not_assessed: tuple[NotAssessed, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "schema": 2,
            "passed": self.passed,
            "num_frames": self.num_frames,
            "frame_rate": str(self.frame_rate),
            "width": self.width,
            "height": self.height,
            "profile": self.profile,
            "calibration": self.calibration,
            "checks": [check.as_json() for check in self.checks],
            "not_assessed": [item.as_json() for item in self.not_assessed],
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
    return tuple(index for _value, index in sorted(found)[:MAX_WORST_FRAMES])


def _rounded(value: float | None) -> float | None:
    """Return a figure for JSON, which knows no NaN and no infinity."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
