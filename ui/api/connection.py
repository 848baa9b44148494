"""One connection: it is let go when its client takes too long over a request, and makes room when others need it."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address, ip_address

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
# Programs send their headers as soon as they are connected. Behind a proxy all come from one address, at times many at
# once: those that have just come are not held against it.
BURST_SECONDS = 1.0
# Of the server's places: how many of one address may wait for their headers, and from how many on room is made. Above
# that are those who come faster than others go.
_SHARE, _CROWDED = 0.25, 0.75


class Connection(H11Protocol):
    """What a client and the server say to each other.

    The headers of a request are there `HEADER_SECONDS` after the connection was made, or after the first byte that
    follows an answer; before that byte, the server's time to keep a connection alive counts. Where many connections of
    one address wait for their headers, the one that waits longest goes for a new one. When places run short, that goes
    whose client has done nothing for longest although it was its turn; none goes that the server works for.
    """

    _deadline: asyncio.TimerHandle | None = None
    _moved = 0.0  # when the client's turn came, or it last did something; in seconds of the loop's clock
    _waits_since = 0.0
    _network = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place; another connection may have to give its own back."""
        super().connection_made(transport)
        self._network = _network(self.client[0]) if self.client else ""
        self._moved = self.loop.time()
        self._expect_headers()
        if self.limit_concurrency is None:
            return
        waiting = self._waiting_like_this()
        if len(waiting) >= self.limit_concurrency * _SHARE:
            # Not the new one: somebody else who has the same address may have come with a whole request.
            min(waiting, key=lambda other: other._waits_since)._drop()
        elif len(self.connections) >= self.limit_concurrency * _CROWDED:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        self._moved = self.loop.time()
        super().data_received(data)
        if self._is_at_work:
            self._forget_deadline()
        else:  # half a request, or the rest of one that is answered already
            self._expect_headers()

    def on_response_complete(self) -> None:
        """It is the client's turn again."""
        self._moved = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read what it asked for, or cannot as fast."""
        self._moved = self.loop.time()
        super().pause_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._forget_deadline()
        super().connection_lost(exc)

    @property
    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_clients_turn(self) -> bool:
        is_sending = self.cycle is not None and self.cycle.more_body and not self.flow.read_paused
        return not self._is_at_work or is_sending or self.flow.write_paused

    def _expect_headers(self) -> None:
        if self._deadline is None:  # what trickles in does not put it off
            self._waits_since = self.loop.time()
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _waiting_like_this(self) -> list[Connection]:
        before = self.loop.time() - BURST_SECONDS
        waiting = (other for other in self._others() if other._deadline is not None and other._waits_since <= before)
        return [other for other in waiting if other._network == self._network]

    def _make_room(self) -> None:
        silent = [other for other in self._others() if other._is_clients_turn]
        if silent:
            min(silent, key=lambda other: other._moved)._drop()

    def _others(self) -> list[Connection]:
        return [other for other in self.connections if isinstance(other, Connection) and other is not self]

    def _drop(self) -> None:
        """Go without a word, whatever is still to be sent: the place is free at once."""
        self.connections.discard(self)
        self.transport.abort()


def _network(host: str) -> str:
    """Return an address, as it is counted: of IPv6 the network, whose addresses are all one client's."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    is_own = isinstance(address, IPv6Address) and address.ipv4_mapped is None
    return str(int(address) >> 64) if is_own else host
