"""`studio compare`: what it prints for people and programs, and how it ends."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.config import Settings
from studio.errors import RequestError
from studio.request import Role
from tests.fakes import write_scripted_row, write_scripted_rows
from tests.ui.conftest import Terminal
from ui.cli.comparison_arguments import parse_changes, variants_of

ROOT = Path(__file__).parents[2]
STUDIO = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from ui.cli import main; main()"
TWO = ("--model", "scripted-moving", "--model", "scripted-frozen")
SMALL = ("--width", "96", "--height", "96", "--prompt", "a square", "--seed", "3")


@pytest.fixture
def comparison(terminal: Terminal) -> dict[str, Any]:
    """Two clips of two models."""
    return terminal.json("compare", "run", *TWO, *SMALL, "--tag", "Sky", "--title", "Two")


def vote(terminal: Terminal, comparison: dict[str, Any], *more: str, code: int = 0) -> dict[str, Any]:
    return terminal.json("compare", "vote", comparison["comparison"]["id"], *more, code=code)


def test_programs_get_the_entries_and_the_ranking(terminal: Terminal, comparison: dict[str, Any]) -> None:
    entries = comparison["entries"]
    assert [entry["model"] for entry in entries] == ["scripted-moving", "scripted-frozen"]
    assert [entry["state"] for entry in entries] == ["succeeded", "succeeded"]
    assert {entry["asset"]["seed"] for entry in entries} == {3}
    for entry in entries:
        assert hashlib.sha256(Path(entry["asset"]["path"]).read_bytes()).hexdigest() == entry["asset"]["sha256"]
        assert terminal.json("verify", entry["asset"]["path"])["c2pa"]["state"] == "trusted"
    assert comparison["comparison"]["tags"] == ["sky"]
    assert comparison["ranking"]["votes_needed"] == 30
    assert comparison["ranking"]["is_enough"] is False


def test_people_get_a_table_and_how_it_goes_on(terminal: Terminal) -> None:
    assert terminal.run("compare", "run", *TWO, *SMALL, "--steps", "99") == 0
    assert "scripted-moving" in terminal.stdout
    assert "succeeded" in terminal.stdout
    assert "num_inference_steps: 99 was asked for; scripted-moving takes 50" in terminal.stderr
    assert "[2/2] scripted-frozen" in terminal.stderr
    assert "--blind --into DIR" in terminal.stderr


def test_values_of_a_parameter_make_contestants(terminal: Terminal) -> None:
    data = terminal.json("compare", "run", "--model", "scripted-moving", "--vary", "steps=2,option.shade=5",
                         "--vary", "seed=7", "--entry", "scripted-frozen,guidance-scale=2", *SMALL)  # fmt: skip
    labels = [entry["label"] for entry in data["entries"]]
    assert labels == ["scripted-moving steps=2 shade=5", "scripted-moving seed=7", "scripted-frozen guidance=2.0"]
    requests = [entry["request"] for entry in data["entries"]]
    assert [request["num_inference_steps"] for request in requests] == [2, 3, 3]
    assert [request["seed"] for request in requests] == [3, 7, 3]
    assert requests[0]["options"]["shade"] == 5


def test_a_failure_is_told_and_decides_the_exit_code(terminal: Terminal) -> None:
    data = terminal.json("compare", "run", *TWO, "--model", "scripted-raises", *SMALL, code=4)
    assert [entry["state"] for entry in data["entries"]] == ["succeeded", "succeeded", "failed"]
    assert data["entries"][2]["error"]["message"] == "the script says so"


def test_a_clip_that_is_held_for_review_decides_the_exit_code(terminal: Terminal) -> None:
    data = terminal.json("compare", "run", *TWO, *SMALL, "--on-fail", "hold", code=1)
    assert [entry["state"] for entry in data["entries"]] == ["succeeded", "held"]


def test_a_dry_run_starts_nothing(terminal: Terminal) -> None:
    data = terminal.json("compare", "run", *TWO, *SMALL, "--num-frames", "10", "--dry-run")
    assert [item["field"] for item in data["entries"][0]["differences"]] == ["num_frames"]
    assert data["entries"][0]["estimate"] == {"amount": 0.0, "currency": "USD"}
    assert terminal.json("compare", "list")["comparisons"] == []
    assert terminal.json("queue", "list")["jobs"] == []


def test_detached_jobs_wait_for_a_worker(terminal: Terminal) -> None:
    data = terminal.json("compare", "run", *TWO, *SMALL, "--detach")
    assert [entry["state"] for entry in data["entries"]] == ["queued", "queued"]
    assert terminal.run("worker", "--drain") == 0
    shown = terminal.json("compare", "show", data["comparison"]["id"])
    assert [entry["state"] for entry in shown["entries"]] == ["succeeded", "succeeded"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "scripted-moving"), "variants: a comparison has several contestants"),
        (("--model", "scripted-moving", "--model", "nobody"), "nobody"),
        (("--vary", "seed=1"), "add --model ID"),
        (("--model", "scripted-moving", "--vary", "sede=1", "--vary", "seed=2"), "no such parameter"),
        (("--model", "scripted-moving", "--vary", "seed=one", "--vary", "seed=2"), "not a whole number"),
        (("--entry", "steps=4", "--entry", "scripted-moving"), "it begins with a model"),
        ((*TWO, "--width", "-4"), "width"),
        ((*TWO, "--tag", ""), "tags"),
        ((*TWO, "--output-report", "r.pdf"), "output"),
        ((*TWO, "--image", "missing.png"), "image"),
        ((*TWO, "--max-cost", "much"), "max_cost"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_a_sentence(
    terminal: Terminal, arguments: tuple[str, ...], words: str
) -> None:
    assert terminal.run("compare", "run", *arguments, "--prompt", "a square") == 2
    assert words in terminal.stderr


def test_votes_rank_and_a_stated_number_is_needed_for_an_order(terminal: Terminal, comparison: dict[str, Any]) -> None:
    for _ in range(10):
        data = vote(terminal, comparison, "--left", "1", "--right", "2", "--verdict", "left", "--reason", "motion")
    assert data["vote"]["reasons"] == ["motion"]
    assert data["ranking"]["ranks"][0]["key"] == "1"
    assert data["ranking"]["ranks"][0]["rank"] is None
    assert data["ranking"]["notes"] == ["not enough votes to claim an order: 10 of 30"]
    for _ in range(20):
        data = vote(terminal, comparison, "--left", "2", "--right", "1", "--verdict", "right")
    assert [item["rank"] for item in data["ranking"]["ranks"]] == [1, 2]
    ranked = terminal.json("compare", "rank", "--tag", "sky")
    assert ranked["ranking"]["ranks"][0]["key"] == "scripted-moving"
    assert ranked["entries"] == []
    assert terminal.json("compare", "rank", "--tag", "sea")["ranking"]["votes"] == 0
    assert terminal.run("compare", "rank") == 0
    assert "scripted-moving is preferred to scripted-frozen in" in terminal.stdout


def test_a_vote_is_taken_back(terminal: Terminal, comparison: dict[str, Any]) -> None:
    number = comparison["comparison"]["id"]
    cast = vote(terminal, comparison, "--left", "1", "--right", "2", "--verdict", "tie", "--voter", "ann")["vote"]
    assert terminal.run("compare", "unvote", number) == 2
    assert terminal.run("compare", "unvote", number, "--vote", cast["id"], "--voter", "bob") == 2
    assert "no such vote" in terminal.stderr
    assert terminal.json("compare", "unvote", number, "--voter", "ann")["vote"]["id"] == cast["id"]
    assert terminal.json("compare", "show", number)["votes"] == []


def test_a_vote_is_on_two_finished_entries(terminal: Terminal, comparison: dict[str, Any]) -> None:
    vote(terminal, comparison, "--left", "1", "--right", "3", "--verdict", "left", code=2)
    assert "right: no such entry" in terminal.stderr
    vote(terminal, comparison, "--left", "1", "--right", "2", "--verdict", "better", code=2)
    assert "left, right, tie, both_bad" in terminal.stderr
    vote(terminal, comparison, "--left", "1", code=2)
    vote(terminal, comparison, "--blind", code=2)
    assert "--into DIR" in terminal.stderr


def test_blind_votes_show_two_copies_and_the_names_only_afterwards(
    terminal: Terminal, comparison: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("the left one\nleft\nmotion; my own words\nboth bad\n\n"))
    data = vote(terminal, comparison, "--blind", "--into", "pair", "--rounds", "2", "--voter", "ann")
    first, second = data["votes"]
    assert first["was_blind"]
    assert first["voter"] == "ann"
    assert first["reasons"] == ["motion", "my own words"]
    assert first["winner"] == first["left"]
    assert second["verdict"] == "both_bad"
    digests = {entry["number"]: entry["asset"]["sha256"] for entry in data["entries"]}
    for side in ("left", "right"):
        assert hashlib.sha256(Path(f"pair/{side}.mp4").read_bytes()).hexdigest() == digests[second[side]]
    before, _, _after = terminal.stderr.partition("left was")
    assert "scripted" not in before
    assert "no such verdict" in before


def test_a_blind_vote_replaces_no_file_of_somebody_elses_unasked(
    terminal: Terminal, comparison: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("pair").mkdir()
    Path("pair/left.mp4").write_text("mine")
    vote(terminal, comparison, "--blind", "--into", "pair", code=2)
    assert Path("pair/left.mp4").read_text() == "mine"
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    vote(terminal, comparison, "--blind", "--into", "other", code=130)
    assert terminal.json("compare", "show", comparison["comparison"]["id"])["votes"] == []


def test_a_report_is_written_with_the_run_or_later(terminal: Terminal, comparison: dict[str, Any]) -> None:
    number = comparison["comparison"]["id"]
    data = terminal.json("compare", "report", number, "--output", "r.html")
    assert data["report"]["clips"] == 2
    assert len(data["entries"]) == 2
    assert data["ranking"]["by"] == "entry"
    assert hashlib.sha256(Path("r.html").read_bytes()).hexdigest() == data["report"]["sha256"]
    assert terminal.run("compare", "report", number, "--output", "r.html") == 2
    assert "--force" in terminal.stderr
    other = terminal.json("compare", "run", *TWO, *SMALL, "--output-report", "r.html", "--force")
    assert other["report"]["comparisons"] == [other["comparison"]["id"]]
    both = terminal.json("compare", "report", number, other["comparison"]["id"], "--output", "both.html")
    assert both["ranking"]["by"] == "model"
    assert {entry["comparison_id"] for entry in both["entries"]} == {number, other["comparison"]["id"]}


def test_a_comparison_is_listed_shown_and_forgotten(terminal: Terminal, comparison: dict[str, Any]) -> None:
    number = comparison["comparison"]["id"]
    vote(terminal, comparison, "--left", "1", "--right", "2", "--verdict", "tie", "--reason", "detail")
    assert terminal.run("compare", "list") == 0
    assert number in terminal.stdout
    assert terminal.run("compare", "show", number) == 0
    assert "1 against 2: tie: detail" in terminal.stdout
    assert terminal.run("compare", "remove", number) == 2
    assert terminal.json("compare", "remove", number, "--yes")["removed"]["id"] == number
    assert terminal.run("compare", "show", number) == 2
    assert len(terminal.json("library", "list")["assets"]) == 2


def test_changes_are_read_as_the_arguments_of_generate_are() -> None:
    text = "prompt=a dog, a cat,steps=4,frame-rate=30000/1001,duration=2.5,audio=off,image=p.png,option.a-b=x=y"
    found = parse_changes("vary", text)
    assert found["prompt"] == "a dog, a cat"
    assert found["num_inference_steps"] == 4
    assert found["frame_rate"] == Fraction(30000, 1001)
    assert found["duration_seconds"] == Fraction(5, 2)
    assert found["generate_audio"] is False
    assert found["conditionings"][0].role is Role.FIRST_FRAME
    assert found["options"] == {"a-b": "x=y"}
    with pytest.raises(RequestError):
        parse_changes("vary", "steps")
    assert [item.model for item in variants_of(["a", "b"], ["seed=1", "seed=2"], ["c"])] == ["a", "a", "b", "b", "c"]


def test_ctrl_c_cancels_all_that_is_not_made(settings: Settings, tmp_path: Path) -> None:
    catalog = write_scripted_rows(settings.home / "catalog")
    write_scripted_row(catalog, "slow", "seconds_per_step = 0.2")
    environment = {**os.environ, "STUDIO_HOME": str(settings.home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STUDIO, "compare", "run", "--model", "slow", "--model", "scripted-moving",
               "--steps", "50", "--prompt", "a square", "--json"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
                               env=environment, stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    assert process.stderr is not None
    told = ""
    while "sampling" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    since = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert time.monotonic() - since < 10
    assert "Traceback" not in err
    assert json.loads(out)["exit_code"] == 130
    with Studio(settings).store as store:
        assert {row.state for row in store.jobs()} == {"canceled"}, err
