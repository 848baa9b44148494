"""Server-sent events: what happens to jobs, told to any number of listeners from one look at the database."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from typing import Any

from studio.errors import StudioError
from studio.jobs.desk import JobDesk
from studio.jobs.overview import JobOverview, JobSign
from studio.jobs.states import FINAL, JobState
from ui.api.problems import Refusal

POLL_SECONDS = 0.4
HEARTBEAT_SECONDS = 15.0
MAX_LISTENERS = 200

_HEARTBEAT = b": still here\n\n"
_log = logging.getLogger(__name__)


class Listener:
    """One client that listens. job_ids: the jobs it wants to hear of; None for all, and for the queue itself.

    A client that reads slowly is told the latest of each job, not everything in between.
    """

    def __init__(self, job_ids: frozenset[str] | None) -> None:
        self.job_ids = job_ids
        self._pending: dict[tuple[str, str], dict[str, Any]] = {}
        self._wake = asyncio.Event()
        self._is_over = False

    def tell(self, kind: str, name: str, data: dict[str, Any]) -> None:
        """Leave an event for the client. name: of the job, or empty."""
        if self.job_ids is None or name in self.job_ids:
            self._pending.pop((kind, name), None)
            self._pending[kind, name] = data
            self._wake.set()

    def has_news_of(self, name: str) -> bool:
        """Say whether something of this job waits to be told."""
        return any(waiting == name for _kind, waiting in self._pending)

    def end(self) -> None:
        """Let the client's answer come to its end."""
        self._is_over = True
        self._wake.set()

    async def next(self, patience: float) -> list[tuple[str, dict[str, Any]]] | None:
        """Return what happened, nothing if nothing did for `patience` seconds, None when it is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), patience)
        self._wake.clear()
        pending, self._pending = self._pending, {}
        if not pending and self._is_over:
            return None
        return [(kind, data) for (kind, _name), data in pending.items()]


class EventHub:
    """Looks at the queue while anybody listens, and tells each what changed."""

    def __init__(self, overview: JobOverview, desk: JobDesk, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._overview = overview
        self._desk = desk
        self._poll_seconds = poll_seconds
        self.heartbeat_seconds = HEARTBEAT_SECONDS
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._signs: dict[str, JobSign] = {}
        self._queue: dict[str, Any] | None = None
        self._series = secrets.token_hex(4)
        self._number = 0
        self._is_closed = False
        self._beginning = asyncio.Lock()

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def close(self) -> None:
        """End every listener's answer; called when the server stops."""
        self._is_closed = True
        for listener in self._listeners:
            listener.end()

    async def stream(self, job_ids: Collection[str] = ()) -> AsyncIterator[bytes]:
        """Yield events as bytes. job_ids: ends when all of them have; empty for everything, without an end."""
        listener = Listener(frozenset(job_ids) or None)
        self._listeners.add(listener)
        try:
            if self._is_closed:
                return
            yield b"retry: 3000\n\n"
            await self._begin(listener)
            waited_for = set(job_ids)
            while (events := await listener.next(self.heartbeat_seconds)) is not None:
                for kind, data in events:
                    yield self._line(kind, data)
                    if kind == "removed" or data.get("state") in FINAL:
                        waited_for.discard(str(data.get("id")))
                if not events:
                    yield _HEARTBEAT
                if job_ids and not waited_for:
                    return
        finally:
            self._listeners.discard(listener)

    def require_room(self) -> None:
        """Raise a `Refusal` with 503 if too many listen already."""
        if len(self._listeners) >= MAX_LISTENERS or self._is_closed:
            raise Refusal(503, "too many listen already", code="busy", allowed=f"{MAX_LISTENERS}", retry_after=10)

    async def _begin(self, listener: Listener) -> None:
        """Tell a new listener how things stand."""
        async with self._beginning:
            if self._task is None or self._task.done():
                self._signs, self._queue = {}, None
                await self._look()
                self._task = asyncio.create_task(self._run(), name="events")
        if listener.job_ids is None:
            listener.tell("queue", "", await asyncio.to_thread(self._look_at_queue))
            return
        signs = await asyncio.to_thread(self._overview.signs, listener.job_ids)
        for job_id in listener.job_ids:
            if not listener.has_news_of(job_id):  # what was told meanwhile is younger
                _tell(listener, job_id, signs.get(job_id))

    async def _run(self) -> None:
        while self._listeners and not self._is_closed:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self._look()
            except StudioError as error:
                _log.warning("events: %s", error.message)
            except Exception as error:
                _log.error("events: %s", type(error).__name__)

    async def _look(self) -> None:
        is_first = self._queue is None
        wanted = {job_id for listener in self._listeners for job_id in listener.job_ids or ()}
        unfinished = {sign.id for sign in self._signs.values() if sign.state not in FINAL}
        signs = await asyncio.to_thread(self._overview.signs, wanted | unfinished)
        queue = await asyncio.to_thread(self._look_at_queue)
        before, self._signs = self._signs, signs
        was, self._queue = self._queue, queue
        if is_first:
            return
        gone = (unfinished | wanted & set(before)) - set(signs)
        changed = [sign for job_id, sign in signs.items() if before.get(job_id) != sign]
        for listener in self._listeners:
            for job_id in gone:
                _tell(listener, job_id, None)
            for sign in changed:
                _tell(listener, sign.id, sign)
            if queue != was:
                listener.tell("queue", "", queue)

    def _look_at_queue(self) -> dict[str, Any]:
        counts = {state.value: number for state, number in self._desk.counts().items()}
        return {"is_paused": self._desk.is_queue_paused(), "counts": counts}

    def _line(self, kind: str, data: dict[str, Any]) -> bytes:
        self._number += 1
        text = json.dumps(data, allow_nan=False)
        return f"id: {self._series}-{self._number}\nevent: {kind}\ndata: {text}\n\n".encode()


def _tell(listener: Listener, job_id: str, sign: JobSign | None) -> None:
    if sign is None:
        listener.tell("removed", job_id, {"id": job_id})
    else:
        asset = job_id if sign.state == JobState.SUCCEEDED else None
        listener.tell("job", job_id, sign.as_json() | {"asset_id": asset})
