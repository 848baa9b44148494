"""`studio check`: one video or many, a stream, and what goes wrong with each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from studio.checking import CheckWish, check_many
from studio.config import Settings
from studio.errors import OutOfMemory, StudioError, UnreadableMedia
from tests.studio.media_files import pan, write_mp4
from tests.ui.conftest import Terminal

ROOT = Path(__file__).parents[2]
SMALL = {"num_frames": 10, "width": 64, "height": 48}


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return write_mp4(tmp_path / "clean.mp4", pan(**SMALL))


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    frames = np.repeat(pan(**SMALL)[:1], 24, axis=0)
    return write_mp4(tmp_path / "frozen.mp4", frames)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.mp4").write_text("no film")
    return tmp_path / "text.mp4"


def lines(terminal: Terminal) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in terminal.stdout.splitlines()]
    return {Path(item["path"]).name: item for item in found}


class TestOneFile:
    def test_it_gives_one_object(self, terminal: Terminal, clean: Path) -> None:
        data = terminal.json("check", str(clean))
        assert data["passed"] is True
        for check in data["checks"]:
            assert {"id", "score", "unit", "threshold", "passed", "worst_frames"} <= set(check)
        assert "decode" in {check["id"] for check in data["checks"]}
        assert (data["profile"], data["path"]) == ("gate", str(clean))
        assert "identity" in {item["id"] for item in data["not_assessed"]}

    def test_a_fault_is_exit_1_and_named(self, terminal: Terminal, frozen: Path) -> None:
        assert terminal.json("check", str(frozen), code=1)["passed"] is False
        assert terminal.run("check", str(frozen)) == 1
        assert "still" in terminal.stdout

    def test_no_video_is_exit_2_and_one_sentence(self, terminal: Terminal, text: Path) -> None:
        data = terminal.json("check", str(text), code=2)
        assert data["error"]["field"] == "video"
        assert terminal.stderr.count("\n") == 1

    @pytest.mark.parametrize("profile", ["gate", "deep"])
    def test_a_profile_can_be_chosen(self, terminal: Terminal, clean: Path, profile: str) -> None:
        assert terminal.json("check", str(clean), "--profile", profile)["profile"] == profile

    def test_an_unknown_profile_is_refused(self, terminal: Terminal, clean: Path) -> None:
        assert terminal.run("check", str(clean), "--profile", "quick") == 2
        assert "gate or deep" in terminal.stderr

    def test_the_picture_it_was_made_from_must_be_one(self, terminal: Terminal, clean: Path, tmp_path: Path) -> None:
        assert terminal.run("check", str(clean), "--input-image", str(clean)) == 2
        assert "input_image" in terminal.stderr
        PIL.Image.fromarray(pan(**SMALL)[0]).save(tmp_path / "a.png")
        assert terminal.run("check", str(clean), "--input-image", str(tmp_path / "a.png")) == 0

    def test_no_file_at_all_is_refused(self, terminal: Terminal) -> None:
        assert terminal.run("check") == 2
        assert "studio check FILE" in terminal.stderr


class TestManyFiles:
    def test_each_has_a_line_and_the_worst_code_counts(
        self, terminal: Terminal, clean: Path, frozen: Path, text: Path, tmp_path: Path
    ) -> None:
        code = terminal.run(
            "check", *map(str, (frozen, text, clean, tmp_path / "missing.mp4")), "--json", "--jobs", "2"
        )
        found = lines(terminal)
        assert code == 2
        assert {name: item.get("passed") for name, item in found.items()} == {
            "frozen.mp4": False, "clean.mp4": True, "text.mp4": None, "missing.mp4": None,
        }  # fmt: skip
        assert found["text.mp4"]["exit_code"] == 2
        assert "not a video" in found["text.mp4"]["error"]["message"]
        assert {"id", "score", "passed"} <= set(found["clean.mp4"]["checks"][0])

    def test_a_fault_outweighs_a_pass(self, terminal: Terminal, clean: Path, frozen: Path) -> None:
        assert terminal.run("check", str(frozen), str(clean), "--jobs", "1") == 1
        assert "failed" in terminal.stdout
        assert "passed" in terminal.stdout

    def test_a_folder_stands_for_its_videos(
        self, terminal: Terminal, clean: Path, frozen: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "notes.txt").write_text("no film")
        (tmp_path / "below").mkdir()
        os.mkfifo(tmp_path / "pipe.mp4")
        assert terminal.run("check", str(tmp_path), "--json") == 1
        assert set(lines(terminal)) == {"clean.mp4", "frozen.mp4"}
        assert terminal.run("check", str(tmp_path / "below"), "--json") == 2
        assert "no video in this folder" in terminal.stderr

    def test_a_process_that_dies_takes_only_its_own_file_along(self, settings: Settings, tmp_path: Path) -> None:
        """A crash of a decoder and a lack of memory, as the system ends processes then."""
        paths = [write_mp4(tmp_path / f"{name}.mp4", pan(60, 320, 240)) for name in ("a", "b")]
        paths.append(write_mp4(tmp_path / "c.mp4", pan(**SMALL)))
        signals = {"a.mp4": signal.SIGSEGV, "b.mp4": signal.SIGKILL}
        told: dict[str, StudioError | None] = {}
        before = set(_children())
        for checked in check_many(paths, settings, CheckWish(profile="gate"), jobs=1,
                                  watch=lambda progress: _kill(before, signals.get(progress.path.name))):  # fmt: skip
            told[checked.path.name] = checked.error
        assert isinstance(told["a.mp4"], UnreadableMedia)
        assert isinstance(told["b.mp4"], OutOfMemory)
        assert told["c.mp4"] is None

    def test_its_processes_end_with_it(self, settings: Settings, tmp_path: Path) -> None:
        before = set(_children())
        paths = [write_mp4(tmp_path / f"{name}.mp4", pan(**SMALL)) for name in ("a", "b", "c")]
        results = check_many(paths, settings, CheckWish(profile="gate"), jobs=2)
        next(results)
        results.close()
        assert not _workers(before)


def _children() -> list[int]:
    return [int(item) for item in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def _workers(before: set[int]) -> list[int]:
    """Return the processes that were started since and check files."""
    new = [child for child in _children() if child not in before]
    return [child for child in new if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


def _kill(before: set[int], with_signal: signal.Signals | None) -> None:
    for child in _workers(before) if with_signal is not None else ():
        os.kill(child, with_signal or signal.SIGKILL)


class TestStreams:
    def test_every_line_is_an_event(self, terminal: Terminal, frozen: Path) -> None:
        assert terminal.run("check", "--live", str(frozen)) in (0, 1)
        events = [json.loads(line) for line in terminal.stdout.splitlines()]
        assert (events[0]["event"], events[-1]["event"]) == ("start", "end")
        assert events[-1]["frames_seen"] == 24

    def test_what_cannot_be_watched_has_a_sentence(self, terminal: Terminal, clean: Path) -> None:
        assert terminal.run("check", "--live", "ftp://host/x") == 2
        assert terminal.run("check", "--live", "93") == 3
        assert terminal.run("check", str(clean), "--live", str(clean)) == 2


class TestInterruption:
    """Ctrl-C in a real terminal reaches every process of the group at once."""

    def _interrupted(self, stream: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command until it says something on `stream`, then press Ctrl-C."""
        own_signals = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        command = [sys.executable, "-c", own_signals + "from ui.cli import main; main()", "check", *arguments]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, start_new_session=True) as process:  # fmt: skip
            first = getattr(process, stream).readline()
            assert first
            os.killpg(process.pid, signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    @pytest.mark.parametrize("count", [1, 3])
    def test_checking_ends_at_once_with_130(self, count: int, tmp_path: Path) -> None:
        done = self._interrupted("stderr", *[str(_long(tmp_path))] * count)
        assert done.returncode == 130, done.stderr
        assert "Traceback" not in done.stderr

    def test_a_watch_ends_with_a_summary_and_130(self, tmp_path: Path) -> None:
        done = self._interrupted("stdout", "--live", str(_long(tmp_path)))
        assert done.returncode == 130, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["event"] == "end"
        assert "Traceback" not in done.stderr


def _long(folder: Path) -> Path:
    """Write two minutes of small video."""
    return write_mp4(folder / "long.mp4", np.concatenate([pan(48, 64, 48)] * 60))
