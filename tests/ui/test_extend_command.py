"""`studio extend`: what it prints for people and programs, and how it ends."""

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

from tests.ui.conftest import Terminal

STUDIO = Path(sys.executable).with_name("studio")
MODEL = ("--model", "scripted-moving")
FIGURES = {"window", "seam_frame", "exposure", "colour", "appearance", "sharpness", "seam_jump"}


@pytest.fixture
def clip(terminal: Terminal) -> str:
    """The id of a clip of 9 frames of 96x96 pixels."""
    size = ("--width", "96", "--height", "96")
    return str(terminal.json("generate", *MODEL, *size, "--seed", "1", "--prompt", "a square")["asset"]["id"])


def test_programs_get_the_asset_its_windows_and_their_drift(terminal: Terminal, clip: str) -> None:
    data = terminal.json("extend", clip, "--windows", "2", "--seed", "4", "--output", "long.mp4")
    assert data["asset"]["num_frames"] == 25
    assert data["asset"]["seed"] == 4
    assert Path(data["asset"]["path"]).read_bytes() == Path("long.mp4").read_bytes()
    assert data["provenance"]["state"] == "trusted"
    titles = [item["title"] for item in data["provenance"]["ingredients"]]
    assert titles == [f"{clip}.mp4", "window-1.mp4", "window-2.mp4"]
    assert data["parent"]["id"] == clip
    assert set(data["drift"][0]) >= FIGURES
    assert [drift["seam_frame"] for drift in data["drift"]] == [9, 17]
    assert "seam_jump" in data["drift"][0]["flagged"]  # this model draws another picture for each seed
    assert [window["kept"] for window in data["windows"]] == [False, False]
    assert any("prompt" in line for line in terminal.stderr.splitlines())

    kept = terminal.json("library", "show", data["asset"]["id"])["assets"][0]
    assert kept["parent_id"] == clip
    assert kept["request"]["extension"]["drift"] == data["drift"]
    assert terminal.json("verify", "long.mp4")["c2pa"]["state"] == "trusted"


def test_people_get_the_path_and_a_table_of_the_drift(terminal: Terminal, clip: str) -> None:
    assert terminal.run("extend", clip, "--output", "long.mp4", "--keep-windows") == 0
    assert terminal.stdout.strip() == str(Path("long.mp4").absolute())
    told = terminal.stderr
    assert "window 1: frames 9 to 16, asset " in told
    assert "jump at the join" in told
    assert "(window 1 of 1)" in told
    assert "times the usual change" in told
    assert len(terminal.json("library", "list")["assets"]) == 3


BAD = (
    (("--windows", "0"), "windows: out of range; got 0; allowed: 1 to 32"),
    (("--windows", "many"), "'--windows'"),
    (("--duration", "99999"), "32 windows of 8 new frames"),
    (("--duration", "-3"), "duration_seconds"),
    (("--overlap", "2"), "allowed: 1"),
    (("--model", "micro-svd"), "got 96x96; allowed: width 128 only"),
    (("--output", "long.avi"), "output"),
    (("--label", "neon"), "label"),
    (("--on-fail", "cry"), "on_fail"),
    (("--option", "nonsense"), "option"),
)


def test_bad_arguments_end_with_a_sentence(terminal: Terminal, clip: str) -> None:
    for arguments, words in BAD:
        assert terminal.run("extend", clip, *MODEL, *arguments) == 2
        assert words in terminal.stderr
        assert terminal.stderr.count("\n") == 1


def test_what_is_no_clip_ends_with_a_sentence(terminal: Terminal) -> None:
    Path("zero.mp4").touch()
    PIL.Image.new("RGB", (96, 96)).save("picture.png")
    for got, words in (("nobody", "no such asset"), ("gone.mp4", "no such file"), ("zero.mp4", "0 bytes"),
                       ("picture.png", "this is a picture")):  # fmt: skip
        error = terminal.json("extend", got, *MODEL, code=2)["error"]
        assert error["field"] == "clip"
        assert words in error["message"]


def test_a_window_that_fails_ends_it_and_the_clip_is_as_it_was(terminal: Terminal, clip: str) -> None:
    assert terminal.json("extend", clip, "--model", "scripted-raises", code=4)["error"]["message"]
    assert [item["kind"] for item in terminal.json("library", "list")["assets"]] == ["picture", "video"]


# -- the embedded model, as a user runs it --------------------------------------------------------------------------


@pytest.mark.slow
def test_after_kill_9_between_windows_the_finished_one_is_not_made_again(tmp_path: Path) -> None:
    environment = {**os.environ, "STUDIO_HOME": str(tmp_path / "home"), "OMP_WAIT_POLICY": "PASSIVE"}
    y, x = np.mgrid[0:160, 0:160]
    photo = np.stack([128 + 90 * np.sin(x / 9), 128 + 90 * np.cos(y / 13), (x + y) % 256], axis=-1).astype(np.uint8)
    PIL.Image.fromarray(photo).save(tmp_path / "photo.png")

    def run(*arguments: str) -> dict[str, Any]:
        command = [STUDIO, *arguments, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    parent = run("generate", "--model", "micro-svd", "--image", str(tmp_path / "photo.png"), "--steps", "2")["asset"]
    arguments = ("extend", parent["id"], "--windows", "2", "--steps", "2")
    log = tmp_path / "log"
    with log.open("w") as stderr:
        victim = subprocess.Popen([STUDIO, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
    deadline = time.monotonic() + 200
    while "sampling (window 2 of 2)" not in log.read_text() and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    first = next(item for item in run("library", "list")["assets"] if item["kind"] == "video")
    assert first["id"] != parent["id"]

    data = run(*arguments)
    assert data["windows"][0]["id"] == first["id"]
    assert (data["asset"]["num_frames"], data["asset"]["width"]) == (14 + 13 + 13, 128)
    assert data["provenance"]["state"] == "trusted"
    assert [item["state"] for item in data["provenance"]["ingredients"]] == ["trusted"] * 3
    assert [drift["seam_frame"] for drift in data["drift"]] == [14, 27]
    assert {item["id"] for item in run("library", "list")["assets"]} == {parent["id"], data["asset"]["id"]}
