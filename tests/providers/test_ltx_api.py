"""What only LTX does: kinds of errors, lengths that hang on size and frame rate, extension and retake of a video."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from providers.ltx import Ltx
from providers.wire import Answer
from studio.catalog.loader import load_catalog
from studio.catalog.schema import Status
from studio.config import Settings
from studio.errors import (
    InputRefused,
    KeyRefused,
    Moderated,
    OutOfCredits,
    ProviderBroken,
    RateLimited,
    RequestRefused,
    StudioError,
    TooManyJobs,
    UnsupportedValue,
)
from studio.request import Conditioning, GenerationRequest, Role
from studio.spending.pricing import price_of
from tests.providers.bench import Bench, sha256, sha256_of, spec_of

BenchOf = Callable[..., Bench]
TYPES: dict[str, tuple[int, type[StudioError]]] = {
    "invalid_request_error": (400, RequestRefused),
    "authentication_error": (401, KeyRefused),
    "insufficient_funds_error": (402, OutOfCredits),
    "request_too_large": (413, InputRefused),
    "content_filtered_error": (422, Moderated),
    "rate_limit_error": (429, RateLimited),
    "concurrency_limit_error": (429, TooManyJobs),
}


@pytest.fixture
def bench(bench_of: BenchOf) -> Bench:
    return bench_of("ltx")


@pytest.fixture
def adapter(settings: Settings) -> Ltx:
    return Ltx(spec_of("ltx-api-2.3-fast"), settings)


@pytest.fixture
def editing(bench_of: BenchOf, tmp_path: Path) -> tuple[Bench, GenerationRequest]:
    """A bench for changes of a video, and a request with one."""
    bench = bench_of("ltx", model="ltx-api-2.3-edit")
    video = tmp_path / "holiday.mp4"
    video.write_bytes(bench.server.clip)
    source = Conditioning(role=Role.SOURCE_VIDEO, path=video)
    return bench, GenerationRequest(model=bench.spec.id, prompt="it goes on", conditionings=(source,))


def answer(body: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status=status, headers={}, body=json.dumps(body).encode())


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", list(TYPES))
def test_a_refusal_goes_by_the_type_of_the_error(adapter: Ltx, word: str) -> None:
    status, kind = TYPES[word]
    error = adapter.refusal(answer({"type": "error", "error": {"type": word, "message": "no"}}, status))
    assert type(error) is kind
    assert (error.details["code"], error.details["charged"]) == (word, "no")


@pytest.mark.parametrize(
    ("word", "kind"), [("content_filtered_error", Moderated), ("service_unavailable", ProviderBroken)], ids=str
)
def test_a_job_that_failed_goes_by_the_type_of_its_error(adapter: Ltx, word: str, kind: type[StudioError]) -> None:
    told = {"id": "1", "status": "failed", "error": {"type": word, "message": "no"}}
    status = adapter.status(answer(told), {"id": "1", "path": "v2/text-to-video"})
    assert type(status.failure) is kind
    assert status.failure.details["charged"] == "unknown"


# -- what goes together ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wish",
    [
        {"duration_seconds": 20, "resolution": "4K"},
        {"duration_seconds": 12, "frame_rate": Fraction(50)},
        {"duration_seconds": 7},
        {"frame_rate": Fraction(30)},
        {"aspect_ratio": "1:1"},
        {"seed": 7},
        {"negative_prompt": "rain"},
    ],
    ids=["long 4K", "long and fast", "odd seconds", "rate", "ratio", "seed", "negative prompt"],
)
def test_what_the_provider_does_not_do_is_refused_before_anything_is_sent(bench: Bench, wish: dict[str, Any]) -> None:
    assert type(bench.fails(replace(bench.request, **wish))) is UnsupportedValue
    assert bench.server.requests == []


def test_twenty_seconds_are_made_at_1080p(bench: Bench) -> None:
    bench.make(replace(bench.request, duration_seconds=20, frame_rate=Fraction(24)))
    (order,) = bench.server.did("create")
    assert (order.json["duration"], order.json["fps"]) == (20, 24)


@pytest.mark.parametrize(
    ("model", "resolution", "amount"),
    [
        ("ltx-api-2.3-fast", "1080p", 0.6),
        ("ltx-api-2.3-fast", "4K", 2.4),
        ("ltx-api-2.3-pro", "1440p", 1.6),
        ("ltx-api-2.5-fast", "720p", 0.9),
        ("ltx-api-2.5-pro", "1080p", 1.7),
    ],
)
def test_the_price_follows_model_and_resolution(bench_of: BenchOf, model: str, resolution: str, amount: float) -> None:
    bench = bench_of("ltx", model=model)
    wish = GenerationRequest(model=model, prompt="a fox", resolution=resolution, duration_seconds=10)
    cost = price_of(bench.spec, bench.resolved(wish))
    assert cost is not None
    assert cost.amount == amount


# -- extension and retake -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "word"), [("extend-end", "end"), ("extend-start", "start")])
def test_a_video_is_made_longer(editing: tuple[Bench, GenerationRequest], mode: str, word: str) -> None:
    bench, request = editing
    clip = bench.make(replace(request, duration_seconds=3, options={"mode": mode}))
    assert sha256_of(clip) == sha256(bench.server.clip)
    (order,) = bench.server.did("create")
    body = order.json
    assert order.path == "/v2/extend"
    assert bench.contract.uploads[body.pop("video_uri")] == bench.server.clip  # type: ignore[attr-defined]
    assert body == {"model": "ltx-2-3-pro", "prompt": "it goes on", "duration": 3, "mode": word}
    assert {poll.values["operation"] for poll in bench.server.did("poll")} == {"extend"}


def test_some_seconds_of_a_video_are_made_anew(editing: tuple[Bench, GenerationRequest]) -> None:
    bench, request = editing
    options: dict[str, str | int | float | bool] = {"mode": "replace_video", "start_seconds": 1.5}
    bench.make(replace(request, prompt="", duration_seconds=2, options=options))
    (order,) = bench.server.did("create")
    body = order.json
    assert order.path == "/v2/retake"
    del body["video_uri"]
    assert body == {"model": "ltx-2-3-pro", "duration": 2, "mode": "replace_video", "start_time": 1.5}


def test_what_a_change_of_a_video_may_cost_is_not_told_too_low(editing: tuple[Bench, GenerationRequest]) -> None:
    bench, request = editing
    cost = price_of(bench.spec, bench.resolved(request))
    assert cost is not None
    assert cost.amount >= 505 / 24 * 0.10


# -- what is gone ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["ltx-api-2-fast", "ltx-api-2-pro"])
def test_a_model_that_was_removed_names_the_one_that_took_its_place(model: str) -> None:
    catalog = load_catalog()
    gone = catalog.get(model)
    assert gone.status is Status.RETIRED
    assert gone.retirement is not None
    assert gone.retirement.replacement is not None
    assert catalog.get(gone.retirement.replacement).status is Status.LIVE
