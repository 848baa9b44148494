"""Fades: the picture comes out of black or white or goes there; reported, and no fault."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from studio.consistency.check import Check, inconclusive, verdict_of
from studio.consistency.report import MAX_EVENTS, CheckResult, Event
from studio.consistency.timeline import Timeline
from studio.consistency.transitions import Fade

_MIN_FRAMES = 5


class Fades(Check):
    """Reports fades, in which the other checks judge nothing.

    value: the share of the clip's frames that are part of one. Threshold 2, by design out of reach: a fade is an
    editor's choice. A fade is an even ramp of a fifth of a second or more to or from all but plain black or white
    (`transitions.find_fades`).
    """

    id: ClassVar[str] = "fades"
    title: ClassVar[str] = "Fades"
    unit: ClassVar[str] = "share of frames"
    threshold: ClassVar[float] = 2.0

    def finish(self, timeline: Timeline) -> CheckResult:
        if self._num_frames < _MIN_FRAMES:
            return inconclusive(self, f"fewer than {_MIN_FRAMES} frames")
        fades = timeline.fades
        series = [0.0] * self._num_frames
        for fade in fades:
            series[fade.first : fade.last + 1] = [1.0] * fade.num_frames
        share = sum(series) / self._num_frames
        result = verdict_of(self, share, series=series, series_unit="1 inside a fade")
        events = tuple(
            Event(first_frame=fade.first, last_frame=fade.last, value=fade.num_frames / self._num_frames,
                  reason=_in_words(fade))
            for fade in fades[:MAX_EVENTS]
        )  # fmt: skip
        return replace(result, events=events)


def _in_words(fade: Fade) -> str:
    way = "comes out of" if fade.is_in else "goes to"
    return f"the picture {way} {fade.target} in frames {fade.first} to {fade.last}"
