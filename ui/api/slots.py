"""So many at a time: others wait a while, and are then sent away with a time to come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ui.api.problems import Refusal

WAIT_SECONDS = 60.0
RETRY_AFTER_SECONDS = 10


class Slots:
    """Places for something. what: in the plural. limit: how many at a time. waiting: how many may wait for a place."""

    def __init__(self, what: str, limit: int, *, waiting: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._what = what
        self._limit = limit
        self._waiting = waiting
        self._wait_seconds = wait_seconds
        self._places = asyncio.Semaphore(limit)
        self._inside = 0  # with those who wait

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold a place for as long as the context lasts. Raises a `Refusal` with 503 when there is none in time."""
        if self._inside >= self._limit + self._waiting:
            raise self._busy()
        self._inside += 1
        try:
            await self._acquire()
            try:
                yield
            finally:
                self._places.release()
        finally:
            self._inside -= 1

    async def _acquire(self) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._places.acquire()
        except TimeoutError:
            raise self._busy() from None

    def _busy(self) -> Refusal:
        return Refusal(
            503,
            f"there are too many {self._what} at once",
            code="busy",
            allowed=f"{self._limit} at a time",
            fix="ask again in a while",
            retry_after=RETRY_AFTER_SECONDS,
        )
