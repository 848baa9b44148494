"""Answers that no documentation allows for: they end in a sentence, they tell no secret, and no order is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from providers.faults import Complaint, error_of
from providers.wire import Answer, is_web_address
from studio.errors import ProtocolError, RequestRefused, SubmitUnknown
from tests.providers.bench import Bench, spec_of
from tests.providers.conformance.contract import Contract, Jobs, Request, Response

KEY = "sk-canary-0123456789abcdef0123456789abcdef"


@pytest.fixture
def bench(bench_of: Callable[[str], Bench]) -> Bench:
    return bench_of("openai-videos")


def _say(monkeypatch: pytest.MonkeyPatch, bench: Bench, what: str, **values: Any) -> None:
    """Let the server's answers of a kind hold other values."""
    kind: type[Contract] = type(bench.contract)
    answer = getattr(kind, what)

    def changed(self: Contract, request: Request, jobs: Jobs) -> Response:
        found = answer(self, request, jobs)
        assert isinstance(found.body, dict)
        return replace(found, body={**found.body, **values})

    monkeypatch.setattr(kind, what, changed)


@pytest.mark.parametrize("progress", [float("nan"), float("inf")], ids=["nan", "infinity"])
def test_a_progress_that_is_no_number_does_not_end_the_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, progress: float
) -> None:
    _say(monkeypatch, bench, "_query", progress=progress)
    bench.make()
    assert all(0 <= done <= total for done, total in bench.run.steps)


def test_a_number_larger_than_numbers_is_a_wrong_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    _say(monkeypatch, bench, "_query", progress=10**400)
    error = bench.fails()
    assert isinstance(error, ProtocolError)
    assert bench.run.operation is not None
    assert bench.run.operation["state"] == "submitted"


def test_an_id_with_half_a_character_leaves_an_order_of_which_nobody_knows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _say(monkeypatch, bench, "_create", id="job-\ud800")
    error = bench.fails()
    assert isinstance(error, SubmitUnknown)
    assert bench.run.operation is not None
    assert bench.run.operation["state"] == "unknown"


@pytest.mark.parametrize("field", [5, ["prompt"], {"name": "prompt"}], ids=["number", "list", "object"])
def test_a_field_that_is_no_text_is_told_all_the_same(field: Any) -> None:
    remote = spec_of("openai-videos").remote
    assert remote is not None
    error = error_of(remote, RequestRefused, Complaint(message="no", field=field))
    assert error.field == str(field)


def test_a_key_is_masked_before_an_answer_is_cut_short() -> None:
    body = ("x" * 1980 + " " + KEY).encode()
    answer = Answer(status=500, headers={"x-request-id": "y" * 80 + " " + KEY}, body=body)
    assert "canary" not in answer.text
    assert "canary" not in json.dumps(answer.request_id)


@pytest.mark.parametrize(
    "url", ["https://xn--/", "https://[::1", "https://a\x00b/"], ids=["name", "bracket", "control"]
)
def test_what_cannot_be_taken_apart_is_no_address(url: str) -> None:
    assert not is_web_address(url)
