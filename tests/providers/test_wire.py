"""An order is sent once, a question again and again, and the key goes to one origin alone."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest

import providers.wire as wire_module
from providers.wire import MAX_TRIES, Answer, Call, Part, Wire, briefly, origin_of, patient
from studio.errors import Canceled, ProtocolError, SubmitUnknown, Unreachable

KEY = "key-canary-123456"
Script = Callable[[socket.socket, int], None]


class Line:
    """A server that counts connections and does with each what a script says."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._server = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.times: list[float] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection, suppress(OSError):
                    self.requests.append(_request(connection))
                    self.times.append(time.monotonic())
                    self._script(connection, len(self.requests))


def _request(connection: socket.socket) -> bytes:
    content = b""
    while b"\r\n\r\n" not in content:
        block = connection.recv(65536)
        if not block:
            return content
        content += block
    head, _, body = content.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    wanted = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < wanted:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(status: int, body: bytes = b"{}", *headers: str) -> Script:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return lambda connection, _number: connection.sendall("\r\n".join(lines).encode() + body)


def reset(connection: socket.socket, _number: int) -> None:
    """Break the line so that the other side sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@contextmanager
def line(script: Script, poll_seconds: float = 0.01) -> Iterator[tuple[Line, Wire]]:
    server = Line(script)
    wire = Wire(
        name="Acme",
        base_url=server.url,
        authorize=lambda: {"authorization": f"Bearer {KEY}"},
        poll_seconds=poll_seconds,
    )
    try:
        yield server, wire
    finally:
        wire.close()
        server.close()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(reset, id="reset"),
        pytest.param(lambda _connection, _number: None, id="closed"),
        pytest.param(lambda c, _n: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), id="half an answer"),
        pytest.param(answer(500), id="500"),
        pytest.param(answer(502, b"<html>"), id="502"),
        pytest.param(answer(408), id="408"),
        pytest.param(answer(307, b"", "Location: /elsewhere"), id="redirect"),
    ],
)
def test_an_order_without_a_clear_answer_is_sent_once_and_called_unknown(script: Script) -> None:
    with line(script) as (server, wire):
        with pytest.raises(SubmitUnknown, match="may be paid for") as caught:
            wire.order(Call(method="POST", path="/jobs", json={"prompt": "a"}))
        time.sleep(0.1)
        assert len(server.requests) == 1
    assert caught.value.details["charged"] == "unknown"
    assert KEY not in caught.value.sentence() + str(caught.value.details)


def test_an_order_never_takes_a_connection_that_the_other_side_may_just_be_closing() -> None:
    def once(connection: socket.socket, _number: int) -> None:
        """Answer as if the connection stayed open for more, and close it at the next request."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        connection.settimeout(0.5)
        with suppress(TimeoutError):
            connection.recv(65536)

    with line(once) as (server, wire):
        wire.ask(Call(method="GET", path="/jobs/1"), time.sleep)
        assert wire.order(Call(method="POST", path="/jobs", json={})).status == 200
        assert [request.split(b" ")[0] for request in server.requests] == [b"GET", b"POST"]


def drip(beginning: bytes, connection: socket.socket, _number: int) -> None:
    """Send a beginning, and then a byte now and then."""
    connection.sendall(beginning)
    for _ in range(500):
        connection.sendall(b"x")
        time.sleep(0.02)


