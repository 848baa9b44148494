"""The queue over HTTP: what is told of it, and that nobody touches what is somebody else's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from studio.app import Studio
from studio.jobs.job import Job, JobWish
from studio.jobs.overview import JobOverview
from studio.jobs.queue import Scope
from studio.jobs.roll import WorkerCard
from studio.jobs.states import JobState
from studio.jobs.worker import Worker
from studio.request import GenerationRequest
from tests.ui.web.accounts import Browsers, browsers
from tests.webpage import ServedPage

MODEL = "scripted-moving"


@pytest.fixture(scope="module")
def people(page_home: Studio) -> Iterator[Browsers]:
    with browsers(page_home) as found:
        yield found


@pytest.fixture(autouse=True)
def an_empty_queue(page_home: Studio) -> Iterator[None]:
    yield
    page_home.desk.resume_queue()
    for job in page_home.desk.jobs(JobState.QUEUED, limit=None):
        page_home.desk.cancel(job.id)
    for job in page_home.desk.jobs(limit=None):
        page_home.desk.remove(job.id)


def submitted(
    studio: Studio, prompt: str = "a fox", *, owner: str | None = None, model: str = MODEL, **wish: Any
) -> Job:
    job = studio.desk.submit(GenerationRequest(model=model, prompt=prompt, seed=1), JobWish(**wish))
    studio.people.own(job.id, owner)
    return job


def worked(studio: Studio, model: str, **wish: Any) -> Job:
    """A job that was brought to its end in this process."""
    job = submitted(studio, model=model, **wish)
    Worker(studio.workshop, WorkerCard(device="cpu")).run(threading.Event(), drain=True)
    return studio.desk.job(job.id)


def told_error(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_jobs_stand_in_the_order_of_the_queue(idle_site: ServedPage) -> None:
    first, second = submitted(idle_site.studio, "one"), submitted(idle_site.studio, "two")
    urgent = submitted(idle_site.studio, "three", priority=9)
    told = idle_site.client.get("/studio/jobs").json()
    assert [job["id"] for job in told["jobs"]] == [urgent.id, first.id, second.id]
    assert told["visitor"] == {"name": None, "is_admin": True, "may_make": True}


def test_what_is_ones_own_is_shown_behind_however_many_of_others(people: Browsers) -> None:
    studio = people.studio
    ended = submitted(studio, owner="alice")
    studio.desk.cancel(ended.id)
    resolved = studio.resolve(GenerationRequest(model=MODEL, prompt="many", seed=1))
    for job in studio.desk.submit_many([(resolved, JobWish(owner="bob"))] * 41):
        studio.desk.cancel(job.id)
    many = studio.desk.submit_many([(resolved, JobWish(owner="bob", priority=1))] * 201)
    hers = submitted(studio, owner="alice")
    with studio.workshop.roll.enlist(WorkerCard(device="cpu")) as badge:
        lease = studio.workshop.queue.claim(badge.row, Scope(job_id=hers.id))
        assert lease is not None
        running = [job["id"] for job in people.bob.get("/studio/jobs").json()["jobs"]]
        assert running[0] == hers.id
        studio.workshop.queue.put_back(lease, "stopped")
    seen = [job["id"] for job in people.alice.get("/studio/jobs").json()["jobs"]]
    assert seen[:201] == [*(job.id for job in many[:200]), hers.id]
    assert (len(seen), seen[-1]) == (201 + 41, ended.id)
    assert len(set(seen)) == len(seen)
    assert hers.id not in [job["id"] for job in people.vera.get("/studio/jobs").json()["jobs"]]
    local = [job.id for job in JobOverview(studio.store).board(None)]
    assert local[:200] == [job.id for job in many[:200]]
    assert hers.id in local


def test_what_has_not_changed_is_not_sent_again(idle_site: ServedPage) -> None:
    job = submitted(idle_site.studio)
    tag = idle_site.client.get("/studio/jobs").headers["etag"]
    assert idle_site.client.get("/studio/jobs", headers={"if-none-match": tag}).status_code == 304
    idle_site.studio.desk.pause(job.id)
    assert idle_site.client.get("/studio/jobs", headers={"if-none-match": tag}).status_code == 200


def test_a_prompt_with_markup_is_data(idle_site: ServedPage) -> None:
    submitted(idle_site.studio, "<script>alert(1)</script>")
    answer = idle_site.client.get("/studio/jobs")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["jobs"][0]["request"]["prompt"] == "<script>alert(1)</script>"


def test_a_job_is_moved_and_gets_the_priority_of_its_neighbours(idle_site: ServedPage) -> None:
    urgent, job = submitted(idle_site.studio, priority=9), submitted(idle_site.studio)
    moved = idle_site.client.post(f"/studio/jobs/{job.id}/move", json={"before": urgent.id}).json()
    assert moved["priority"] == 9
    assert idle_site.client.get("/studio/jobs").json()["jobs"][0]["id"] == job.id
    told_error(idle_site.client.post(f"/studio/jobs/{job.id}/move", json={}), 422)
    told_error(idle_site.client.post(f"/studio/jobs/{job.id}/move", json={"to": "middle"}), 422)


def test_a_priority_that_there_is_not_is_refused_in_the_words_of_the_queue(idle_site: ServedPage) -> None:
    job = submitted(idle_site.studio)
    assert idle_site.client.post(f"/studio/jobs/{job.id}/priority", json={"priority": -7}).json()["priority"] == -7
    error = told_error(idle_site.client.post(f"/studio/jobs/{job.id}/priority", json={"priority": 101}), 422)
    assert error["allowed"] == "-100 .. 100, higher first"


def test_the_same_is_done_with_several_and_what_cannot_be_is_told(idle_site: ServedPage) -> None:
    jobs = [submitted(idle_site.studio) for _ in range(3)]
    idle_site.studio.desk.cancel(jobs[2].id)
    ids = [job.id for job in jobs] + ["nothing"]
    told = idle_site.client.post("/studio/jobs", json={"ids": ids, "what": "pause"}).json()
    assert told["done"] == 2
    assert [item["id"] for item in told["failed"]] == [jobs[2].id, "nothing"]
    told_error(idle_site.client.post("/studio/jobs", json={"ids": ids, "what": "release"}), 422)
    told_error(idle_site.client.post("/studio/jobs", json={"ids": [], "what": "cancel"}), 422)


def test_a_failed_job_tells_why_and_is_taken_up_again(idle_site: ServedPage) -> None:
    job = worked(idle_site.studio, "scripted-raises")
    told = idle_site.client.get(f"/studio/jobs/{job.id}").json()
    assert told["error"]["message"] == "the script says so"
    assert told["advice"]
    assert [attempt["outcome"] for attempt in told["attempts"]] == ["failed"]
    assert idle_site.client.post(f"/studio/jobs/{job.id}/retry").json()["state"] == "queued"


def test_a_held_clip_tells_what_its_checks_found_and_plays_nowhere(idle_site: ServedPage) -> None:
    from studio.consistency.policy import Policy

    job = worked(idle_site.studio, "scripted-black", on_fail=Policy.parse("hold"))
    told = idle_site.client.get(f"/studio/jobs/{job.id}").json()
    assert told["state"] == "held"
    assert any("black" in line for line in told["findings"])
    assert told["can"] == ["release", "discard", "edit"]
    assert idle_site.client.get(f"/studio/media/{job.id}").status_code == 404
    assert idle_site.client.post(f"/studio/jobs/{job.id}/discard").json() == {"id": job.id, "removed": True}


def test_who_takes_jobs_is_told_without_the_number_of_a_process(idle_site: ServedPage) -> None:
    assert idle_site.client.get("/studio/workers").json() == {"workers": []}


def test_what_cannot_be_done_with_a_job_is_refused_with_what_can(idle_site: ServedPage) -> None:
    job = submitted(idle_site.studio)
    assert "cancel" in told_error(idle_site.client.post(f"/studio/jobs/{job.id}/explode"), 404)["allowed"]
    assert told_error(idle_site.client.post("/studio/jobs/nothing/cancel"), 404)["fix"] is None
    told_error(idle_site.client.post(f"/studio/jobs/{job.id}/remove"), 409)


@pytest.mark.parametrize("what", ["cancel", "pause", "resume", "retry", "release", "discard", "remove"])
def test_nobody_does_anything_with_somebody_elses_job(people: Browsers, what: str) -> None:
    job = submitted(people.studio, owner="alice")
    for client in (people.bob, people.vera):
        told_error(client.post(f"/studio/jobs/{job.id}/{what}", json={}), 403)
    assert people.studio.desk.job(job.id).state is JobState.QUEUED


def test_nobody_moves_somebody_elses_job_or_changes_its_priority(people: Browsers) -> None:
    first, second = submitted(people.studio, owner="alice"), submitted(people.studio, owner="bob")
    told_error(people.bob.post(f"/studio/jobs/{first.id}/move", json={"to": "last"}), 403)
    told_error(people.bob.post(f"/studio/jobs/{first.id}/priority", json={"priority": -100}), 403)
    assert people.bob.post(f"/studio/jobs/{second.id}/move", json={"before": first.id}).status_code == 200


def test_of_several_only_ones_own_are_touched(people: Browsers) -> None:
    hers, his = submitted(people.studio, owner="alice"), submitted(people.studio, owner="bob")
    told = people.bob.post("/studio/jobs", json={"ids": [hers.id, his.id], "what": "cancel"}).json()
    assert told["done"] == 1
    assert [item["id"] for item in told["failed"]] == [hers.id]
    assert people.studio.desk.job(hers.id).state is JobState.QUEUED


def test_each_sees_whose_a_job_is_and_what_they_may_do(people: Browsers) -> None:
    job = submitted(people.studio, owner="alice")

    def seen(client: httpx.Client) -> dict[str, Any]:
        found: dict[str, Any] = client.get(f"/studio/jobs/{job.id}").json()
        return found

    assert seen(people.bob)["owner"] == "alice"
    assert seen(people.bob)["can"] == seen(people.vera)["can"] == []
    assert "cancel" in seen(people.alice)["can"]
    assert "cancel" in seen(people.boss)["can"]


def test_the_whole_queue_is_stopped_by_admins_alone(people: Browsers) -> None:
    for client in (people.alice, people.vera):
        told_error(client.post("/studio/queue/pause", json={}), 403)
    assert people.boss.post("/studio/queue/pause", json={}).json()["is_paused"]
    assert people.alice.get("/studio/jobs").json()["summary"]["is_paused"]
