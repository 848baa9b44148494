"""What a terminal shows: tables that fit it, and a bar that tells of the stage it is in."""

from __future__ import annotations

import re
import sys

import pytest

from studio.jobs.job import Progress
from tests.ui.conftest import Terminal
from ui.cli.progress import generation_progress


@pytest.fixture
def is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the streams pass for a terminal."""
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _stream: True)


@pytest.mark.usefixtures("is_shown")
@pytest.mark.parametrize(("width", "has_summaries"), [(80, False), (140, True)])
def test_the_catalog_fits_a_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, width: int, *, has_summaries: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.delenv("RUNWAYML_API_SECRET", raising=False)
    assert terminal.run("models") == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.stdout).splitlines()
    assert max(map(len, lines)) <= width
    words = {line.split()[0]: line for line in lines if line.split()}
    assert "no key" in words["runway-gen4.5"]
    assert "retired" in words["sora-2"]
    assert ("Moving shapes" in words["micro-wan"]) is has_summaries
    assert "`studio keys list`" in terminal.stderr


@pytest.mark.usefixtures("is_shown")
def test_a_stage_without_steps_does_not_keep_those_of_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    with generation_progress() as observe:
        observe(Progress(stage="generating", done=50, total=100))
        observe(Progress(stage="downloading"))
    shown = capsys.readouterr().err
    assert "downloading" in shown
    assert "0/100" not in shown.rpartition("downloading")[2]
