"""A real server on a free port of this machine, over the scripted models, and a real worker beside it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pytest
from pydantic import SecretStr

from studio.app import Studio
from studio.jobs.roll import WorkerCard
from studio.jobs.worker import Worker
from ui.api.access import Access
from ui.api.app import create_app
from ui.api.server import ApiServer, bind, url_of

TOKEN = "correct-horse-battery-staple"
MODEL = "scripted-moving"


@dataclass
class Served:
    """A server that runs, and a client of it."""

    url: str
    studio: Studio
    client: httpx.Client
    server: ApiServer
    thread: threading.Thread

    @property
    def services(self) -> Any:
        return self.server.config.app.state.services  # type: ignore[union-attr]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def create(self, **fields: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/videos", json={"model": MODEL, "seed": 1, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait(self, video_id: str, *words: str) -> dict[str, Any]:
        words = words or ("completed", "failed", "cancelled")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            video = self.client.get(f"/v1/videos/{video_id}").json()
            if video["status"] in words:
                return video
            time.sleep(0.05)
        raise AssertionError(f"still {video['status']}")

    def stop(self) -> float:
        """Stop it as a signal would. Returns the seconds that took."""
        began = time.monotonic()
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()
        return time.monotonic() - began


@contextmanager
def serving(studio: Studio, access: Access, headers: dict[str, str] | None = None) -> Iterator[Served]:
    bound = bind("127.0.0.1", 0)
    opened = threading.Event()
    server = ApiServer(create_app(studio, access), opened.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    url = url_of(bound)
    thread.start()
    assert opened.wait(10)
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
            yield Served(url, studio, client, server, thread)
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def served(studio: Studio) -> Iterator[Served]:
    """A server as it is by default: for this machine alone, without a token."""
    with serving(studio, Access()) as running:
        yield running


@pytest.fixture
def guarded(studio: Studio) -> Iterator[Served]:
    """A server as it is beyond this machine: with a token, which its client does not send."""
    with serving(studio, Access(token=SecretStr(TOKEN))) as running:
        yield running


@pytest.fixture
def worker(studio: Studio) -> Iterator[None]:
    """Somebody who takes jobs."""
    stop = threading.Event()
    thread = threading.Thread(target=Worker(studio.workshop, WorkerCard(device="cpu")).run, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join(30)


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    """A PNG that a clip can start from."""
    path = tmp_path / "picture.png"
    PIL.Image.linear_gradient("L").convert("RGB").resize((160, 128)).save(path)
    return path.read_bytes()


def refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return the parts of an error, after a look at its shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    data = answer.json()
    assert set(data) == {"error"}
    assert set(data["error"]) == {"code", "message", "field", "got", "allowed", "fix"}
    return data["error"]


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Return what a condition says once it says something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def events_of(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of a stream, by kind."""
    kind = ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)
