"""Every order at a provider is an entry of the ledger, counted from before it is sent until somebody knows better."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from studio.app import Studio
from studio.config import Settings
from studio.consistency.policy import Policy
from studio.errors import (
    Canceled,
    GenerationFailed,
    KeyRefused,
    OutOfCredits,
    ProviderFailed,
    RateLimited,
    RequestRefused,
)
from studio.generator import Cost, RunContext
from studio.jobs.bookkeeping import Books, state_after
from studio.jobs.budget import OverBudget, refusal_of
from studio.jobs.job import Job, JobWish
from studio.jobs.lease import Stopped
from studio.jobs.queue import Scope
from studio.jobs.roll import WorkerCard
from studio.jobs.worker import Tally, Worker
from studio.library.tables import LedgerRow
from studio.media import FrameClip
from studio.request import GenerationRequest, ResolvedRequest
from studio.spending.ledger import Entry, EntryState, Ledger
from studio.spending.money import Money
from tests.fakes import ScriptedGenerator, write_scripted_row, write_scripted_rows

ROOT = Path(__file__).parents[2]
DOLLAR = Money(amount=1.0, currency="USD")
KILLED_WHILE_IT_ORDERS = """
import os, signal, threading
from studio.app import Studio
from studio.jobs.roll import WorkerCard
from studio.jobs.worker import Worker
from tests.fakes import ScriptedGenerator
ScriptedGenerator.generate = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Worker(Studio().workshop, WorkerCard(device="cpu")).run(threading.Event(), drain=True)
"""

Script = Callable[[ResolvedRequest, RunContext], FrameClip]


@pytest.fixture
def studio(database_settings: Settings) -> Any:
    """A studio on each database whose own catalog has models with a price."""
    catalog = write_scripted_rows(database_settings.home / "catalog")
    write_scripted_row(catalog, "priced", "price = 1.0")
    write_scripted_row(catalog, "unpriced", 'price = "unknown"')
    unlucky = (catalog / "priced.toml").read_text().replace('script = "moving"', 'script = "unlucky"')
    (catalog / "unlucky.toml").write_text(unlucky.replace('id = "priced"', 'id = "priced-unlucky"'))
    studio = Studio(database_settings)
    yield studio
    studio.store.close()


def submit(studio: Studio, model: str = "priced", wish: JobWish | None = None, seed: int = 1) -> Job:
    return studio.desk.submit(GenerationRequest(model=model, seed=seed, prompt="a secret plan"), wish)


def drain(studio: Studio) -> Tally:
    return Worker(studio.workshop, WorkerCard(device="cpu")).run(threading.Event(), drain=True)


def entries(studio: Studio, job: Job | None = None) -> list[Entry]:
    return Ledger(studio.store).entries(job_id=None if job is None else job.id)


def states(studio: Studio, job: Job) -> list[str]:
    return [entry.state.value for entry in entries(studio, job)]


def play(studio: Studio, monkeypatch: pytest.MonkeyPatch, script: Script, *, resume: Script | None = None) -> None:
    """Let the priced model do something else; with `resume` it can pick up what goes on elsewhere."""
    generator = studio.registry.generator("priced")
    monkeypatch.setattr(generator, "generate", script)
    if resume is not None:
        monkeypatch.setattr(generator, "resume", resume, raising=False)


def draw(studio: Studio) -> Script:
    """Return what the priced model does when it is left alone."""
    generator = studio.registry.generator("priced")
    assert isinstance(generator, ScriptedGenerator)
    return generator.generate


def raises(error: BaseException, *, is_ordered: bool = False) -> Script:
    def generate(_resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        if is_ordered:
            run.save_operation({"id": "remote-7"})
        raise error

    return generate


def with_details(error: Any, **details: str | bool) -> Any:
    error.details = details
    return error


def test_an_order_that_brought_a_clip_is_charged_with_the_list_price(studio: Studio) -> None:
    job = submit(studio)
    assert drain(studio).succeeded == 1
    (entry,) = entries(studio)
    assert (entry.job_id, entry.number, entry.order_number) == (job.id, 1, 1)
    assert (entry.pool, entry.provider, entry.model, entry.task) == ("remote", "scripted", "priced", "text-to-video")
    assert (entry.state, entry.money, entry.source) == (EntryState.CHARGED, DOLLAR, "list price")
    assert entry.clip_seconds == pytest.approx(9 / 8)
    assert entry.settled_at is not None
    assert entry.settled_at >= entry.ordered_at


def test_what_the_provider_billed_takes_the_place_of_the_list_price(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = draw(studio)

    def generate(resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        run.bill(Cost(amount=0.6, currency="usd"), units=60, unit="credit")
        return original(resolved, run)

    play(studio, monkeypatch, generate)
    job = submit(studio)
    drain(studio)
    (entry,) = entries(studio)
    assert (entry.money, entry.source) == (Money(amount=0.6, currency="USD"), "provider")
    assert (entry.units, entry.unit) == (60, "credit")
    assert studio.desk.job(job.id).billed == {"amount": 0.6, "currency": "USD"}


def test_a_bill_in_units_alone_keeps_the_list_price(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    original = draw(studio)

    def generate(resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        run.bill(None, units=5, unit="second")
        return original(resolved, run)

    play(studio, monkeypatch, generate)
    job = submit(studio)
    drain(studio)
    (entry,) = entries(studio)
    assert (entry.money, entry.source, entry.units, entry.unit) == (DOLLAR, "list price", 5, "second")
    assert studio.desk.job(job.id).billed is None


def test_an_order_of_unknown_price_is_there_without_money(studio: Studio) -> None:
    submit(studio, "unpriced")
    drain(studio)
    (entry,) = entries(studio)
    assert (entry.state, entry.money, entry.source) == (EntryState.CHARGED, None, None)


@pytest.mark.parametrize(
    ("error", "is_ordered", "state"),
    [
        (GenerationFailed("no"), False, "unknown"),
        (ZeroDivisionError("a bug"), False, "unknown"),
        (RequestRefused("no"), False, "free"),
        (KeyRefused("no"), False, "free"),
        (with_details(RequestRefused("no"), charged="unknown"), False, "unknown"),
        (with_details(ProviderFailed("no"), charged="no"), True, "free"),
        (with_details(ProviderFailed("no"), charged="yes"), True, "charged"),
        (with_details(ProviderFailed("no"), charged="unknown"), True, "unknown"),
        (with_details(Canceled("stopped there"), charged="no"), True, "free"),
        (Canceled(), False, "unknown"),
        (with_details(KeyRefused("while it polled"), charged="no"), True, "open"),
        (with_details(RateLimited("while it polled"), charged="no"), True, "open"),
        (with_details(OutOfCredits("it ended with this"), charged="no", ended=True), True, "free"),
        (with_details(OutOfCredits("it ended with this"), ended=True), True, "unknown"),
    ],
    ids=lambda item: item if isinstance(item, str) else type(item).__name__ if isinstance(item, Exception) else None,
)
def test_what_is_not_known_to_be_free_counts_as_paid(error: BaseException, is_ordered: bool, state: str) -> None:
    assert state_after(error, is_ordered=is_ordered).value == state


def test_a_failed_order_is_settled_and_another_one_is_another_entry(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(studio, monkeypatch, raises(GenerationFailed("the provider says so")))
    job = submit(studio)
    assert drain(studio).failed == 1
    assert states(studio, job) == ["unknown"]
    monkeypatch.undo()
    studio.desk.retry(job.id)
    assert drain(studio).succeeded == 1
    assert states(studio, job) == ["unknown", "charged"]
    assert [entry.order_number for entry in entries(studio, job)] == [1, 2]
    studio.desk.remove(job.id)
    assert states(studio, job) == ["unknown", "charged"]


def test_an_order_that_goes_on_elsewhere_stays_one_entry(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    original, job = draw(studio), submit(studio)
    found: list[dict[str, Any]] = []

    def resume(operation: dict[str, Any], run: RunContext) -> FrameClip:
        found.append(operation)
        return original(ResolvedRequest.from_json(job.request), run)

    stopped = raises(Stopped(), is_ordered=True)
    play(studio, monkeypatch, stopped, resume=resume)  # type: ignore[arg-type]
    assert drain(studio) == Tally(succeeded=1, put_back=1)
    assert found == [{"id": "remote-7"}]
    assert states(studio, job) == ["charged"]


def test_a_process_that_is_killed_while_it_orders_leaves_an_order_that_counts(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(studio)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.run([sys.executable, "-c", KILLED_WHILE_IT_ORDERS], env=environment, timeout=60)
    assert child.returncode == -signal.SIGKILL
    (entry,) = entries(studio)
    assert (entry.state, entry.money, entry.settled_at) == (EntryState.OPEN, DOLLAR, None)
    monkeypatch.setenv("STUDIO_MONTHLY_BUDGET", "1 USD")
    poor = Studio(Settings())
    with pytest.raises(OverBudget, match=r"1\.00 USD spent, 1\.00 USD to come"):
        submit(poor)
    assert drain(poor).succeeded == 1  # its own order takes no second place in the budget
    poor.store.close()
    assert states(studio, job) == ["charged"]


def test_an_order_that_is_given_up_counts_and_its_successor_too(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was sent, the key was withdrawn while it was polled, and the person changed the request."""
    play(studio, monkeypatch, raises(KeyRefused("while it polled"), is_ordered=True))
    job = submit(studio)
    drain(studio)
    assert states(studio, job) == ["open"]
    monkeypatch.undo()
    studio.desk.retry(job.id, {"seed": 5})
    assert states(studio, job) == ["unknown"]
    drain(studio)
    assert states(studio, job) == ["unknown", "charged"]


