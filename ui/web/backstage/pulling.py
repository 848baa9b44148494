"""Downloads of weights that somebody asked for on the page: made beside it, one after the other, told as they go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from studio.errors import Canceled, StudioError
from studio.weights import PullProgress

_log = logging.getLogger("studio.web")


class PullState(StrEnum):
    """How a download stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELED = "canceled"
    FAILED = "failed"


OPEN = (PullState.WAITING, PullState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Pull:
    """One download. error: why it failed."""

    model: str
    state: PullState = PullState.WAITING
    progress: PullProgress | None = None
    error: StudioError | None = None


class Puller(Protocol):
    """Downloads the weights of a model, as `Studio.pull` does."""

    def __call__(
        self, model: str, progress: Callable[[PullProgress], None], is_canceled: Callable[[], bool], /
    ) -> object: ...


class Pulls:
    """The downloads since the server started. A second one waits for the first: they share one line."""

    def __init__(self, pull: Puller) -> None:
        self._pull = pull
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._pulls: dict[str, Pull] = {}
        self._canceled: dict[str, threading.Event] = {}

    def all(self) -> list[Pull]:
        """Return every download, the first that was asked for first."""
        with self._lock:
            return list(self._pulls.values())

    def start(self, model: str) -> Pull:
        """Download a model's weights, unless that is under way. Returns at once."""
        with self._lock:
            known = self._pulls.get(model)
            if known is not None and known.state in OPEN:
                return known
            self._pulls.pop(model, None)
            pull = self._pulls[model] = Pull(model=model)
            canceled = self._canceled[model] = threading.Event()
        threading.Thread(target=self._run, args=(model, canceled), daemon=True, name=f"pull {model}").start()
        return pull

    def cancel(self, model: str) -> None:
        """Stop a download. What came is kept: the next one goes on from there."""
        with self._lock:
            canceled = self._canceled.get(model)
        if canceled is not None:
            canceled.set()

    def close(self) -> None:
        """Stop all downloads; what came of them is kept."""
        with self._lock:
            for canceled in self._canceled.values():
                canceled.set()

    def _run(self, model: str, canceled: threading.Event) -> None:
        with self._turn:
            try:
                if canceled.is_set():
                    raise Canceled
                self._change(model, state=PullState.RUNNING)
                self._pull(model, lambda progress: self._change(model, progress=progress), canceled.is_set)
            except Canceled:
                self._change(model, state=PullState.CANCELED)
            except StudioError as error:
                self._change(model, state=PullState.FAILED, error=error)
            except Exception as error:
                _log.error("unforeseen: %s in a download", type(error).__name__)
                unforeseen = StudioError("the download broke off", got=type(error).__name__, fix="try it again")
                self._change(model, state=PullState.FAILED, error=unforeseen)
            else:
                self._change(model, state=PullState.DONE)

    def _change(self, model: str, **changes: object) -> None:
        with self._lock:
            self._pulls[model] = replace(self._pulls[model], **changes)  # type: ignore[arg-type]
