"""What the checks of sound share: a clip may have none by design, and sound has times where pictures have numbers."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_right

from studio.consistency.check import Check, ClipContext, SoundBlock, inconclusive
from studio.consistency.facts import FrameFacts
from studio.consistency.report import CheckResult
from studio.consistency.timeline import Timeline


class SoundCheck(Check):
    """A check that listens. A clip without sound is not at fault: nothing is said of it."""

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._times = array("d")
        self._has_sound = False

    def update(self, facts: FrameFacts) -> None:
        self._times.append(facts.time_seconds)

    def hear(self, sound: SoundBlock) -> None:
        if len(sound.samples):
            self._has_sound = True
            self.listen(sound)

    def finish(self, timeline: Timeline) -> CheckResult:
        if not self._has_sound:
            return inconclusive(self, "the clip has no sound")
        return self.conclude()

    @abstractmethod
    def listen(self, sound: SoundBlock) -> None:
        """Hear the next piece of sound; it has at least one sample."""

    @abstractmethod
    def conclude(self) -> CheckResult:
        """Return the verdict on a clip that has sound."""

    @property
    def num_frames(self) -> int:
        """How many frames the clip has; known at the end."""
        return len(self._times)

    def frame_at(self, seconds: float) -> int:
        """Return the index of the frame that is shown at a time; of the nearest outside the clip."""
        return max(0, bisect_right(self._times, seconds + 1e-6) - 1)

    def time_of(self, frame: int) -> float:
        """Return when a frame is shown, in seconds; one behind the last follows at the clip's rate."""
        if frame < len(self._times):
            return self._times[frame]
        return (self._times[-1] if self._times else 0.0) + float(1 / self.clip.frame_rate)

    def shown_between(self) -> tuple[float, float]:
        """Return the earliest and the latest second at which the picture may end.

        Frames have a time at which they appear and none at which they go; where they come unevenly, the last may be
        meant to stay as long as any other.
        """
        step = float(1 / self.clip.frame_rate)
        if not self._times:
            return 0.0, step
        longest = max((after - before for before, after in zip(self._times, self._times[1:], strict=False)), default=0)
        return self._times[-1] + min(step, longest or step), self._times[-1] + max(step, longest)
