"""`studio library export` as a user runs it: formats, refusals, what is told, and a process that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.request import GenerationRequest
from ui.cli.entry import run

Command = Callable[..., dict[str, Any]]


@pytest.fixture
def asset(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return studio.generate(GenerationRequest(model="scripted-moving", seed=1)).asset.id


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """A function that runs ``studio library ... --json`` and returns the object it printed."""

    def call(*arguments: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert run(("library", *arguments, "--json")) == code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        data = json.loads(captured.out)
        assert isinstance(data, dict)
        return data

    return call


def test_a_copy_keeps_every_byte(asset: str, command: Command) -> None:
    data = command("export", asset, "copy.mp4")
    assert data["path"] == str(Path("copy.mp4").absolute())
    assert [item["id"] for item in data["assets"]] == [asset]
    assert data["sidecar"] is None
    assert Path("copy.mp4").read_bytes() == Path(data["assets"][0]["path"]).read_bytes()


def test_another_format_becomes_an_asset_of_its_own(asset: str, command: Command) -> None:
    child = command("export", asset, "clip.gif")["assets"][0]
    assert (child["parent_id"], child["kind"], child["mime_type"]) == (asset, "animation", "image/gif")
    assert command("show", asset)["assets"][0]["children"] == [child["id"]]
    shown = command("show", child["id"])["assets"][0]
    assert (shown["parent_id"], shown["derivation"]["origin"]) == (asset, "animated_picture")
    assert [item["kind"] for item in command("list")["assets"]] == ["animation", "video"]


def test_a_sidecar_is_named(asset: str, command: Command) -> None:
    data = command("export", asset, "clip.webm")
    assert data["sidecar"] == str(Path("clip.c2pa").absolute())
    assert Path("clip.c2pa").is_file()
    assert "keep the two files together" in data["notes"][0]
    assert command("remove", data["assets"][0]["id"], "--yes")["removed"] is True
    assert not Path(data["assets"][0]["path"]).exists()
    assert not Path(data["assets"][0]["sidecar"]).exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["clip.avi"], "no format"),
        (["clip.wav"], "no sound"),
        (["clip.png", "--frame", "9"], "0 to 8"),
        (["clip.png", "--frame", "1", "--last-frame"], "two frames"),
        (["clip.mp4", "--start", "nan"], "start"),
        (["clip.mp4", "--start", "-1"], "start"),
        (["clip.mp4", "--end", "1e300"], "end"),
        (["clip.mp4", "--width", "0"], "width"),
        (["clip.gif", "--frame-rate", "0"], "frame_rate"),
        (["no/such/folder.gif"], "no such folder"),
        ([".gif"], "no format"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_sentence(
    asset: str, command: Command, arguments: list[str], words: str
) -> None:
    error = command("export", asset, *arguments, code=2)["error"]
    assert words in f"{error['field']}: {error['message']}; allowed: {error['allowed']}"
    assert not list(Path.cwd().glob("clip*"))
    assert len(command("list")["assets"]) == 1


@pytest.mark.parametrize("name", ["./-i.gif", "file:x.gif", "a\nb.gif", "%d.gif", "ü \u202e.gif", "concat:a|b.gif"])
def test_hostile_names_are_only_names(asset: str, command: Command, name: str) -> None:
    command("export", asset, name)
    assert Path(name).read_bytes().startswith(b"GIF89a")


def test_an_altered_clip_is_refused_with_the_code_of_a_verification(asset: str, command: Command) -> None:
    path = Path(command("show", asset)["assets"][0]["path"])
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert "changed after it was sealed" in command("export", asset, "clip.png", code=1)["error"]["message"]


KILLED_IN_BETWEEN = """
import os, signal, sys
from pathlib import Path
from studio import delivery
from studio.app import Studio

real, names = delivery._publish, []

def publish(temporary, destination, **options):
    names.append(destination)
    if len(names) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    real(temporary, destination, **options)

delivery._publish = publish
Studio().export(sys.argv[1], Path("clip.webm"))
"""

KILLED_WHILE_ENCODING = """
import os, signal, sys
from pathlib import Path
from studio.app import Studio

die = lambda stage: stage == "signing" and os.kill(os.getpid(), signal.SIGKILL)
Studio().export(sys.argv[1], Path("clip.webm"), on_stage=die)
"""


@pytest.mark.parametrize("program", [KILLED_IN_BETWEEN, KILLED_WHILE_ENCODING], ids=["between the files", "encoding"])
def test_a_killed_export_leaves_no_half_pair_and_can_be_repeated(
    program: str, asset: str, studio: Studio, command: Command
) -> None:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    process = subprocess.run([sys.executable, "-c", program, asset], env=environment, timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert not Path("clip.webm").exists()
    for folder in studio.settings.quarantine_folder.glob("export-*"):
        os.utime(folder, (time.time() - 7200,) * 2)
    data = command("export", asset, "clip.webm", "--force")
    assert studio.store.asset(data["assets"][0]["id"]).parent_id == asset
    assert not list(studio.settings.quarantine_folder.glob("export-*"))
