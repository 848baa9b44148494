"""What only OpenRouter does: models by name, flagged prompts, the cost in the answer, three ways to a clip."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from providers.openrouter import OpenRouter
from providers.states import State, Status
from providers.wire import Answer
from studio.config import Settings
from studio.errors import ModelGone, Moderated, ProtocolError, ProviderFailed, SubmitUnknown, UnsupportedValue
from studio.generator import Cost
from tests.providers.bench import Bench, spec_of
from tests.providers.conformance.faults import Faults

ID = {"id": "gen-vid-1-abc"}


@pytest.fixture
def bench(bench_of: Callable[[str], Bench]) -> Bench:
    return bench_of("openrouter")


@pytest.fixture
def adapter(settings: Settings) -> OpenRouter:
    return OpenRouter(spec_of("openrouter-any"), settings)


def status_of(adapter: OpenRouter, **body: Any) -> Status:
    return adapter.status(_answer(200, body), ID)


def test_the_cost_that_the_answer_tells_is_billed(bench: Bench) -> None:
    bench.make()
    assert bench.run.bills == [(Cost(amount=0.4, currency="USD"), None, "")]


def test_a_flagged_prompt_is_moderation_and_not_a_refused_key(bench: Bench) -> None:
    error = bench.fails(replace(bench.request, prompt="flagged"))
    assert isinstance(error, Moderated)
    assert bench.run.operation is None


def test_a_model_that_is_not_there_is_named_as_gone(bench: Bench) -> None:
    error = bench.fails(replace(bench.request, options={"model": "nobody/nothing"}))
    assert isinstance(error, ModelGone)


@pytest.mark.parametrize("name", ["", "veo", "google/", "../../keys", "a b/c", "google/veo?x=1"])
def test_a_name_that_can_be_no_model_is_refused_before_anything_is_sent(bench: Bench, name: str) -> None:
    error = bench.fails(replace(bench.request, options={"model": name}))
    assert isinstance(error, UnsupportedValue)
    assert error.field == "option model"
    assert bench.server.requests == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '"text"',
        "[" * 3000,
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": "\\ud800"}',
    ],
    ids=["cut", "list", "text", "deep", "not a number", "endless number", "half a character"],
)
def test_what_is_passed_on_must_be_a_json_object(bench: Bench, text: str) -> None:
    error = bench.fails(replace(bench.request, options={"model": "a/b", "provider": text}))
    assert isinstance(error, UnsupportedValue)
    assert error.field == "option provider"


def test_a_failed_job_that_cost_nothing_says_so(bench: Bench) -> None:
    bench.set(Faults(ending="failed"))
    error = bench.fails()
    assert isinstance(error, ProviderFailed)
    assert error.details["charged"] == "no"
    assert "the maker's server failed" in error.sentence()


def test_a_clip_without_a_signed_address_comes_by_the_content_route(adapter: OpenRouter) -> None:
    own = status_of(
        adapter, status="completed", unsigned_urls=["https://openrouter.ai/api/v1/videos/x/content?index=0"]
    )
    silent = status_of(adapter, status="completed")
    for status in (own, silent):
        assert status.result is not None
        assert status.result.call is not None
        assert status.result.call.path == "videos/gen-vid-1-abc/content?index=0"


def test_a_signed_address_comes_first(adapter: OpenRouter) -> None:
    status = status_of(adapter, status="completed", urls=["https://cdn.example/a", "https://cdn.example/b"])
    assert status.result is not None
    assert status.result.url == "https://cdn.example/a"
    assert status.outputs == 2


def test_a_completed_job_with_an_empty_list_of_clips_names_none(adapter: OpenRouter) -> None:
    assert status_of(adapter, status="completed", unsigned_urls=[], urls=[]).result is None


@pytest.mark.parametrize("cost", [-1, True, "0.4", float("nan"), None], ids=str)
def test_a_cost_that_is_none_is_not_billed(adapter: OpenRouter, cost: object) -> None:
    assert status_of(adapter, status="completed", usage={"cost": cost}).charge is None


def test_words_about_content_rules_are_moderation(adapter: OpenRouter) -> None:
    status = status_of(adapter, status="failed", error="Output blocked by the content filter", usage={"cost": 0.3})
    assert isinstance(status.failure, Moderated)
    assert status.failure.details["charged"] == "yes"


def test_states_are_known_and_others_are_not_guessed(adapter: OpenRouter) -> None:
    words = ("pending", "in_progress", "cancelled", "expired", "pondering")
    found = [status_of(adapter, status=word).state for word in words]
    assert found == [State.QUEUED, State.RUNNING, State.CANCELED, State.EXPIRED, None]


@pytest.mark.parametrize(
    "body", [{}, {"id": 7}, {"id": "../keys"}, {"id": ""}], ids=["none", "number", "path", "empty"]
)
def test_an_answer_without_a_usable_id_names_no_job(adapter: OpenRouter, body: dict[str, Any]) -> None:
    with pytest.raises((ProtocolError, KeyError)):
        adapter.handle(_answer(202, body))


def test_an_order_answered_with_an_id_that_is_a_path_is_not_known_to_be_taken(bench: Bench) -> None:
    contract = bench.contract
    contract_create = contract.routes

    def routes() -> tuple[Any, ...]:
        first, create, *rest = contract_create()
        hostile = replace(create, handle=lambda _request, _jobs: _response({"id": "../../keys", "status": "pending"}))
        return (first, hostile, *rest)

    contract.routes = routes  # type: ignore[method-assign]
    try:
        assert isinstance(bench.fails(), SubmitUnknown)
    finally:
        del contract.routes  # type: ignore[method-assign]
    assert len(bench.server.did("create")) == 1
    assert bench.server.did("poll") == []


def _response(body: dict[str, Any]) -> Any:
    from tests.providers.conformance.messages import Response

    return Response(status=202, body=body)


def _answer(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status=status, headers={"content-type": "application/json"}, body=json.dumps(body).encode())
