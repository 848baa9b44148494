"""The queue: who gets which job, and what becomes of it; the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from studio.app import Studio
from studio.config import Settings
from studio.consistency.policy import Policy
from studio.errors import RequestError, StoreFault, UnsupportedValue
from studio.jobs.glimpse import glimpse_numbers
from studio.jobs.job import Job, JobWish, Progress, UnknownJob
from studio.jobs.lease import Lease, LeaseLost
from studio.jobs.queue import MAX_DEATHS, Scope
from studio.jobs.roll import Badge, WorkerCard
from studio.jobs.states import FailureReason, JobState
from studio.media import Preview
from studio.people.account import Role
from studio.request import GenerationRequest

CARD = WorkerCard(device="cpu")


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


def submit(studio: Studio, script: str = "moving", wish: JobWish | None = None, **fields: Any) -> Job:
    return studio.desk.submit(GenerationRequest(model=f"scripted-{script}", **{"seed": 3, **fields}), wish)


def claim(studio: Studio, badge: Badge, scope: Scope | None = None) -> Lease | None:
    return studio.workshop.queue.claim(badge.row, scope or Scope())


@contextmanager
def worker(studio: Studio) -> Iterator[Badge]:
    with studio.workshop.roll.enlist(CARD) as badge:
        yield badge


def order_of(studio: Studio) -> list[str]:
    """Take every job and return their ids in the order in which they were given out."""
    taken = []
    with worker(studio) as badge:
        while (lease := claim(studio, badge)) is not None:
            taken.append(lease.job_id)
            studio.workshop.queue.end(lease, JobState.SUCCEEDED)
    return taken


def test_jobs_are_given_out_in_their_order(studio: Studio) -> None:
    jobs = [submit(studio, seed=seed).id for seed in range(5)]
    assert order_of(studio) == jobs


def test_priority_comes_first_and_then_the_place(studio: Studio) -> None:
    low = submit(studio, wish=JobWish(priority=-5)).id
    one, two = submit(studio).id, submit(studio).id
    high = submit(studio, wish=JobWish(priority=7)).id
    assert order_of(studio) == [high, one, two, low]


def test_jobs_of_the_loaded_model_come_first_among_equals(studio: Studio) -> None:
    other, same = submit(studio, "frozen").id, submit(studio).id
    urgent = submit(studio, "frozen", JobWish(priority=1)).id
    taken = []
    with worker(studio) as badge:
        while (lease := claim(studio, badge, Scope(prefer="scripted-moving"))) is not None:
            taken.append(lease.job_id)
            studio.workshop.queue.end(lease, JobState.SUCCEEDED)
    assert taken == [urgent, same, other]


def test_a_scope_leaves_the_jobs_of_others_alone(studio: Studio) -> None:
    plain = submit(studio)
    batch = submit(studio, wish=JobWish(batch_id="b", entry=1))
    with worker(studio) as badge:
        assert claim(studio, badge, Scope(pool="local")) is None  # the scripted models are remote ones
        lease = claim(studio, badge, Scope(pool="remote", batch_id="b"))
        assert lease is not None
        assert lease.job_id == batch.id
        assert claim(studio, badge, Scope(batch_id="c")) is None
    assert studio.desk.job(plain.id).state == JobState.QUEUED


def test_the_same_client_key_is_the_same_job(studio: Studio) -> None:
    first = submit(studio, wish=JobWish(client_key="order 7"))
    again = submit(studio, wish=JobWish(client_key="order 7"))
    assert again.id == first.id
    assert len(studio.desk.jobs()) == 1


def test_the_same_client_key_at_the_same_moment_is_one_job(studio: Studio) -> None:
    assert studio.desk
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: submit(studio, wish=JobWish(client_key="k")).id, range(16)))
    assert len(set(found)) == 1


def test_a_job_is_somebodys_from_the_moment_it_is_there(studio: Studio) -> None:
    for name in ("anna", "berta"):
        studio.people.add(name, "tulip engine waltz", Role.CREATOR)
    hers = submit(studio, wish=JobWish(client_key="k", owner="anna"))
    assert submit(studio, wish=JobWish(client_key="k", owner="berta")).id == hers.id
    assert studio.people.owner(hers.id) == "anna"
    assert studio.people.owner(submit(studio).id) is None


def test_a_job_of_an_account_that_there_is_not_is_not_submitted(studio: Studio) -> None:
    with pytest.raises(StoreFault):
        submit(studio, wish=JobWish(owner="stranger"))
    assert studio.desk.jobs() == []


def test_a_job_that_somebody_waits_for_is_theirs(studio: Studio) -> None:
    studio.people.add("anna", "tulip engine waltz", Role.CREATOR)
    new = studio.desk.new_job(studio.resolve(GenerationRequest(model="scripted-moving")), JobWish(owner="anna"))
    with worker(studio) as badge:
        studio.workshop.queue.begin(new, badge.row)
    assert studio.people.owner(new.id) == "anna"


def test_many_are_submitted_all_or_none(studio: Studio) -> None:
    good = studio.resolve(GenerationRequest(model="scripted-moving"))
    with pytest.raises(UnsupportedValue, match="priority"):
        studio.desk.submit_many([(good, JobWish()), (good, JobWish(priority=1000))])
    assert studio.desk.jobs() == []


def test_no_job_is_given_to_two_workers(studio: Studio) -> None:
    jobs = {submit(studio, seed=seed).id for seed in range(30)}
    taken: list[str] = []

    def take() -> None:
        with worker(studio) as badge:
            while (lease := claim(studio, badge)) is not None:
                taken.append(lease.job_id)
                studio.workshop.queue.end(lease, JobState.SUCCEEDED)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(jobs)


# -- leases ---------------------------------------------------------------------------------------------------------


def test_a_worker_that_comes_back_late_cannot_write(studio: Studio) -> None:
    submit(studio)
    queue = studio.workshop.queue
    with worker(studio) as badge:
        late = claim(studio, badge)
        assert late is not None
    studio.runner.recover()  # the worker has left the roll, its job is free
    with worker(studio) as other:
        lease = claim(studio, other)
        assert lease is not None
        assert lease.token > late.token
        for write in (
            lambda: queue.end(late, JobState.SUCCEEDED),
            lambda: queue.put_back(late, "stopped"),
            lambda: queue.save_operation(late, {"id": 1}),
            lambda: queue.asked(late),
        ):
            with pytest.raises(LeaseLost, match="took this job over"):
                write()
        assert studio.desk.job(lease.job_id).state == JobState.RUNNING
        queue.end(lease, JobState.SUCCEEDED)


def test_a_dead_workers_job_is_taken_up_by_another(studio: Studio) -> None:
    job = submit(studio)
    with worker(studio) as badge:
        assert claim(studio, badge) is not None
        assert studio.runner.recover() == []
    assert studio.runner.recover() == [job.id]
    seen = studio.desk.job(job.id)
    assert (seen.state, seen.worker) == (JobState.QUEUED, None)
    assert [attempt.outcome for attempt in seen.attempts] == ["died"]


def test_a_job_that_kills_its_workers_fails_in_the_end(studio: Studio) -> None:
    job = submit(studio)
    for _ in range(MAX_DEATHS):
        with worker(studio) as badge:
            assert claim(studio, badge) is not None
        studio.runner.recover()
    seen = studio.desk.job(job.id)
    assert (seen.state, seen.reason) == (JobState.FAILED, FailureReason.INTERRUPTED)
    assert "want of memory" in (seen.error or {})["message"]
    assert len(seen.attempts) == MAX_DEATHS
    assert studio.desk.retry(job.id).state == JobState.QUEUED


def test_what_a_worker_could_not_write_back_is_its_own_again(studio: Studio) -> None:
    """The disk was full when it let the job go: the row still bears its name."""
    submit(studio)
    with worker(studio) as badge, worker(studio) as other:
        first = claim(studio, badge)
        assert first is not None
        assert claim(studio, other) is None
        again = claim(studio, badge)
        assert again is not None
        assert again.token == first.token + 1


def test_a_worker_elsewhere_is_dead_when_its_counter_stands_still(studio: Studio) -> None:
    now = [1000.0]
    roll = studio.workshop.roll
    roll._clock = lambda: now[0]
    job = submit(studio)
    with worker(studio) as badge:
        with studio.store.transaction() as session:  # as if it were on another machine, and its network gone
            row = session.get(type(badge.row), badge.id)
            assert row is not None
            row.place = "elsewhere"
        badge.stop()
        lease = claim(studio, badge)
        assert lease is not None
        assert studio.runner.recover() == []
        now[0] += 29
        assert studio.runner.recover() == []
        now[0] += 2
        assert studio.runner.recover() == [job.id]
        with pytest.raises(LeaseLost):
            studio.workshop.queue.end(lease, JobState.SUCCEEDED)


def test_a_worker_that_was_struck_off_by_mistake_learns_it_and_goes_on(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.jobs.roll.BEAT_SECONDS", 0.0)
    submit(studio)
    with worker(studio) as badge:
        lease = claim(studio, badge)
        assert lease is not None
        with badge.holding(lease, "m"):
            studio.workshop.roll._strike_off([badge.id])
            studio.workshop.queue.take_back(studio.workshop.queue.orphans()[0])
            wait_for(lambda: badge._is_lost)
            with pytest.raises(LeaseLost):
                _ = badge.asked
        assert claim(studio, badge) is not None
        assert [view.id for view in studio.desk.workers()] == [badge.id]


def test_progress_reaches_the_row_with_a_beat_and_a_wish_comes_back(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.jobs.roll.BEAT_SECONDS", 0.0)
    job = submit(studio)
    with worker(studio) as badge:
        lease = claim(studio, badge)
        assert lease is not None
        with badge.holding(lease, job.model):
            badge.show(Progress(stage="sampling", done=2, total=5, eta_seconds=1.5))
            wait_for(lambda: studio.desk.job(job.id).progress is not None)
            assert studio.desk.job(job.id).progress == Progress(stage="sampling", done=2, total=5, eta_seconds=1.5)
            assert studio.desk.workers()[0].job_id == job.id
            assert badge.asked is None
            studio.desk.cancel(job.id)
            wait_for(lambda: badge.asked == "cancel")


def test_an_odd_preview_costs_the_picture_and_not_the_progress(studio: Studio) -> None:
    job = submit(studio)
    odd = Preview(image=np.zeros((0, 0, 7), np.uint8))
    right = Preview(image=np.zeros((8, 8, 3), np.uint8))
    with worker(studio) as badge:
        lease = claim(studio, badge)
        assert lease is not None
        with badge.holding(lease, job.model):
            for done, preview in ((1, odd), (2, right), (3, odd)):
                badge.show(Progress(stage="sampling", done=done, total=3, preview=preview))
                wait_for(lambda done=done: (studio.desk.job(job.id).progress or Progress(stage="none")).done == done)
                assert glimpse_numbers(studio.store, [job.id]) == ({} if done == 1 else {job.id: 1})


def wait_for(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- the desk -------------------------------------------------------------------------------------------------------


def test_a_waiting_job_is_canceled_at_once_and_alone(studio: Studio) -> None:
    one, two = submit(studio), submit(studio)
    assert studio.desk.cancel(one.id).state == JobState.CANCELED
    assert order_of(studio) == [two.id]
    with pytest.raises(RequestError, match="a job that is canceled cannot be canceled"):
        studio.desk.cancel(one.id)


def test_a_paused_job_waits_until_it_is_resumed(studio: Studio) -> None:
    one, two = submit(studio), submit(studio)
    assert studio.desk.pause(one.id).status == "paused"
    assert order_of(studio) == [two.id]
    studio.desk.resume(one.id)
    assert order_of(studio) == [one.id]


def test_a_running_job_that_is_paused_goes_back_and_stays(studio: Studio) -> None:
    job = submit(studio)
    with worker(studio) as badge:
        lease = claim(studio, badge)
        assert lease is not None
        assert studio.desk.pause(job.id).status == "pausing"
        assert studio.workshop.queue.asked(lease) == "pause"
        studio.workshop.queue.put_back(lease, "stopped")
        seen = studio.desk.job(job.id)
        assert (seen.state, seen.status, seen.asked) == (JobState.QUEUED, "paused", None)
        assert claim(studio, badge) is None


def test_a_cancel_that_comes_while_the_worker_stops_is_not_lost(studio: Studio) -> None:
    job = submit(studio)
    with worker(studio) as badge:
        lease = claim(studio, badge)
        assert lease is not None
        studio.desk.cancel(job.id)
        studio.workshop.queue.put_back(lease, "stopped")
    assert studio.desk.job(job.id).state == JobState.CANCELED


def test_a_paused_queue_gives_nothing_out(studio: Studio) -> None:
    job = submit(studio)
    studio.desk.pause_queue()
    assert studio.desk.is_queue_paused()
    assert order_of(studio) == []
    studio.desk.resume_queue()
    assert order_of(studio) == [job.id]


def test_jobs_are_moved(studio: Studio) -> None:
    a, b, c, d = (submit(studio, seed=seed).id for seed in range(4))
    studio.desk.move(d, to="first")
    studio.desk.move(a, to="last")
    studio.desk.move(c, before=b)
    assert [job.id for job in studio.desk.jobs(newest_first=False)] == [d, c, b, a]
    urgent = submit(studio, wish=JobWish(priority=9)).id
    studio.desk.move(b, before=urgent)
    assert order_of(studio) == [b, urgent, d, c, a]


def test_a_waiting_job_is_changed_and_a_bad_change_leaves_it_as_it_was(studio: Studio) -> None:
    job = submit(studio, prompt="a star", options={"shade": 20})
    changed = studio.desk.change(job.id, {"prompt": "a moon", "seed": 8})
    assert (changed.request["prompt"], changed.request["seed"]) == ("a moon", 8)
    assert changed.request["options"]["shade"] == 20
    with pytest.raises(UnsupportedValue, match="width"):
        studio.desk.change(job.id, {"width": 100_000})
    assert studio.desk.job(job.id).request == changed.request
    other = studio.desk.change(job.id, {"model": "scripted-frozen"})
    assert other.model == "scripted-frozen"


def test_what_is_wished_of_a_job_is_changed_with_its_request(studio: Studio) -> None:
    job = submit(studio, wish=JobWish(on_fail=Policy.parse("hold"), label="icon", priority=2))
    kept = studio.desk.change(job.id, {"seed": 8})
    assert (kept.terms, kept.priority) == (job.terms, 2)
    wish = JobWish(on_fail=Policy.parse("retry:2"), label="text", priority=-4)
    changed = studio.desk.change(job.id, {"seed": 9}, wish)
    assert job.terms is not None
    assert changed.terms == replace(job.terms, policy=Policy.parse("retry:2"), label="text")
    assert (changed.priority, changed.request["seed"]) == (-4, 9)
    with pytest.raises(UnsupportedValue, match="priority"):
        studio.desk.change(job.id, {"seed": 10}, JobWish(priority=1000))
    assert studio.desk.job(job.id).request["seed"] == 9
    studio.desk.cancel(job.id)
    again = studio.desk.retry(job.id, {"seed": 11}, JobWish(on_fail=Policy.parse("refuse"), label="none"))
    assert again.terms == replace(job.terms, policy=Policy.parse("refuse"), label="none")


def test_a_job_that_runs_cannot_be_changed(studio: Studio) -> None:
    job = submit(studio)
    with worker(studio) as badge:
        claim(studio, badge)
        with pytest.raises(RequestError, match="a job that is running cannot be changed"):
            studio.desk.change(job.id, {"seed": 1})


def test_ids_may_be_shortened_while_they_are_unambiguous(studio: Studio) -> None:
    job = submit(studio)
    assert studio.desk.job(job.id[:-2]).id == job.id
    submit(studio)
    for unknown in ("nothing", "", "%", job.id[:4]):
        with pytest.raises(UnknownJob):
            studio.desk.job(unknown)


def test_counts_and_pages(studio: Studio) -> None:
    jobs = [submit(studio, wish=JobWish(batch_id="b", entry=number)) for number in range(1, 6)]
    studio.desk.cancel(jobs[0].id)
    counts = studio.desk.counts("b")
    assert (counts[JobState.QUEUED], counts[JobState.CANCELED], counts[JobState.RUNNING]) == (4, 1, 0)
    pages = [studio.desk.jobs(batch_id="b", limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [job.id for page in pages for job in page] == [job.id for job in reversed(jobs)]


def test_twenty_submitters_and_two_workers_meet_nobody(studio: Studio) -> None:
    """Nobody hears of a locked database, and no job is given out twice."""
    total = 20 * 5
    assert studio.desk
    taken: list[str] = []

    def take() -> None:
        with worker(studio) as badge:
            deadline = time.monotonic() + 120
            while len(taken) < total and time.monotonic() < deadline:
                lease = claim(studio, badge)
                if lease is None:
                    time.sleep(0.01)
                    continue
                taken.append(lease.job_id)
                studio.workshop.queue.end(lease, JobState.SUCCEEDED)

    with ThreadPoolExecutor(22) as pool:
        workers = [pool.submit(take) for _ in range(2)]
        submitted = [pool.submit(lambda: [submit(studio).id for _ in range(5)]) for _ in range(20)]
        ids = [job_id for future in submitted for job_id in future.result()]
        for future in workers:
            future.result()
    assert len(ids) == len(set(ids)) == total
    assert sorted(taken) == sorted(ids)
