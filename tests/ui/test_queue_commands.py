"""`studio queue`: what people do with jobs that wait, run and have ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import sqlalchemy as sa

from studio.app import Studio
from studio.jobs.line import Standing, standings_after
from studio.jobs.roll import WorkerCard
from studio.jobs.worker import Worker
from studio.library.tables import JobRow
from tests.ui.conftest import Terminal
from ui.cli.commands.queueing import parse_size


def submit(terminal: Terminal, *arguments: str, model: str = "scripted-moving") -> str:
    jobs = terminal.json("queue", "submit", "--model", model, "--seed", "1", *arguments)["jobs"]
    assert [job["state"] for job in jobs] == ["queued"]
    return str(jobs[0]["id"])


def listed(terminal: Terminal, *arguments: str) -> list[str]:
    return [job["id"] for job in terminal.json("queue", "list", *arguments)["jobs"]]


def shown(terminal: Terminal, job_id: str) -> dict[str, Any]:
    job = terminal.json("queue", "show", job_id)["jobs"][0]
    assert isinstance(job, dict)
    return job


def drain() -> None:
    """Do all the jobs that wait, as `studio worker --drain` does."""
    studio = Studio()
    with studio.store:
        Worker(studio.workshop, WorkerCard(device="cpu")).run(threading.Event(), drain=True)


@contextmanager
def at_work() -> Iterator[None]:
    """Let a worker run in a thread for as long as the context lasts."""
    studio, stop = Studio(), threading.Event()
    thread = threading.Thread(target=Worker(studio.workshop, WorkerCard(device="cpu")).run, args=(stop,))
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not studio.desk.workers():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield
    finally:
        stop.set()
        thread.join()
        studio.store.close()


def picture(path: Path, colour: int) -> str:
    PIL.Image.fromarray(np.full((128, 160, 3), colour, np.uint8)).save(path)
    return str(path)


def test_submit_prints_the_id_alone_and_says_that_nobody_works(terminal: Terminal) -> None:
    assert terminal.run("queue", "submit", "--model", "scripted-moving", "--prompt", "a square") == 0
    job_id = terminal.stdout.strip()
    assert listed(terminal) == [job_id]
    assert shown(terminal, job_id)["request"]["prompt"] == "a square"
    assert terminal.run("queue", "submit", "--model", "scripted-moving") == 0
    assert "studio worker" in terminal.stderr


def test_a_wrong_request_is_refused_before_it_waits(terminal: Terminal) -> None:
    assert terminal.run("queue", "submit", "--model", "scripted-moving", "--width", "7") == 2
    assert "width" in terminal.stderr
    assert terminal.run("queue", "submit", "--model", "scripted-moving", "--priority", "101") == 2
    assert "-100 .. 100" in terminal.stderr
    assert terminal.run("queue", "submit", "--model", "scripted-moving", "--on-fail", "shrug") == 2
    assert terminal.run("queue", "submit") == 2
    assert listed(terminal) == []


def test_the_same_key_twice_is_the_same_job(terminal: Terminal) -> None:
    first = submit(terminal, "--key", "monday")
    assert submit(terminal, "--key", "monday") == first
    assert listed(terminal) == [first]


def test_the_list_tells_what_the_queue_is_like(terminal: Terminal) -> None:
    submit(terminal)
    data = terminal.json("queue", "list")
    assert data["queue"]["is_paused"] is False
    assert data["queue"]["counts"]["queued"] == 1
    assert {"id", "state", "status", "model", "priority", "progress", "request"} <= set(data["jobs"][0])
    assert terminal.run("queue", "list") == 0
    assert "scripted-moving" in terminal.stdout
    assert "1 queued" in terminal.stderr


def test_an_empty_queue_is_listed_too(terminal: Terminal) -> None:
    assert terminal.json("queue", "list")["jobs"] == []
    assert terminal.run("queue", "list") == 0
    assert "no jobs" in terminal.stderr


def test_what_waits_is_listed_in_the_order_of_the_queue_and_before_what_has_ended(terminal: Terminal) -> None:
    ended, low, high = (submit(terminal) for _ in range(3))
    assert terminal.run("queue", "cancel", ended) == 0
    assert terminal.json("queue", "priority", high, "5")["jobs"][0]["priority"] == 5
    assert listed(terminal) == [high, low, ended]
    assert listed(terminal, "--limit", "2") == [high, low]
    assert listed(terminal, "--all") == [high, low, ended]
    assert listed(terminal, "--state", "canceled") == [ended]
    assert listed(terminal, "--batch", "none") == []
    assert terminal.run("queue", "list", "--state", "lost") == 2
    assert "queued, running" in terminal.stderr


def test_ids_may_be_beginnings_as_long_as_they_are_clear(terminal: Terminal) -> None:
    first, second = submit(terminal), submit(terminal)
    assert shown(terminal, first)["id"] == first
    assert terminal.run("queue", "show", first[:4]) == 2
    assert "several jobs begin like this" in terminal.stderr
    differs = next(number for number, (one, other) in enumerate(zip(first, second, strict=True)) if one != other)
    assert shown(terminal, second[: differs + 1])["id"] == second
    for wrong in ("nobody", "", "%", "_" * 24):
        assert terminal.run("queue", "show", wrong) == 2
        assert "studio queue list" in terminal.stderr


def test_a_worker_makes_what_was_submitted_and_show_tells_how(terminal: Terminal) -> None:
    job_id = submit(terminal, "--option", "shade=20")
    drain()
    job = shown(terminal, job_id)
    assert (job["state"], job["asset_id"], job["error"]) == ("succeeded", job_id, None)
    (attempt,) = job["attempts"]
    assert attempt["outcome"] == "succeeded"
    assert attempt["host"]
    assert {"sampling", "signing"} <= set(attempt["timings"])
    assert terminal.run("queue", "show", job_id) == 0
    assert "option              shade=20" in terminal.stdout
    assert "attempt 1" in terminal.stdout


def test_show_tells_why_a_job_failed_and_what_to_do(terminal: Terminal) -> None:
    job_id = submit(terminal, model="scripted-raises")
    drain()
    job = shown(terminal, job_id)
    assert (job["state"], job["reason"]) == ("failed", "generation")
    assert "the script says so" in job["error"]["message"]
    assert job["attempts"][0]["error"]["message"] == job["error"]["message"]
    assert terminal.run("queue", "show", job_id) == 0
    assert "the script says so" in terminal.stdout


def test_watch_ends_when_all_have_and_exits_by_what_became_of_them(terminal: Terminal) -> None:
    good, bad = submit(terminal), submit(terminal, model="scripted-raises")
    with at_work():
        data = terminal.json("queue", "watch", code=4)
        assert [job["state"] for job in data["jobs"]] == ["succeeded", "failed"]
        assert terminal.json("queue", "watch", good)["jobs"][0]["id"] == good
    assert terminal.run("queue", "watch", bad) == 4
    assert f"{bad}: the script says so" in terminal.stderr
    assert terminal.stdout == f"{bad}  failed\n"
    assert terminal.json("queue", "watch")["jobs"] == []  # nothing is left to wait for


def test_watch_exits_with_1_for_a_clip_that_its_checks_keep_back_and_with_130_for_a_canceled_one(
    terminal: Terminal,
) -> None:
    held = submit(terminal, "--on-fail", "hold", model="scripted-black")
    drain()
    assert terminal.json("queue", "watch", held, code=1)["jobs"][0]["state"] == "held"
    canceled = submit(terminal)
    assert terminal.json("queue", "cancel", canceled)["jobs"][0]["state"] == "canceled"
    assert terminal.run("queue", "watch", canceled) == 130


def test_cancel_says_that_what_was_ordered_for_a_waiting_job_goes_on(terminal: Terminal) -> None:
    job_id, studio = submit(terminal), Studio()
    kept = {"provider": "acme", "state": "submitted", "handle": {"id": "1"}}
    saved = {"attempt": 1, "token": 1, "serial": 2, "request": "", "operation": kept}
    with studio.store, studio.store.transaction() as session:
        session.execute(sa.update(JobRow).where(JobRow.id == job_id).values(operation=saved))
    assert terminal.run("queue", "cancel", job_id) == 0
    assert "goes on at the provider" in terminal.stderr
    assert f"`studio queue retry {job_id}`" in terminal.stderr


def test_cancel_touches_one_job_alone(terminal: Terminal) -> None:
    first, second, third = (submit(terminal) for _ in range(3))
    assert terminal.run("queue", "cancel", second) == 0
    assert terminal.stdout == f"{second}  canceled\n"
    assert listed(terminal, "--state", "queued") == [first, third]
    assert terminal.run("queue", "cancel", second) == 2
    assert "a job that is canceled cannot be canceled" in terminal.stderr


def test_what_cannot_be_done_to_one_of_several_jobs_is_told_and_done_to_the_others(terminal: Terminal) -> None:
    first, second = submit(terminal), submit(terminal)
    data = terminal.json("queue", "cancel", first, "nobody", second, code=2)
    assert [job["id"] for job in data["jobs"]] == [first, second]
    assert [item["id"] for item in data["failed"]] == ["nobody"]
    assert "no such job" in terminal.stderr


def test_a_paused_job_is_passed_over_until_it_is_resumed(terminal: Terminal) -> None:
    waits, goes = submit(terminal), submit(terminal)
    assert terminal.json("queue", "pause", waits)["jobs"][0]["status"] == "paused"
    drain()
    assert (shown(terminal, waits)["state"], shown(terminal, goes)["state"]) == ("queued", "succeeded")
    assert terminal.json("queue", "resume", waits)["jobs"][0]["status"] == "queued"
    drain()
    assert shown(terminal, waits)["state"] == "succeeded"


def test_the_whole_queue_can_be_paused(terminal: Terminal) -> None:
    job_id = submit(terminal)
    assert terminal.json("queue", "pause")["queue"]["is_paused"] is True
    assert terminal.run("queue", "list") == 0
    assert "the queue is paused" in terminal.stderr
    with at_work():
        time.sleep(0.6)
        assert shown(terminal, job_id)["state"] == "queued"
        assert terminal.json("queue", "resume")["queue"]["is_paused"] is False
        assert terminal.run("queue", "watch", job_id) == 0


def test_a_job_can_be_moved(terminal: Terminal) -> None:
    first, second, third = (submit(terminal) for _ in range(3))
    assert terminal.run("queue", "move", third, "--first") == 0
    assert listed(terminal) == [third, first, second]
    assert terminal.run("queue", "move", third, "--before", second) == 0
    assert listed(terminal) == [first, third, second]
    assert terminal.run("queue", "move", first, "--last") == 0
    assert listed(terminal) == [third, second, first]


def test_a_moved_job_takes_the_priority_of_its_neighbours(terminal: Terminal) -> None:
    low, high, other = submit(terminal), submit(terminal, "--priority", "9"), submit(terminal)
    moved = terminal.json("queue", "move", low, "--before", high)["jobs"][0]
    assert moved["priority"] == 9
    assert listed(terminal) == [low, high, other]


def test_a_job_is_moved_to_one_place_that_there_is(terminal: Terminal) -> None:
    first, second = submit(terminal), submit(terminal)
    for places in ((), ("--first", "--last"), ("--last", "--before", second)):
        assert terminal.run("queue", "move", first, *places) == 2
        assert "--before OTHER" in terminal.stderr
    assert terminal.run("queue", "move", first, "--before", first) == 2
    assert terminal.run("queue", "cancel", second) == 0
    assert terminal.run("queue", "move", first, "--before", second) == 2
    assert "does not wait" in terminal.stderr
    assert terminal.run("queue", "move", second, "--first") == 2
    assert "a job that is canceled cannot be moved" in terminal.stderr


def test_jobs_can_be_moved_between_the_same_two_for_ever() -> None:
    line = [Standing(name, 0, float(number)) for number, name in enumerate("abcd")]
    for turn in range(500):
        job, rest = line[2 - turn % 2], [item for item in line if item != line[2 - turn % 2]]
        changed = {item.job_id: item for item in standings_after(rest, job, 1)}
        before = [item.job_id for item in rest]
        line = sorted((changed.get(item.job_id, item) for item in line), key=lambda item: item.position)
        assert [item.job_id for item in line] == [before[0], job.job_id, *before[1:]]
        assert len({item.position for item in line}) == 4


def test_a_waiting_job_can_be_edited(terminal: Terminal) -> None:
    job_id = submit(terminal, "--prompt", "a square", "--option", "shade=20")
    job = terminal.json("queue", "edit", job_id, "--prompt", "a star", "--option", "loop=true")["jobs"][0]
    assert job["request"]["prompt"] == "a star"
    assert job["request"]["seed"] == 1
    assert (job["request"]["options"]["shade"], job["request"]["options"]["loop"]) == (20, True)
    job = terminal.json("queue", "edit", job_id, "--model", "scripted-frozen")["jobs"][0]
    assert (job["model"], job["request"]["options"]["shade"]) == ("scripted-frozen", 10)
    assert terminal.run("queue", "edit", job_id, "--width", "7") == 2
    assert shown(terminal, job_id)["request"]["width"] == 160
    assert terminal.run("queue", "edit", job_id) == 2
    assert "no change was named" in terminal.stderr


def test_a_picture_can_be_given_to_a_waiting_job_and_changed_for_another(terminal: Terminal, tmp_path: Path) -> None:
    job_id = submit(terminal)
    first, second = picture(tmp_path / "first.png", 40), picture(tmp_path / "second.png", 200)
    for path in (first, second):
        request = terminal.json("queue", "edit", job_id, "--image", path)["jobs"][0]["request"]
        assert request["task"] == "image-to-video"
        assert [item["path"] for item in request["conditionings"]] == [path]
    wanted = request["conditionings"][0]["sha256"]
    Path(second).unlink()  # its owner may do what he likes
    terminal.json("queue", "edit", job_id, "--prompt", "a star")
    drain()
    job = shown(terminal, job_id)
    assert (job["state"], job["request"]["conditionings"][0]["sha256"]) == ("succeeded", wanted)


def test_a_job_that_runs_or_has_ended_is_not_edited(terminal: Terminal) -> None:
    job_id = submit(terminal)
    drain()
    assert terminal.run("queue", "edit", job_id, "--prompt", "a star") == 2
    assert "a job that is succeeded cannot be changed" in terminal.stderr


def test_a_failed_job_can_be_tried_again_as_it_is_or_changed(terminal: Terminal) -> None:
    job_id = submit(terminal, model="scripted-raises")
    drain()
    assert terminal.json("queue", "retry", job_id)["jobs"][0]["state"] == "queued"
    drain()
    assert len(shown(terminal, job_id)["attempts"]) == 2
    assert terminal.run("queue", "retry", job_id, "--model", "scripted-moving", "--seed", "7") == 0
    drain()
    job = shown(terminal, job_id)
    assert (job["state"], job["request"]["seed"], job["error"]) == ("succeeded", 7, None)
    assert terminal.run("queue", "retry", job_id) == 2
    assert f"studio library show {job_id}" in terminal.stderr


def test_a_held_clip_can_be_made_again_otherwise_but_not_just_so(terminal: Terminal) -> None:
    job_id = submit(terminal, "--on-fail", "hold", model="scripted-black")
    drain()
    assert terminal.run("queue", "retry", job_id) == 2
    assert f"studio quarantine release {job_id}" in terminal.stderr
    assert terminal.run("queue", "retry", job_id, "--model", "scripted-moving") == 0
    drain()
    assert shown(terminal, job_id)["state"] == "succeeded"
    assert terminal.json("quarantine", "list")["jobs"] == []


def test_a_removed_job_leaves_its_clip_in_the_library(terminal: Terminal) -> None:
    job_id, waits = submit(terminal), submit(terminal)
    assert terminal.run("queue", "remove", waits) == 2
    assert "a job that is queued cannot be removed" in terminal.stderr
    terminal.run("queue", "cancel", waits)
    drain()
    assert len(terminal.json("queue", "remove", job_id, waits)["jobs"]) == 2
    assert listed(terminal) == []
    assert terminal.run("verify", terminal.json("library", "show", job_id)["assets"][0]["path"]) == 0


def test_removing_a_job_whose_clip_waits_in_quarantine_needs_a_yes(terminal: Terminal) -> None:
    job_id = submit(terminal, "--on-fail", "hold", model="scripted-black")
    drain()
    assert terminal.run("queue", "remove", job_id) == 2
    assert "add --yes" in terminal.stderr
    assert terminal.json("queue", "remove", job_id, "--yes")["jobs"][0]["id"] == job_id
    assert terminal.json("quarantine", "list")["jobs"] == []


def test_workers_are_listed(terminal: Terminal) -> None:
    assert terminal.json("queue", "workers")["workers"] == []
    with at_work():
        (worker,) = terminal.json("queue", "workers")["workers"]
        assert (worker["is_alive"], worker["device"]) == (True, "cpu")
        assert terminal.run("queue", "workers") == 0
        assert worker["id"] in terminal.stdout


def test_gc_tells_what_it_deletes(terminal: Terminal) -> None:
    job_id = submit(terminal)
    drain()
    left = Studio().settings.quarantine_folder / job_id
    left.mkdir(parents=True)
    (left / "decoded.checkpoint").write_bytes(bytes(1000))
    data = terminal.json("queue", "gc", "--dry-run")
    assert (data["removed"], data["size_bytes"]) == ([f"quarantine/{job_id}"], 1000)
    assert left.is_dir()
    assert terminal.run("queue", "gc", "--quota", "20G") == 0
    assert terminal.stdout == f"quarantine/{job_id}\n"
    assert not left.exists()
    assert terminal.run("queue", "gc", "--quota", "plenty") == 2


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("2k", 2048), ("1.5G", 3 * 2**29), ("20GiB", 20 * 2**30), ("1 TB", 2**40)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_every_command_of_the_queue_answers_in_json_even_when_it_refuses(terminal: Terminal) -> None:
    for line in ("show x", "cancel x", "pause x", "resume x", "move x --first", "priority x 1", "edit x --seed 1",
                 "retry x", "remove x", "watch x", "submit --model x", "gc --quota x", "list --state x"):  # fmt: skip
        assert terminal.json("queue", *line.split(), code=2)["exit_code"] == 2, line
