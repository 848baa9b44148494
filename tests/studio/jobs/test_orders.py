"""What was ordered from a provider is neither forgotten nor ordered twice, whichever of row and folder knows of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from studio.app import Studio
from studio.config import Settings
from studio.errors import Moderated, RequestError, StillRunning, StoreBusy, SubmitUnknown, Unreachable
from studio.generator import Cost, RawClip, RunContext
from studio.jobs.job import Job, newest_order
from studio.jobs.lease import Stopped
from studio.jobs.roll import WorkerCard
from studio.jobs.states import FailureReason, JobState
from studio.jobs.worker import Tally, Worker
from studio.library.tables import JobRow
from studio.media import FrameClip
from studio.request import GenerationRequest, ResolvedRequest
from studio.spending.ledger import Ledger
from studio.spending.money import Money
from tests.fakes import ScriptedGenerator, write_scripted_row, write_scripted_rows

SUBMITTED = {"provider": "acme", "state": "submitted", "handle": {"id": "remote-7"}}
UNKNOWN = {"provider": "acme", "state": "unknown", "tag": "studio-1"}


@pytest.fixture
def studio(settings: Settings) -> Any:
    write_scripted_row(write_scripted_rows(settings.home / "catalog"), "priced", "price = 1.0")
    studio = Studio(settings)
    yield studio
    studio.store.close()


class Provider:
    """Plays a provider: counts what is ordered, and what is asked for again."""

    def __init__(self, studio: Studio, monkeypatch: pytest.MonkeyPatch, ends: list[Exception | None]) -> None:
        generator = studio.registry.generator("priced")
        assert isinstance(generator, ScriptedGenerator)
        self._draw: Callable[[ResolvedRequest, RunContext], FrameClip] = generator.generate
        self._ends = ends
        self._request: ResolvedRequest | None = None
        self.operation: Mapping[str, Any] = SUBMITTED
        self.ordered = 0
        self.resumed: list[Mapping[str, Any]] = []
        monkeypatch.setattr(generator, "generate", self._generate)
        monkeypatch.setattr(generator, "resume", self._resume, raising=False)

    def _generate(self, resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        self.ordered += 1
        self._request = resolved
        run.save_operation(self.operation)
        return self._end(resolved, run)

    def _resume(self, operation: Mapping[str, Any], run: RunContext) -> FrameClip:
        assert self._request is not None
        self.resumed.append(operation)
        return self._end(self._request, run)

    def _end(self, resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        error = self._ends.pop(0) if self._ends else None
        if error is not None:
            raise error
        return self._draw(resolved, run)


def submit(studio: Studio) -> Job:
    return studio.desk.submit(GenerationRequest(model="priced", seed=1))


def drain(studio: Studio) -> Tally:
    return Worker(studio.workshop, WorkerCard(device="cpu")).run(threading.Event(), drain=True)


def states(studio: Studio, job: Job) -> list[str]:
    return [entry.state.value for entry in Ledger(studio.store).entries(job_id=job.id)]


def test_of_row_and_folder_the_later_counts_and_the_row_wins_a_tie() -> None:
    old, new = {"token": 1, "serial": 9}, {"token": 2, "serial": 1}
    assert newest_order(old, new) is new
    assert newest_order(new, old) is new
    same = dict(new)
    assert newest_order(new, same) is new
    assert newest_order(None, None) is None


def test_an_order_that_is_sent_anew_by_consent_is_not_the_one_that_another_machine_remembers(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desk is on one machine, the worker on another, whose folder nobody cleared."""
    provider = Provider(studio, monkeypatch, [SubmitUnknown("nobody knows")])
    provider.operation = UNKNOWN
    job = submit(studio)
    drain(studio)
    remembered = studio.store.job(job.id).operation  # type: ignore[union-attr]
    assert remembered is not None
    studio.desk.retry(job.id, order_again=True)
    studio.workshop.quarantine.put_operation(job.id, remembered)
    drain(studio)
    assert (provider.ordered, provider.resumed) == (2, [])


