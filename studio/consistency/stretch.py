"""The last few seconds of an endless stream, judged again and again as they move on."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from studio.consistency.check import Check, ClipContext
from studio.consistency.facts import FrameFacts
from studio.consistency.observer import analysis_step
from studio.consistency.panel import CheckPanel
from studio.consistency.report import CheckResult, Event
from studio.consistency.timeline import LOOKAHEAD

# In analysed frames: three windows are judged together, and each frame three times. What lies within a margin of the
# ends is left to the judgement before or after, which sees both sides of it.
_LENGTH, _HOP, _MARGIN = 120, 40, LOOKAHEAD
_SAME_FAULT_FRAMES = 4
_NAMED_TIME = re.compile(r"\d s\b", re.ASCII)
_NAMED_FRAMES = re.compile(r"\bframes? \d+(?: to \d+)?(?:(?:, | and )\d+(?: to \d+)?)*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An event in a stream. first_number, last_number: frames as they came. time_seconds: of the first of them."""

    check_id: str
    title: str
    unit: str
    threshold: float | None
    first_number: int
    last_number: int
    time_seconds: float
    event: Event

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        told = self.event.as_json()
        return {
            "event": "fault",
            "check": self.check_id,
            "title": self.title,
            "first_frame": self.first_number,
            "last_frame": self.last_number,
            "time_seconds": round(self.time_seconds, 3),
            "value": told["value"],
            "unit": self.unit,
            "threshold": self.threshold,
            "rank": told["rank"],
            "region": told["region"],
            "reason": told["reason"],
        }


class Stretch:
    """Judges a stream of facts in stretches of about five seconds that overlap, each in the same way as a clip."""

    def __init__(self, frame_rate: Fraction, checks: Sequence[type[Check]]) -> None:
        self._clip = ClipContext(frame_rate=frame_rate)
        self._checks = checks
        step = analysis_step(frame_rate)
        self._length, self._hop, self._margin = _LENGTH * step, _HOP * step, _MARGIN * step
        self._numbers: deque[int] = deque()
        self._facts: deque[FrameFacts] = deque()
        self._is_at_start = True
        self._unjudged = 0
        self._told_until: dict[str, int] = {}
        self.failing: list[str] = []

    def expect(self, number: int) -> None:
        """Say which frame of the stream the next facts will be of; they may come later."""
        self._numbers.append(number)

    def add(self, facts: FrameFacts) -> Iterator[Fault]:
        """Take the next frame's facts; yields what is certain by now."""
        self._facts.append(facts)
        self._unjudged += 1
        if len(self._facts) > self._length:
            self._facts.popleft()
            self._numbers.popleft()
            self._is_at_start = False
        if self._unjudged >= self._hop and len(self._facts) >= self._hop + self._margin:
            self._unjudged = 0
            yield from self._judge(is_end=False)

    def finish(self) -> Iterator[Fault]:
        """Judge what is left at the end of the stream, or before a gap in it."""
        if self._facts:
            yield from self._judge(is_end=True)

    def _judge(self, *, is_end: bool) -> Iterator[Fault]:
        panel = CheckPanel(self._clip, self._checks)
        panel.take(replace(facts, index=index) for index, facts in enumerate(self._facts))
        results = [result for result in panel.finish().checks if result.passed is False]
        self.failing = [result.id for result in results]
        earliest = 0 if self._is_at_start else self._margin
        latest = len(self._facts) - (0 if is_end else self._margin)
        for result in results:
            for event in sorted(_events_of(result, len(self._facts)), key=lambda item: item.first_frame):
                if earliest <= event.first_frame < latest:
                    yield from self._told(result, event)

    def _told(self, result: CheckResult, event: Event) -> Iterator[Fault]:
        """Yield an event unless it is one that was told before, or goes on from one."""
        first, last = self._numbers[event.first_frame], self._numbers[event.last_frame]
        until = self._told_until.get(result.id)
        self._told_until[result.id] = max(last, -1 if until is None else until)
        if until is not None and first <= until + _SAME_FAULT_FRAMES:
            return
        reason = _NAMED_FRAMES.sub(lambda words: self._renumbered(words.group()), event.reason)
        if _NAMED_TIME.search(reason):  # by the clock of the stretch, which nobody else has
            reason = f"{result.title.lower()} in frames {first} to {last}"
        yield Fault(
            check_id=result.id,
            title=result.title,
            unit=result.unit,
            threshold=result.threshold,
            first_number=first,
            last_number=last,
            time_seconds=self._facts[event.first_frame].time_seconds,
            event=replace(event, reason=reason),
        )

    def _renumbered(self, words: str) -> str:
        """Turn frames of the stretch into frames of the stream."""
        last = len(self._facts) - 1
        return re.sub(r"\d+", lambda number: str(self._numbers[min(int(number.group()), last)]), words)


def _events_of(result: CheckResult, num_frames: int) -> tuple[Event, ...]:
    """Return a failed check's events; one over the whole stretch where it names none."""
    if result.events or result.value is None:
        return tuple(event for event in result.events if event.last_frame < num_frames)
    return (Event(first_frame=0, last_frame=num_frames - 1, value=result.value, reason=result.reason),)
