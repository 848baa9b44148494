"""Connections of the real server: who sends half a request keeps nobody out, who has business here stays."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from studio.app import Studio
from tests.ui.api.conftest import Served, serving, until
from ui.api import connection, server
from ui.api.access import Access
from ui.api.connection import Connection

HALF = b"GET /healthz HTTP/1.1\r\nHost: local"
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
PLACES = 16
SHARE = PLACES // 4


@pytest.fixture
def lines() -> Iterator[ExitStack]:
    """Keeps connections open until a test ends."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def small(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server with few places, where whoever waits for a moment counts."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", PLACES)
    monkeypatch.setattr(connection, "BURST_SECONDS", 0.0)
    with serving(studio, Access()) as running:
        yield running


@pytest.fixture
def hasty(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A server that waits for headers for half a second."""
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.5)
    return served


def connect(served: Served, lines: ExitStack, *sent: bytes, source: str = "127.0.0.1") -> socket.socket:
    if source != "127.0.0.1" and sys.platform != "linux":
        pytest.skip("this system has one loopback address")
    line = socket.create_connection(("127.0.0.1", served.port), timeout=10, source_address=(source, 0))
    lines.enter_context(line)
    for data in sent:
        line.sendall(data)
    return line


def answer(line: socket.socket) -> bytes:
    """Return an answer to a question after the server's health."""
    received = b""
    while not received.endswith(b'{"status":"ok"}'):
        data = line.recv(4096)
        assert data, received
        received += data
    return received


def is_closed(line: socket.socket) -> bool:
    """Say whether the server has closed a connection on which it has nothing to say."""
    line.setblocking(False)
    try:
        return line.recv(4096) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def connections(served: Served) -> list[Connection]:
    return list(served.server.server_state.connections)  # type: ignore[arg-type]


def count(served: Served) -> int:
    return len(connections(served))


@contextmanager
def listening(served: Served, connections: int) -> Iterator[None]:
    """Listen to events on so many connections."""
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=served.url, timeout=10, trust_env=False))
        for _ in range(connections):
            stream = stack.enter_context(client.stream("GET", "/v1/events"))
            assert stream.status_code == 200
        yield


# -- how long it waits for headers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", HALF], ids=["nothing", "half"])
def test_who_does_not_finish_the_headers_is_let_go_without_a_word(hasty: Served, lines: ExitStack, sent: bytes) -> None:
    began = time.monotonic()
    assert connect(hasty, lines, sent).recv(1000) == b""
    assert 0.4 < time.monotonic() - began < 5
    until(lambda: count(hasty) == 0)


def test_headers_that_trickle_in_have_no_longer(hasty: Served, lines: ExitStack) -> None:
    line = connect(hasty, lines, HALF)
    began = time.monotonic()
    while not is_closed(line):
        assert time.monotonic() - began < 5, "it waits for ever"
        with suppress(OSError):
            line.sendall(b"x")
        time.sleep(0.1)


def test_between_requests_nobody_has_to_hurry_and_within_the_next_one_they_do(hasty: Served, lines: ExitStack) -> None:
    line = connect(hasty, lines, WHOLE)
    assert b" 200 " in answer(line)
    time.sleep(1.0)
    line.sendall(WHOLE)
    assert b" 200 " in answer(line)
    line.sendall(HALF)
    began = time.monotonic()
    assert line.recv(1000) == b""
    assert time.monotonic() - began < 5


def test_the_rest_of_what_is_answered_already_is_not_waited_for(hasty: Served, lines: ExitStack) -> None:
    head = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    line = connect(hasty, lines, head)
    assert b" 404 " in line.recv(4096)
    line.sendall(b"x")
    began = time.monotonic()
    while line.recv(4096):
        pass
    assert time.monotonic() - began < 5


def test_an_answer_may_take_as_long_as_it_does(hasty: Served) -> None:
    with httpx.Client(base_url=hasty.url, timeout=10, trust_env=False).stream("GET", "/v1/events") as stream:
        parts = stream.iter_bytes()
        time.sleep(1.0)
        hasty.create(prompt="a square")
        assert any(b"event: job" in part for part in parts)


