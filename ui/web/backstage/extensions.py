"""Clips that are made longer from the page: each in a thread of its own, as somebody who waits for it would."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from studio.app import Studio
from studio.errors import Canceled, GenerationFailed, RequestError, StudioError
from studio.extending.wish import ExtendWish
from studio.jobs.job import Progress
from studio.people.visitor import Visitor
from ui.web.words import say

AT_A_TIME, MAX_KEPT = 2, 20


@dataclass
class ExtensionRun:
    """One clip on its way. state: running, succeeded, failed or canceled. notes: told before the work started."""

    id: str
    clip: str
    model: str
    owner: str | None
    started_at: datetime
    state: str = "running"
    progress: Progress = field(default_factory=lambda: Progress(stage="waiting"))
    notes: list[str] = field(default_factory=list)
    asset_id: str | None = None
    error: dict[str, Any] | None = None
    is_stopped: bool = False


class Extensions:
    """Those of this process. What is finished of one lasts; the rest is asked for again after a restart."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._runs: dict[str, ExtensionRun] = {}
        self._lock = threading.Lock()

    def start(self, wish: ExtendWish, visitor: Visitor, model: str) -> ExtensionRun:
        """Begin one, and return at once. Its jobs are the visitor's. Raises `RequestError` where two are under way."""
        wish = replace(wish, owner=visitor.name)
        wish.require_sense()
        run = ExtensionRun(id=uuid.uuid4().hex, clip=wish.clip, model=model, owner=visitor.name,
                           started_at=datetime.now(UTC))  # fmt: skip
        with self._lock:
            if sum(item.state == "running" for item in self._runs.values()) >= AT_A_TIME:
                raise RequestError(say("create.extension.busy").rstrip("."), field="clip", got=wish.clip)
            self._runs[run.id] = run
            for old in [item for item in self._runs.values() if item.state != "running"][:-MAX_KEPT]:
                del self._runs[old.id]
        threading.Thread(target=self._work, args=(run, wish), daemon=True, name="extension").start()
        return run

    def runs(self) -> list[ExtensionRun]:
        """Return all that are known, the latest first."""
        with self._lock:
            return list(reversed(self._runs.values()))

    def run(self, run_id: str) -> ExtensionRun:
        """Return one. Raises `RequestError`."""
        with self._lock:
            run = self._runs.get(run_id)
        if run is None:
            raise RequestError("no clip is being made longer under this id", field="id", got=run_id[:40])
        return run

    def stop(self, run_id: str) -> None:
        """Let one come to an end at its next step, or forget one that has ended."""
        run = self.run(run_id)
        run.is_stopped = True
        if run.state != "running":
            with self._lock:
                self._runs.pop(run_id, None)

    def _work(self, run: ExtensionRun, wish: ExtendWish) -> None:
        def observe(progress: Progress) -> None:
            run.progress = progress

        try:
            outcome, _ = self._studio.extend(
                wish, observe=observe, warn=run.notes.append, is_canceled=lambda: run.is_stopped
            )
            run.asset_id, run.state = outcome.asset.id, "succeeded"
        except Canceled:
            run.state = "canceled"
        except StudioError as error:
            run.error, run.state = error.as_json(), "failed"
        except Exception as error:  # whatever it is, somebody waits to hear of it
            told = GenerationFailed(f"something unforeseen went wrong ({type(error).__name__})")
            run.error, run.state = told.as_json(), "failed"
