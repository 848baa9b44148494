"""What every provider's adapter must do, whatever its contract looks like."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

import httpx
import pytest

from providers.network import trust
from studio.errors import (
    Canceled,
    DownloadBroken,
    DownloadRefused,
    JobExpired,
    MissingKey,
    Moderated,
    OutputExpired,
    ProtocolError,
    ProviderFailed,
    SubmitUnknown,
    Unreachable,
)
from studio.media import EncodedClip
from tests.providers.bench import Bench, sha256, sha256_of
from tests.providers.conformance.faults import CREATE_FAULTS, Faults
from tests.providers.conftest import CONTRACTS
from tests.providers.mishaps import Died, Impatient, dies_if, with_more
from tests.providers.run import RecordingRun

BenchOf = Callable[[str], Bench]
ANSWERED = tuple(fault for fault in CREATE_FAULTS if fault != "silence")
NO_CLIPS = (
    "html", "html as mp4", "zip", "huge", "gzip",
    "redirect metadata", "redirect loopback", "redirect file", "redirect loop",
)  # fmt: skip
PASSING = ("429", "500", "503", "reset", "truncated", "cut")


@pytest.fixture(params=list(CONTRACTS))
def bench(request: pytest.FixtureRequest, bench_of: BenchOf) -> Bench:
    """One provider after the other."""
    return bench_of(request.param)


@pytest.fixture
def any_bench(bench_of: BenchOf) -> Bench:
    """One provider, for what does not depend on which."""
    return bench_of("openai-videos")


# -- the order ------------------------------------------------------------------------------------------------------


def test_orders_look_as_the_documentation_says(bench: Bench) -> None:
    assert len(bench.goldens) >= 2 or len(bench.spec.tasks) == 1
    for golden in bench.goldens:
        bench.set(Faults())
        bench.make(golden.request)
        (order,) = bench.server.did("create")
        assert f"{order.method} {order.path}" == f"{golden.method} {golden.path}", golden.name
        assert {name: order.headers.get(name) for name in golden.headers} == dict(golden.headers), golden.name
        assert golden.json is None or order.json == golden.json, golden.name
        assert golden.form is None or order.form == golden.form, golden.name
        for item in golden.request.conditionings:
            assert item.path.name.encode() not in order.body, "the name of the user's file was told"


def test_the_server_takes_nothing_that_is_not_documented(bench: Bench) -> None:
    bench.make()
    (order,) = bench.server.did("create")
    url, count = f"{bench.server.base_url(bench.contract)}{order.path}", len(bench.server.jobs[bench.contract.name])
    headers = {name: order.headers[name] for name in order.headers if name not in ("host", "content-length")}
    stranger = {name: value for name, value in headers.items() if value not in bench.contract.keys.values()}
    with httpx.Client(verify=trust(), trust_env=False) as client:
        for body, sent in ((order.body, {**stranger, "authorization": "Bearer nobody"}), (with_more(order), headers)):
            client.request(order.method, url, params=dict(order.query), headers=sent, content=body)
    assert len(bench.server.jobs[bench.contract.name]) == count


def test_a_clip_arrives_byte_for_byte_and_is_ordered_once(bench: Bench) -> None:
    clip = bench.make()
    assert sha256_of(clip) == sha256(bench.server.clip)
    assert clip.path.parent == bench.run.workdir
    assert len(bench.server.did("create")) == 1


def test_the_order_is_on_record_before_it_is_sent(bench: Bench) -> None:
    sent: list[int] = []

    class Watching(RecordingRun):
        def save_operation(self, operation: Mapping[str, Any]) -> None:
            sent.append(len(bench.server.did("create")))
            super().save_operation(operation)

    bench.run = Watching(bench.run.workdir)
    bench.make()
    assert sent == [0, 1]
    assert [json.loads(text)["state"] for text in bench.run.operations] == ["submitting", "submitted"]


def test_what_it_will_cost_is_known_before_and_without_the_network(bench: Bench) -> None:
    for golden in bench.goldens:
        generator = bench.generator(request=golden.request)
        estimate = generator.estimate(generator.resolve(golden.request))
        has_prices = generator.remote.prices is not None
        assert (estimate.cost is not None) == has_prices, golden.name
        assert estimate.basis
    assert bench.server.requests == []


def test_nothing_is_sent_without_a_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    if bench.spec.remote is not None and not bench.spec.remote.needs_key:
        pytest.skip("its servers may do without a key")
    for variable in bench.contract.keys:
        monkeypatch.delenv(variable)
    assert isinstance(bench.fails(), MissingKey)
    assert bench.server.requests == []


@pytest.mark.parametrize("fault", ANSWERED)
def test_an_order_that_goes_wrong_is_sent_once(bench: Bench, fault: str) -> None:
    bench.set(Faults(create=fault))
    error = bench.fails()
    assert type(error) is bench.contract.expected_error(fault), error
    assert len(bench.server.did("create")) == 1
    assert bench.left_behind == []
    assert error.details["provider"] == bench.spec.remote.provider  # type: ignore[union-attr]
    if not isinstance(error, SubmitUnknown):
        assert bench.run.operation is None
        assert error.details["charged"] == "no"
        return
    assert bench.run.operation is not None
    assert (bench.run.operation["state"], error.details["charged"]) == ("unknown", "unknown")
    bench.server.faults = Faults()
    with suppress(SubmitUnknown):  # or the provider knows it by the name that we gave it
        bench.resume()
    assert len(bench.server.did("create")) == 1


def test_an_order_without_an_answer_is_sent_once(bench: Bench) -> None:
    bench.set(Faults(create="silence"))
    assert type(bench.fails(transport=Impatient(0.1))) is SubmitUnknown
    assert len(bench.server.did("create")) == 1


def test_after_a_crash_between_the_order_and_the_first_question_the_clip_arrives(bench: Bench) -> None:
    bench.run.cancel_when = lambda: dies_if(bench.server.did("create"))
    with pytest.raises(Died):
        bench.make()
    bench.run.cancel_when = lambda: False
    assert bench.server.did("poll") == [] or len(bench.server.did("poll")) == 1
    assert sha256_of(bench.resume()) == sha256(bench.server.clip)
    assert len(bench.server.did("create")) == 1


def test_after_a_crash_before_the_answer_was_kept_nothing_is_ordered_again(bench: Bench) -> None:
    class Dying(RecordingRun):
        def save_operation(self, operation: Mapping[str, Any]) -> None:
            if operation["state"] == "submitted":
                raise Died
            super().save_operation(operation)

    bench.run = Dying(bench.run.workdir)
    with pytest.raises(Died):
        bench.make()
    left = bench.run.operation
    bench.run = RecordingRun(bench.run.workdir)
    bench.run.operation = left
    with suppress(SubmitUnknown):
        bench.resume()
    assert len(bench.server.did("create")) == 1


# -- waiting --------------------------------------------------------------------------------------------------------


def test_all_documented_words_and_one_that_is_not_are_waited_out(bench: Bench) -> None:
    bench.set(Faults(invented="pondering"))
    bench.make()
    assert len(bench.server.did("poll")) >= len(bench.contract.walk) + 2
    assert sum("pondering" in note for note in bench.run.notes) == 1
    assert len(bench.run.notes) == 1, "a documented word is not known"


@pytest.mark.parametrize("fault", PASSING)
def test_trouble_with_a_question_passes(bench: Bench, fault: str) -> None:
    bench.set(Faults(polls=(fault, fault)))
    assert sha256_of(bench.make()) == sha256(bench.server.clip)
    assert len(bench.server.did("create")) == 1


def test_questions_are_never_asked_more_often_than_the_row_allows(bench: Bench) -> None:
    bench.poll_every(0.03)
    bench.set(Faults(polls=("500", "reset", "429", "truncated")))
    bench.make()
    moments = [request.at for request in bench.server.did("poll")]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) >= 0.029


def test_a_server_that_says_when_to_come_back_is_left_alone_until_then(any_bench: Bench) -> None:
    any_bench.set(Faults(polls=("429 retry-after",)))
    any_bench.make()
    first, second, *_ = (request.at for request in any_bench.server.did("poll"))
    assert second - first >= 0.99


def test_a_server_that_stays_broken_is_given_up_and_the_order_is_kept(bench: Bench) -> None:
    bench.poll_every(0.002)
    bench.set(Faults(polls=("500",), always=True))
    assert isinstance(bench.fails(), Unreachable)
    assert 3 <= len(bench.server.did("poll")) <= 10
    bench.server.faults = Faults()
    assert sha256_of(bench.resume()) == sha256(bench.server.clip)
    assert len(bench.server.did("create")) == 1


@pytest.mark.parametrize("fault", ["429", "reset", "truncated", "cut"])
def test_tries_are_bounded_whatever_the_trouble_is(any_bench: Bench, fault: str) -> None:
    any_bench.poll_every(0.002)
    any_bench.set(Faults(polls=(fault,), always=True))
    assert isinstance(any_bench.fails(), Unreachable | ProviderFailed)
    assert 3 <= len(any_bench.server.did("poll")) <= 10
    assert any_bench.run.operation is not None


def test_a_job_that_is_gone_is_told_as_such(bench: Bench) -> None:
    bench.set(Faults(polls=("404",), always=True))
    error = bench.fails()
    assert type(error) is JobExpired
    assert error.details["charged"] == "unknown"


def test_nonsense_is_not_waited_out_for_ever(any_bench: Bench) -> None:
    any_bench.set(Faults(polls=("truncated",), always=True))
    assert type(any_bench.fails()) is ProtocolError


# -- how a job ends -------------------------------------------------------------------------------------------------


def test_moderation_is_an_outcome_of_its_own(bench: Bench) -> None:
    bench.set(Faults(ending="moderated"))
    error = bench.fails()
    assert type(error) is Moderated
    assert error.details["charged"] == bench.contract.moderation_charged
    assert len(bench.server.did("create")) == 1
    assert bench.left_behind == []


def test_a_job_that_fails_is_told_with_the_providers_words(bench: Bench) -> None:
    bench.set(Faults(ending="failed"))
    error = bench.fails()
    assert isinstance(error, ProviderFailed)
    assert not isinstance(error, Moderated | ProtocolError | SubmitUnknown)
    assert error.got
    assert error.details["charged"] in ("yes", "no", "unknown")
    assert len(bench.server.did("create")) == 1


# -- fetching the clip ----------------------------------------------------------------------------------------------


def test_an_address_that_ran_out_is_renewed(bench: Bench) -> None:
    if not bench.contract.expires:
        pytest.skip("its addresses do not run out")
    bench.set(Faults(results=("gone",)))
    assert sha256_of(bench.make()) == sha256(bench.server.clip)
    assert len(bench.server.did("create")) == 1


def test_a_clip_that_is_gone_for_good_is_told_as_such(bench: Bench) -> None:
    bench.set(Faults(results=("gone",), always=True))
    assert type(bench.fails()) is OutputExpired
    assert len(bench.server.did("result")) <= 2
    assert bench.left_behind == []


def test_a_clip_that_breaks_off_is_fetched_again(bench: Bench) -> None:
    bench.set(Faults(results=("short",)))
    assert sha256_of(bench.make()) == sha256(bench.server.clip)
    assert len(bench.left_behind) == 1


@pytest.mark.parametrize("fault", ["partial", "empty", "500", "reset", "drip", "long"])
def test_other_trouble_on_the_way_passes(any_bench: Bench, fault: str) -> None:
    any_bench.set(Faults(results=(fault,)))
    assert sha256_of(any_bench.make()) == sha256(any_bench.server.clip)
    assert len(any_bench.left_behind) == 1


def test_a_clip_that_always_breaks_off_is_given_up_and_can_be_fetched_later(any_bench: Bench) -> None:
    any_bench.set(Faults(results=("short",), always=True))
    assert type(any_bench.fails()) is DownloadBroken
    assert 2 <= len(any_bench.server.did("result")) <= 5
    assert any_bench.left_behind == []
    any_bench.server.faults = Faults()
    assert sha256_of(any_bench.resume()) == sha256(any_bench.server.clip)


@pytest.mark.parametrize("fault", NO_CLIPS)
def test_what_is_no_clip_or_lies_elsewhere_is_refused(bench: Bench, fault: str) -> None:
    bench.set(Faults(results=(fault,), always=True))
    error = bench.fails()
    assert type(error) is DownloadRefused
    assert bench.server.strangers == []
    assert bench.left_behind == []
    assert bench.run.operation is not None
    assert bench.run.operation["state"] == "submitted"
    bench.server.faults = Faults()
    assert sha256_of(bench.resume()) == sha256(bench.server.clip)
    assert len(bench.server.did("create")) == 1


# -- stopping -------------------------------------------------------------------------------------------------------


def test_what_is_canceled_before_the_order_is_not_ordered(bench: Bench) -> None:
    bench.run.cancel_when = lambda: True
    assert type(bench.fails()) is Canceled
    assert bench.server.did("create") == []
    assert bench.run.operation is None


def test_a_running_job_is_stopped_or_one_is_told_that_it_cannot_be(bench: Bench) -> None:
    remote = bench.spec.remote
    assert remote is not None
    assert (remote.cancel != "none") == bench.contract.cancels, "row and contract do not agree"
    bench.set(Faults(invented="pondering"))
    bench.run.cancel_when = lambda: len(bench.server.did("poll")) >= 1
    error = bench.fails()
    assert type(error) is Canceled
    assert len(bench.server.did("cancel")) == bench.contract.cancels
    if remote.cancel == "none":
        assert "cannot stop a job" in error.message
        assert error.details["charged"] == "yes"
    elif remote.cancel == "running":
        assert "was told to stop" in error.message or "was canceled at" in error.message
        costs = {True: "no", False: "yes", None: "unknown"}[remote.cancel_refunds]
        assert error.details["charged"] in (costs, "unknown")  # nobody says that one which waits is paid for
    assert error.details["provider"] == remote.provider


def test_a_provider_that_does_not_stop_a_job_is_not_believed_to_have(bench: Bench) -> None:
    if not bench.contract.cancels:
        pytest.skip("it never does")
    bench.set(Faults(invented="pondering", cancels=("409",)))
    bench.run.cancel_when = lambda: len(bench.server.did("poll")) >= 1
    error = bench.fails()
    assert "did not stop" in error.message
    assert error.details["charged"] == "unknown"


def test_a_clip_that_is_done_before_it_could_be_stopped_is_kept_or_its_cost_is_told(bench: Bench) -> None:
    bench.set(Faults(hasty=True, invented="pondering"))
    bench.run.cancel_when = lambda: len(bench.server.did("poll")) == 1
    outcome: EncodedClip | Canceled
    try:
        outcome = bench.make()
    except Canceled as error:
        outcome = error
    assert len(bench.server.did("create")) == 1
    if isinstance(outcome, EncodedClip):
        assert sha256_of(outcome) == sha256(bench.server.clip)
    else:
        assert bench.contract.cancels
        assert outcome.details["charged"] in ("yes", "unknown")