# -- how many there are -----------------------------------------------------------------------------------------------


def test_one_address_has_a_quarter_of_the_places_for_half_a_request(small: Served, lines: ExitStack) -> None:
    first = [connect(small, lines, HALF) for _ in range(SHARE)]
    until(lambda: count(small) == SHARE)
    connect(small, lines, HALF)
    until(lambda: is_closed(first[0]))  # the one that has waited for longest
    assert not any(is_closed(line) for line in first[1:])
    assert count(small) == SHARE
    first[-1].setblocking(True)
    first[-1].sendall(b"host\r\n\r\n")  # who finishes is answered
    assert b" 200 " in answer(first[-1])
    for _ in range(SHARE):  # who is answered does not count
        assert b" 200 " in answer(connect(small, lines, WHOLE))


def test_who_floods_the_server_from_ones_own_address_does_not_keep_one_out(small: Served, lines: ExitStack) -> None:
    for _ in range(3 * PLACES):
        connect(small, lines, HALF)
    assert b" 200 " in answer(connect(small, lines, WHOLE))
    assert count(small) <= SHARE + 1


def test_a_crowd_that_comes_at_once_through_a_proxy_is_let_in(
    small: Served, lines: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BURST_SECONDS", 5.0)
    crowd = [connect(small, lines, HALF) for _ in range(2 * SHARE)]
    for line in crowd:
        line.sendall(b"host\r\n\r\n")
    assert all(b" 200 " in answer(line) for line in crowd)


def test_connections_that_are_idle_make_room_for_whoever_comes(small: Served, lines: ExitStack) -> None:
    idle = []
    for _ in range(PLACES + 4):
        idle.append(connect(small, lines, WHOLE))
        assert b" 200 " in answer(idle[-1])
    assert count(small) < PLACES
    assert is_closed(idle[0])  # the one that was idle for longest
    assert not is_closed(idle[-1])


def test_half_requests_from_everywhere_keep_nobody_out(small: Served, lines: ExitStack) -> None:
    for number in range(3 * PLACES):
        connect(small, lines, HALF, source=f"127.0.1.{number + 1}")
    assert b" 200 " in answer(connect(small, lines, WHOLE))
    assert count(small) < PLACES


def test_bodies_that_do_not_come_make_room_too(small: Served, lines: ExitStack) -> None:
    head = (
        b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    )
    for number in range(2 * PLACES):
        connect(small, lines, head, source=f"127.0.1.{number + 1}")
    # Those that were let go leave within a moment, in which others may be told that there are too many.
    until(lambda: httpx.get(f"{small.url}/healthz", trust_env=False).status_code == 200)


def test_whoever_is_being_answered_keeps_the_place(small: Served, lines: ExitStack) -> None:
    with listening(small, PLACES - 4):
        for _ in range(PLACES):
            assert b" 200 " in answer(connect(small, lines, WHOLE))
        until(lambda: sum(not each.cycle.response_complete for each in connections(small)) == PLACES - 4)


# -- how it is set up -------------------------------------------------------------------------------------------------


def test_the_studios_servers_speak_through_it(served: Served) -> None:
    assert served.server.config.http_protocol_class is Connection
    assert served.server.config.limit_concurrency == server._places()
    assert served.server.config.backlog == server.BACKLOG


def test_half_of_the_files_that_may_be_open_are_left_to_the_studio(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for files, places in ((256, 128), (1024, 512), (2**20, 512), (resource.RLIM_INFINITY, 512)):
        monkeypatch.setattr(resource, "getrlimit", lambda _kind, files=files: (files, files))
        assert server._places() == places


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("a name", "a name", True),
    ],
)
def test_the_addresses_of_one_network_count_as_one(one: str, other: str, is_same: bool) -> None:
    assert (connection._network(one) == connection._network(other)) is is_same
