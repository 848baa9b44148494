"""What the terminal says of a clip that failed a check: which check, where, why, and what to do next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.consistency import runner
from tests.ui.conftest import Terminal

UNLUCKY = ("generate", "--model", "scripted-unlucky", "--seed", "2")
CHECKS = ("studio.consistency.checks.frozen:FrozenFrames", "studio.consistency.checks.black:BlackFrames")


@pytest.fixture(autouse=True)
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scripted clips do wrong is for these two; others would have opinions of their own on such drawings."""
    monkeypatch.setattr(runner, "CHECKS", CHECKS)


def hold(terminal: Terminal) -> str:
    terminal.json(*UNLUCKY, "--on-fail", "hold", code=1)
    (job,) = terminal.json("quarantine", "list")["jobs"]
    return str(job["id"])


def test_a_flagged_clip_is_made_and_the_failure_is_named(terminal: Terminal) -> None:
    assert terminal.run(*UNLUCKY) == 0
    assert Path(terminal.stdout.strip()).is_file()
    assert "checks: flagged" in terminal.stderr
    (line,) = [line for line in terminal.stderr.splitlines() if "check failed" in line]
    assert "Black or blank frames" in line
    assert "frame 3" in line
    data = terminal.json(*UNLUCKY)
    assert data["report"]["passed"] is False
    assert (data["asset"]["checks"], data["asset"]["checks_passed"]) == ("flagged", False)
    assert any("Black or blank frames" in warning for warning in data["warnings"])


def test_the_library_shows_what_was_flagged_and_lists_it_alone_on_demand(terminal: Terminal) -> None:
    flagged = terminal.json(*UNLUCKY)["asset"]
    passed = terminal.json("generate", "--model", "scripted-unlucky", "--seed", "1", "--prompt", "a square")["asset"]
    assert [item["id"] for item in terminal.json("library", "list", "--flagged")["assets"]] == [flagged["id"]]
    assert terminal.json("library", "search", "--flagged", "square")["assets"] == []
    assert terminal.run("library", "list") == 0
    rows = {line.split()[0]: line for line in terminal.stdout.splitlines()}
    assert "flagged" in rows[flagged["id"]]
    assert "passed" in rows[passed["id"]]
    assert terminal.run("library", "show", flagged["id"]) == 0
    assert "check failed   Black or blank frames" in terminal.stdout
    assert "policy         flag: flagged" in terminal.stdout


def test_a_held_clip_is_explained_shown_and_released(terminal: Terminal) -> None:
    assert terminal.run(*UNLUCKY, "--on-fail", "hold") == 1
    assert "held for review" in terminal.stderr
    assert "studio quarantine release" in terminal.stderr.strip().splitlines()[-1]
    (job,) = terminal.json("quarantine", "list")["jobs"]
    assert (job["state"], job["reason"]) == ("held", None)
    assert "Black or blank frames" in job["error"]["message"]
    assert terminal.run("quarantine", "list") == 0
    assert "held for review" in terminal.stdout
    assert terminal.run("quarantine", "show", job["id"]) == 0
    assert "check failed   Black or blank frames" in terminal.stdout
    (shown,) = terminal.json("quarantine", "show", job["id"])["jobs"]
    assert shown["attempts"][0]["report"]["passed"] is False
    assert terminal.json("library", "list")["assets"] == []
    assert terminal.run("quarantine", "release", job["id"]) == 0
    assert "check failed" in terminal.stderr
    (asset,) = terminal.json("library", "list")["assets"]
    assert asset["checks"] == "released"


def test_sealing_whatever_waits_leaves_held_clips_alone(terminal: Terminal) -> None:
    job_id = hold(terminal)
    assert terminal.json("quarantine", "retry") == {"assets": [], "failed": []}
    assert terminal.json("quarantine", "retry", job_id, code=1)["error"]["type"] == "ChecksFailed"
    assert terminal.json("quarantine", "discard", job_id, "--yes")["jobs"][0]["discarded"] is True
    assert terminal.json("quarantine", "list")["jobs"] == []