def test_an_order_that_came_to_nothing_on_this_machine_says_nothing_of_a_later_one_elsewhere(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider(studio, monkeypatch, [StillRunning("elsewhere")])
    job = submit(studio)
    drain(studio)
    ended = {"attempt": 1, "token": 0, "serial": 3, "request": "", "operation": {"state": "ended"}}
    studio.workshop.quarantine.put_operation(job.id, ended)
    studio.desk.retry(job.id)
    drain(studio)
    assert (provider.ordered, provider.resumed) == (1, [SUBMITTED])


def test_an_order_of_which_only_the_folder_knows_outlives_the_end_of_its_job(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was locked just when the order was written down, and came back before the job failed."""
    provider = Provider(studio, monkeypatch, [StillRunning("it takes long")])
    save, calls = studio.workshop.queue.save_operation, []

    def locked_once(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise StoreBusy("locked")
        save(*arguments)

    monkeypatch.setattr(studio.workshop.queue, "save_operation", locked_once)
    job = submit(studio)
    drain(studio)
    studio.desk.retry(job.id)
    assert drain(studio).succeeded == 1
    assert (provider.ordered, provider.resumed) == (1, [SUBMITTED])


def test_what_is_stopped_before_it_is_ordered_costs_nothing(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider(studio, monkeypatch, [])
    job = submit(studio)
    generator = studio.registry.generator("priced")
    order = generator.generate

    def stopped(_resolved: ResolvedRequest, _run: RunContext) -> FrameClip:
        monkeypatch.setattr(generator, "generate", order)
        studio.desk.pause(job.id)
        raise Stopped

    monkeypatch.setattr(generator, "generate", stopped)
    drain(studio)
    assert states(studio, job) == ["free"]
    studio.desk.resume(job.id)
    drain(studio)
    assert (provider.ordered, states(studio, job)) == (1, ["free", "charged"])


def test_who_cancels_a_job_that_waits_is_told_of_what_was_ordered_and_can_still_have_it(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider(studio, monkeypatch, [Stopped()])
    job = submit(studio)
    stop = threading.Event()
    monkeypatch.setattr(Worker, "_told", lambda *_: stop.set())
    Worker(studio.workshop, WorkerCard(device="cpu")).run(stop)
    monkeypatch.undo()
    job = studio.desk.cancel(job.id)
    assert job.state == JobState.CANCELED
    assert job.error is not None
    assert "goes on at the provider" in job.error["message"]
    assert job.error["details"]["charged"] == "unknown"
    provider = Provider(studio, monkeypatch, [])
    provider._request = ResolvedRequest.from_json(job.request)
    studio.desk.retry(job.id)
    assert drain(studio).succeeded == 1
    assert (provider.ordered, provider.resumed) == (0, [SUBMITTED])


def test_who_cancels_a_job_of_which_nothing_was_ordered_is_told_nothing(studio: Studio) -> None:
    job = submit(studio)
    assert studio.desk.cancel(job.id).error is None


def test_moderation_is_not_ordered_again_either_where_an_earlier_clip_is_kept(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    Provider(studio, monkeypatch, [Moderated("its rules")])
    job = submit(studio)
    drain(studio)
    with studio.store.transaction() as session:  # as it is where the first clip failed its checks
        unsealed = {"reason": FailureReason.UNSEALED}
        session.execute(sa.update(JobRow).where(JobRow.id == job.id).values(**unsealed))
    with pytest.raises(RequestError, match="rules forbid"):
        studio.desk.retry(job.id)


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), -5.0], ids=str)
def test_a_bill_that_is_no_amount_is_left_out(studio: Studio, monkeypatch: pytest.MonkeyPatch, figure: float) -> None:
    """A budget that is compared with it would have room for everything."""
    generator = studio.registry.generator("priced")
    draw = generator.generate

    def generate(resolved: ResolvedRequest, run: RunContext) -> RawClip:
        run.bill(Cost(amount=figure, currency="usd"), units=60, unit="credit")
        run.bill(None, units=figure, unit="credit")
        return draw(resolved, run)

    monkeypatch.setattr(generator, "generate", generate)
    job = submit(studio)
    drain(studio)
    (entry,) = Ledger(studio.store).entries(job_id=job.id)
    assert (entry.money, entry.source, entry.units) == (Money(amount=1.0, currency="USD"), "list price", None)
    assert studio.desk.job(job.id).billed is None


def test_a_provider_that_cannot_be_reached_for_a_while_costs_no_job_its_order(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider(studio, monkeypatch, [Unreachable("no answer"), Unreachable("no answer"), None])
    job = submit(studio)
    drain(studio)
    assert studio.desk.job(job.id).state == JobState.SUCCEEDED
    assert (provider.ordered, len(provider.resumed)) == (1, 2)
    assert states(studio, job) == ["charged"]


def test_a_job_with_an_open_order_is_not_changed_without_consent(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider(studio, monkeypatch, [StillRunning("it takes long"), None])
    job = submit(studio)
    drain(studio)
    with pytest.raises(RequestError, match="may be paid for"):
        studio.desk.retry(job.id, {"seed": 2})
    studio.desk.retry(job.id, {"seed": 2}, order_again=True)
    drain(studio)
    assert studio.desk.job(job.id).state == JobState.SUCCEEDED
    assert (provider.ordered, len(provider.resumed)) == (2, 0)


def test_an_order_that_does_not_fit_the_request_is_not_taken_for_none(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an update that reads requests in another way."""
    provider = Provider(studio, monkeypatch, [StillRunning("it takes long"), None])
    job = submit(studio)
    drain(studio)
    row = studio.store.job(job.id)
    assert row is not None
    assert row.operation is not None
    changed = row.operation | {"request": "another digest"}
    with studio.store.transaction() as session:
        session.execute(sa.update(JobRow).where(JobRow.id == job.id).values(operation=changed))
    studio.desk.retry(job.id)
    drain(studio)
    assert studio.desk.job(job.id).reason == FailureReason.SUBMIT_UNKNOWN
    assert (provider.ordered, len(provider.resumed)) == (1, 0)


def test_who_lost_an_order_is_told_what_to_type(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = SubmitUnknown("nobody knows whether it was taken", fix="look at the provider's own list of jobs")
    Provider(studio, monkeypatch, [lost])
    with pytest.raises(SubmitUnknown) as caught:
        studio.generate(GenerationRequest(model="priced", seed=1))
    (job,) = studio.desk.jobs()
    assert caught.value.fix is not None
    assert caught.value.fix.startswith("look at the provider's own list of jobs; ")
    assert f"`studio queue retry {job.id}`" in caught.value.fix
    assert f"`studio queue retry {job.id} --order-again`" in caught.value.fix
    assert job.error is not None
    assert job.error["fix"] == caught.value.fix


@pytest.mark.parametrize(
    ("charged", "words"), [("yes", "it is paid for"), ("unknown", "it may be paid for"), ("no", "")]
)
def test_who_gets_no_clip_is_told_whether_it_costs(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, charged: str, words: str
) -> None:
    refused = Moderated("its rules forbid it", fix="change the prompt")
    refused.details = {"charged": charged, "ended": True}
    Provider(studio, monkeypatch, [refused])
    with pytest.raises(Moderated) as caught:
        studio.generate(GenerationRequest(model="priced", seed=1))
    assert caught.value.fix == (f"change the prompt; {words} all the same" if words else "change the prompt")
