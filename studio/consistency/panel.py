"""All checks at work on one clip that passes by."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import numpy as np

from studio.consistency.calibration import calibrated_on
from studio.consistency.check import Check, ClipContext, SoundBlock, inconclusive
from studio.consistency.facts import FrameFacts
from studio.consistency.frame import AnalysisFrame
from studio.consistency.observer import Observer, analysis_step
from studio.consistency.report import CheckResult, Report, verdict
from studio.consistency.timeline import LOOKAHEAD, Timeline
from studio.consistency.window import WINDOW_FRAMES, WINDOW_STRIDE, Window
from studio.media import Image

logger = logging.getLogger(__name__)


class CheckPanel:
    """Shows every frame once to all checks and gathers their verdicts.

    A check that breaks says nothing about the clip: it is reported as inconclusive and does not stop the others.
    """

    def __init__(self, clip: ClipContext, checks: Sequence[type[Check]]) -> None:
        self._clip = clip
        self._seats = [_Seat(check, clip) for check in checks]
        self._observer = Observer(clip.frame_rate)
        self._reel = _Reel(clip.frame_rate)
        self._num_frames = 0
        self._size = (0, 0)

    def update(self, image: Image, time_seconds: float | None = None) -> None:
        """Show the next frame, (H, W, 3) uint8 RGB, of one size. time_seconds: by the rate unless given."""
        seconds = float(self._num_frames / self._clip.frame_rate) if time_seconds is None else time_seconds
        frame = AnalysisFrame(index=self._num_frames, time_seconds=seconds, image=image)
        self._num_frames += 1
        self._size = (image.shape[0], image.shape[1])
        if not self._seats:
            return
        self._each(lambda check: check.look(frame))
        self.take(self._observer.update(frame))

    def take(self, facts: Iterable[FrameFacts]) -> None:
        """Go on with frames that were observed before: what `update` does with a picture's facts."""
        for item in facts:
            self._num_frames = max(self._num_frames, item.index + 1)
            self._each(lambda check, item=item: check.update(item))  # type: ignore[misc]
            for window in self._reel.add(item):
                self._each(lambda check, window=window: check.judge(window))  # type: ignore[misc]

    def hear(self, sound: SoundBlock) -> None:
        """Let the checks hear the next piece of sound."""
        self._each(lambda check: check.hear(sound))

    def finish(self) -> Report:
        """Return the verdicts; called once, after the last frame. Raises ValueError when there was none."""
        if self._num_frames == 0:
            raise ValueError("frames: expected at least one")
        self.take(self._observer.finish())
        for window in self._reel.finish():
            self._each(lambda check, window=window: check.judge(window))  # type: ignore[misc]
        results = tuple(seat.finish(self._reel.timeline) for seat in self._seats)
        height, width = self._size
        return Report(checks=results, num_frames=self._num_frames, frame_rate=self._clip.frame_rate, width=width,
                      height=height, passed=verdict(results), calibration=calibrated_on())  # fmt: skip

    def _each(self, act: Callable[[Check], None]) -> None:
        for seat in self._seats:
            seat.let(act)


class _Reel:
    """Cuts the analysed frames into windows, each once all that explains its frames away is known."""

    def __init__(self, frame_rate: Fraction) -> None:
        self.timeline = Timeline(frame_rate)
        self._step = analysis_step(frame_rate)
        self._rate = float(frame_rate) / self._step
        self._frames: deque[FrameFacts] = deque()

    def add(self, facts: FrameFacts) -> Iterable[Window]:
        """Take the next frame; returns the window that is complete now, if one is."""
        self.timeline.update(facts)
        if not facts.is_analysed:
            return ()
        self._frames.append(facts)
        if len(self._frames) < WINDOW_FRAMES + LOOKAHEAD:
            return ()
        window = self._window(0)
        for _ in range(WINDOW_STRIDE):
            self._frames.popleft()
        return (window,)

    def finish(self) -> Iterable[Window]:
        """Return the windows that are left; the last ends with the clip."""
        starts = list(range(0, max(1, len(self._frames) - WINDOW_FRAMES), WINDOW_STRIDE))
        last = max(0, len(self._frames) - WINDOW_FRAMES)
        return [self._window(start) for start in sorted({*starts, last})] if self._frames else []

    def _window(self, start: int) -> Window:
        frames = [self._frames[place] for place in range(start, min(start + WINDOW_FRAMES, len(self._frames)))]
        indices = np.array([frame.index for frame in frames])
        return Window(frames, self.timeline.fading(indices), self.timeline.broken(indices), self._step, self._rate)


class _Seat:
    """A check on the panel; it loses its say when it breaks."""

    def __init__(self, kind: type[Check], clip: ClipContext) -> None:
        self._kind = kind
        self._check: Check | None = None
        self._fault = ""
        try:
            self._check = kind(clip)
        except Exception as error:  # whatever goes wrong in a check, the clip is not to blame
            self._leave(error)

    def let(self, act: Callable[[Check], None]) -> None:
        if self._check is None:
            return
        try:
            act(self._check)
        except Exception as error:  # as above
            self._leave(error)

    def finish(self, timeline: Timeline) -> CheckResult:
        if self._check is not None:
            try:
                found = self._check.finish(timeline)
                if found.value is None or math.isfinite(found.value):
                    return found
                raise ValueError("its figure is not finite")
            except Exception as error:  # as above
                self._leave(error)
        return inconclusive(self._kind, f"the check itself failed ({self._fault})")

    def _leave(self, error: Exception) -> None:
        self._check = None
        self._fault = f"{type(error).__name__}: {error}"
        logger.warning("the check %r failed", self._kind.id, exc_info=error)
