"""What the page shows of a job, as pure functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from studio.jobs.job import Attempt, Job, Progress
from studio.jobs.states import FailureReason, JobState
from studio.people.account import Role
from studio.people.visitor import LOCAL, Visitor
from ui.web.views.jobs import actions, advice, detail_view, for_the_page, is_ordered, job_view, order_view, percent
from ui.web.words import words

HOME = Path("/home/somebody/studio")
NOW = datetime(2026, 11, 30, 1, 2, 3, tzinfo=UTC)
REQUEST = {"model": "scripted-moving", "prompt": "<b>bold</b>", "seed": 2**63 + 1, "conditionings": [], "options": {}}
JOB = Job(
    id="20261130-010203-abcdef01", state=JobState.QUEUED, reason=None, is_paused=False, asked=None,
    model="scripted-moving", pool="local", request=REQUEST, priority=0, position=1.0, batch_id=None, entry=None,
    client_key=None, progress=None, error=None, estimate=None, billed=None, operation=None, terms=None, worker=None,
    is_attended=False, attempts=(), created_at=NOW, started_at=None, ended_at=None,
)  # fmt: skip
ORDERED = {
    "attempt": 1,
    "token": 1,
    "operation": {"provider": "acme", "state": "submitted", "handle": {"id": "job-42"}},
}


def changed(**changes: Any) -> Job:
    return replace(JOB, **changes)


def failed(reason: FailureReason) -> Job:
    return changed(state=JobState.FAILED, reason=reason)


def test_every_state_has_a_sentence_and_something_to_do() -> None:
    for state in JobState:
        job = changed(state=state)
        assert f"queue.status.{job.status}" in words()
        assert actions(job)


@pytest.mark.parametrize("reason", list(FailureReason))
def test_every_reason_of_a_failure_has_advice(reason: FailureReason) -> None:
    told = advice(failed(reason))
    assert told
    assert "studio queue" not in told


def test_what_a_provider_forbids_is_not_retried_as_it_is() -> None:
    assert "retry" not in actions(failed(FailureReason.MODERATED))
    assert "edit" in actions(failed(FailureReason.MODERATED))


def test_only_an_order_of_which_nobody_knows_can_be_ordered_again() -> None:
    assert "order_again" in actions(failed(FailureReason.SUBMIT_UNKNOWN))
    assert "order_again" not in actions(failed(FailureReason.GENERATION))


def test_a_job_that_is_being_canceled_cannot_be_canceled_again() -> None:
    assert "cancel" not in actions(changed(state=JobState.RUNNING, asked="cancel"))


def test_somebody_elses_job_offers_nothing() -> None:
    visitor = Visitor(name="bob", role=Role.CREATOR)
    assert job_view(JOB, visitor, HOME, owner="alice")["can"] == []
    assert job_view(JOB, visitor, HOME, owner="bob")["can"]
    assert job_view(JOB, Visitor(name="bob", role=Role.VIEWER), HOME, owner="bob")["can"] == []
    assert job_view(JOB, LOCAL, HOME, owner="alice")["can"]


def test_an_order_at_a_provider_is_told_with_its_number() -> None:
    job = changed(pool="remote", operation=ORDERED)
    assert is_ordered(job)
    assert order_view(job) == {"provider": "acme", "state": "submitted", "number": "job-42"}


def test_a_remote_job_that_generates_costs_money_though_its_row_does_not_say_so() -> None:
    running = changed(pool="remote", state=JobState.RUNNING, progress=Progress(stage="generating"))
    assert is_ordered(running)
    assert not is_ordered(replace(running, pool="local"))
    assert not is_ordered(replace(running, progress=Progress(stage="uploading")))


def test_what_to_type_at_a_command_line_is_not_told() -> None:
    error = {"message": "no", "fix": "`studio queue retry 1` goes on", "field": None, "got": None, "allowed": None}
    assert for_the_page(error)["fix"] is None
    assert for_the_page(error | {"fix": "choose another"})["fix"] == "choose another"


def test_a_seed_beyond_what_scripts_count_is_told_exactly() -> None:
    assert detail_view(JOB, HOME)["seed"] == str(2**63 + 1)


def test_an_attempt_tells_nothing_of_this_machines_folders() -> None:
    error = {"type": "StoreFault", "message": f"cannot write {HOME}/library", "got": f"{HOME}/x", "fix": None}
    attempt = Attempt(number=1, worker="w", host="h", device="cpu", started_at=NOW, ended_at=NOW, outcome="failed",
                      error=error, timings={"sampling": 1.5})  # fmt: skip
    told = detail_view(changed(attempts=(attempt,)), HOME)["attempts"]
    assert str(HOME) not in str(told)
    assert told[0]["timings"] == {"sampling": 1.5}


def test_the_failed_checks_of_a_held_clip_are_told() -> None:
    report = {"checks": [{"title": "Black frames", "passed": False, "reason": "every frame is black"}]}
    assert detail_view(JOB, HOME, [report])["findings"] == ["Black frames: every frame is black"]


def test_the_bar_never_goes_back_from_stage_to_stage() -> None:
    stages = ["waiting", "loading", "encoding", "sampling", "decoding", "checking", "marking", "signing", "verifying"]
    running = changed(state=JobState.RUNNING)
    found = [
        percent(replace(running, progress=Progress(stage=stage, done=done, total=4)))
        for stage in stages
        for done in (0, 4)
    ]
    assert found == sorted(found)
    assert percent(changed(state=JobState.SUCCEEDED)) == 100
