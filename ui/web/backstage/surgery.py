"""The doctor on the page: an examination takes seconds, so it is made beside the page, and the last one is kept."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from studio.doctor import DoctorCheck

_log = logging.getLogger("studio.web")


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The last examination. checks: None before the first has ended. seconds: that it took.

    began_at, ended_at: of the one that runs, and of the one whose checks these are. has_failed: the last one broke.
    """

    is_running: bool = False
    began_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    checks: tuple[DoctorCheck, ...] | None = None
    has_failed: bool = False


class Surgery:
    """Examines this machine, one examination at a time. examine: takes seconds."""

    def __init__(self, examine: Callable[[], Sequence[DoctorCheck]]) -> None:
        self._examine = examine
        self._lock = threading.Lock()
        self._last = Examination()

    @property
    def last(self) -> Examination:
        return self._last

    def begin(self) -> Examination:
        """Begin an examination, unless one runs. Returns at once."""
        with self._lock:
            if not self._last.is_running:
                self._last = replace(self._last, is_running=True, began_at=datetime.now(UTC))
                threading.Thread(target=self._run, daemon=True, name="doctor").start()
            return self._last

    def _run(self) -> None:
        started = time.monotonic()
        checks: tuple[DoctorCheck, ...] | None = None
        try:
            checks = tuple(self._examine())
        except Exception as error:  # nobody waits for this thread who could be told
            _log.error("unforeseen: %s in the doctor", type(error).__name__)
        with self._lock:
            seconds = round(time.monotonic() - started, 1)
            if checks is None:
                self._last = replace(self._last, is_running=False, has_failed=True)
            else:
                self._last = Examination(checks=checks, seconds=seconds, ended_at=datetime.now(UTC))
