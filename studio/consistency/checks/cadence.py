"""Cadence: frames repeat in a regular pattern, as in animation on twos or film shown at a video's rate."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from studio.consistency.check import Check, inconclusive, verdict_of
from studio.consistency.report import CheckResult, Event
from studio.consistency.timeline import Cadence, Timeline

_MIN_FRAMES = 12


class RepeatedCadence(Check):
    """Reports a regular pattern of repeated frames, once for the whole clip.

    value: how long a picture stands on average, in seconds, where there is such a pattern, and 0 where there is none.
    Threshold .15, by design: animation on twos or threes and film at a video's rate stay below; fewer than seven new
    pictures a second look like a fault to anybody. A pattern is believed when at least 85 % of the repeats come a full
    period after another one, four times or more.
    """

    id: ClassVar[str] = "cadence"
    title: ClassVar[str] = "Repeating cadence"
    unit: ClassVar[str] = "seconds per picture"
    threshold: ClassVar[float] = 0.15

    def finish(self, timeline: Timeline) -> CheckResult:
        if self._num_frames < _MIN_FRAMES:
            return inconclusive(self, f"fewer than {_MIN_FRAMES} frames")
        cadence, rate = timeline.cadence, float(self.clip.frame_rate)
        series = [float(item) for item in timeline.repeats]
        if cadence is None:
            return verdict_of(self, 0.0, series=series, series_unit="1 for a repeat")
        value = 1 / (rate * (1 - cadence.share))
        event = Event(first_frame=0, last_frame=self._num_frames - 1, value=value, reason=_in_words(cadence, rate))
        result = verdict_of(self, value, series=series, series_unit="1 for a repeat", events=[event])
        return replace(result, events=(event,))


def _in_words(cadence: Cadence, rate: float) -> str:
    new = max(1, round(cadence.period * (1 - cadence.share)))
    pictures = f"{new} new picture{'s' if new > 1 else ''} in every {cadence.period} frames"
    return f"frames repeat in a steady pattern: {pictures}, {rate * (1 - cadence.share):.3g} pictures per second"
