"""Worker processes: started again when they die, told of when they cannot start, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.config import Settings
from studio.errors import EnvironmentFault
from studio.jobs import processes
from studio.jobs.devices import devices
from studio.jobs.processes import Post, WorkerProcesses

ROOT = Path(__file__).parents[3]
OBEYS = "import sys; sys.stdin.read()"
STUBBORN = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', file=sys.stderr, flush=True); time.sleep(60)"  # noqa: E501
BROKEN = "import sys; sys.exit('studio: no such device')"


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Say whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def crew_of(folder: Path, code: str, posts: int = 1, told: list[str] | None = None) -> WorkerProcesses:
    told = [] if told is None else told
    places = [Post(name=f"cpu-{number}") for number in range(1, posts + 1)]
    return WorkerProcesses(places, folder, command=(sys.executable, "-c", code), tell=told.append)


def test_a_worker_that_is_killed_is_started_again(tmp_path: Path) -> None:
    told: list[str] = []
    crew = crew_of(tmp_path, OBEYS, posts=2, told=told)
    crew.start()
    victim, other = crew.pids
    os.kill(victim, signal.SIGKILL)

    def is_whole_again() -> bool:
        crew.tend()
        return len(crew.pids) == 2

    wait_for(lambda: not lives(victim))
    wait_for(is_whole_again)
    assert other in crew.pids
    assert told == ["worker cpu-1 was ended by SIGKILL; it starts again"]
    crew.stop()
    assert crew.pids == []


def test_workers_that_are_asked_to_stop_end_by_themselves(tmp_path: Path) -> None:
    crew = crew_of(tmp_path, OBEYS, posts=2)
    crew.start()
    pids = crew.pids
    began = time.monotonic()
    crew.stop(grace_seconds=20)
    assert time.monotonic() - began < 10
    assert not any(lives(pid) for pid in pids)
    crew.tend()
    assert crew.pids == []


def test_a_worker_that_does_not_listen_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_SECONDS_TO_LEAVE", 0.2)
    crew = crew_of(tmp_path, STUBBORN)
    crew.start()
    (pid,) = crew.pids
    wait_for(lambda: "here" in (tmp_path / "cpu-1.log").read_text())
    crew.stop(grace_seconds=0.1)
    assert not lives(pid)


def test_workers_that_end_as_soon_as_they_start_are_given_up_with_their_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(processes, "LONGEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(processes, "QUICK_SECONDS", 20.0)
    told: list[str] = []
    crew = crew_of(tmp_path, BROKEN, told=told)
    crew.start()

    def tend_for_ever() -> None:
        while True:
            crew.tend()
            time.sleep(0.01)

    with pytest.raises(EnvironmentFault, match="no such device") as fault:
        tend_for_ever()
    assert "`studio worker`" in str(fault.value)
    assert len(told) == processes.MAX_QUICK_DEATHS
    assert told[0] == "worker cpu-1 ended with exit status 1: no such device; it starts again"
    assert "given up" in told[-1]
    crew.stop()


def test_a_log_that_has_grown_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "cpu-1.log").write_bytes(b"x" * (processes._MAX_LOG_BYTES + 1))
    crew = crew_of(tmp_path, OBEYS)
    crew.start()
    crew.stop()
    assert (tmp_path / "cpu-1.log").stat().st_size == 0
    assert (tmp_path / "cpu-1.log.1").stat().st_size > processes._MAX_LOG_BYTES


def test_no_worker_outlives_a_front_end_that_is_killed(tmp_path: Path) -> None:
    parent = (
        "import sys, time; from pathlib import Path; from studio.jobs.processes import Post, WorkerProcesses\n"
        "post = Post(name='cpu', arguments=('--attached', '--device', 'cpu'))\n"
        f"crew = WorkerProcesses([post], Path({str(tmp_path)!r}))\n"
        "crew.start(); print(*crew.pids, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "STUDIO_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, env=environment) as front:
        assert front.stdout is not None
        worker = int(front.stdout.readline())
        wait_for(lambda: "ready" in (tmp_path / "cpu.log").read_text())
        assert lives(worker)
        front.kill()
    wait_for(lambda: not lives(worker))
    assert (tmp_path / "cpu.log").read_text().endswith("stopped: nothing was done\n")


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ("cuda:0", "cuda:1")),
        ("1", ("cuda:0",)),
        ("0,1,2", ("cuda:0", "cuda:1")),
        ("0,-1,1", ("cuda:0",)),
        ("", ("auto",)),
    ],
)
def test_the_driver_says_which_devices_there_are(
    visible: str | None, expected: tuple[str, ...], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0, 81559 MiB\\n1, 81559 MiB\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert devices(settings, environ) == expected
    assert devices(settings.model_copy(update={"device": "cuda:3"}), environ) == ("cuda:3",)


def test_without_a_driver_that_answers_the_worker_looks_itself(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices(settings, {}) == ("auto",)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert devices(settings, {}) == ("auto",)