def test_work_of_our_own_is_entered_with_its_seconds(studio: Studio) -> None:
    catalog = studio.settings.home / "catalog"
    row = (catalog / "priced.toml").read_text().replace('where = "remote"', 'where = "local"')
    weights = '[models.weights]\nsource = "embedded"\nrepository = "micro-wan"\n'
    row = row.replace('id = "priced"', 'id = "own"').replace("[models.parameters]", f"{weights}\n[models.parameters]")
    (catalog / "own.toml").write_text(row)
    own = Studio(studio.settings)
    submit(own, "own")
    assert drain(own).succeeded == 1
    (entry,) = entries(own)
    assert (entry.pool, entry.provider, entry.model, entry.money) == ("local", "local", "own", None)
    assert entry.clip_seconds == pytest.approx(9 / 8)
    assert entry.work_seconds is not None
    assert 0 < entry.work_seconds < 60
    own.store.close()


def test_an_entry_holds_nothing_that_was_asked_for(studio: Studio) -> None:
    submit(studio)
    drain(studio)
    with studio.store.database.read() as session:
        rows = [dict(row._mapping) for row in session.execute(sa.select(LedgerRow.__table__))]
    assert len(rows) == 1
    assert "secret" not in repr(rows)
    assert "://" not in repr(rows)


