"""What only MiniMax does: codes in three places, tasks that may only be stopped while they wait, and that expire."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from providers.minimax import MiniMax
from providers.states import State
from providers.wire import Answer
from studio.config import Settings
from studio.errors import (
    Canceled,
    JobExpired,
    KeyRefused,
    Moderated,
    OutOfCredits,
    ProtocolError,
    ProviderBroken,
    QuotaUsedUp,
    RateLimited,
    RequestRefused,
    StudioError,
    UnsupportedValue,
)
from studio.request import GenerationRequest
from studio.spending.pricing import price_of
from tests.providers.bench import Bench, sha256, sha256_of, spec_of
from tests.providers.conformance.contract import DATA_URI
from tests.providers.conformance.faults import Faults

HANDLE = {"id": "424010985738629"}
CODES: dict[str, type[StudioError]] = {
    "1002": RateLimited,
    "1004": KeyRefused,
    "1008": OutOfCredits,
    "1026": Moderated,
    "1027": Moderated,
    "2013": RequestRefused,
    "2049": KeyRefused,
    "2056": QuotaUsedUp,
}


@pytest.fixture
def bench(bench_of: Callable[[str], Bench]) -> Bench:
    return bench_of("minimax")


@pytest.fixture
def adapter(settings: Settings) -> MiniMax:
    return MiniMax(spec_of("minimax-h3"), settings)


def answer(body: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status=status, headers={}, body=json.dumps(body).encode())


def base_response(code: int) -> Answer:
    return answer({"task_id": "", "base_resp": {"status_code": code, "status_msg": "no"}})


def error(message: str, status: int) -> Answer:
    told = {"type": "some_error", "message": message, "http_code": str(status)}
    return answer({"type": "error", "error": told, "request_id": "r-1"}, status)


# -- codes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", list(CODES))
def test_a_refusal_may_come_with_http_200(adapter: MiniMax, code: str) -> None:
    with pytest.raises(StudioError) as caught:
        adapter.handle(base_response(int(code)))
    assert type(caught.value) is CODES[code]
    assert (caught.value.details["code"], caught.value.details["charged"]) == (code, "no")


@pytest.mark.parametrize("code", list(CODES))
def test_the_code_stands_at_the_end_of_an_errors_text(adapter: MiniMax, code: str) -> None:
    found = adapter.refusal(error(f"something is wrong, or not ({code})", 400))
    assert type(found) is CODES[code]
    assert found.details["code"] == code


def test_an_order_with_http_200_and_a_fault_of_the_provider_is_unknown(adapter: MiniMax) -> None:
    with pytest.raises(ProtocolError) as caught:
        adapter.handle(base_response(1000))
    assert caught.value.details["charged"] == "unknown"


def test_a_base_response_that_says_that_all_is_well_is_none(adapter: MiniMax) -> None:
    told = answer({"task_id": HANDLE["id"], "base_resp": {"status_code": 0, "status_msg": "success"}})
    assert adapter.handle(told) == HANDLE


@pytest.mark.parametrize("code", [1000, 1002])
def test_a_question_that_goes_wrong_with_http_200_does_not_end_the_task(adapter: MiniMax, code: int) -> None:
    with pytest.raises(ProtocolError):
        adapter.status(base_response(code), HANDLE)


@pytest.mark.parametrize(
    ("code", "kind"), [("1000", ProviderBroken), ("1026", Moderated), ("1027", Moderated)], ids=str
)
def test_a_task_that_failed_carries_its_code(adapter: MiniMax, code: str, kind: type[StudioError]) -> None:
    task = {"id": HANDLE["id"], "status": "failed", "error": {"code": code, "message": "it went wrong"}}
    status = adapter.status(answer({"task": task}), HANDLE)
    assert status.state is State.FAILED
    assert type(status.failure) is kind
    assert status.failure.details["charged"] == "unknown"


# -- tasks that are gone --------------------------------------------------------------------------------------------


def test_a_task_of_more_than_a_week_ago_is_told_as_expired(bench: Bench) -> None:
    bench.run.cancel_when = lambda: _forget_all(bench)
    found = bench.fails()
    assert type(found) is JobExpired
    assert found.details["charged"] == "unknown"
    assert bench.run.operation is not None


def _forget_all(bench: Bench) -> bool:
    jobs = bench.server.jobs["minimax"]
    for job in list(jobs):
        jobs.delete(job.id)
    return False


@pytest.mark.parametrize(("word", "kind"), [("expired", JobExpired), ("cancelled", Canceled)], ids=str)
def test_a_task_that_somebody_or_time_has_ended_says_so(bench: Bench, word: str, kind: type[StudioError]) -> None:
    bench.run.cancel_when = lambda: _end_all(bench, word)
    assert type(bench.fails()) is kind


def _end_all(bench: Bench, word: str) -> bool:
    for job in bench.server.jobs["minimax"]:
        job.words, job.ending = [word], "canceled"
    return False


# -- stopping -------------------------------------------------------------------------------------------------------


def test_a_task_that_waits_is_stopped_and_costs_nothing(bench: Bench) -> None:
    bench.run.cancel_when = lambda: _stays(bench, "queued") and len(bench.server.did("poll")) >= 1
    found = bench.fails()
    assert type(found) is Canceled
    assert "it costs nothing" in found.message
    assert found.details["charged"] == "no"
    assert len(bench.server.did("cancel")) == 1


def _stays(bench: Bench, word: str) -> bool:
    for job in bench.server.jobs["minimax"]:
        job.words[0:0] = [word]
    return True


def test_a_task_that_runs_is_not_believed_to_have_been_stopped(bench: Bench) -> None:
    bench.run.cancel_when = lambda: _stays(bench, "running") and len(bench.server.did("poll")) >= 1
    found = bench.fails()
    assert "did not stop the job" in found.message
    assert found.details["charged"] == "unknown"


def test_a_task_that_is_done_is_not_thrown_away_by_stopping_it(bench: Bench) -> None:
    bench.set(Faults(hasty=True))
    bench.run.cancel_when = lambda: len(bench.server.did("poll")) >= 1
    assert sha256_of(bench.make()) == sha256(bench.server.clip)
    assert bench.server.did("cancel") == []


# -- money ----------------------------------------------------------------------------------------------------------


def test_the_seconds_that_were_used_are_billed_as_units(bench: Bench) -> None:
    bench.make()
    assert bench.run.bills == [(None, 5.0, "second")]


def test_the_price_follows_the_resolution(bench: Bench) -> None:
    costs = [price_of(bench.spec, bench.resolved(golden.request)) for golden in bench.goldens]
    assert [cost.amount for cost in costs if cost] == [0.4, 0.4, 0.4, 1.95]


def _with_references(bench: Bench, number: int) -> GenerationRequest:
    request = bench.goldens[3].request
    return replace(request, conditionings=request.conditionings * number, duration_seconds=5, resolution="768P")


@pytest.mark.parametrize(("number", "amount"), [(1, 0.4), (5, 0.4), (6, 0.44), (9, 0.56)])
def test_references_beyond_the_fifth_cost_more(bench: Bench, number: int, amount: float) -> None:
    cost = price_of(bench.spec, bench.resolved(_with_references(bench, number)))
    assert cost is not None
    assert cost.amount == amount


def test_nine_references_are_sent_and_ten_are_refused(bench: Bench) -> None:
    bench.make(_with_references(bench, 9))
    (order,) = bench.server.did("create")
    assert [item.get("role") for item in order.json["content"]] == [None, *["reference_image"] * 9]
    with pytest.raises(UnsupportedValue, match="up to 9"):
        bench.resolved(_with_references(bench, 10))


# -- the first version ----------------------------------------------------------------------------------------------

OLD = GenerationRequest(model="minimax-hailuo-2.3", prompt="a fox in the snow")


@pytest.fixture
def old(bench_of: Callable[..., Bench]) -> Bench:
    return bench_of("minimax", model="minimax-hailuo-2.3")


def test_hailuo_leads_to_a_file_whose_address_is_asked_for(old: Bench) -> None:
    old.set(Faults(polls=("500", "reset"), results=("gone",)))
    assert sha256_of(old.make(OLD)) == sha256(old.server.clip)
    (order,) = old.server.did("create")
    assert order.path == "/v1/video_generation"
    assert order.json == {
        "model": "MiniMax-Hailuo-2.3",
        "prompt": "a fox in the snow",
        "duration": 6,
        "resolution": "768P",
    }
    assert old.run.notes == []


def test_hailuo_takes_a_first_frame(old: Bench) -> None:
    pictured = next(golden.request for golden in old.goldens if golden.name == "image to video")
    old.make(replace(pictured, model="minimax-hailuo-2.3-fast"))
    (order,) = old.server.did("create")
    assert order.json["first_frame_image"] == DATA_URI
    assert order.json["model"] == "MiniMax-Hailuo-2.3-Fast"


@pytest.mark.parametrize(("ending", "kind"), [("failed", ProviderBroken), ("moderated", Moderated)], ids=str)
def test_hailuo_tells_how_a_task_ends_by_its_code(old: Bench, ending: str, kind: type[StudioError]) -> None:
    old.set(Faults(ending=ending))
    found = old.fails(OLD)
    assert type(found) is kind
    assert found.details["charged"] == "unknown"


def test_hailuo_makes_ten_seconds_at_768p_alone(old: Bench) -> None:
    found = old.fails(replace(OLD, resolution="1080P", duration_seconds=10))
    assert type(found) is UnsupportedValue
    assert old.server.requests == []


@pytest.mark.parametrize(
    ("seconds", "resolution", "amount"), [(6, "768P", 0.28), (10, "768P", 0.56), (6, "1080P", 0.49)]
)
def test_hailuo_is_paid_by_the_clip(old: Bench, seconds: int, resolution: str, amount: float) -> None:
    cost = price_of(old.spec, old.resolved(replace(OLD, duration_seconds=seconds, resolution=resolution)))
    assert cost is not None
    assert cost.amount == amount
