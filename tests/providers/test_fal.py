"""What only fal does: a second step to the result, failures that call themselves completed, keys in two halves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from providers.fal import Fal
from providers.states import State
from providers.wire import Answer
from studio.config import Settings
from studio.errors import (
    Canceled,
    InputRefused,
    JobExpired,
    MissingKey,
    ModelGone,
    Moderated,
    OutOfCredits,
    ProtocolError,
    ProviderBroken,
    RequestRefused,
    StudioError,
    UnsupportedValue,
)
from studio.request import GenerationRequest
from tests.providers.bench import Bench, spec_of
from tests.providers.conformance.contract import Pictures
from tests.providers.conformance.fal import FalContract
from tests.providers.conformance.faults import Faults

BenchOf = Callable[..., Bench]


@pytest.fixture
def bench(bench_of: BenchOf) -> Bench:
    return bench_of("fal")


@pytest.fixture
def adapter(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Fal:
    monkeypatch.setenv("FAL_KEY", "half-one:0123456789")
    return Fal(spec_of("fal-pika-2.2"), settings)


@pytest.fixture
def trouble(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StudioError]:
    """Return the error of a job whose result is asked for and answered with a status, a body and headers."""

    def fails(status: int, body: Any, **headers: str) -> StudioError:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        monkeypatch.setattr(bench.contract, "trouble", (status, body, named))
        bench.set(Faults(ending="failed"))
        return bench.fails()

    return fails


def answer(**body: Any) -> Answer:
    return Answer(status=200, headers={"content-type": "application/json"}, body=json.dumps(body).encode())


def typed(kind: str, field: str = "prompt") -> dict[str, Any]:
    return {"detail": [{"loc": ["body", field], "msg": "the words of fal", "type": kind}]}


# -- orders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1], ids=["first and last frame", "any endpoint"])
def test_other_rows_get_what_their_endpoints_take(bench_of: BenchOf, pictures: Pictures, number: int) -> None:
    golden = FalContract().other_goldens(pictures)[number]
    bench = bench_of("fal", model=golden.request.model)
    bench.make(golden.request)
    (order,) = bench.server.did("create")
    assert (order.path, order.json) == (golden.path, golden.json)


def test_a_picture_goes_to_any_endpoint_under_the_usual_name_or_not_at_all(
    bench_of: BenchOf, pictures: Pictures
) -> None:
    bench = bench_of("fal", model="fal-any")
    wish = GenerationRequest(
        model="fal-any", prompt="x", options={"model": "acme/video/fast"}, conditionings=pictures.as_first_frame()
    )
    bench.make(wish)
    bench.make(replace(wish, options={"model": "acme/video/fast", "input": '{"image_url": null}'}))
    first, second = (order.json for order in bench.server.did("create"))
    assert set(first) == {"prompt", "image_url"}
    assert set(second) == {"prompt"}


@pytest.mark.parametrize("name", ["", "pika", "../secrets/x", "https://evil.example/x", "a/b?c=d", "a//b", "a/b c"])
def test_what_is_no_endpoint_is_refused_before_anything_is_sent(bench_of: BenchOf, name: str) -> None:
    bench = bench_of("fal", model="fal-any")
    with pytest.raises(UnsupportedValue, match="option model"):
        bench.generator().resolve(GenerationRequest(model="fal-any", prompt="x", options={"model": name}))


@pytest.mark.parametrize("text", ["{", "[1]", '"text"', "duration=8"])
def test_input_that_is_no_json_object_is_refused_before_anything_is_sent(bench_of: BenchOf, text: str) -> None:
    bench = bench_of("fal", model="fal-any")
    options = {"model": "acme/video/fast", "input": text}
    with pytest.raises(UnsupportedValue, match="option input"):
        bench.generator().resolve(GenerationRequest(model="fal-any", prompt="x", options=options))


def test_an_endpoint_that_is_not_there_is_told_as_such(bench_of: BenchOf) -> None:
    bench = bench_of("fal", model="fal-any")
    error = bench.fails(GenerationRequest(model="fal-any", prompt="x", options={"model": "acme/nothing"}))
    assert type(error) is ModelGone
    assert error.got is not None
    assert "acme/nothing" in error.got


# -- waiting --------------------------------------------------------------------------------------------------------


def test_the_place_in_the_queue_is_told(adapter: Fal) -> None:
    handle = {"id": "r"}
    assert adapter.status(answer(status="IN_QUEUE", queue_position=2), handle).note == "2 before it in the queue"
    assert adapter.status(answer(status="IN_PROGRESS", logs=None), handle).note == ""
    assert adapter.status(answer(status="PONDERING"), handle).state is None


def test_completed_is_not_believed_before_the_result_is_there(adapter: Fal) -> None:
    status = adapter.status(answer(status="COMPLETED", error="it broke", error_type="runner_disconnected"), {"id": "r"})
    assert status.state is State.SUCCEEDED
    assert status.result is None
    assert type(status.failure) is ProviderBroken


def test_addresses_elsewhere_are_asked_for_where_the_key_may_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.contract, "elsewhere", True)
    bench.make()
    assert bench.server.strangers == []
    (result,) = (request for request in bench.server.requests if request.path.rpartition("/")[0].endswith("requests"))
    assert result.path.startswith("/fal-ai/pika/requests/")


@pytest.mark.parametrize("url", ["", "https://queue.fal.run", "https://queue.fal.run/a/../b", None, "//evil.example"])
def test_an_answer_without_addresses_names_no_job(adapter: Fal, url: object) -> None:
    urls = dict.fromkeys(("status_url", "response_url", "cancel_url"), url)
    with pytest.raises(ProtocolError):
        adapter.handle(answer(request_id="r-1", **urls))


# -- the result decides ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "charged"),
    [
        (422, typed("content_policy_violation"), Moderated, "unknown"),
        (422, typed("image_too_small", "image_url"), InputRefused, "unknown"),
        (422, typed("file_download_error", "image_url"), InputRefused, "unknown"),
        (422, typed("value_error"), RequestRefused, "unknown"),
        (500, typed("internal_server_error"), ProviderBroken, "no"),
        (504, typed("generation_timeout"), ProviderBroken, "no"),
        (503, {"detail": "gone", "error_type": "runner_disconnected"}, ProviderBroken, "no"),
        (402, {"detail": "Exhausted balance"}, OutOfCredits, "no"),
        (404, {"detail": "Path /fast not found"}, ModelGone, "no"),
        (404, {"detail": "Request not found"}, JobExpired, "unknown"),
    ],
    ids=["moderated", "picture", "file", "field", "broken", "slow", "runner", "balance", "endpoint", "expired"],
)
def test_a_completed_job_ends_as_its_result_says(
    trouble: Callable[..., StudioError], status: int, body: Any, kind: type[StudioError], charged: str
) -> None:
    error = trouble(status, body)
    assert type(error) is kind, error
    assert error.details["charged"] == charged
    assert error.details["http_status"] == status
    assert error.details["request_id"]


def test_a_failure_that_fal_tells_is_asked_for_once(bench: Bench, trouble: Callable[..., StudioError]) -> None:
    trouble(503, {"detail": "gone"}, x_fal_error_type="runner_disconnected")
    asked = [item for item in bench.server.requests if item.path.rpartition("/")[0].endswith("requests")]
    assert len(asked) == 1
    assert bench.run.operation is not None
    assert bench.run.operation["state"] == "ended"


def test_the_field_at_fault_is_named(trouble: Callable[..., StudioError]) -> None:
    error = trouble(422, typed("greater_than", "duration"))
    assert (error.field, error.details["code"]) == ("duration", "greater_than")


def test_a_job_that_was_stopped_elsewhere_is_told_as_canceled(trouble: Callable[..., StudioError]) -> None:
    assert type(trouble(499, {"detail": "Request was cancelled", "error_type": "client_cancelled"})) is Canceled


def test_a_result_without_a_clip_is_no_success(trouble: Callable[..., StudioError]) -> None:
    error = trouble(200, {"video": None, "seed": 1})
    assert type(error) is ProtocolError
    assert error.details["charged"] == "unknown"


@pytest.mark.parametrize("shape", ["video", "videos", "text"])
def test_a_clip_is_found_where_endpoints_put_it(bench: Bench, monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    bodies = {"video": lambda file: {"video": file}, "videos": lambda file: {"videos": [file]}}
    bodies["text"] = lambda file: {"video": file["url"]}
    original = FalContract._result

    def result(*given: Any) -> Any:
        found = original(*given)
        return replace(found, body=bodies[shape](found.body["video"]))  # type: ignore[index, call-overload]

    monkeypatch.setattr(FalContract, "_result", result)
    bench.make()


# -- keys -----------------------------------------------------------------------------------------------------------


def test_a_key_in_two_halves_is_put_together(adapter: Fal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert adapter.authorization() == {"authorization": "Key half-one:0123456789"}
    monkeypatch.delenv("FAL_KEY")
    monkeypatch.setenv("FAL_KEY_ID", "the-id-of-a-key")
    with pytest.raises(MissingKey, match="FAL_KEY_SECRET"):
        adapter.authorization()
    assert "FAL_KEY_SECRET" in adapter.missing()
    monkeypatch.setenv("FAL_KEY_SECRET", "and-its-secret-half")
    assert adapter.authorization() == {"authorization": "Key the-id-of-a-key:and-its-secret-half"}
    assert adapter.missing() == ""
    monkeypatch.setenv("FAL_KEY_ID", "a-whole:key-in-one")
    assert adapter.authorization() == {"authorization": "Key a-whole:key-in-one"}
