"""The one interface of all checks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import repeat
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from studio.consistency.calibration import rank_of
from studio.consistency.facts import FrameFacts
from studio.consistency.frame import AnalysisFrame
from studio.consistency.report import MAX_EVENTS, CheckResult, Event, Region, score_of, worst_indices
from studio.consistency.spans import groups, runs
from studio.consistency.timeline import PLAIN_CONTRAST, Timeline
from studio.consistency.window import Window
from studio.media import Image

Direction = Literal["higher_is_worse", "lower_is_worse"]
BLANK_CONTRAST = PLAIN_CONTRAST
_LONGEST_SERIES = 2000
_SAME_EVENT_FRAMES = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipContext:
    """What is known of a clip before its first frame.

    frame_rate: frames per second. input_image: (H, W, 3) uint8 RGB, the picture an image-to-video clip was made from,
    fitted to the clip's size; None where there is none. prompt: what was asked for, None where unknown.
    """

    frame_rate: Fraction
    input_image: Image | None = None
    prompt: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SoundBlock:
    """A piece of a clip's sound. samples: (N, C) float32 in [-1, 1]. start_seconds: on the video's clock."""

    samples: NDArray[np.float32]
    sample_rate: int
    start_seconds: float


class Check(ABC):
    """Looks at one clip as it passes by, keeping little of it, and gives a verdict at the end.

    id: as in reports. title: for people. unit: of value and threshold.
    threshold: the value at which the score is 0.5; values on the worse side of it fail.
    A check overrides the hooks that it needs, and `finish`.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str]
    direction: ClassVar[Direction] = "higher_is_worse"
    threshold: ClassVar[float]

    def __init__(self, clip: ClipContext) -> None:
        self.clip = clip
        self._num_frames = 0

    def look(self, frame: AnalysisFrame) -> None:
        """Look at the next picture. For plug-ins and learned checks; the built-in ones use the facts."""

    def update(self, facts: FrameFacts) -> None:
        """Take the next frame's facts, in order, once the next analysed frame has been shown."""
        self._num_frames = facts.index + 1

    def judge(self, window: Window) -> None:
        """Judge a stretch of analysed frames; the next one begins in the middle of this."""

    def hear(self, sound: SoundBlock) -> None:
        """Hear the next piece of sound, in order."""

    @abstractmethod
    def finish(self, timeline: Timeline) -> CheckResult:
        """Return the verdict; called once, after the last frame."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What a window shows.

    value: the window's figure in the check's unit. series: (n,) one figure per frame of the window, NaN for none; a
    frame belongs to an event when the window fails and its figure reaches `frame_threshold`.
    regions: (n,) where to look, None for the whole frame; empty where all are.
    """

    value: float
    series: NDArray[np.float64]
    frame_threshold: float
    regions: Sequence[Region | None] = ()


@dataclass
class _Frames:
    """What windows said about frames so far: the worst figure of each, NaN for none, 8 bytes a frame."""

    figures: array[float] = field(default_factory=lambda: array("d"))
    flagged: dict[int, tuple[float, Region | None]] = field(default_factory=dict)

    def add(self, index: int, figure: float) -> None:
        missing = index + 1 - len(self.figures)
        if missing > 0:
            self.figures.extend(repeat(math.nan, missing))
        if not self.figures[index] >= figure:
            self.figures[index] = figure

    def series(self, num_frames: int) -> list[float | None]:
        known = [None if math.isnan(figure) else figure for figure in self.figures[:num_frames]]
        return [*known, *repeat(None, num_frames - len(known))]


