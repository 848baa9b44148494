"""`studio serve` as people run it: a process of its own, which brings its workers along."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from studio.app import Studio
from studio.config import Settings
from tests.fakes import write_scripted_rows
from tests.ui.api.conftest import MODEL, TOKEN, until

ROOT = Path(__file__).parents[3]


class Process:
    """A server process. info: what it printed once it answered."""

    def __init__(self, home: Path, *arguments: str, **variables: str) -> None:
        environment = {**os.environ, "STUDIO_HOME": str(home), "PYTHONPATH": str(ROOT), **variables}
        command = [sys.executable, "-c", "from ui.cli import main; main()", "serve", "--port", "0", "--json"]
        self.errors = home.parent / "stderr"
        with open(self.errors, "wb") as stderr:
            self.process = subprocess.Popen(
                [*command, *arguments], env=environment, stdout=subprocess.PIPE, stderr=stderr, cwd=home.parent
            )

    def answer(self) -> dict[str, Any]:
        """Return what it printed once it answers."""
        assert self.process.stdout is not None
        lines = []
        while (line := self.process.stdout.readline().decode()) and line != "}\n":
            lines.append(line)
        assert line, self.errors.read_text()
        info: dict[str, Any] = json.loads("".join([*lines, line]))
        return info

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Return its exit code, and how long it took to stop."""
        began = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait(40)
        return code, time.monotonic() - began

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def home(settings: Settings) -> Path:
    settings.create_home()
    write_scripted_rows(settings.home / "catalog")
    return settings.home


@contextlib.contextmanager
def running(home: Path, *arguments: str, **variables: str) -> Iterator[tuple[Process, dict[str, Any]]]:
    process = Process(home, *arguments, **variables)
    try:
        yield process, process.answer()
    finally:
        process.kill()


def test_it_makes_a_clip_without_ever_loading_a_model(home: Path) -> None:
    with running(home) as (server, info):
        client = httpx.Client(base_url=info["url"], timeout=60, trust_env=False)
        assert info["token"] is None
        assert client.get("/v1/workers").json()["data"] == []
        video = client.post("/v1/videos", json={"model": MODEL, "seed": 1}).json()
        done = until(
            lambda: (found := client.get(f"/v1/videos/{video['id']}").json())["status"] == "completed" and found, 60
        )
        assert done["progress"] == 100
        content = client.get(f"/v1/videos/{video['id']}/content").content
        studio = Studio()
        assert studio.store.asset(video["id"]).path.read_bytes() == content
        studio.store.close()
        assert client.post("/v1/estimate", json={"model": "micro-wan", "prompt": "a star"}).status_code in (200, 422)
        (worker,) = client.get("/v1/workers").json()["data"]
        assert worker["pid"] != server.process.pid
        if Path("/proc/self/maps").exists():
            assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()
        client.close()
        code, _seconds = server.stop(signal.SIGINT)
        assert code == 0
        until(lambda: not _is_alive(worker["pid"]))
        log = server.errors.read_text()
        assert "POST /v1/videos 200" in log
        assert "Traceback" not in log


def test_it_stops_within_two_seconds_while_clients_listen(home: Path) -> None:
    with running(home, "--no-workers", "--quiet") as (server, info):
        port = int(info["url"].rpartition(":")[2])
        with contextlib.ExitStack() as stack:
            for _ in range(5):
                raw = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                raw.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"text/event-stream" in raw.recv(1000)
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            assert idle.fileno() > 0
            code, seconds = server.stop()
        assert (code, seconds < 2) == (0, True)
        assert "GET /v1/events" not in server.errors.read_text()


def test_beyond_this_machine_it_makes_a_token_shows_it_once_and_asks_for_it(home: Path) -> None:
    for is_first in (True, False):
        with running(home, "--no-workers", "--host", "0.0.0.0") as (server, info):
            file = home / "api-token"
            token = file.read_text().strip()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert info["token"] == str(file)
            assert (token in server.errors.read_text()) is is_first
            url = info["url"].replace("0.0.0.0", "127.0.0.1")
            assert httpx.get(f"{url}/v1/jobs", trust_env=False).status_code == 401
            headers = {"authorization": f"Bearer {token}"}
            assert httpx.get(f"{url}/v1/jobs", headers=headers, trust_env=False).status_code == 200
            assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
            server.stop()


def test_a_token_of_ones_own_is_asked_for_on_this_machine_too(home: Path) -> None:
    with running(home, "--no-workers", STUDIO_API_TOKEN=TOKEN) as (server, info):
        assert info["token"] == "STUDIO_API_TOKEN"
        assert httpx.get(f"{info['url']}/v1/jobs", trust_env=False).status_code == 401
        server.stop()
        assert TOKEN not in server.errors.read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "192.0.2.1"], "cannot be listened on"),
        (["--host", "no such host"], "no such address"),
        (["--token-file", "none-such"], "cannot be read"),
    ],
)
def test_what_is_wrong_with_the_machine_is_told_in_a_sentence(home: Path, arguments: list[str], sentence: str) -> None:
    server = Process(home, *arguments)
    assert server.process.wait(30) == 3
    assert sentence in server.errors.read_text()
    assert "Traceback" not in server.errors.read_text()
    server.kill()


def test_a_port_that_is_taken_is_told(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = Process(home, "--port", str(taken.getsockname()[1]))
        assert server.process.wait(30) == 3
        assert "choose another with --port" in server.errors.read_text()
        server.kill()


def test_no_worker_is_started_beside_one_that_serves_already(home: Path) -> None:
    environment = {**os.environ, "STUDIO_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from ui.cli import main; main()", "worker"]
    own = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        with running(home) as (server, info):
            client = httpx.Client(base_url=info["url"], timeout=60, trust_env=False)
            until(lambda: client.get("/v1/workers").json()["data"], 60)
            video = client.post("/v1/videos", json={"model": MODEL}).json()
            until(lambda: client.get(f"/v1/videos/{video['id']}").json()["status"] == "completed", 60)
            (worker,) = client.get("/v1/workers").json()["data"]
            assert worker["pid"] == own.pid
            client.close()
            server.stop()
    finally:
        own.terminate()
        own.wait(30)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
