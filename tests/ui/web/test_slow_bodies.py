"""A body that stops arriving is not waited for, whoever reads it; one that is slow is, and answers have no end."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.ui.web.conftest import ServedPage
from tests.ui.web.doorstep import doorstep
from ui.api import bodies

# Gradio forgets to close the file of an upload that breaks off.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("forgotten_files"),
]
JSON = "application/json"
FORM = "multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'


def begin(url: str, path: str, kind: str, length: int, body: bytes) -> socket.socket:
    """Send the beginning of a request, as a script of the page would."""
    host = url.removeprefix("http://")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {url}\r\nSec-Fetch-Site: same-origin\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    )
    line = socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2])), timeout=20)
    line.sendall(head.encode() + body)
    return line


def rest(line: socket.socket) -> bytes:
    """Return everything that the server says until it closes the connection."""
    received = b""
    while data := line.recv(65536):
        received += data
    return received


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS_BETWEEN_CHUNKS", 0.3)


@pytest.mark.parametrize(
    ("path", "kind", "sent"),
    [
        ("/studio/library/rate", JSON, b"{"),
        ("/studio/settings/password", JSON, b"{"),
        ("/studio/inspect", FORM, FILE),
        ("/gradio_api/queue/join", JSON, b"{"),
        ("/gradio_api/run/predict", JSON, b""),
        ("/gradio_api/upload", FORM, FILE),
    ],
)
def test_a_body_that_stops_arriving_is_answered(
    idle_site: ServedPage, hasty: None, path: str, kind: str, sent: bytes
) -> None:
    began = time.monotonic()
    with begin(idle_site.url, path, kind, 10_000, sent) as line:
        head, _, content = rest(line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    error = json.loads(content)["error"]
    assert (error["code"], error["message"]) == ("request_timeout", "the body stopped arriving")
    assert error["allowed"] == "a pause of up to 0.3 seconds"
    assert time.monotonic() - began < 10
    assert idle_site.client.get("/studio/jobs").status_code == 200


def test_a_login_that_stops_arriving_is_answered(hasty: None, tmp_path: Path) -> None:
    with doorstep(tmp_path, needs_login=True) as step:
        for path in ("/login", "/studio/thing"):  # nobody is in; the one is read, and the other is not
            with begin(step.url, path, "application/x-www-form-urlencoded", 100, b"name=") as line:
                assert line.recv(12) == (b"HTTP/1.1 408" if path == "/login" else b"HTTP/1.1 401")


def test_an_upload_may_take_longer_than_a_pause(idle_site: ServedPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS_BETWEEN_CHUNKS", 1.0)

    def slowly() -> Iterator[bytes]:
        yield FILE
        for _ in range(8):
            time.sleep(0.2)
            yield b"x" * 1000
        yield b"\r\n--b--\r\n"

    answer = idle_site.client.post("/gradio_api/upload", content=slowly(), headers={"content-type": FORM})
    assert answer.status_code == 200, answer.text
    assert Path(answer.json()[0]).stat().st_size == 8000


def test_an_answer_may_take_longer_than_a_pause(hasty: None, tmp_path: Path) -> None:
    with doorstep(tmp_path, needs_login=False) as step, httpx.stream("GET", f"{step.url}/studio/stream") as stream:
        began = time.monotonic()
        for part in stream.iter_bytes():
            assert part
            if time.monotonic() - began > 1.0:
                return
    raise AssertionError("it broke off")


def test_what_is_too_large_is_told_to_whoever_calls_a_listener(idle_site: ServedPage) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(17):
            yield b"x" * 65536

    answer = idle_site.client.post("/gradio_api/queue/join", content=endless(), headers={"content-type": JSON})
    assert answer.status_code == 413, answer.text
