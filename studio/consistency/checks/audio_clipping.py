"""Clipped sound: waves that were too loud and had their tops cut off."""

from __future__ import annotations

from array import array
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.check import ClipContext, SoundBlock, verdict_of
from studio.consistency.checks.audio import SoundCheck
from studio.consistency.report import MAX_EVENTS, MAX_WORST_FRAMES, CheckResult, Event

_FULL_SCALE = 0.98
_MOST_SECONDS = 200_000


class AudioClipping(SoundCheck):
    """Counts samples that stay flat at full scale.

    value: the largest share of clipped samples, 0 to 1, in any second. A sample is clipped when it and the two before
    it are equal, at 98 % of full scale or more: a wave that only touches its peak moves on. What was clipped first and
    made softer afterwards is not seen.
    Threshold .01, set by hand: speech recorded 6 dB too loud has several times as much, and the clean clips at hand
    have none.
    """

    id: ClassVar[str] = "audio_clipping"
    title: ClassVar[str] = "Clipped sound"
    unit: ClassVar[str] = "share of samples"
    threshold: ClassVar[float] = 0.01

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._clipped = array("q")
        self._heard = array("q")
        self._before: NDArray[np.float32] | None = None

    def listen(self, sound: SoundBlock) -> None:
        """Count clipped and all samples of each second; what lies before the first frame is left out."""
        samples = sound.samples
        before = self._before
        if before is None or before.shape[1] != samples.shape[1]:
            before = np.zeros((2, samples.shape[1]), np.float32)
        wave = np.concatenate([before, samples])
        self._before = wave[-2:]
        flat = (wave[2:] == wave[1:-1]) & (wave[1:-1] == wave[:-2]) & (np.abs(wave[2:]) >= _FULL_SCALE)
        seconds = np.floor(sound.start_seconds + np.arange(len(samples)) / sound.sample_rate)
        for second in np.unique(seconds[(seconds >= 0) & (seconds < _MOST_SECONDS)]).astype(int):
            here = seconds == second
            self._count(int(second), int(flat[here].sum()), int(here.sum()) * samples.shape[1])

    def conclude(self) -> CheckResult:
        clipped, heard = np.array(self._clipped, float), np.array(self._heard, float)
        shares = clipped / np.maximum(heard, 1)
        value = float(shares.max()) if len(shares) else 0.0
        last_second = len(shares) - 1
        series = [
            float(shares[min(int(self.time_of(frame)), last_second)]) if len(shares) else None
            for frame in range(self.num_frames)
        ]
        events = sorted(self._events(shares), key=lambda event: -event.value)[:MAX_EVENTS]
        worst = [frame for event in events for frame in range(event.first_frame, event.last_frame + 1)]
        return verdict_of(self, value, series=series, series_unit=self.unit, events=events,
                          worst_frames=worst[:MAX_WORST_FRAMES])  # fmt: skip

    def _count(self, second: int, clipped: int, heard: int) -> None:
        missing = second + 1 - len(self._heard)
        if missing > 0:
            self._clipped.frombytes(bytes(missing * self._clipped.itemsize))
            self._heard.frombytes(bytes(missing * self._heard.itemsize))
        self._clipped[second] += clipped
        self._heard[second] += heard

    def _events(self, shares: NDArray[np.float64]) -> list[Event]:
        return [
            Event(
                first_frame=self.frame_at(float(second)),
                last_frame=max(self.frame_at(float(second)), self.frame_at(second + 0.999)),
                value=float(shares[second]),
                reason=f"{100 * shares[second]:.1f} % of the sound in second {second} to {second + 1} is clipped",
            )
            for second in np.flatnonzero(shares >= self.threshold)
        ]
