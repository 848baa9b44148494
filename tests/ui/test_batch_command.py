"""`studio batch` and `studio worker` as people and scripts meet them: in processes of their own, killed and stopped."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from studio.app import Studio
from studio.batch.reading import read_batch
from studio.batching import BatchView
from studio.config import Settings
from studio.jobs.batches import Batch, Glance
from studio.jobs.job import Progress
from studio.jobs.states import JobState
from tests.fakes import write_scripted_row, write_scripted_rows
from tests.ui.conftest import Terminal
from ui.cli.batch_table import duration, render

ROOT = Path(__file__).parents[2]
# As a shell starts a program in the foreground: what runs the tests may itself have been told to ignore Ctrl-C.
STUDIO = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from ui.cli import main; main()"


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


class Shell:
    """Starts `studio` in processes of their own, over one home that knows the scripted models."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self.home = settings.home
        self._environment = {**os.environ, "STUDIO_HOME": str(settings.home), "PYTHONPATH": str(ROOT)}
        catalog = write_scripted_rows(settings.home / "catalog")
        write_scripted_row(catalog, "slow", "seconds_per_step = 0.1")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", STUDIO, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder,
                                env=self._environment, stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        process = self.start(*arguments, "--json")
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert "Traceback" not in err
        data = json.loads(out)
        assert isinstance(data, dict)
        return data

    def write(self, number: int, **fields: Any) -> Path:
        path = self.folder / "b.yaml"
        sweep = {"model": "slow", "prompt": "a star", "seed": f"1..{number}", "output": "{seed}.mp4"} | fields
        path.write_text(json.dumps({"jobs": [sweep]}))  # JSON is YAML too
        return path


@pytest.fixture
def shell(settings: Settings, tmp_path: Path) -> Shell:
    folder = tmp_path / "work"
    folder.mkdir()
    return Shell(settings, folder)


@pytest.fixture
def studio(shell: Shell, settings: Settings) -> Iterator[Studio]:
    studio = Studio(settings)
    yield studio
    if "store" in studio.__dict__:
        studio.store.close()


def workers_of(studio: Studio) -> list[int]:
    return [worker.pid for worker in studio.desk.workers() if worker.is_alive]


def test_a_run_that_is_killed_goes_on_and_makes_nothing_twice(shell: Shell, studio: Studio) -> None:
    path = shell.write(6)
    run = shell.start("batch", "run", str(path), "--workers", "2")
    wait_for(lambda: studio.desk.counts()[JobState.SUCCEEDED] >= 1 and len(workers_of(studio)) == 2)
    workers = workers_of(studio)
    os.kill(workers[0], signal.SIGKILL)
    wait_for(lambda: len(set(workers_of(studio)) - {workers[0]}) == 2)
    workers = workers_of(studio)
    os.kill(run.pid, signal.SIGKILL)
    os.kill(workers[0], signal.SIGKILL)
    run.communicate()
    wait_for(lambda: not any(lives(pid) for pid in workers))

    data = shell.run("batch", "run", str(path), "--resume", "--workers", "2")
    assert [job["state"] for job in data["jobs"]] == ["succeeded"] * 6
    assert data["counts"] == {"succeeded": 6}
    assert len(studio.store.assets()) == 6
    assert {item.name for item in shell.folder.iterdir()} == {
        "b.yaml",
        "b.yaml.report",
        *(f"{n}.mp4" for n in range(1, 7)),
    }
    assert {asset.seed for asset in studio.store.assets()} == set(range(1, 7))
    assert list(studio.settings.quarantine_folder.iterdir()) == []
    assert studio.desk.workers() == []


def test_ctrl_c_stops_gracefully_and_says_how_to_go_on(shell: Shell, studio: Studio) -> None:
    path = shell.write(30, num_inference_steps=20, output=None)
    run = shell.start("batch", "run", str(path))
    wait_for(lambda: studio.desk.counts()[JobState.RUNNING] == 1)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert f"studio batch run {path} --resume" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert studio.desk.counts()[JobState.RUNNING] == 0
    assert studio.desk.counts()[JobState.CANCELED] == 0
    refused = shell.run("batch", "run", str(path), code=2)
    assert "is not finished" in refused["error"]["message"]
    assert "--resume" in refused["error"]["fix"]


def test_jobs_that_are_left_in_the_queue_are_made_by_a_worker(shell: Shell, studio: Studio) -> None:
    path = shell.write(2, output=None)
    data = shell.run("batch", "run", str(path), "--detach")
    assert [job["state"] for job in data["jobs"]] == ["queued", "queued"]
    assert shell.run("worker", "--drain", "--pool", "local")["counts"]["succeeded"] == 0
    report = shell.run("worker", "--drain", "--batch", data["batch"]["id"])
    assert report["counts"]["succeeded"] == 2
    assert [item["outcome"] for item in report["jobs"]] == ["succeeded"] * 2
    assert {item["id"] for item in report["jobs"]} == {job["id"] for job in data["jobs"]}
    shown = shell.run("batch", "show", str(path))
    assert shown["counts"] == {"succeeded": 2}


