"""The installed command, as a user runs it, with the embedded models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

STUDIO = Path(sys.executable).with_name("studio")
PROMPT = "a blue square moving left on a black background"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "STUDIO_HOME": str(tmp_path / "home"), "OMP_WAIT_POLICY": "PASSIVE"}


def studio(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    command = [STUDIO, *arguments, "--json"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert process.returncode == 0, process.stderr
    data = json.loads(process.stdout)
    assert isinstance(data, dict)
    return data


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_seed_gives_the_same_frames_in_every_process(environment: dict[str, str]) -> None:
    arguments = ("generate", "--model", "micro-wan", "--prompt", PROMPT, "--steps", "2")
    first = studio(environment, *arguments, "--seed", "7")
    again = studio(environment, *arguments, "--seed", "7")
    other = studio(environment, *arguments, "--seed", "8")
    assert first["asset"]["frames_sha256"] == again["asset"]["frames_sha256"] != other["asset"]["frames_sha256"]
    assert first["provenance"]["state"] == "trusted"
    assert first["provenance"]["generation"]["model"]["weights_sha256"]
    assert PROMPT not in Path(first["asset"]["path"]).read_bytes().decode("latin-1")


def test_a_photo_of_any_size_is_animated(environment: dict[str, str], tmp_path: Path) -> None:
    size = (2501, 397)
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    image = np.stack([x % 256, y % 256, (x + y) % 256], axis=-1).astype(np.uint8)
    PIL.Image.fromarray(image).save(tmp_path / "photo.jpg")
    image = str(tmp_path / "photo.jpg")
    data = studio(environment, "generate", "--model", "micro-svd", "--image", image, "--steps", "1")
    assert (data["asset"]["width"], data["asset"]["height"], data["asset"]["num_frames"]) == (128, 128, 14)
    assert data["provenance"]["ingredients"][0]["relationship"] == "inputTo"
    assert "cut at the centre" in data["warnings"][0]


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_half_written(
    environment: dict[str, str], tmp_path: Path, signal_number: int
) -> None:
    (tmp_path / "out").mkdir()
    command = [STUDIO, "generate", "--model", "micro-wan", "--prompt", PROMPT, "--steps", "50"]
    command += ["--output", str(tmp_path / "out" / "clip.mp4")]
    process = subprocess.Popen(
        command,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("sampling"):
            break
    process.send_signal(signal_number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert files_in(tmp_path / "out") == []
    assert files_in(tmp_path / "home" / "library") == []
    assert files_in(tmp_path / "home" / "quarantine") == []
    assert studio(environment, "library", "list")["assets"] == []


def test_a_killed_run_is_noticed_by_the_next_and_can_go_on(environment: dict[str, str], tmp_path: Path) -> None:
    command = [STUDIO, "generate", "--model", "micro-wan", "--prompt", PROMPT, "--steps", "50"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("sampling"):
            break
    process.kill()
    process.communicate(timeout=60)
    time.sleep(0.1)
    studio(environment, "generate", "--model", "micro-wan", "--prompt", PROMPT, "--steps", "1")
    (job,) = studio(environment, "queue", "list", "--state", "failed")["jobs"]
    assert job["reason"] == "interrupted"
    studio(environment, "queue", "retry", job["id"])
    studio(environment, "worker", "--drain")
    (job,) = studio(environment, "queue", "show", job["id"])["jobs"]
    assert job["state"] == "succeeded"
    assert files_in(tmp_path / "home" / "quarantine") == []


@pytest.mark.parametrize(
    ("redirection", "code"), [("2>&-", 2), (">&-", 2), (">/dev/full", 2), ("</dev/null >/dev/null 2>/dev/full", 2)]
)
def test_a_closed_or_full_stream_changes_no_exit_code(environment: dict[str, str], redirection: str, code: int) -> None:
    process = subprocess.run(
        f"{STUDIO} verify no-such-file --json {redirection}",
        shell=True, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert process.returncode == code
    assert "Traceback" not in process.stdout + process.stderr
    if redirection == "2>&-":
        assert json.loads(process.stdout)["exit_code"] == code


@pytest.mark.parametrize("moment", ["builtins.__import__", "ui.cli.entry.run"])
def test_an_interrupt_while_starting_is_130_without_a_traceback(environment: dict[str, str], moment: str) -> None:
    """Interrupted while the command is still being imported, and as soon as it runs."""
    code = (
        "import ui.cli.start, unittest.mock as mock; "
        + ("import ui.cli.entry; " if "entry" in moment else "")
        + f"mock.patch({moment!r}, side_effect=KeyboardInterrupt).start(); ui.cli.start.main()"
    )
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in process.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_a_limit_on_file_size_is_a_full_disk_and_leaves_only_what_a_retry_needs(
    environment: dict[str, str], tmp_path: Path
) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

    command = [STUDIO, "generate", "--model", "micro-wan", "--prompt", PROMPT, "--steps", "1", "--json"]
    process = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, preexec_fn=limit, check=False
    )
    assert process.returncode == 3, process.stderr
    assert "Traceback" not in process.stderr
    assert json.loads(process.stdout)["error"]["type"] == "DiskFull"
    assert files_in(tmp_path / "home" / "library") == []
    assert {Path(name).suffix for name in files_in(tmp_path / "home" / "quarantine")} <= {".checkpoint", ".lock"}
