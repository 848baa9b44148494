"""Orders at a provider as users place them: whatever ends a process, the clip arrives, and nothing is paid twice."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.canary import assert_nowhere
from tests.providers.conformance import contracts
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.jobs import SIGNATURE
from tests.providers.conformance.server import ConformanceServer

# What is started from a shell's background job would ignore Ctrl-C.
_OWN_SIGNALS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
STUDIO = (sys.executable, "-c", f"{_OWN_SIGNALS}from ui.cli import main; main()")
ROOT = Path(__file__).resolve().parents[2]
ROWS = """
[[models]]
id = "quick"
extends = "openai-videos"
name = "Quick"
remote.poll_seconds = 0.05
remote.prices = { currency = "USD", rules = [{ amount = 0.25 }], as_of = 2026-11-22, evidence = "a test" }
"""
CONTRACT = next(contract for contract in contracts() if contract.name == "openai-videos")
KEY = next(iter(CONTRACT.keys.values()))
ORDER = ("--model", "quick", "--prompt", "a red fox in the snow", "--duration", "4", "--option", "model=wan")


class House:
    """A home folder with a quick row, and the provider that its processes talk to."""

    def __init__(self, folder: Path, server: ConformanceServer) -> None:
        self.home, self.server, self.said = folder / "home", server, list[str]()
        (self.home / "catalog").mkdir(parents=True)
        (self.home / "catalog" / "quick.toml").write_text(ROWS)
        environment = server.environment(CONTRACT) | {"STUDIO_HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        self.environment = {**os.environ, **environment, "OMP_WAIT_POLICY": "PASSIVE"}

    def studio(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a command to its end and return its JSON."""
        done = subprocess.run(
            [*STUDIO, *arguments, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.said += [done.stdout, done.stderr]
        assert done.returncode == code, done.stdout + done.stderr
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def say(self, *arguments: str) -> None:
        """Run a command and keep all that it says, tracebacks included."""
        done = subprocess.run(
            [*STUDIO, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        self.said += [done.stdout, done.stderr]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that goes on by itself."""
        with (self.home / "process.log").open("ab") as log:
            return subprocess.Popen(
                [*STUDIO, *arguments], env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def submit(self) -> str:
        """Put an order into the queue."""
        return str(self.studio("queue", "submit", *ORDER)["jobs"][0]["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.studio("queue", "show", job_id)["jobs"][0])

    def operation(self) -> dict[str, Any]:
        """Return what is kept of the only order, as another process finds it."""
        for path in (self.home / "quarantine").glob("*/operation.json"):
            with suppress(ValueError, OSError):
                return json.loads(path.read_text())["operation"] or {}
        return {}

    def drain(self) -> None:
        """Let a worker do all that is left to be done."""
        self.studio("worker", "--pool", "remote", "--drain")

    def costs(self) -> list[tuple[str, float | None]]:
        """Return state and amount of every entry of the ledger."""
        with closing(sqlite3.connect(self.home / "studio.sqlite3")) as database:
            return list(database.execute("SELECT state, amount FROM ledger ORDER BY id"))


@pytest.fixture(scope="module")
def one_server() -> Iterator[ConformanceServer]:
    with ConformanceServer([CONTRACT]) as server:
        yield server


@pytest.fixture
def house(tmp_path: Path, one_server: ConformanceServer) -> House:
    one_server.reset()
    return House(tmp_path, one_server)


def until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def test_a_worker_killed_between_order_and_first_answer_pays_once_and_the_clip_arrives(house: House) -> None:
    house.server.reset(Faults(polls=("reset",), always=True))
    job_id = house.submit()
    worker = house.start("worker", "--pool", "remote")
    until(lambda: house.operation().get("state") == "submitted")
    kill(worker)
    orders = len(house.server.did("create"))
    house.server.faults = Faults()
    house.drain()
    job = house.job(job_id)
    assert job["error"] is None
    assert (job["state"], orders, len(house.server.did("create"))) == ("succeeded", 1, 1)
    assert house.costs() == [("charged", 1.0)]
    asset = house.studio("library", "show", job_id)["assets"][0]
    assert Path(asset["master"]["path"]).read_bytes() == house.server.clip
    assert asset["master"]["sha256"] == sha256(house.server.clip).hexdigest()
    assert asset["master"]["provider"] == "openai-videos"
    verified = house.studio("verify", asset["path"])
    assert verified["c2pa"]["state"] == "trusted"
    assert [item["relationship"] for item in verified["c2pa"]["ingredients"]] == ["parentOf"]
    assert verified["watermark"]["detected"]


def test_a_worker_killed_while_it_orders_never_orders_again_without_consent(house: House) -> None:
    house.server.reset(Faults(create="silence"))
    job_id = house.submit()
    worker = house.start("worker", "--pool", "remote")
    until(lambda: len(house.server.did("create")) == 1)
    kill(worker)
    house.server.faults = Faults()
    house.drain()
    job = house.job(job_id)
    assert (job["state"], job["reason"]) == ("failed", "submit_unknown")
    assert "may be paid for" in job["error"]["fix"]
    house.studio("queue", "retry", job_id)
    house.drain()
    assert house.job(job_id)["reason"] == "submit_unknown"
    assert len(house.server.did("create")) == 1
    house.studio("queue", "retry", job_id, "--order-again")
    house.drain()
    assert house.job(job_id)["state"] == "succeeded"
    assert len(house.server.did("create")) == 2
    assert [state for state, _amount in house.costs()] == ["unknown", "charged"]


def test_an_order_whose_terminal_died_is_fetched_by_the_next_worker(house: House) -> None:
    house.server.reset(Faults(polls=("reset",), always=True))
    person = house.start("generate", *ORDER)
    until(lambda: house.operation().get("state") == "submitted")
    kill(person)
    house.server.faults = Faults()
    house.studio("generate", *ORDER, "--max-cost", "0.01 USD", code=2)
    assert "ordered and not fetched yet" in house.said[-1]
    house.drain()
    assets = house.studio("library", "list")["assets"]
    assert (len(assets), len(house.server.did("create"))) == (1, 1)


def test_ctrl_c_says_whether_it_still_costs_and_what_was_ordered_can_be_fetched_later(house: House) -> None:
    house.server.reset(Faults(polls=("reset",), always=True))
    person = house.start("generate", *ORDER)
    until(lambda: house.operation().get("state") == "submitted")
    person.send_signal(signal.SIGINT)
    assert person.wait(60) == 130
    assert "costs what it costs" in (house.home / "process.log").read_text()
    house.server.faults = Faults()
    job_id = house.studio("queue", "list", "--all")["jobs"][0]["id"]
    house.studio("queue", "retry", job_id)
    house.drain()
    assert house.job(job_id)["state"] == "succeeded"
    assert len(house.server.did("create")) == 1


def test_no_key_and_no_presigned_address_is_left_anywhere(house: House) -> None:
    for faults, code in (
        (Faults(), 0),
        (Faults(ending="moderated"), 4),
        (Faults(ending="failed"), 4),
        (Faults(create="401"), 3),
        (Faults(create="500"), 4),
        (Faults(results=("html as mp4",), always=True), 4),
        (Faults(results=("redirect metadata",), always=True), 4),
    ):
        house.server.reset(faults)
        house.studio("generate", *ORDER, code=code)
        if faults.create == "401":
            house.say("generate", *ORDER, "--debug")
        assert any(KEY in str(request.headers) for request in house.server.requests), (
            "the key never reached its provider"
        )
    house.studio("queue", "list", "--all")
    house.studio("costs")
    house.studio("library", "list")
    for secret in (KEY, SIGNATURE):
        assert_nowhere(secret, house.home, *house.said)


def test_a_price_above_the_cap_is_refused_before_anything_is_sent(house: House) -> None:
    told = house.studio("generate", *ORDER, "--max-cost", "0.50 USD", code=2)
    assert "1.00 USD" in told["error"]["got"]
    assert house.server.requests == []
    assert house.studio("estimate", *ORDER)["cost"] == {"amount": 1.0, "currency": "USD"}