def test_a_refused_clip_can_be_looked_at_and_discarded_and_not_released(terminal: Terminal) -> None:
    error = terminal.json(*UNLUCKY, "--on-fail", "refuse", code=1)["error"]
    assert error["type"] == "ChecksFailed"
    assert "refused" in error["message"]
    (job,) = terminal.json("quarantine", "list")["jobs"]
    assert (job["state"], job["reason"]) == ("failed", "refused")
    assert terminal.run("quarantine", "release", job["id"]) == 2
    assert "not held for review" in terminal.stderr


def test_every_attempt_is_shown_in_the_library(terminal: Terminal) -> None:
    data = terminal.json(*UNLUCKY, "--on-fail", "retry:9")
    attempts = data["asset"]["ruling"]["attempts"]
    assert data["asset"]["checks"] == "passed"
    assert [attempt["passed"] for attempt in attempts] == [False] * (len(attempts) - 1) + [True]
    assert terminal.run("library", "show", data["asset"]["id"]) == 0
    shown = [line for line in terminal.stdout.splitlines() if line.startswith("attempt ")]
    assert len(shown) == len(attempts) >= 2
    assert "seed 2: failed (black), dropped" in shown[0]
    assert shown[-1].endswith("passed, this clip")


@pytest.mark.parametrize("words", ["drop", "retry", "retry:0", "retry:99", ""])
def test_an_unknown_policy_is_refused_naming_those_there_are(terminal: Terminal, words: str) -> None:
    error = terminal.json(*UNLUCKY, "--on-fail", words, code=2)["error"]
    assert error["field"] == "on_fail"
    assert "retry:N" in error["allowed"]


def test_a_wrong_setting_is_named(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_ON_FAILED_CHECK", "explode")
    error = terminal.json(*UNLUCKY, code=3)["error"]
    assert error["field"] == "STUDIO_ON_FAILED_CHECK"
    assert "retry:N" in error["message"]
    monkeypatch.setenv("STUDIO_ON_FAILED_CHECK", "refuse")
    assert terminal.json(*UNLUCKY, code=1)["error"]["type"] == "ChecksFailed"
    assert json.loads(terminal.stdout)["exit_code"] == 1


def test_reports_are_drawn_of_clips_in_the_library_in_quarantine_and_anywhere(terminal: Terminal) -> None:
    asset = terminal.json(*UNLUCKY)["asset"]
    job_id = hold(terminal)
    assert terminal.run("library", "show", asset["id"], "--report", "one") == 0
    assert str(Path("one/report.html")) in terminal.stderr
    assert terminal.run("quarantine", "show", job_id, "--report", "two") == 0
    assert terminal.run("check", "--profile", "gate", asset["path"], "--report", "three") == 1
    for folder in ("one", "two", "three"):
        assert json.loads(Path(folder, "report.json").read_text())["passed"] is False
        assert "Black or blank frames" in Path(folder, "report.html").read_text()
        assert "frame 3, 0.38 s" in Path(folder, "report.html").read_text()
    assert "not sealed" in Path("two/report.html").read_text()
    assert terminal.run("library", "show", asset["id"], "--report", "one") == 2
    assert "--force" in terminal.stderr
    assert terminal.run("library", "show", asset["id"], "--report", "one", "--force") == 0


def test_a_report_is_refused_where_there_is_none(terminal: Terminal) -> None:
    asset = terminal.json(*UNLUCKY)["asset"]
    terminal.json("library", "export", asset["id"], "still.png")
    (picture,) = [item for item in terminal.json("library", "list")["assets"] if item["kind"] == "picture"]
    assert picture["checks"] == "unchecked"
    assert terminal.run("library", "show", picture["id"], "--report", "none") == 2
    assert "no report" in terminal.stderr
    assert terminal.run("check", asset["path"], asset["path"], "--report", "none") == 2
    assert not Path("none").exists()
