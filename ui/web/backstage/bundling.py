"""ZIP files on their way to a browser: what was chosen is kept for a while under a ticket, and streamed in pieces."""

from __future__ import annotations

import asyncio
import queue
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from studio.errors import Canceled, GenerationFailed
from studio.library.asset import Asset
from studio.library.bundle import Bundles, Sink
from ui.api.problems import Refusal
from ui.api.slots import Slots

KEPT_SECONDS = 600.0
MAX_TICKETS = 200
MAX_AT_ONCE, MAX_WAITING = 3, 6
_PIECES_AHEAD = 8
# Whoever takes nothing for so long has gone.
_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class _Order:
    ids: tuple[str, ...]
    visitor: str | None
    until: float


class Tickets:
    """What visitors have chosen to download, each for ten minutes and for that visitor alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._orders: OrderedDict[str, _Order] = OrderedDict()
        self._guard = threading.Lock()
        self.slots = Slots("ZIP files", MAX_AT_ONCE, waiting=MAX_WAITING)

    def give(self, ids: Sequence[str], visitor: str | None) -> str:
        """Keep what was chosen. Returns a ticket that nobody can guess."""
        ticket = secrets.token_urlsafe(16)
        with self._guard:
            self._orders[ticket] = _Order(tuple(ids), visitor, self._clock() + KEPT_SECONDS)
            while len(self._orders) > MAX_TICKETS:
                self._orders.popitem(last=False)
        return ticket

    def take(self, ticket: str, visitor: str | None) -> tuple[str, ...]:
        """Return what was chosen. Raises a `Refusal` with 404."""
        with self._guard:
            order = self._orders.get(ticket)
        if order is None or order.visitor != visitor or order.until < self._clock():
            raise Refusal(404, "this download is over", fix="choose the clips again")
        return order.ids


def pieces(bundles: Bundles, assets: Sequence[Asset], patience: float = _PATIENCE_SECONDS) -> Iterator[bytes]:
    """Yield the ZIP, while a thread makes it a few pieces ahead. Raises what the making does.

    patience: seconds after which whoever takes nothing has gone; what is asked for later ends in `GenerationFailed`.
    """
    line = _Line(patience)
    thread = threading.Thread(target=line.fill, args=(bundles, assets), daemon=True)
    thread.start()
    try:
        yield from line
    finally:
        line.gone.set()


class _Line:
    """A pipe of bounded length from the thread that writes to the one that sends."""

    def __init__(self, patience: float) -> None:
        self.gone = threading.Event()
        self._patience = patience
        self._over = threading.Event()
        self._pieces: queue.Queue[bytes | Exception | None] = queue.Queue(_PIECES_AHEAD)

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._next()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def _next(self) -> bytes | Exception | None:
        """Return the next piece, None at the end. Raises `GenerationFailed` where the maker gave up before its end."""
        while True:
            is_over = self._over.is_set()  # asked first: what is put before it is over is still found
            try:
                return self._pieces.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if is_over:
                    raise GenerationFailed("the download was too slow", fix="start it again") from None

    def fill(self, bundles: Bundles, assets: Sequence[Asset]) -> None:
        """Write the ZIP, and then its end, or why there is none. When it gives up, nothing more is put."""
        try:
            with suppress(Canceled):
                self._put(self._made(bundles, assets))
        finally:
            self._over.set()

    def _made(self, bundles: Bundles, assets: Sequence[Asset]) -> Exception | None:
        sink: Sink = self
        try:
            bundles.write(assets, sink, is_canceled=self.gone.is_set)
        except Canceled:
            raise
        except Exception as error:
            return error
        return None

    def write(self, data: bytes, /) -> int:
        """Take some bytes; wait while nobody takes those before. Raises `Canceled` when nobody will."""
        self._put(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def _put(self, piece: bytes | Exception | None) -> None:
        deadline = time.monotonic() + self._patience
        while not self.gone.is_set() and time.monotonic() < deadline:
            try:
                self._pieces.put(piece, timeout=min(_LOOK_SECONDS, self._patience))
            except queue.Full:
                continue
            return
        raise Canceled


class Download(StreamingResponse):
    """A ZIP file that is made while it is sent. It takes a place before it begins, so that it can still be refused."""

    def __init__(
        self,
        bundles: Bundles,
        assets: Sequence[Asset],
        slots: Slots,
        headers: Mapping[str, str],
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        super().__init__(pieces(bundles, assets, patience), media_type="application/zip", headers=headers)
        self._slots = slots
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a client that goes away, or takes nothing for too long, ends it.

        Raises a `Refusal` with 503 where there is no place.
        """

        async def send_patiently(message: Message) -> None:
            async with asyncio.timeout(self._patience):
                await send(message)

        async with self._slots.take():
            await super().__call__(scope, receive, send_patiently)
