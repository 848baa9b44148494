"""Silence where there should be sound: a track that holds nothing, or one that drops out."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.check import ClipContext, SoundBlock, verdict_of
from studio.consistency.checks.audio import SoundCheck
from studio.consistency.report import MAX_WORST_FRAMES, CheckResult, Event
from studio.consistency.spans import runs

_SLOT_SECONDS = 0.01
# Peaks: -60 dB, below which nobody hears anything beside other sound, and -35 dB, which is soft speech.
_SILENT, _PRESENT = 10 ** (-60 / 20), 10 ** (-35 / 20)
_LONGEST_DROPOUT_SECONDS = 2.0
_FLOOR_DB = -120.0
_MOST_SLOTS = 10_000_000


class AudioSilence(SoundCheck):
    """Finds a track below -60 dB from beginning to end, and sound that breaks off and comes back at once.

    value: seconds of the longest silence at fault, 0 where there is none. A pause is no fault: sound dies away before
    it. In a dropout sound is there within a hundredth of a second on both sides of silence, for up to two seconds.
    Threshold .02 s, the shortest dropout that is looked for, set by hand; of 14 real and generated clips with sound
    it flags the six whose tracks are digitally silent.
    """

    id: ClassVar[str] = "audio_silence"
    title: ClassVar[str] = "Silent or broken sound"
    unit: ClassVar[str] = "s"
    threshold: ClassVar[float] = 0.02

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._peaks = array("f")

    def listen(self, sound: SoundBlock) -> None:
        """Keep the peak of each hundredth of a second; what lies before the first frame is left out."""
        loudness = np.abs(sound.samples).max(axis=1)
        edges = sound.start_seconds + np.arange(len(loudness)) / sound.sample_rate
        slots = np.minimum(np.floor(edges / _SLOT_SECONDS + 1e-6), _MOST_SLOTS - 1).astype(np.int64)
        loudness, slots = loudness[slots >= 0], slots[slots >= 0]
        if not len(slots):
            return
        missing = int(slots[-1]) + 1 - len(self._peaks)
        if missing > 0:
            self._peaks.frombytes(bytes(missing * self._peaks.itemsize))
        peaks = np.frombuffer(self._peaks, np.float32)
        np.maximum.at(peaks, slots, loudness)

    def conclude(self) -> CheckResult:
        peaks = np.frombuffer(self._peaks, np.float32)
        events = sorted(self._faults(peaks), key=lambda event: -event.value)
        worst = [frame for event in events for frame in range(event.first_frame, event.last_frame + 1)]
        value = max((event.value for event in events), default=0.0)
        return verdict_of(self, value, series=self._levels(peaks), series_unit="dB", events=events,
                          worst_frames=worst[:MAX_WORST_FRAMES])  # fmt: skip

    def _faults(self, peaks: NDArray[np.float32]) -> Iterator[Event]:
        if not len(peaks) or peaks.max() < _SILENT:
            kind = "digital silence" if not len(peaks) or not peaks.any() else "below -60 dB"
            yield self._event(0.0, max(len(peaks) * _SLOT_SECONDS, self.threshold), f"the whole track is {kind}")
            return
        for first, last in runs(peaks < _SILENT):
            is_cut = first > 0 and last + 1 < len(peaks) and min(peaks[first - 1], peaks[last + 1]) > _PRESENT
            seconds = (last - first + 1) * _SLOT_SECONDS
            if is_cut and self.threshold <= seconds + 1e-9 and seconds <= _LONGEST_DROPOUT_SECONDS:
                start = first * _SLOT_SECONDS
                yield self._event(start, seconds, f"the sound breaks off for {seconds:.2f} s at {start:.2f} s")

    def _event(self, start: float, seconds: float, reason: str) -> Event:
        last = max(self.frame_at(start), self.frame_at(start + seconds - _SLOT_SECONDS))
        return Event(first_frame=self.frame_at(start), last_frame=last, value=round(seconds, 4), reason=reason)

    def _levels(self, peaks: NDArray[np.float32]) -> list[float | None]:
        """Return each frame's loudest hundredth of a second, in dB of full scale."""
        levels: list[float | None] = []
        for frame in range(self.num_frames):
            first = int(self.time_of(frame) / _SLOT_SECONDS)
            part = peaks[first : max(first + 1, int(self.time_of(frame + 1) / _SLOT_SECONDS))]
            peak = float(part.max()) if len(part) else 0.0
            levels.append(max(_FLOOR_DB, 20 * float(np.log10(peak))) if peak > 0 else _FLOOR_DB)
        return levels