# -- caps -----------------------------------------------------------------------------------------------------------


def test_those_who_order_at_the_same_moment_do_not_spend_the_same_money(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [submit(studio) for _ in range(8)]
    monkeypatch.setenv("STUDIO_DAILY_BUDGET", "3 USD")
    settings, spec = Settings(), studio.registry.catalog.get("priced")
    books, start = Books(studio.store, settings), threading.Barrier(len(jobs))
    with ExitStack() as stack:
        badge = stack.enter_context(studio.workshop.roll.enlist(WorkerCard(device="cpu")))
        leases = [studio.workshop.queue.claim(badge.row, Scope(job_id=job.id)) for job in jobs]

        class Run:
            is_ordered = True

        def order(index: int) -> bool:
            lease = leases[index]
            assert lease is not None
            start.wait()
            try:
                with books.keeping(lease, 1, spec, ResolvedRequest.from_json(jobs[index].request), Run()):
                    return True
            except OverBudget:
                return False

        with ThreadPoolExecutor(len(jobs)) as pool:
            passed = list(pool.map(order, range(len(jobs))))
    assert passed.count(True) == 3
    assert len(entries(studio)) == 3


def test_a_job_for_which_another_was_faster_waits_paused(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(studio)
    monkeypatch.setenv("STUDIO_MONTHLY_BUDGET", "0.50 USD")
    poor = Studio(Settings())
    monkeypatch.setattr("studio.jobs.worker.refusal_of", lambda *_: None)  # it looked a moment earlier
    assert drain(poor) == Tally(put_back=1)
    waiting = poor.desk.job(job.id)
    assert waiting.status == "paused"
    assert waiting.error is not None
    assert waiting.error["type"] == "OverBudget"
    assert entries(poor) == []
    poor.store.close()


def test_a_clip_that_may_be_made_again_needs_room_for_all_of_it(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = JobWish(on_fail=Policy.parse("retry:2"))
    monkeypatch.setenv("STUDIO_DAILY_BUDGET", "2 USD")
    poor = Studio(Settings())
    with pytest.raises(OverBudget, match=r"3\.00 USD to come; allowed: 2\.00 USD"):
        submit(poor, wish=twice)
    poor.store.close()
    monkeypatch.setenv("STUDIO_DAILY_BUDGET", "3 USD")
    rich = Studio(Settings())
    job = submit(rich, "priced-unlucky", wish=twice, seed=2)
    assert job.estimate == {"amount": 1.0, "currency": "USD"}
    with pytest.raises(OverBudget, match=r"4\.00 USD to come"):
        submit(rich)
    assert drain(rich).succeeded == 1
    made = entries(rich, job)
    assert [entry.number for entry in made] == list(range(1, len(made) + 1))
    assert 1 < len(made) <= 3
    assert {entry.state for entry in made} == {EntryState.CHARGED}
    rich.store.close()


@pytest.mark.parametrize(("words", "model"), [("0.99 USD", "priced"), ("5 EUR", "priced"), ("5 USD", "unpriced")])
def test_a_clip_that_costs_more_than_its_person_wishes_is_refused_before_it_is_in_the_queue(
    studio: Studio, words: str, model: str
) -> None:
    with pytest.raises(OverBudget, match="--max-cost"):
        submit(studio, model, JobWish(max_cost=Money.parse(words)))
    with pytest.raises(OverBudget, match="--max-cost"):
        studio.generate(GenerationRequest(model=model, seed=1), max_cost=Money.parse(words))
    assert studio.desk.jobs() == []


@pytest.mark.parametrize(
    ("words", "model", "way"),
    [
        ("5 EUR", "priced", "give --max-cost in USD"),
        ("5 USD", "unpriced", "leave out --max-cost, or use a model whose price is known"),
    ],
)
def test_what_helps_where_a_cost_cannot_be_compared_is_said(studio: Studio, words: str, model: str, way: str) -> None:
    with pytest.raises(OverBudget) as caught:
        submit(studio, model, JobWish(max_cost=Money.parse(words)))
    assert caught.value.fix == way


def test_a_clip_within_what_its_person_wishes_is_made(studio: Studio) -> None:
    job = submit(studio, wish=JobWish(max_cost=DOLLAR))
    assert drain(studio).succeeded == 1
    assert states(studio, job) == ["charged"]


def test_a_job_whose_clips_are_all_made_needs_no_money(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing failed for a full disk: the clip is paid for and there."""
    job = submit(studio)
    row = studio.store.job(job.id)
    assert row is not None
    monkeypatch.setenv("STUDIO_MONTHLY_BUDGET", "1 USD")
    settings = Settings()
    assert refusal_of(studio.store, settings, row) is None
    drain(studio)
    assert refusal_of(studio.store, settings, row) is None
    poor = Studio(settings)
    with pytest.raises(OverBudget):
        submit(poor)
    poor.store.close()
