"""A worker over the real queue and the real gate: what it makes, what it survives, how it stops."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import sqlalchemy as sa

from studio.app import Studio
from studio.consistency.policy import Policy
from studio.errors import DiskFull, GenerationFailed, MissingPackage, OutOfMemory, RequestError, StoreBusy
from studio.generator import Cost, RunContext
from studio.jobs import worker as worker_module
from studio.jobs.failure import error_of_job
from studio.jobs.job import Job, JobWish
from studio.jobs.roll import WorkerCard
from studio.jobs.states import FailureReason, JobState
from studio.jobs.worker import Tally, Worker
from studio.library.tables import AssetRow, JobRow
from studio.media import FrameClip
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role
from tests.fakes import ScriptedGenerator


def submit(studio: Studio, script: str = "moving", wish: JobWish | None = None, **fields: Any) -> Job:
    return studio.desk.submit(GenerationRequest(model=f"scripted-{script}", **{"seed": 3, **fields}), wish)


def drain(studio: Studio, **card: Any) -> Tally:
    said: list[str] = []
    return Worker(studio.workshop, WorkerCard(device="cpu", **card), said.append).run(threading.Event(), drain=True)


@contextmanager
def at_work(studio: Studio) -> Iterator[threading.Event]:
    """Let a worker run in a thread for as long as the context lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=Worker(studio.workshop, WorkerCard(device="cpu")).run, args=(stop,))
    assert studio.desk  # opened once, before the threads
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def generator_of(studio: Studio, script: str = "moving") -> ScriptedGenerator:
    generator = studio.registry.generator(f"scripted-{script}")
    assert isinstance(generator, ScriptedGenerator)
    return generator


def leftovers(studio: Studio) -> list[Path]:
    kept = {asset.path for asset in studio.store.assets()}
    folders = ("quarantine", "library")
    found = [path for name in folders for path in (studio.settings.home / name).rglob("*") if path.is_file()]
    return [path for path in found if path not in kept]


class Slow:
    """Makes a scripted generator take many steps, each of which a person may interrupt."""

    def __init__(self, studio: Studio, monkeypatch: pytest.MonkeyPatch, steps: int = 400) -> None:
        self.resumed_from: list[int] = []
        self.running = threading.Event()
        original = generator_of(studio).generate

        def generate(resolved: ResolvedRequest, run: RunContext) -> FrameClip:
            done = int(run.kept("sampling") or b"0")
            self.resumed_from.append(done)
            for step in range(done, steps):
                self.running.set()
                time.sleep(0.01)
                run.progress(step + 1, steps)
                if run.wants_checkpoint():
                    run.keep("sampling", str(step + 1).encode())
                run.raise_if_canceled()
            return original(resolved, run)

        monkeypatch.setattr(generator_of(studio), "generate", generate)


def test_a_worker_makes_what_waits_and_keeps_the_weights_in_between(studio: Studio) -> None:
    jobs = [submit(studio, seed=seed) for seed in (1, 3)] + [submit(studio, "frozen")]
    assert drain(studio) == Tally(succeeded=3)
    assert generator_of(studio).sessions == 1
    assert not generator_of(studio).is_open
    for job in jobs:
        seen = studio.desk.job(job.id)
        assert (seen.state, seen.asset_id) == (JobState.SUCCEEDED, job.id)
        (attempt,) = seen.attempts
        assert attempt.outcome == "succeeded"
        assert {"sampling", "checking", "signing"} <= set(attempt.timings)
        assert studio.verify(studio.store.asset(job.id).path).c2pa.state == "trusted"
    assert leftovers(studio) == []
    assert studio.desk.workers() == []


def test_the_queue_makes_the_same_frames_as_a_person_who_waits(studio: Studio) -> None:
    waited = studio.generate(GenerationRequest(model="scripted-moving", seed=3)).asset
    job = submit(studio)
    drain(studio)
    assert studio.store.asset(job.id).frames_sha256 == waited.frames_sha256


