"""The command-line contract: exit codes, one JSON object on stdout, sentences instead of tracebacks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from studio.config import Settings
from studio.export import gate
from studio.provenance.safekeeping import WATERMARK, publish
from tests.ui.conftest import Terminal


def make(terminal: Terminal, *arguments: str) -> dict[str, Any]:
    return terminal.json("generate", "--model", "scripted-moving", "--seed", "1", *arguments)


def test_models_lists_the_catalog(terminal: Terminal) -> None:
    models = {model["id"]: model for model in terminal.json("models")["models"]}
    assert models["micro-wan"]["ready"] is True
    assert models["svd-xt"]["ready"] is False
    assert {"id", "name", "tasks", "where", "status", "ready"} <= set(models["svd"])
    assert all(model["reason"] for model in models.values() if not model["ready"])


def test_models_can_be_asked_for_a_task(terminal: Terminal) -> None:
    models = terminal.json("models", "--task", "image-to-video")["models"]
    assert models
    assert all("image-to-video" in model["tasks"] for model in models)
    assert terminal.run("models", "--task", "text-to-opera") == 2
    assert "text-to-video" in terminal.stderr


def test_estimate_answers_every_figure(terminal: Terminal) -> None:
    data = terminal.json("estimate", "--model", "scripted-moving")
    assert {"seconds", "vram_bytes", "ram_bytes", "disk_bytes", "cost"} <= set(data)
    assert set(data["cost"]) == {"amount", "currency"}


def test_generate_says_everything_about_the_clip(terminal: Terminal) -> None:
    data = make(terminal, "--prompt", "a square", "--output", "clip.mp4", "--option", "shade=20")
    assert {"id", "path", "sha256", "frames_sha256", "width", "height", "num_frames", "frame_rate", "seed"} <= set(
        data["asset"]
    )
    assert data["provenance"]["state"] == "trusted"
    assert data["report"]["checks"]
    assert data["seconds"] >= 0
    assert Path(data["asset"]["path"]).read_bytes() == Path("clip.mp4").read_bytes()


def test_for_people_stdout_holds_the_path_alone(terminal: Terminal) -> None:
    assert terminal.run("generate", "--model", "scripted-moving", "--output", "clip.mp4") == 0
    assert terminal.stdout.strip() == str(Path("clip.mp4").absolute())
    assert "signed and verified" in terminal.stderr


def test_verify_and_check(terminal: Terminal) -> None:
    path = make(terminal)["asset"]["path"]
    data = terminal.json("verify", path)
    assert data["c2pa"]["state"] == "trusted"
    assert data["watermark"]["detected"] is True
    assert {"codes", "generator", "ingredients"} <= set(data["c2pa"])
    assert {"payload", "confidence"} <= set(data["watermark"])
    checks = terminal.json("check", path)["checks"]
    assert {"id", "score", "unit", "threshold", "passed", "worst_frames"} <= set(checks[0])


def test_verify_of_a_changed_file_exits_1_and_says_why(terminal: Terminal) -> None:
    content = bytearray(Path(make(terminal)["asset"]["path"]).read_bytes())
    content[-50] ^= 255
    Path("changed.mp4").write_bytes(content)
    assert terminal.json("verify", "changed.mp4", code=1)["reason"]
    assert terminal.run("verify", "changed.mp4") == 1
    assert terminal.stdout.startswith("ALTERED ")
    assert "was changed after" in terminal.stdout


def test_verify_shows_one_screen_and_more_on_demand(terminal: Terminal) -> None:
    path = make(terminal)["asset"]["path"]
    assert terminal.run("verify", path) == 0
    screen = terminal.stdout
    assert screen.startswith("INTACT ")
    assert len(screen.splitlines()) <= 24
    assert "Disclosures" not in screen
    assert terminal.run("verify", "--full", "--no-search", path) == 0
    assert terminal.stdout.startswith(screen[: screen.index("file ")])
    assert "EU AI Act" in terminal.stdout
    assert "California SB 942" in terminal.stdout
    assert "finest detail" in terminal.stdout


def test_a_short_mark_is_told(terminal: Terminal, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    # At this size it depends on key and payload how much of a mark fits.
    settings.create_home()
    publish(settings.identity_folder, WATERMARK, {"key.bin": bytes(32)})
    monkeypatch.setattr(gate, "random_payload", lambda: 0x1F2E3D4C5B6A7988)
    size = ("--width", "64", "--height", "64", "--num-frames", "33")
    assert terminal.run("generate", "--model", "scripted-moving", "--seed", "3", *size) == 0
    assert "watermark 6a7988" in terminal.stderr
    assert "a short mark of 24 bits only" in " ".join(terminal.stderr.split())


def test_check_of_a_faulty_clip_exits_1(terminal: Terminal) -> None:
    path = terminal.json("generate", "--model", "scripted-black")["asset"]["path"]
    assert terminal.json("check", path, code=1)["passed"] is False


def test_the_library_lists_shows_searches_exports_and_removes(terminal: Terminal) -> None:
    asset = make(terminal, "--prompt", "a lonely [bold]square[/bold]")["asset"]
    assert [item["id"] for item in terminal.json("library", "list")["assets"]] == [asset["id"]]
    assert terminal.json("library", "search", "lonely")["assets"]
    assert not terminal.json("library", "search", "crowded")["assets"]
    assert terminal.json("library", "show", asset["id"])["assets"][0]["report"]
    assert terminal.run("library", "list") == 0
    assert "[bold]" in terminal.stdout
    assert terminal.json("library", "export", asset["id"], "copy.mp4")["path"] == str(Path("copy.mp4").absolute())
    assert terminal.run("library", "export", asset["id"], "copy.mp4") == 2
    assert terminal.run("library", "remove", asset["id"], "--json") == 2
    assert terminal.json("library", "remove", asset["id"], "--yes")["removed"] is True
    assert terminal.json("library", "list")["assets"] == []


def test_doctor_reports_every_check(terminal: Terminal) -> None:
    checks = {check["id"]: check for check in terminal.json("doctor")["checks"]}
    assert checks["signing"]["ok"] is True
    assert checks["packages"]["ok"] is True
    assert all(check["fix"] for check in checks.values() if check["ok"] is False)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["generate", "--model", "scripted-raises"], 4, "the script says so"),
        (["generate", "--model", "scripted-crashes"], 4, "--debug"),
        (["generate", "--model", "scripted-interrupted"], 130, "canceled"),
        (["generate", "--model", "svd", "--image", "photo.png"], 3, "studio models pull svd"),
        (["generate", "--model", "mochi-1-preview", "--prompt", "x"], 2, "mochi"),
        (["generate", "--model", "no-such"], 2, "model: no such model; got no-such"),
        (["generate", "--model", "scripted-moving", "--width", "100"], 2, "96 or 112"),
        (["generate", "--model", "scripted-moving", "--num-frames", "10"], 2, "9 or 13"),
        (["generate", "--model", "scripted-moving", "--width", "wide"], 2, "width"),
        (["generate", "--model", "scripted-moving", "--seed", "-1"], 2, "seed: out of range"),
        (["generate", "--model", "scripted-moving", "--frame-rate", "24/0"], 2, "frame_rate"),
        (["generate", "--model", "scripted-moving", "--option", "shade"], 2, "KEY=VALUE"),
        (["generate", "--model", "scripted-moving", "--output", "."], 2, "folder"),
        (["generate", "--model", "scripted-moving", "--frame-rate", "1e400"], 2, "frame_rate"),
        (["generate"], 2, "--model"),
        (["library"], 2, "a command is missing"),
        (["verify", "pipe"], 2, "pipe"),
        (["verify", "no-such.mp4"], 2, "no-such.mp4"),
        (["verify", "."], 2, "file"),
        (["check", "photo.txt.png"], 2, "photo.txt.png"),
        (["library", "show", "nope"], 2, "library list"),
        (["models", "pull", "no-such"], 2, "no such model"),
        (["models", "pull", "scripted-moving"], 2, "remotely"),
        (["quarantine", "retry", "nope"], 2, "none waits"),
        (["no-such-command"], 2, "no-such-command"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_the_right_code(
    terminal: Terminal, arguments: list[str], code: int, words: str
) -> None:
    PIL.Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("photo.png")
    Path("photo.txt.png").write_text("this is no picture")
    os.mkfifo("pipe")
    assert terminal.run(*arguments) == code
    assert words in terminal.stderr
    assert terminal.stderr.strip().splitlines()[-1].startswith("studio: ")
    if "--json" not in arguments and arguments[0] != "no-such-command":
        assert terminal.json(*arguments, code=code)["error"]["message"]


def test_ids_are_whole_in_a_pipe(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    asset = make(terminal, "--prompt", "word " * 40)["asset"]
    assert terminal.run("library", "list") == 0
    assert asset["id"] in terminal.stdout
    assert len(terminal.stdout.strip().splitlines()) == 2


@pytest.mark.parametrize("arguments", [["library", "search", "x" * 2000], ["library", "search", *map(str, range(99))]])
def test_a_search_that_is_too_long_is_refused(terminal: Terminal, arguments: list[str]) -> None:
    assert terminal.run(*arguments) == 2


def test_bytes_that_are_no_text_are_refused(terminal: Terminal) -> None:
    assert terminal.run("library", "show", "\udcff") == 2


def test_weights_nobody_can_use_are_not_pulled(terminal: Terminal, tmp_path: Path) -> None:
    row = '[[models]]\nid = "unserved"\nextends = "svd"\nnot_ready = "no class is written."\n'
    (tmp_path / "rows" / "own.toml").write_text(row + 'weights.repository = "nobody/nothing"\n')
    assert terminal.run("models", "pull", "unserved") == 2


def test_existing_output_is_never_replaced_unasked(terminal: Terminal) -> None:
    Path("precious.mp4").write_text("precious")
    assert terminal.run("generate", "--model", "scripted-moving", "--output", "precious.mp4") == 2
    assert Path("precious.mp4").read_text() == "precious"
    assert terminal.run("generate", "--model", "scripted-moving", "--output", "precious.mp4", "--force") == 0
    assert terminal.run("verify", "precious.mp4") == 0


def test_hostile_text_does_not_steer_the_terminal(terminal: Terminal) -> None:
    assert terminal.run("generate", "--model", "\x1b[2J\x1b]0;owned\x07") == 2
    assert "\x1b" not in terminal.stderr
    name = "\x1b[31mred.mp4"
    Path(name).write_bytes(b"")
    assert terminal.run("verify", name) == 1
    assert "\x1b" not in terminal.stdout + terminal.stderr