SLOW_BODY = partial(drip, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
SLOW_HEADERS = partial(drip, b"HTTP/1.1 200 OK\r\nX-Header: ")


@pytest.mark.parametrize("script", [SLOW_BODY, SLOW_HEADERS], ids=["body", "headers"])
def test_an_answer_that_comes_drop_by_drop_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    monkeypatch.setattr(wire_module, "ORDER_SECONDS", 0.1)
    started = time.monotonic()
    with line(script) as (_, wire), pytest.raises(SubmitUnknown, match="no whole answer"):
        wire.order(Call(method="POST", path="/jobs", json={}))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("script", [SLOW_BODY, SLOW_HEADERS], ids=["body", "headers"])
def test_whoever_cancels_is_heard_in_the_middle_of_an_answer(script: Script) -> None:
    def pause(_seconds: float) -> None:
        if time.monotonic() - started > 0.3:
            raise Canceled

    started = time.monotonic()
    with line(script) as (server, wire):
        with pytest.raises(Canceled):
            wire.ask(Call(method="GET", path="/jobs/1"), pause)
        assert len(server.requests) == 1
    assert time.monotonic() - started < 5


def test_an_order_that_cannot_be_sent_is_known_not_to_be_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    wire = Wire(name="Acme", base_url=f"http://127.0.0.1:{port}", authorize=dict, poll_seconds=1)
    with pytest.raises(Unreachable, match="nothing was ordered"):
        wire.order(Call(method="POST", path="/jobs", json={}))
    wire.close()


def test_a_question_is_asked_again_until_it_is_answered() -> None:
    def script(connection: socket.socket, number: int) -> None:
        [reset, answer(503), answer(429, b"{}", "Retry-After: 0"), answer(200, b'{"a": 1}')][number - 1](
            connection, number
        )

    with line(script) as (server, wire):
        assert wire.ask(Call(method="GET", path="jobs/1"), time.sleep).data == {"a": 1}
        assert len(server.requests) == 4


def test_a_question_is_not_asked_for_ever_and_never_faster_than_the_provider_wants() -> None:
    waits: list[float] = []
    with line(answer(500), poll_seconds=0.02) as (server, wire):
        with pytest.raises(Unreachable, match="does not answer"):
            wire.ask(Call(method="GET", path="/jobs/1"), waits.append, is_poll=True)
        assert len(server.requests) == MAX_TRIES
    assert min(waits) >= 0.02
    assert waits == sorted(waits) or max(waits) <= 75  # longer and longer, within the jitter
    assert waits[-1] > 16 * waits[0] / 1.25


def test_the_wait_that_a_provider_asks_for_is_kept() -> None:
    waits: list[float] = []
    with line(answer(429, b"{}", "Retry-After: 7")) as (_, wire):
        assert wire.ask(Call(method="GET", path="/jobs/1"), waits.append).status == 429
    assert set(waits) == {7.0}


@pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), ("99999", 600.0), ("-5", None), ("soon", None), ("", None)])
def test_a_wait_is_understood_or_left_alone(text: str, seconds: float | None) -> None:
    assert Answer(status=429, headers={"retry-after": text}, body=b"").retry_after_seconds == seconds


def test_a_wait_until_a_moment_of_the_past_is_none() -> None:
    past = Answer(status=429, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, body=b"")
    assert past.retry_after_seconds == 0.0


def test_giving_up_ends_the_waiting_at_once() -> None:
    class Enough(Exception):
        pass

    def look() -> None:
        raise Enough

    with line(answer(500)) as (server, wire):
        with pytest.raises(Enough):
            wire.ask(Call(method="GET", path="/jobs/1"), lambda seconds: patient(seconds, look))
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "path", ["http://other.example/jobs", "https://127.0.0.1/jobs", "http://127.0.0.1:1/jobs", "http://[x"]
)
def test_the_key_goes_to_no_other_origin(path: str) -> None:
    with line(answer(200)) as (server, wire):
        with pytest.raises(ProtocolError, match="not its own"):
            wire.ask(Call(method="GET", path=path), time.sleep)
        assert server.requests == []


def test_a_question_that_nobody_wants_to_wait_for_is_given_up_soon() -> None:
    with line(answer(429, b"{}", "Retry-After: 600")) as (server, wire):
        with pytest.raises(Unreachable, match="in time"):
            wire.ask(Call(method="DELETE", path="/jobs/1"), briefly(0.1))
        assert len(server.requests) == 1


def test_a_form_goes_in_parts_also_without_a_file() -> None:
    with line(answer(200)) as (server, wire):
        wire.order(Call(method="POST", path="/videos", form={"prompt": "a fox"}))
        wire.order(
            Call(
                method="POST",
                path="/videos",
                form={},
                files={"image": Part(name="a.png", content=b"PNG", mime_type="image/png")},
            )
        )
    assert b'name="prompt"\r\n\r\na fox' in server.requests[0]
    assert b'name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\nPNG' in server.requests[1]


def test_a_packed_answer_is_unpacked_but_never_into_more_than_an_answer_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    small, bomb = gzip.compress(b'{"a": 1}'), gzip.compress(bytes(10**7))
    with line(answer(200, small, "Content-Encoding: gzip")) as (_, wire):
        assert wire.ask(Call(method="GET", path="/"), time.sleep).data == {"a": 1}
    monkeypatch.setattr("providers.wire.MAX_ANSWER_BYTES", 10**6)
    with line(answer(200, bomb, "Content-Encoding: gzip")) as (_, wire), pytest.raises(ProtocolError, match="too long"):
        wire.ask(Call(method="GET", path="/"), time.sleep)
    with line(answer(200, bytes(2 * 10**6))) as (_, wire), pytest.raises(ProtocolError, match="too long"):
        wire.ask(Call(method="GET", path="/"), time.sleep)


@pytest.mark.parametrize("body", [b"", b"[1]", b"<html>", b'{"a": ', b"\xff\xfe"])
def test_what_is_no_object_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="no JSON object"):
        _ = Answer(status=200, headers={}, body=body).data


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example/x?y", "https://a.example:443"),
        ("HTTPS://A.example:443", "https://a.example:443"),
        ("http://a.example:8080/", "http://a.example:8080"),
        ("https://a.example:99999/", "https://a.example:-1"),
        ("https://a.example@evil.example/", "https://evil.example:443"),
    ],
)
def test_origins_are_told_apart(url: str, origin: str) -> None:
    assert origin_of(url) == origin
