"""Sound and picture of different length, or with different beginnings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from studio.consistency.check import ClipContext, SoundBlock, verdict_of
from studio.consistency.checks.audio import SoundCheck
from studio.consistency.report import CheckResult, Event


class AudioLength(SoundCheck):
    """Compares when sound and picture begin and end.

    value: the larger of the two differences in seconds. This finds sound that drifts away only by how much too long or
    too short it is in the end; whether lips and words agree in between is not looked at.
    Threshold .1 s, set by hand: of 14 real and generated clips none differs by more than .06, which is the padding of
    sound codecs.
    """

    id: ClassVar[str] = "audio_length"
    title: ClassVar[str] = "Sound as long as the picture"
    unit: ClassVar[str] = "s"
    threshold: ClassVar[float] = 0.1

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._start: float | None = None
        self._end = 0.0

    def listen(self, sound: SoundBlock) -> None:
        """Note where the sound begins and ends."""
        self._start = sound.start_seconds if self._start is None else min(self._start, sound.start_seconds)
        self._end = max(self._end, sound.start_seconds + len(sound.samples) / sound.sample_rate)

    def conclude(self) -> CheckResult:
        events = sorted(self._differences(), key=lambda event: -event.value)
        value = max(event.value for event in events)
        faults = [event for event in events if event.value >= self.threshold]
        reason = "; ".join(event.reason for event in faults)
        worst = [event.first_frame for event in faults]
        return verdict_of(self, value, series=[value] * self.num_frames, series_unit=self.unit, events=faults,
                          worst_frames=worst, reason=reason)  # fmt: skip

    def _differences(self) -> Iterator[Event]:
        """Yield both differences as events, whatever their size."""
        last = max(self.num_frames - 1, 0)
        start = self._start or 0.0
        side = "after" if start > 0 else "before"
        yield Event(first_frame=0, last_frame=self.frame_at(max(start, 0.0)), value=abs(start),
                    reason=f"the sound begins {abs(start):.2f} s {side} the picture")  # fmt: skip
        earliest, latest = self.shown_between()
        difference = self._end - min(max(self._end, earliest), latest)
        side = "after" if difference > 0 else "before"
        yield Event(first_frame=min(self.frame_at(self._end), last), last_frame=last, value=abs(difference),
                    reason=f"the sound ends {abs(difference):.2f} s {side} the picture")  # fmt: skip
