"""Inspections of uploaded files: a verification at once, then the checks of a video in the background."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from studio.app import Studio
from studio.checking import CheckingProgress, CheckWish, check_many
from studio.consistency.report import Report
from studio.errors import Canceled, GenerationFailed, RequestError, StudioError
from studio.inspection import Verification
from studio.people.visitor import Visitor
from ui.api.problems import Refusal
from ui.api.services import Services

MAX_AT_ONCE, MAX_OF_ONE, MAX_KEPT = 12, 4, 100
KEPT_SECONDS = 3600.0
MAX_CHECK_SECONDS = 3600.0
GRACE_SECONDS = 3.0
_CHECKS_AT_ONCE = 1

T = TypeVar("T")


@dataclass(eq=False)
class Inspection:
    """One uploaded file. owner: account of who brought it; None for whoever sits at this machine.

    state: verifying, waiting (for its checks), checking, done, canceled, or failed, and then ``error`` says why.
    found: None until it is verified. report: None until it is checked; ``check_error`` says why there will be none.
    done, total: frames that were checked; total is None where the file does not tell. The file itself is gone as soon
    as nothing works on it.
    """

    name: str
    owner: str | None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = "verifying"
    found: Verification | None = None
    report: Report | None = None
    error: StudioError | None = None
    check_error: StudioError | None = None
    done: int = 0
    total: int | None = None
    ended_at: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_open(self) -> bool:
        return self.ended_at is None


class Inspections:
    """Those of one server; all methods are called on its event loop. clock: seconds, never going back."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._studio = services.studio
        self._services = services
        self._clock = clock
        self._kept: dict[str, Inspection] = {}
        self._works: dict[str, asyncio.Task[None]] = {}
        self._checks = asyncio.Semaphore(_CHECKS_AT_ONCE)

    def require_place(self, visitor: Visitor) -> None:
        """Raise a `Refusal` with 503 where too many are open; said before a file is sent in vain."""
        self._sweep()
        opened = [item for item in self._kept.values() if item.is_open]
        if len(opened) >= MAX_AT_ONCE or sum(item.owner == visitor.name for item in opened) >= MAX_OF_ONE:
            raise Refusal(503, "there are too many inspections at once", code="busy", allowed=f"{MAX_OF_ONE} at a time",
                          fix="wait for one to end, or cancel it", retry_after=10)  # fmt: skip

    def begin(self, path: Path, name: str, visitor: Visitor, room: AsyncExitStack) -> Inspection:
        """Inspect a file. room: what it lies in; closed as soon as nobody needs it."""
        inspection = Inspection(name=name, owner=visitor.name)
        self._kept[inspection.id] = inspection
        self._works[inspection.id] = asyncio.create_task(self._work(inspection, path, room))
        return inspection

    def get(self, inspection_id: str, visitor: Visitor) -> Inspection:
        """Return one of the visitor's own. Raises a `Refusal` with 404."""
        self._sweep()
        found = self._kept.get(inspection_id)
        if found is None or (found.owner != visitor.name and not visitor.is_admin):
            raise Refusal(404, "this inspection is not kept any more", field="inspection", got=inspection_id,
                          fix="choose the file again")  # fmt: skip
        return found

    def cancel(self, inspection_id: str, visitor: Visitor) -> Inspection:
        """Stop the checks of a file; what is known of it by then stays."""
        inspection = self.get(inspection_id, visitor)
        inspection.stop.set()
        if inspection.state in ("waiting", "verifying"):
            self._works[inspection.id].cancel()
        return inspection

    async def remove(self, inspection_id: str, visitor: Visitor) -> None:
        """Stop an inspection and forget what it found."""
        inspection = self.get(inspection_id, visitor)
        inspection.stop.set()
        work = self._works.get(inspection.id)
        if work is not None:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
        self._kept.pop(inspection.id, None)

    async def close(self) -> None:
        """Stop all of them, and wait until their files are gone."""
        works = list(self._works.values())
        for inspection in self._kept.values():
            inspection.stop.set()
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    async def _work(self, inspection: Inspection, path: Path, room: AsyncExitStack) -> None:
        try:
            async with room:
                await self._look(inspection, path)
            inspection.state = "canceled" if inspection.stop.is_set() else "done"
        except asyncio.CancelledError:
            inspection.stop.set()
            inspection.state = "canceled"
            raise
        except StudioError as error:
            inspection.state, inspection.error = "failed", error
        except Refusal as refusal:
            inspection.state = "failed"
            inspection.error = RequestError(refusal.message, allowed=refusal.allowed, fix=refusal.fix)
        except Exception as error:
            inspection.state = "failed"
            inspection.error = GenerationFailed(f"an unexpected error ({type(error).__name__})")
        finally:
            inspection.ended_at = self._clock()
            self._works.pop(inspection.id, None)

    async def _look(self, inspection: Inspection, path: Path) -> None:
        async with self._services.inspections.take():
            inspection.found = await _in_a_thread(lambda: self._studio.verify(path))
        if not is_video(inspection.found):
            return
        inspection.state = "waiting"
        async with self._checks:
            inspection.state = "checking"
            try:
                inspection.report = await _in_a_thread(lambda: _checked(path, self._studio, inspection))
            except Canceled:
                return
            except StudioError as error:
                inspection.check_error = error

    def _sweep(self) -> None:
        """Forget what ended too long ago, and the oldest of too many."""
        now = self._clock()
        ended = [item for item in self._kept.values() if item.ended_at is not None]
        ended.sort(key=lambda item: item.ended_at or 0.0)
        surplus = len(self._kept) - MAX_KEPT
        for number, item in enumerate(ended):
            if number < surplus or now - (item.ended_at or now) > KEPT_SECONDS:
                del self._kept[item.id]


def is_video(found: Verification) -> bool:
    """Say whether there are frames whose consistency could be checked."""
    facts = found.media
    if facts is None or facts.frame_rate is None or facts.width is None:
        return False
    return facts.num_frames is None or facts.num_frames > 1


def _checked(path: Path, studio: Studio, inspection: Inspection) -> Report:
    """Check a video in a process of its own: a decoder that crashes takes nothing else with it."""
    deadline = time.monotonic() + MAX_CHECK_SECONDS

    def watch(progress: CheckingProgress) -> None:
        inspection.done, inspection.total = progress.done, progress.total
        if inspection.stop.is_set():
            raise Canceled("the check was stopped")
        if time.monotonic() > deadline:
            raise GenerationFailed("checking this file takes too long", allowed=f"{MAX_CHECK_SECONDS / 60:g} minutes",
                                   fix="check a shorter part of it")  # fmt: skip

    with closing(check_many([path], studio.settings, CheckWish(), jobs=1, watch=watch)) as results:
        checked = next(results)
    if checked.report is None:
        raise checked.error or GenerationFailed("nothing came of the check")
    return checked.report


async def _in_a_thread(work: Callable[[], T]) -> T:
    """Run something long. A server that stops waits a moment for it, and not, as for a thread of a pool, to its end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            tell(partial(future.set_exception, error))
        else:
            tell(partial(future.set_result, result))

    def tell(settle: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=run, name="inspection", daemon=True).start()
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(lambda done: done.exception())  # heard, so that nobody complains of it
        await asyncio.wait({future}, timeout=GRACE_SECONDS)
        raise