class WindowCheck(Check):
    """A check that judges each window for itself; the worst one counts."""

    series_unit: ClassVar[str] = ""

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._worst: float | None = None
        self._frames = _Frames()
        self._step = 1
        self._why_not = "the clip is too short"

    @abstractmethod
    def measure(self, window: Window) -> Measured | str:
        """Return what a window shows, or the reason why nothing can be said."""

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        """Return one line in plain words about frames `first` to `last`."""
        return f"{self.title.lower()} in frames {first} to {last}"

    def judge(self, window: Window) -> None:
        self._step = window.step
        measured = self.measure(window)
        if isinstance(measured, str):
            self._why_not = measured
            return
        self._worst = measured.value if self._worst is None else max(self._worst, measured.value)
        fails = measured.value >= self.threshold
        highest = float(np.max(measured.series[~np.isnan(measured.series)], initial=-np.inf))
        for position, index in enumerate(window.indices):
            figure = float(measured.series[position])
            if np.isnan(figure):
                continue
            key = int(index)
            self._frames.add(key, figure)
            if fails and figure >= measured.frame_threshold:
                region = measured.regions[position] if measured.regions else None
                known = self._frames.flagged.get(key)
                value = max(measured.value if figure >= highest else 0.0, self.threshold)
                if known is None or known[0] < value:
                    self._frames.flagged[key] = (value, region)

    def finish(self, timeline: Timeline) -> CheckResult:
        if self._worst is None:
            return inconclusive(self, self._why_not)
        series = self._frames.series(self._num_frames)
        events = self._events()
        figures = [None if index not in self._frames.flagged else series[index] for index in range(self._num_frames)]
        return verdict_of(self, self._worst, series=series, series_unit=self.series_unit or self.unit, events=events,
                          worst_frames=worst_indices(figures, -np.inf))  # fmt: skip

    def _events(self) -> list[Event]:
        """Join flagged frames that lie within a few analysed frames of each other."""
        events = []
        flagged = self._frames.flagged
        for first, last in groups(sorted(flagged), _SAME_EVENT_FRAMES * self._step):
            within = (flagged[index] for index in range(first, last + 1) if index in flagged)
            value, region = max(within, key=lambda item: item[0])
            reason = self.describe(value, first, last, region)
            events.append(Event(first_frame=first, last_frame=last, value=value, region=region, reason=reason,
                                rank=rank_of(self.id, value)))  # fmt: skip
        return sorted(events, key=lambda event: -event.value)


def spread(places: NDArray[np.int64], figures: NDArray[np.floating], num_frames: int) -> list[float | None]:
    """Return a figure for each frame of the clip, None for those that are not in `places`, which holds indices."""
    series: list[float | None] = [None] * num_frames
    for place, figure in zip(places, figures, strict=True):
        series[int(place)] = float(figure)
    return series


def verdict_of(
    check: Check | type[Check],
    value: float,
    *,
    series: Sequence[float | None],
    series_unit: str,
    events: Sequence[Event] = (),
    worst_frames: Sequence[int] = (),
    reason: str = "",
) -> CheckResult:
    """Judge a value where higher is worse. reason: kept only if the check fails; that of the worst event by default.

    events: worst first; the first 50 are kept.
    """
    passed = value < check.threshold
    short, step = shortened(series)
    return CheckResult(
        id=check.id,
        title=check.title,
        unit=check.unit,
        threshold=check.threshold,
        score=score_of(value, check.threshold),
        value=value,
        passed=passed,
        reason="" if passed else reason or (events[0].reason if events else ""),
        series=short,
        series_unit=series_unit,
        series_step=step,
        worst_frames=() if passed else tuple(worst_frames),
        events=() if passed else tuple(events[:MAX_EVENTS]),
    )


def result(
    check: Check | type[Check],
    value: float,
    *,
    series: Sequence[float | None],
    series_unit: str,
    frame_threshold: float,
    reason: str = "",
) -> CheckResult:
    """Judge a value where higher is worse. frame_threshold: from where a frame belongs to an event.

    reason: what the events are, in plain words; kept only if the check fails.
    """
    worst = worst_indices(series, frame_threshold)
    events = [
        Event(first_frame=first, last_frame=last, value=max(series[index] or 0.0 for index in range(first, last + 1)),
              reason=reason, rank=rank_of(check.id, value))
        for first, last in runs([item is not None and item >= frame_threshold for item in series])
    ]  # fmt: skip
    return verdict_of(check, value, series=series, series_unit=series_unit, worst_frames=worst, reason=reason,
                      events=sorted(events, key=lambda event: -event.value))  # fmt: skip


def inconclusive(check: Check | type[Check], reason: str) -> CheckResult:
    """Say that nothing can be said, and why."""
    return CheckResult(
        id=check.id,
        title=check.title,
        unit=check.unit,
        threshold=check.threshold,
        score=None,
        value=None,
        passed=None,
        reason=reason,
    )


def shortened(
    series: Sequence[float | None], worst: Callable[..., float | None] = max
) -> tuple[tuple[float | None, ...], int]:
    """Return a series of at most 2,000 figures, and how many frames each stands for with the worst of them.

    worst: `max` or `min`.
    """
    step = -(-len(series) // _LONGEST_SERIES) if series else 1
    if step <= 1:
        return tuple(series), 1
    parts = (series[start : start + step] for start in range(0, len(series), step))
    return tuple(worst((item for item in part if item is not None), default=None) for part in parts), step
