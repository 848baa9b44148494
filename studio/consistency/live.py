"""The checks on a stream as it arrives: frames that cannot be looked at in time are dropped on purpose, and counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from queue import Empty, Full, Queue
from typing import Any

import numpy as np

from studio.consistency.check import Check
from studio.consistency.frame import AnalysisFrame
from studio.consistency.observer import Observer
from studio.consistency.stretch import Fault, Stretch
from studio.errors import StudioError, UnreadableMedia
from studio.media import Image, LiveFrame, LiveStream

Emit = Callable[[dict[str, Any]], None]

HEARTBEAT_SECONDS = 5.0
_QUEUE_FRAMES = 12
_WIDEST_STRIDE = 30
# As many frames are looked at as take this share of the time; after so long without one too many, more of them again.
_BUSY_SHARE, _CALM_SECONDS = 0.8, 60.0
_COST_MEMORY = 0.05
_PAUSE_SECONDS = 1.0
_LOOK_AROUND_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """A frame on its way to the checks. number: of the stream, counted from 0. stride: numbers to the next one."""

    number: int
    stride: int
    time_seconds: float
    image: Image


class Intake:
    """Reads a stream in a thread of its own and keeps at most a dozen frames waiting.

    stride: every n-th frame is taken; the others are left out on purpose before they are converted. What comes while
    the queue is full is dropped as well, and `has_overflowed` says so until it is asked.
    num_seen: frames that came. num_dropped: those that nobody will look at.
    """

    def __init__(self, stream: LiveStream) -> None:
        self._frames = stream.frames
        self._queue: Queue[Arrived | None] = Queue(_QUEUE_FRAMES)
        self._stop = threading.Event()
        self._overflowed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="live intake", daemon=True)
        self.stride = 1
        self.num_seen = 0
        self.num_dropped = 0
        self.error: BaseException | None = None
        self._thread.start()

    def next(self, timeout: float) -> Arrived | None:
        """Return the next frame, None when none came in time. Raises `EOFError` when the stream has ended."""
        try:
            arrived = self._queue.get(timeout=timeout)
        except Empty:
            return None
        if arrived is None:
            raise EOFError
        return arrived

    def has_overflowed(self) -> bool:
        """Say whether frames had to be dropped since the last time this was asked."""
        was_set = self._overflowed.is_set()
        self._overflowed.clear()
        return was_set

    def close(self) -> None:
        """Stop reading; a source that is silent is not waited for."""
        self._stop.set()
        self._thread.join(_LOOK_AROUND_SECONDS)

    def _read(self) -> None:
        try:
            for frame in self._frames:
                if self._stop.is_set():
                    return
                self._take(frame)
        except BaseException as error:  # whatever it was, it belongs to the thread that waits for frames
            self.error = error
        self._put_end()

    def _put_end(self) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(None, timeout=_LOOK_AROUND_SECONDS)
                return
            except Full:
                continue

    def _take(self, frame: LiveFrame) -> None:
        number, stride, self.num_seen = self.num_seen, self.stride, self.num_seen + 1
        image = None if number % stride or self._queue.full() else frame.image()
        if image is not None:
            self._queue.put(Arrived(number=number, stride=stride, time_seconds=frame.time_seconds, image=image))
            return
        self.num_dropped += 1
        if number % stride == 0:
            self._overflowed.set()


class _Pace:
    """Finds out how many frames of a stream can be looked at in time."""

    def __init__(self, frame_rate: Fraction) -> None:
        self._rate = float(frame_rate)
        self._cost: float | None = None
        self._calm_since = time.monotonic()

    def note(self, seconds: float) -> None:
        """Take note of how long a frame took."""
        self._cost = seconds if self._cost is None else self._cost + _COST_MEMORY * (seconds - self._cost)

    def stride(self, intake: Intake) -> int:
        """Return how many frames to go on at a time from now on."""
        now, cost, stride = time.monotonic(), self._cost or 0.0, intake.stride
        fitting = max(1, ceil(cost * self._rate / _BUSY_SHARE))
        if intake.has_overflowed():
            self._calm_since = now
            return min(max(stride + 1, fitting), _WIDEST_STRIDE)
        if stride > fitting and now - self._calm_since > _CALM_SECONDS:
            self._calm_since = now
            return stride - 1
        return stride


class LiveWatch:
    """Checks a stream until it ends, and tells of faults about two seconds after they were seen.

    checks: kinds of checks that work on facts; those that need the pictures themselves, or sound, are left out.
    emit: is given JSON objects with an ``event``: start, fault, alive each few seconds, and end.
    Frames are numbered as they came, those that were dropped included. Memory does not grow, however long it runs.
    """

    def __init__(self, stream: LiveStream, checks: Sequence[type[Check]], emit: Emit) -> None:
        self._stream = stream
        self._checks = [check for check in checks if check.look is Check.look and check.hear is Check.hear]
        self._emit = emit
        self._num_checked = 0
        self._faults: dict[str, int] = {}

    def run(self, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> dict[str, Any]:
        """Watch until the stream ends; returns the last object that was told.

        Raises what reading the stream raised, after the summary. Ended from outside, by `KeyboardInterrupt` say, it
        tells the summary of what was seen so far.
        """
        _warm_up()
        started = time.monotonic()
        summary: dict[str, Any] = {}
        with closing(Intake(self._stream)) as intake:
            try:
                self._emit(self._start())
                self._follow(intake, heartbeat_seconds)
            finally:
                summary = self._summary(intake, time.monotonic() - started)
                self._emit(summary)
            if intake.error is not None and (isinstance(intake.error, StudioError) or not intake.num_seen):
                raise intake.error
            if not intake.num_seen:
                raise UnreadableMedia("the stream ended without a picture", field="live", got=self._stream.name,
                                      fix="in a pipe, an MP4 must have its index first")  # fmt: skip
        return summary

    def _start(self) -> dict[str, Any]:
        checks = [check.id for check in self._checks]
        rate = str(self._stream.frame_rate)
        return {"event": "start", "source": self._stream.name, "frame_rate": rate, "checks": checks}

    def _follow(self, intake: Intake, heartbeat_seconds: float) -> None:
        session: _Session | None = None
        pace, heart = _Pace(self._stream.frame_rate), _Heart(intake, heartbeat_seconds)
        with suppress(EOFError):
            while True:
                arrived = intake.next(_LOOK_AROUND_SECONDS)
                self._tell_heart(heart, session)
                if arrived is None:
                    continue
                if session is None or session.is_torn(arrived):
                    self._tell(() if session is None else session.finish())
                    session = _Session(self._stream, self._checks, arrived.stride)
                before = time.monotonic()
                self._tell(session.look(arrived))
                pace.note(time.monotonic() - before)
                intake.stride = pace.stride(intake)
                self._num_checked += 1
        self._tell(() if session is None else session.finish())

    def _tell(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self._faults[fault.check_id] = self._faults.get(fault.check_id, 0) + 1
            self._emit(fault.as_json())

    def _tell_heart(self, heart: _Heart, session: _Session | None) -> None:
        said = heart.beat(self._num_checked)
        if said is not None:
            self._emit(said | {"failing": [] if session is None else session.failing})

    def _summary(self, intake: Intake, seconds: float) -> dict[str, Any]:
        broken = None if intake.error is None else f"the stream broke off ({type(intake.error).__name__})"
        return {
            "event": "end",
            "passed": not self._faults if self._num_checked else None,
            "seconds": round(seconds, 3),
            "frames_seen": intake.num_seen,
            "frames_checked": self._num_checked,
            "frames_dropped": intake.num_dropped,
            "faults": dict(self._faults),
            "reason": broken,
        }


class _Session:
    """A stretch of stream without a gap, looked at with one stride."""

    def __init__(self, stream: LiveStream, checks: Sequence[type[Check]], stride: int) -> None:
        rate = stream.frame_rate / stride
        self._rate = float(rate)
        self._stride = stride
        self._observer = Observer(rate)
        self._stretch = Stretch(rate, checks)
        self._count = 0
        self._last: Arrived | None = None

    @property
    def failing(self) -> list[str]:
        """The checks that said no to the last few seconds."""
        return self._stretch.failing

    def is_torn(self, arrived: Arrived) -> bool:
        """Say whether a frame cannot be compared with the one before: another size, or something is missing between."""
        last = self._last
        if last is None:
            return False
        if arrived.stride != self._stride or arrived.number != last.number + self._stride:
            return True
        pause = max(_PAUSE_SECONDS, 10 / self._rate)
        return last.image.shape != arrived.image.shape or arrived.time_seconds - last.time_seconds > pause

    def look(self, arrived: Arrived) -> Iterator[Fault]:
        """Look at the next frame; yields the faults that are certain by now."""
        frame = AnalysisFrame(index=self._count, time_seconds=arrived.time_seconds, image=arrived.image)
        self._stretch.expect(arrived.number)
        self._count += 1
        self._last = arrived
        for facts in self._observer.update(frame):
            yield from self._stretch.add(facts)

    def finish(self) -> Iterator[Fault]:
        """Yield the faults in what is left."""
        for facts in self._observer.finish():
            yield from self._stretch.add(facts)
        yield from self._stretch.finish()


class _Heart:
    """Says now and then that the watch goes on, and how fast."""

    def __init__(self, intake: Intake, seconds: float) -> None:
        self._intake = intake
        self._seconds = seconds
        self._last = time.monotonic()
        self._seen = 0
        self._checked = 0

    def beat(self, num_checked: int) -> dict[str, Any] | None:
        now = time.monotonic()
        past = now - self._last
        if past < self._seconds:
            return None
        seen, checked = self._intake.num_seen - self._seen, num_checked - self._checked
        self._last, self._seen, self._checked = now, self._intake.num_seen, num_checked
        return {
            "event": "alive",
            "frames_seen": self._seen,
            "frames_checked": num_checked,
            "frames_dropped": self._intake.num_dropped,
            "frames_per_second": round(seen / past, 2),
            "checked_per_second": round(checked / past, 2),
            "every_nth_frame": self._intake.stride,
        }


def _warm_up() -> None:
    """Load what looking at frames needs, before any of them has to wait for it."""
    observer = Observer(Fraction(25))
    for index in range(3):
        image = np.full((64, 64, 3), index, np.uint8)
        list(observer.update(AnalysisFrame(index=index, time_seconds=index / 25, image=image)))
