"""Answers that differ from our own server's in what the documentation leaves open are understood all the same."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from providers.faults import complaint_in
from providers.remote import RemoteGenerator
from providers.states import Charge, State, Status
from providers.wire import Answer
from studio.config import Settings
from studio.errors import (
    Canceled,
    DownloadRefused,
    InputRefused,
    JobExpired,
    Moderated,
    OutOfCredits,
    OutputExpired,
    ProviderFailed,
    RateLimited,
    StudioError,
    TooManyJobs,
    Unreachable,
)
from studio.request import GenerationRequest
from tests.providers.bench import Bench, sha256, spec_of
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.gemini_omni import GeminiOmniContract
from tests.providers.conformance.messages import Request
from tests.providers.conformance.runway import RunwayContract

CLIP = "https://cdn.example/clip.mp4"
AdapterOf = Callable[[str], RemoteGenerator]


@pytest.fixture
def adapter_of(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AdapterOf:
    def make(model: str) -> RemoteGenerator:
        spec = spec_of(model)
        assert spec.remote is not None
        assert spec.generator is not None
        for variable in spec.remote.key_variables[:1]:
            monkeypatch.setenv(variable, "key-0123456789:abcdef")
        module, _, name = spec.generator.partition(":")
        found = getattr(importlib.import_module(module), name)(spec, settings)
        assert isinstance(found, RemoteGenerator)
        return found

    return make


def answer(http_status: int = 200, /, *, to: str = "", **body: Any) -> Answer:
    content = json.dumps(body).encode()
    return Answer(status=http_status, headers={"content-type": "application/json"}, body=content, path=to)


def told(adapter: RemoteGenerator, **body: Any) -> Status:
    return adapter.status(answer(**body), {"id": "job-1", "path": "v1/videos/text2video"})


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("runway-gen4.5", {"status": "SUCCEEDED", "output": CLIP}),
        ("runway-gen4.5", {"status": "SUCCEEDED", "output": [CLIP]}),
        ("replicate-any", {"status": "succeeded", "output": CLIP}),
        ("replicate-any", {"status": "succeeded", "output": [{"url": CLIP}]}),
        ("luma-ray-3.2", {"state": "completed", "output": [{"url": CLIP}]}),
        ("luma-ray-3.2", {"status": "completed", "output": [{"type": "image", "url": "x"}, CLIP]}),
        ("minimax-h3", {"id": "job-1", "status": "succeeded", "content": {"url": CLIP}}),
        ("kling-v3", {"data": {"task_status": "succeed", "task_result": {"videos": [{"url": CLIP}]}}}),
    ],
)
def test_a_clip_is_found_as_a_text_or_in_a_list(adapter_of: AdapterOf, model: str, body: Mapping[str, Any]) -> None:
    status = told(adapter_of(model), **body)
    assert status.state is State.SUCCEEDED
    assert status.result is not None
    assert status.result.url == CLIP


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("openai-videos", {"status": "failed", "error": "out of memory"}),
        ("ltx-api-2.3-fast", {"status": "failed", "error": "out of memory"}),
        ("minimax-h3", {"task": {"status": "failed", "error": "out of memory"}}),
        ("openrouter-any", {"status": "failed", "error": {"code": 500, "message": "out of memory"}}),
        ("gemini-omni-1.2-flash", {"status": "failed", "error": {"code": "internal", "message": "out of memory"}}),
    ],
)
def test_a_failure_is_understood_in_words_and_as_an_object(
    adapter_of: AdapterOf, model: str, body: Mapping[str, Any]
) -> None:
    failure = told(adapter_of(model), **body).failure
    assert isinstance(failure, ProviderFailed)
    assert failure.got is not None
    assert failure.got.endswith("out of memory")


@pytest.mark.parametrize(
    ("model", "status", "body", "kind"),
    [
        ("ltx-api-2.3-fast", 429, {"error": {"type": "concurrency_limit_error", "code": "429"}}, TooManyJobs),
        ("ltx-api-2.3-fast", 429, {"error": {"type": "concurrency_limit_error", "code": "limited"}}, TooManyJobs),
        ("ltx-api-2.3-fast", 429, {"error": "concurrency_limit_error", "message": "wait"}, TooManyJobs),
        ("ltx-api-2.3-fast", 429, {"error": {"type": "rate_limit_error"}}, RateLimited),
        ("luma-ray-3.2", 400, {"failure_code": "content_moderated", "failure_reason": "no"}, Moderated),
        ("luma-ray-3.2", 400, {"failure_code": "image_too_large"}, InputRefused),
        ("luma-ray-3.2", 400, {"failure_code": "budget_exhausted"}, OutOfCredits),
    ],
)
def test_a_word_says_more_than_the_number_beside_it(
    adapter_of: AdapterOf, model: str, status: int, body: Mapping[str, Any], kind: type[StudioError]
) -> None:
    assert type(adapter_of(model).refusal(answer(status, **body))) is kind


def test_a_number_that_is_not_the_http_status_is_the_code() -> None:
    assert complaint_in(answer(400, error={"code": 1027, "type": "error", "message": "no"})).code == "1027"
    assert complaint_in(answer(402, error={"code": 402, "message": "no"})).code == "402"
    assert complaint_in(answer(400, error="the prompt is empty")).code == ""


def test_minimax_may_number_its_tasks_and_call_its_seconds_so(adapter_of: AdapterOf) -> None:
    minimax = adapter_of("minimax-h3")
    assert minimax.handle(answer(task_id=176843862716480)) == {"id": "176843862716480"}
    charge = told(minimax, task={"status": "succeeded", "usage": {"seconds": 5}}).charge
    assert charge == Charge(units=5.0, unit="second")


def test_fal_is_asked_at_the_usual_place_where_its_answer_names_none(adapter_of: AdapterOf) -> None:
    own = "https://queue.fal.run/fal-ai/pika/requests/r-1"
    found = adapter_of("fal-pika-2.2").handle(answer(to="fal-ai/pika/v2.2/text-to-video", request_id="r-1"))
    assert found == {"id": "r-1", "status_url": f"{own}/status", "response_url": own, "cancel_url": f"{own}/cancel"}


@pytest.mark.parametrize("whole", [True, False], ids=["to be fetched", "of the file"])
def test_a_file_of_google_is_asked_for_in_the_version_that_its_address_names(
    bench_of: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    bench, asked = bench_of("gemini"), []
    video, route = GeminiOmniContract._video, type(bench.server)._routed

    def in_beta(contract: GeminiOmniContract, job: Any) -> dict[str, Any]:
        part = video(contract, job)
        uri = part["uri"].replace("/v1/", "/v1beta/")
        return part | {"uri": uri if whole else uri.partition(":download")[0]}

    def routed(server: Any, request: Request) -> Any:
        if "/files/" in request.path:
            asked.append(request.path)
            assert "/v1beta/" in request.path
            object.__setattr__(request, "path", request.path.replace("/v1beta/", "/v1/"))
        return route(server, request)

    monkeypatch.setattr(GeminiOmniContract, "_video", in_beta)
    monkeypatch.setattr(type(bench.server), "_routed", routed)
    assert sha256(bench.make().path.read_bytes()) == sha256(bench.server.clip)
    assert len(asked) >= 2
    assert asked[-1].endswith(":download")


def test_a_clip_of_google_that_is_no_file_of_theirs_is_fetched_as_it_is(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of("gemini")
    uri = f"{bench.server.base_url(bench.contract)}/v1/files/clip.mp4"
    step = {"type": "model_output", "content": [{"type": "video", "uri": uri}]}
    generator = bench.generator()
    with generator.session():
        found = generator.result(told(generator, status="completed", steps=[step]), {"id": "x"}, bench.run)
    assert found.call is not None
    assert found.call.path == uri
    assert bench.server.requests == []


@pytest.mark.parametrize("model", ["openrouter-any", "replicate-any", "fal-any", "openai-videos"])
def test_a_model_of_which_no_row_tells_is_taken_with_a_warning(adapter_of: AdapterOf, model: str) -> None:
    adapter = adapter_of(model)
    named = GenerationRequest(model=model, prompt="a fox", options={"model": "maker/brand-new"})
    (warning,) = adapter.resolve(named).warnings
    assert "'maker/brand-new'" in warning
    assert "not known" in warning
    if model == "openai-videos":
        assert adapter.resolve(GenerationRequest(model=model, prompt="a fox")).warnings == ()


@pytest.mark.parametrize(("paid", "charged"), [(0, "no"), (60, "yes"), (None, "unknown")])
def test_what_a_job_cost_that_was_canceled_elsewhere_is_told(
    bench_of: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, paid: int | None, charged: str
) -> None:
    bench = bench_of("runway")
    cost = {} if paid is None else {"cost": {"credits": paid}}
    monkeypatch.setattr(RunwayContract, "_task", lambda *_: {"id": "x", "status": "CANCELLED", **cost})
    error = bench.fails()
    assert type(error) is Canceled
    assert error.details["charged"] == charged


@pytest.mark.parametrize(
    ("faults", "kind", "charged"),
    [
        (Faults(results=("gone",), always=True), OutputExpired, "yes"),
        (Faults(results=("html",), always=True), DownloadRefused, "unknown"),
        (Faults(polls=("500",), always=True), Unreachable, "unknown"),
        (Faults(polls=("404",), always=True), JobExpired, "unknown"),
    ],
    ids=["gone", "no clip", "broken", "lost"],
)
def test_trouble_after_the_order_says_with_whom_and_whether_it_was_paid_for(
    bench_of: Callable[..., Bench], faults: Faults, kind: type[StudioError], charged: str
) -> None:
    bench = bench_of("runway")
    bench.poll_every(0.002)
    bench.set(faults)
    error = bench.fails()
    assert type(error) is kind
    assert (error.details["provider"], error.details["charged"]) == ("runway", charged)
    assert kind is not JobExpired or error.details["http_status"] == 404