def test_a_worker_that_is_told_to_end_puts_its_job_back(shell: Shell, studio: Studio) -> None:
    path = shell.write(1, num_inference_steps=50, output=None)
    shell.run("batch", "run", str(path), "--detach")
    worker = shell.start("worker")
    wait_for(lambda: studio.desk.counts()[JobState.RUNNING] == 1)
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert err.splitlines()[-1] == "stopped: 1 put back"
    assert studio.desk.counts()[JobState.QUEUED] == 1


# -- in this process ------------------------------------------------------------------------------------------------


def test_faults_are_listed_with_their_lines_and_counted(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    lines = [json.dumps({"model": "scripted-moving", "prompt": "x", "width": 77}) for _ in range(25)]
    path.write_text("\n".join(lines))
    assert terminal.run("batch", "run", str(path)) == 2
    notes = terminal.stderr.splitlines()
    assert notes[0].startswith("b.jsonl, line 1: width: ")
    assert notes[19].startswith("b.jsonl, line 20: ")
    assert notes[20] == "... and 5 more; --json lists them all"
    assert notes[21] == f"studio: 25 faults in {path}; nothing was started."
    assert len(terminal.json("batch", "run", str(path), code=2)["error"]["faults"]) == 25


def test_a_dry_run_tells_what_a_run_would_do_and_does_nothing(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text('{"model": "scripted-moving", "prompt": "a [red] star", "seed": "1..3"}')
    data = terminal.json("batch", "run", str(path), "--dry-run")
    assert [(job["entry"], job["state"], job["seed"]) for job in data["jobs"]] == [(n, "new", n) for n in (1, 2, 3)]
    assert data["estimate"]["seconds"] == 3.0
    assert terminal.run("batch", "run", str(path), "--dry-run") == 0
    assert "a [red] star" in terminal.stdout
    assert terminal.json("batch", "list")["batches"] == []
    assert terminal.run("batch", "show") == 2
    assert "no batch was run yet" in terminal.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--budget", "five"), 'such as "5 USD"'),
        (("--device", "gpu"), "cuda:N"),
        (("--resume", "--again"), "begin anew"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: tuple[str, ...], words: str, terminal: Terminal, tmp_path: Path
) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text('{"model": "scripted-moving"}')
    assert terminal.run("batch", "run", str(path), *arguments) == 2
    assert words in terminal.stderr


def view_of(folder: Path, running: int, total: int, done: int) -> BatchView:
    path = folder / "b.jsonl"
    path.write_text(json.dumps({"model": "micro-wan", "prompt": "a [bold]red[/bold] star\x1b[31m " * 9,
                                "seed": f"1..{total}"}).replace("\\u001b", " "))  # fmt: skip
    entries = read_batch(path).entries
    now = datetime.now(UTC)
    states = ["succeeded"] * done + ["running"] * running + ["queued"] * (total - done - running)
    progress = Progress(stage="sampling", done=3, total=30, eta_seconds=65)
    jobs = {
        number: Glance(
            id=f"job-{number}", entry=number, key="k", model="micro-wan", pool="local", state=JobState(state),
            reason=None, is_paused=False, asked=None, progress=progress if state == "running" else None, worker=None,
            error=None, started_at=now, ended_at=now if state == "succeeded" else None,
        )
        for number, state in enumerate(states, 1)
    }  # fmt: skip
    batch = Batch(id="20260101-000000-b123456", path=path, digest="", budget=None, created_at=now)
    return BatchView(batch=batch, entries=entries, jobs=jobs, workers=2, seconds=75, seconds_left=3700)


def picture(view: BatchView, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(render(view, width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(40, 12), (60, 24), (80, 24), (120, 50)])
def test_the_table_fits_the_terminal_and_takes_no_prompt_for_markup(width: int, height: int, tmp_path: Path) -> None:
    lines = picture(view_of(tmp_path, running=2, total=100, done=40), width, height)
    assert len(lines) < height
    assert max(len(line) for line in lines) <= width
    running = [line for line in lines if "sampling" in line]
    assert [line.split()[0] for line in running] == ["41", "42"]
    assert all("[bold]" in line for line in running)
    assert any(line.strip().startswith("40 ") and "done" in line for line in lines)
    assert any(line.strip().startswith("43 ") and "waits" in line for line in lines)
    assert "40/100" in lines[-1]
    assert any("more" in line for line in lines)


def test_a_small_batch_is_shown_whole_with_what_is_left(tmp_path: Path) -> None:
    lines = picture(view_of(tmp_path, running=1, total=5, done=2), 100, 24)
    assert len(lines) == 1 + 5 + 1
    assert "3/30 1:05 min" in lines[3]
    assert "2/5  1:15 min, about 1:01 h left" in lines[-1]


def test_times_are_said_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 61, 3599, 7260)] == [
        "0 s",
        "59 s",
        "1:01 min",
        "59:59 min",
        "2:01 h",
    ]