def test_a_job_keeps_the_terms_it_was_submitted_under(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_PROMPT_POLICY", "full")
    other = Studio()
    other.__dict__["registry"] = studio.registry
    job = other.desk.submit(
        GenerationRequest(model="scripted-moving", prompt="a moon"), JobWish(on_fail=Policy.parse("hold"))
    )
    drain(studio)
    reading = studio.verify(studio.store.asset(job.id).path).c2pa
    assert (reading.generation or {})["prompt"]["prompt"] == "a moon"
    other.store.close()


def test_a_failure_is_written_down_and_the_next_job_runs(studio: Studio) -> None:
    bad, bug, good = submit(studio, "raises"), submit(studio, "crashes"), submit(studio)
    assert drain(studio) == Tally(succeeded=1, failed=2)
    seen = studio.desk.job(bad.id)
    assert (seen.state, seen.reason) == (JobState.FAILED, FailureReason.GENERATION)
    error = error_of_job(seen)
    assert isinstance(error, GenerationFailed)
    assert error.message == "the script says so"
    assert (studio.desk.job(bug.id).error or {})["type"] == "ZeroDivisionError"
    assert isinstance(error_of_job(studio.desk.job(bug.id)), GenerationFailed)
    assert studio.desk.job(good.id).asset_id
    retried = studio.desk.retry(bad.id, {"model": "scripted-moving"})
    assert (retried.state, retried.model) == (JobState.QUEUED, "scripted-moving")
    drain(studio)
    assert studio.desk.job(bad.id).state == JobState.SUCCEEDED
    assert len(studio.desk.job(bad.id).attempts) == 2


def test_a_clip_that_is_held_waits_and_one_that_is_refused_has_failed(studio: Studio) -> None:
    held = submit(studio, "frozen", JobWish(on_fail=Policy.parse("hold")))
    refused = submit(studio, "frozen", JobWish(on_fail=Policy.parse("refuse")))
    assert drain(studio) == Tally(failed=2)
    assert studio.desk.job(held.id).state == JobState.HELD
    assert studio.desk.job(refused.id).reason == FailureReason.REFUSED
    with pytest.raises(RequestError, match="a job that is held cannot be retried"):
        studio.desk.retry(held.id)
    studio.release(held.id)
    assert studio.desk.job(held.id).state == JobState.SUCCEEDED


def test_inputs_are_kept_from_the_submission_on(studio: Studio, tmp_path: Path) -> None:
    photo = tmp_path / "holiday.png"
    PIL.Image.effect_noise((96, 64), 50).save(photo)
    item = Conditioning(role=Role.FIRST_FRAME, path=photo)
    one, two = (submit(studio, conditionings=(item,), seed=seed) for seed in (1, 3))
    photo.write_bytes(b"somebody else's by now")
    assert drain(studio) == Tally(succeeded=2)
    reading = studio.verify(studio.store.asset(two.id).path).c2pa
    assert [item.title for item in reading.ingredients] == ["first-frame-1.png"]
    assert studio.store.asset(one.id).request["conditionings"][0]["path"] == str(photo)
    assert len(studio.desk.gc().removed) == 1  # the one copy that both shared
    assert not any((studio.settings.home / "inputs").iterdir())


def test_a_stop_keeps_what_was_sampled_and_another_worker_goes_on(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, slow = submit(studio), Slow(studio, monkeypatch)
    with at_work(studio):
        assert slow.running.wait(20)
    seen = studio.desk.job(job.id)
    assert (seen.state, seen.attempts[0].outcome) == (JobState.QUEUED, "stopped")
    assert drain(studio) == Tally(succeeded=1)
    first, second = slow.resumed_from
    assert first == 0
    assert second > 0
    assert leftovers(studio) == []


def test_a_running_job_is_canceled_alone(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    job, next_one, slow = submit(studio), submit(studio, "frozen"), Slow(studio, monkeypatch)
    with at_work(studio):
        assert slow.running.wait(20)
        assert studio.desk.cancel(job.id).status == "canceling"
        wait_for(lambda: studio.desk.job(next_one.id).is_final)
    assert studio.desk.job(job.id).state == JobState.CANCELED
    assert studio.desk.job(next_one.id).state == JobState.SUCCEEDED
    assert leftovers(studio) == []


def test_a_paused_job_goes_on_from_where_it_was(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    job, slow = submit(studio), Slow(studio, monkeypatch)
    with at_work(studio):
        assert slow.running.wait(20)
        studio.desk.pause(job.id)
        wait_for(lambda: studio.desk.job(job.id).status == "paused")
        studio.desk.resume(job.id)
        wait_for(lambda: studio.desk.job(job.id).is_final)
    assert studio.desk.job(job.id).state == JobState.SUCCEEDED
    assert slow.resumed_from[1] > 0


def test_a_full_disk_is_waited_out(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "FIRST_PAUSE_SECONDS", 0.05)
    job, left = submit(studio), [3]
    gate = studio.runner._gate
    original = gate.seal

    def seal(*given: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise DiskFull("no room left", got="the disk", fix="free some space")
        return original(*given, **named)

    monkeypatch.setattr(gate, "seal", seal)
    assert drain(studio) == Tally(succeeded=1, put_back=3)
    seen = studio.desk.job(job.id)
    assert [attempt.outcome for attempt in seen.attempts] == ["waits", "waits", "waits", "succeeded"]
    assert generator_of(studio).calls == 1  # the clip was made once


def test_a_database_that_stays_locked_is_waited_out_and_then_told(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(worker_module, "LONGEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(worker_module, "PATIENCE_SECONDS", 0.3)

    def locked(*_: object) -> None:
        raise StoreBusy("the database is locked")

    monkeypatch.setattr(studio.workshop.queue, "claim", locked)
    with pytest.raises(StoreBusy):
        drain(studio)


def test_the_attempts_that_are_left_are_made_after_a_kill(studio: Studio) -> None:
    """A clip that failed its checks was made and kept; the next seeds are still to come."""
    job = submit(studio, "unlucky", JobWish(on_fail=Policy.parse("retry:3")), seed=4)
    with studio.workshop.roll.enlist(WorkerCard(device="cpu")) as badge:
        lease = studio.workshop.queue.claim(badge.row, worker_module.Scope())
        assert lease is not None
        row = studio.store.job(job.id)
        assert row is not None
        made = studio.runner._generate(lease, studio.workshop.order(row))
        assert next(made) == job.id  # the first attempt is in quarantine; then the process dies
        made.close()
    assert drain(studio) == Tally(succeeded=1)
    asset = studio.store.asset(job.id)
    assert asset.standing == "passed"
    assert generator_of(studio, "unlucky").calls == len((asset.ruling or {})["attempts"])  # none was made twice


def test_generate_is_served_by_a_worker_that_is_there(studio: Studio) -> None:
    stages: list[str] = []
    request = GenerationRequest(model="scripted-moving", seed=3)
    with at_work(studio):
        wait_for(lambda: len(studio.desk.workers()) == 1)
        outcome = studio.generate(request, observe=lambda progress: stages.append(progress.stage))
    assert stages[0] == "waiting"
    assert outcome.verification.c2pa.state == "trusted"
    assert generator_of(studio).sessions == 1


def test_generate_takes_over_when_the_worker_goes_away(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(studio, monkeypatch, steps=100)
    request = GenerationRequest(model="scripted-moving", seed=3)
    with at_work(studio) as stop:
        wait_for(lambda: len(studio.desk.workers()) == 1)
        threading.Thread(target=lambda: (slow.running.wait(20), stop.set())).start()
        outcome = studio.generate(request)
    assert outcome.asset.seed == 3
    assert slow.resumed_from[1] > 0


def test_a_failure_of_a_worker_is_told_to_whoever_waits(studio: Studio) -> None:
    with at_work(studio):
        wait_for(lambda: len(studio.desk.workers()) == 1)
        with pytest.raises(GenerationFailed, match="the script says so"):
            studio.generate(GenerationRequest(model="scripted-raises"))
        with pytest.raises(GenerationFailed, match="a bug"):
            studio.generate(GenerationRequest(model="scripted-crashes"))


def test_checkpoints_go_when_nobody_may_want_them_any_more(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(studio)

    def generate(_resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        run.keep("latents", np.zeros(2**16, np.uint8).tobytes())
        raise GenerationFailed("it decodes to nothing")

    monkeypatch.setattr(generator_of(studio), "generate", generate)
    drain(studio)
    assert "studio queue retry" in (studio.desk.job(job.id).error or {})["fix"]
    assert studio.desk.gc(quota_bytes=2**20).over_quota == ()
    assert studio.desk.gc(quota_bytes=2**10, dry_run=True).over_quota == (job.id,)
    assert studio.quarantine.has_checkpoints(job.id)
    assert studio.desk.gc(quota_bytes=2**10).over_quota == (job.id,)
    assert not studio.quarantine.has_checkpoints(job.id)
    assert studio.desk.remove(job.id).id == job.id
    assert studio.desk.jobs() == []


def test_a_machine_that_is_unfit_does_not_fail_the_whole_queue(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [submit(studio, seed=seed) for seed in range(6)]

    def generate(_resolved: ResolvedRequest, _run: RunContext) -> FrameClip:
        raise faults.pop(0)

    faults: list[Exception] = [OutOfMemory("too large for the card")] * 2 + [MissingPackage("no kernel")] * 3
    jobs += [submit(studio) for _ in range(2)]
    monkeypatch.setattr(generator_of(studio), "generate", generate)
    with pytest.raises(MissingPackage):
        drain(studio)
    states = [studio.desk.job(job.id).state for job in jobs]
    assert states.count(JobState.FAILED) == 5
    assert states.count(JobState.QUEUED) == 3


def test_a_log_on_a_full_disk_does_not_stop_a_worker(studio: Studio) -> None:
    submit(studio)

    def full(_text: str) -> None:
        raise OSError(28, "No space left on device")

    tally = Worker(studio.workshop, WorkerCard(device="cpu"), full).run(threading.Event(), drain=True)
    assert tally == Tally(succeeded=1)


def test_what_a_provider_charged_takes_the_place_of_the_estimate(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = generator_of(studio).generate

    def generate(resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        run.bill(Cost(amount=0.25, currency="EUR"))
        return original(resolved, run)

    monkeypatch.setattr(generator_of(studio), "generate", generate)
    job = submit(studio)
    drain(studio)
    assert studio.desk.job(job.id).billed == {"amount": 0.25, "currency": "EUR"}


def test_a_finished_job_is_never_made_again(studio: Studio) -> None:
    """The process died between the commit and the sweeping up: the raw clip is still there."""
    job = submit(studio)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studio.quarantine, "discard", lambda _job_id: None)
        drain(studio)
    studio.runner.discard(job.id)
    assert studio.desk.job(job.id).state == JobState.SUCCEEDED
    with pytest.raises(RequestError, match="cannot be retried"):
        studio.desk.retry(job.id)
    assert leftovers(studio) == []


def test_an_order_is_remembered_though_the_database_is_locked(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider has been told to start: to forget it would be to pay twice."""
    job, orders = submit(studio), []

    def generate(resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        orders.append(1)
        run.save_operation({"id": "remote-7"})
        raise DiskFull("no room left")

    def resume(operation: dict[str, Any], run: RunContext) -> FrameClip:
        assert operation == {"id": "remote-7"}
        return original(ResolvedRequest.from_json(job.request), run)

    def locked(*_: object) -> None:
        raise StoreBusy("the database is locked")

    monkeypatch.setattr(worker_module, "FIRST_PAUSE_SECONDS", 0.05)
    generator, original = generator_of(studio), generator_of(studio).generate
    monkeypatch.setattr(generator, "generate", generate)
    monkeypatch.setattr(generator, "resume", resume, raising=False)
    monkeypatch.setattr(studio.workshop.queue, "save_operation", locked)
    assert drain(studio) == Tally(succeeded=1, put_back=1)
    assert orders == [1]


def test_a_library_that_the_database_does_not_know_is_left_alone(studio: Studio) -> None:
    """The database was lost, or another one is in use: what lies in the library may be all there is."""
    job = submit(studio)
    drain(studio)
    path = studio.store.asset(job.id).path
    os.utime(path, (0, 0))
    with studio.store.transaction() as session:
        session.execute(sa.delete(AssetRow))
        session.execute(sa.delete(JobRow))
    assert studio.desk.gc().removed == ()
    assert path.is_file()


def test_pausing_the_queue_keeps_who_waits_for_a_worker_waiting(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(studio, monkeypatch, steps=60)
    first = submit(studio)
    with at_work(studio):
        assert slow.running.wait(20)
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(studio.generate, GenerationRequest(model="scripted-moving", seed=5))
            wait_for(lambda: len(studio.desk.jobs(JobState.QUEUED)) == 1)
            studio.desk.pause_queue()
            wait_for(lambda: studio.desk.job(first.id).is_final)
            time.sleep(1.0)
            assert not made.done()
            studio.desk.resume_queue()
            assert made.result(timeout=60).asset.seed == 5
