"""Batches with real workers: what a run makes, what it refuses, and how another goes on with it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.batch.copies import copy_key
from studio.batching import Batches, BatchView, BatchWish
from studio.config import Settings
from studio.consistency.policy import Policy
from studio.errors import Canceled, EnvironmentFault, GenerationFailed, OutputRefused, RequestError
from studio.generator import Cost, RawClip, RunContext
from studio.jobs.budget import OverBudget
from studio.jobs.job import JobWish
from studio.jobs.pace import seconds_left
from studio.jobs.processes import Post, WorkerProcesses
from studio.jobs.roll import WorkerCard
from studio.jobs.states import JobState
from studio.jobs.worker import Tally, Worker
from studio.library.tables import WorkerRow
from studio.request import GenerationRequest, ResolvedRequest
from studio.spending.money import Money
from tests.fakes import write_scripted_row, write_scripted_rows

ROOT = Path(__file__).parents[2]
CHEAP = BatchWish(budget=Money(amount=5, currency="USD"))


@pytest.fixture
def studio(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio whose own catalog has the scripted models, so that worker processes know them too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    catalog = write_scripted_rows(settings.home / "catalog")
    write_scripted_row(catalog, "priced", "price = 1.0")
    write_scripted_row(catalog, "unpriced", 'price = "unknown"')
    studio = Studio(settings)
    yield studio
    studio.store.close()


@pytest.fixture
def batches(studio: Studio) -> Batches:
    return Batches(studio)


@dataclass
class Watch:
    """Keeps what it is shown and told."""

    views: list[BatchView] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def show(self, view: BatchView) -> None:
        self.views.append(view)

    def tell(self, text: str) -> None:
        self.told.append(text)


def write(path: Path, *entries: dict[str, Any]) -> Path:
    """Write a batch file of clips with seeds 1, 2 ... where none are given."""
    lines = [json.dumps({"model": "scripted-moving", "seed": n, **entry}) for n, entry in enumerate(entries, 1)]
    path.write_text("\n".join(lines))
    return path


def drain(studio: Studio, **card: Any) -> Tally:
    return Worker(studio.workshop, WorkerCard(device="cpu", **card)).run(threading.Event(), drain=True)


def dead_worker(studio: Studio) -> WorkerRow:
    """Return a row of a worker of this machine whose process has gone."""
    return WorkerRow(id="gone-1", place=studio.workshop.roll._place, host="here", pid=1, device="cpu", is_resident=True,
                     beat=1, started_at=datetime.now(UTC))  # fmt: skip


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_a_run_makes_every_clip_copies_it_and_writes_a_report(batches: Batches, studio: Studio, tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", {"output": "one.mp4", "name": "one"}, {"model": "scripted-raises"}, {})
    watch = Watch()
    result = batches.run(path, BatchWish(workers=2), watch)
    assert [item.state for item in result.outcomes] == ["succeeded", "failed", "succeeded"]
    assert isinstance(result.error, GenerationFailed)
    first = result.outcomes[0]
    assert first.asset is not None
    assert first.asset.path == tmp_path / "one.mp4"
    assert studio.verify(tmp_path / "one.mp4", search=False).is_intact
    assert len(studio.store.assets()) == 2
    assert result.report == tmp_path / "b.jsonl.report"
    assert files_in(result.report) == {"report.jsonl", "index.html"}
    assert files_in(tmp_path) == {"b.jsonl", "one.mp4"}
    assert watch.views[-1].done == 3
    assert result.totals.states == {"succeeded": 2, "failed": 1}
    assert result.as_json()["jobs"][0]["entry"] == 1


def test_a_finished_run_is_resumed_without_making_anything_and_another_begins_anew(
    batches: Batches, studio: Studio, tmp_path: Path
) -> None:
    path = write(tmp_path / "b.jsonl", {"output": "one.mp4"})
    first = batches.run(path, BatchWish())
    before = (tmp_path / "one.mp4").stat().st_mtime_ns
    leftover = tmp_path / f".studio-{copy_key(path, tmp_path / 'one.mp4')}.mp4"
    leftover.write_bytes(b"of a run that was killed while it copied")
    again = batches.run(path, BatchWish(resume=True))
    assert files_in(tmp_path) == {"b.jsonl", "one.mp4"}
    assert (again.batch.id, again.error, len(studio.store.assets())) == (first.batch.id, None, 1)
    assert (tmp_path / "one.mp4").stat().st_mtime_ns == before
    with pytest.raises(RequestError, match="exists already"):
        batches.run(path, BatchWish())
    anew = batches.run(path, BatchWish(overwrite=True))
    assert anew.batch.id != first.batch.id
    assert len(studio.store.assets()) == 2


def test_resuming_follows_the_file_and_takes_up_what_failed(batches: Batches, studio: Studio, tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", {}, {"name": "drop"}, {"name": "drop too"}, {"model": "scripted-raises"})
    batch, jobs = batches.submit(path, BatchWish())
    studio.desk.prioritize(jobs[2].id, -5)
    studio.desk.pause(jobs[2].id)
    assert drain(studio).failed == 1
    with pytest.raises(RequestError, match="3 of 4 are done"):
        batches.plan(path, BatchWish())
    row = studio.settings.home / "catalog" / "scripted.toml"
    row.write_text(row.read_text().replace('script = "raises"', 'script = "moving"'))
    write(path, {"name": "added", "seed": 7}, {"seed": 1}, {"model": "scripted-raises", "seed": 4})
    watch = Watch()
    result = Batches(Studio(studio.settings)).run(path, BatchWish(resume=True), watch)
    assert result.batch.id == batch.id
    assert [(item.number, item.state, item.request["seed"]) for item in result.outcomes] == [
        (1, "succeeded", 7), (2, "succeeded", 1), (3, "succeeded", 4)
    ]  # fmt: skip
    assert result.outcomes[1].job_id == jobs[0].id
    assert result.outcomes[2].job_id == jobs[3].id
    assert result.outcomes[2].attempts == 2
    assert any(jobs[2].id in text for text in watch.told)
    assert studio.desk.job(jobs[2].id).status == "paused"
    assert studio.desk.job(jobs[2].id).batch_id is None


def test_a_job_that_a_person_canceled_or_that_is_held_stays_so(
    batches: Batches, studio: Studio, tmp_path: Path
) -> None:
    path = write(tmp_path / "b.jsonl", {}, {"model": "scripted-frozen", "on_fail": "hold"}, {})
    _, jobs = batches.submit(path, BatchWish())
    studio.desk.cancel(jobs[0].id)
    watch = Watch()
    result = batches.run(path, BatchWish(resume=True), watch)
    assert [item.state for item in result.outcomes] == ["canceled", "held", "succeeded"]
    assert isinstance(result.error, Canceled)
    assert any("canceled" in text and text.endswith(": 1") for text in watch.told)
    again = Watch()
    batches.run(path, BatchWish(resume=True), again)
    assert any("held for review" in text and text.endswith(": 2") for text in again.told)


def test_nothing_is_queued_when_anything_is_wrong(batches: Batches, studio: Studio, tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", {}, {"width": 77})
    with pytest.raises(RequestError, match="line 2"):
        batches.run(path, BatchWish())
    assert studio.desk.jobs() == []
    assert batches.rows.all() == []


def test_a_file_is_run_by_one_process_at_a_time(batches: Batches, tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", {})
    with batches._alone_with(path), pytest.raises(RequestError, match="another process runs this file"):
        Batches(Studio(batches._studio.settings)).run(tmp_path / "." / "b.jsonl", BatchWish())


def test_no_lock_stays_of_a_file_that_was_handed_in(batches: Batches, studio: Studio, tmp_path: Path) -> None:
    batches.submit(write(tmp_path / "b.jsonl", {}), BatchWish())
    assert list((studio.settings.home / "workers").glob("*.lock")) == []


def test_an_output_that_appears_meanwhile_is_not_overwritten(batches: Batches, studio: Studio, tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", {"output": "one.mp4"})
    batches.submit(path, BatchWish())
    (tmp_path / "one.mp4").write_bytes(b"mine")
    result = batches.run(path, BatchWish(resume=True))
    assert isinstance(result.error, OutputRefused)
    assert "library export" in str(result.error)
    assert (tmp_path / "one.mp4").read_bytes() == b"mine"
    assert result.outcomes[0].state == "succeeded"
    assert batches.run(path, BatchWish(resume=True, overwrite=True)).error is None
    assert files_in(tmp_path) == {"b.jsonl", "one.mp4"}


def test_a_report_that_cannot_be_written_is_told_and_loses_nothing(
    batches: Batches, studio: Studio, tmp_path: Path
) -> None:
    path = write(tmp_path / "b.jsonl", {})

    class Spoiler(Watch):
        def show(self, view: BatchView) -> None:
            if view.done:
                (tmp_path / "report").write_text("in the way")

    watch = Spoiler()
    result = batches.run(path, BatchWish(report=tmp_path / "report"), watch)
    assert result.report is None
    assert isinstance(result.error, OutputRefused)
    assert f"studio batch report {result.batch.id}" in watch.told[-1]
    assert batches.report(result.batch.id).report == tmp_path / "b.jsonl.report"


def test_workers_that_cannot_start_end_the_run_and_the_jobs_wait(
    batches: Batches, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.jobs.processes.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("studio.jobs.processes.LONGEST_PAUSE_SECONDS", 0.01)
    path = write(tmp_path / "b.jsonl", {})
    crew = WorkerProcesses([Post(name="broken")], tmp_path / "logs", command=("sh", "-c", "echo no GPU >&2; exit 3"))
    with pytest.raises(EnvironmentFault, match="no GPU"):
        batches.run(path, BatchWish(crew=lambda *_: crew))
    assert studio.desk.counts()[JobState.QUEUED] == 1


def test_a_stop_leaves_the_jobs_in_the_queue(batches: Batches, studio: Studio, tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", {}, {})
    stop = threading.Event()
    stop.set()
    with pytest.raises(Canceled, match="--resume"):
        batches.run(path, BatchWish(), stop=stop)
    assert studio.desk.counts()[JobState.QUEUED] == 2


def test_a_database_that_is_locked_for_a_while_is_waited_for(
    batches: Batches, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.library.database.BUSY_TIMEOUT_SECONDS", 0.3)  # of this process, not of its workers
    path = write(tmp_path / "b.jsonl", {})

    class Locker(Watch):
        """Locks the database once the run has begun; a dead worker on the roll makes the run want to write."""

        def show(self, view: BatchView) -> None:
            if not self.views:
                with studio.store.transaction() as session:
                    session.add(dead_worker(studio))
                other = sqlite3.connect(studio.settings.database_path, check_same_thread=False)
                other.execute("BEGIN IMMEDIATE")
                threading.Timer(2.0, other.close).start()
            super().show(view)

    watch = Locker()
    assert batches.run(path, BatchWish(), watch).error is None
    assert any(text.startswith("waiting: ") for text in watch.told)
    assert studio.desk.workers() == []


# -- money ----------------------------------------------------------------------------------------------------------


def test_a_batch_that_costs_more_than_its_budget_is_refused_whole(
    batches: Batches, studio: Studio, tmp_path: Path
) -> None:
    path = write(tmp_path / "b.jsonl", *([{"model": "priced"}] * 6))
    with pytest.raises(OverBudget, match=r"6\.00 USD to come; allowed: 5\.00 USD"):
        batches.run(path, CHEAP)
    assert studio.desk.jobs() == []
    assert len(batches.plan(path, BatchWish(budget=Money(amount=6, currency="USD"))).fresh) == 6


def test_a_batch_needs_room_for_every_time_that_a_clip_may_be_made(batches: Batches, tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", {"model": "priced"}, {"model": "priced", "on_fail": "retry:1"})
    assert batches.plan(path, BatchWish(budget=Money(amount=3, currency="USD"))).fresh
    with pytest.raises(OverBudget, match=r"4\.00 USD to come; allowed: 3\.00 USD"):
        batches.plan(path, BatchWish(budget=Money(amount=3, currency="USD"), on_fail=Policy.parse("retry:1")))


def test_costs_that_nobody_knows_or_in_other_money_need_leave(batches: Batches, tmp_path: Path) -> None:
    unknown = write(tmp_path / "u.jsonl", {"model": "unpriced"})
    with pytest.raises(OverBudget, match="--allow-unknown-cost"):
        batches.plan(unknown, CHEAP)
    assert batches.plan(unknown, BatchWish(budget=CHEAP.budget, allows_unknown_cost=True)).fresh
    assert batches.plan(unknown, BatchWish()).fresh
    priced = write(tmp_path / "p.jsonl", {"model": "priced"})
    with pytest.raises(OverBudget, match="in USD"):
        batches.plan(priced, BatchWish(budget=Money(amount=5, currency="EUR")))


def test_a_job_for_which_no_money_is_left_waits_paused_and_goes_on_with_a_larger_budget(
    batches: Batches, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "b.jsonl", {"model": "priced"}, {"model": "priced"})
    batch, jobs = batches.submit(path, CHEAP)
    generator = studio.registry.generator("priced")
    original = generator.generate

    def generate(resolved: ResolvedRequest, run: RunContext) -> RawClip:
        run.bill(Cost(amount=4.5, currency="USD"))
        return original(resolved, run)

    monkeypatch.setattr(generator, "generate", generate)
    tally = drain(studio)
    assert (tally.succeeded, tally.put_back) == (1, 1)
    waiting = studio.desk.job(jobs[1].id)
    assert waiting.status == "paused"
    assert waiting.error is not None
    assert "4.50 USD spent, 1.00 USD to come" in waiting.error["got"]
    unchanged = batches.run(path, BatchWish(resume=True))
    assert isinstance(unchanged.error, OverBudget)
    richer = batches.run(path, BatchWish(resume=True, budget=Money(amount=6, currency="USD")))
    assert richer.error is None
    assert richer.outcomes[1].attempts == 1
    assert batches.rows.find(batch.id).budget == {"amount": 6, "currency": "USD", "allows_unknown": False}


def test_a_month_has_its_budget_too(settings: Settings, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_MONTHLY_BUDGET", "2.50 usd")
    studio = Studio(Settings())
    assert studio.settings.monthly_money == Money(amount=2.5, currency="USD")
    request = GenerationRequest(model="priced", seed=1)
    first = studio.desk.submit(request, JobWish(client_key="same"))
    studio.desk.submit(request)
    with pytest.raises(OverBudget, match="STUDIO_MONTHLY_BUDGET"):
        studio.desk.submit(request)
    assert studio.desk.submit(request, JobWish(client_key="same")).id == first.id
    with pytest.raises(OverBudget):
        studio.generate(request)
    studio.desk.submit(GenerationRequest(model="scripted-moving", seed=1))
    assert drain(studio).succeeded == 3
    with pytest.raises(OverBudget, match=r"2\.00 USD spent"):
        studio.desk.submit(request)


def test_the_time_that_is_left_follows_from_the_pace(batches: Batches, studio: Studio, tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", {}, {}, {})
    batch, jobs = batches.submit(path, BatchWish())
    assert seconds_left(jobs, 1) is None
    studio.desk.pause(jobs[2].id)
    studio.desk.pause(jobs[1].id)
    drain(studio)
    studio.desk.resume(jobs[1].id)
    done, *waiting = batches.rows.glances(batch.id)
    assert done.seconds is not None
    assert seconds_left([done, *waiting], 1) == pytest.approx(done.seconds)
    assert seconds_left([done], 1) == 0
