"""`studio batch run FILE --on ray` on this machine alone: SQLite and the home folder will do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from studio.app import Studio
from studio.config import Settings
from studio.jobs.states import JobState
from tests.fakes import write_scripted_rows

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra: ray)"),
    pytest.mark.slow,
]


@pytest.fixture
def studio(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_scripted_rows(settings.home / "catalog")
    studio = Studio(settings)
    yield studio
    studio.store.close()


def start(folder: Path, count: int) -> subprocess.Popen[str]:
    lines = [json.dumps({"model": "scripted-moving", "seed": seed}) for seed in range(1, count + 1)]
    path = folder / "batch.jsonl"
    path.write_text("\n".join(lines))
    code = "from ui.cli import main; main()"
    arguments = ["batch", "run", str(path), "--resume", "--on", "ray", "--workers", "2", "--json"]
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, cwd=folder)  # fmt: skip


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    data = json.loads(out)
    assert isinstance(data, dict)
    return data


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def listening(processes: list[psutil.Process]) -> set[str]:
    found = set()
    for process in processes:
        try:
            found |= {item.laddr.ip for item in process.net_connections("inet") if item.status == psutil.CONN_LISTEN}
        except psutil.Error:
            continue
    return found


def wait_for(studio: Studio, succeeded: int) -> None:
    deadline = time.monotonic() + 60
    while studio.desk.counts()[JobState.SUCCEEDED] < succeeded:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_workers_make_all_clips_and_nothing_listens_to_other_machines(studio: Studio, tmp_path: Path) -> None:
    process = start(tmp_path, 6)
    wait_for(studio, 1)
    addresses = listening(children(process))
    data = finished(process)
    assert [job["state"] for job in data["jobs"]] == ["succeeded"] * 6
    assert addresses
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, socket.gethostname()
    assert all(studio.verify(asset.path).c2pa.state == "trusted" for asset in studio.store.assets())
    workers = {attempt.worker for job in studio.desk.jobs() for attempt in studio.desk.job(job.id).attempts}
    assert len(workers) == 2


def test_a_worker_that_is_killed_is_replaced_and_nothing_but_the_result_is_on_stdout(
    studio: Studio, tmp_path: Path
) -> None:
    process = start(tmp_path, 8)
    wait_for(studio, 2)
    psutil.Process(studio.desk.workers()[0].pid).kill()
    data = finished(process)
    assert [job["state"] for job in data["jobs"]] == ["succeeded"] * 8
    assert len(studio.store.assets()) == 8
    workers = {attempt.worker for job in studio.desk.jobs() for attempt in studio.desk.job(job.id).attempts}
    assert len(workers) == 3


def test_it_stops_when_asked_and_goes_on_later(studio: Studio, tmp_path: Path) -> None:
    process = start(tmp_path, 8)
    wait_for(studio, 1)
    hired = children(process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "--resume" in err
    assert studio.desk.counts()[JobState.RUNNING] == 0
    _, alive = psutil.wait_procs(hired, timeout=30)
    assert alive == []
    data = finished(start(tmp_path, 8))
    assert [job["state"] for job in data["jobs"]] == ["succeeded"] * 8
    assert len(studio.store.assets()) == 8
