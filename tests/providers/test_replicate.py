"""What only Replicate does: names and versions, input of the user's own, files, deadlines, codes in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from providers.replicate import MAX_DATA_URI_BYTES, Replicate
from providers.states import State, Status
from providers.wire import Answer
from studio.config import Settings
from studio.errors import (
    JobExpired,
    Moderated,
    OutputExpired,
    ProviderFailed,
    RequestRefused,
    UnsupportedValue,
)
from studio.request import Conditioning, GenerationRequest, Role
from tests.providers.bench import Bench, spec_of
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.replicate import VERSION


@pytest.fixture
def bench(bench_of: Callable[[str], Bench]) -> Bench:
    return bench_of("replicate")


@pytest.fixture
def adapter(settings: Settings) -> Replicate:
    return Replicate(spec_of("replicate-any"), settings)


def status_of(adapter: Replicate, **body: Any) -> Status:
    content = json.dumps(body).encode()
    return adapter.status(Answer(status=200, headers={}, body=content), {"id": "abc"})


def test_the_seconds_of_computing_are_billed_as_units(bench: Bench) -> None:
    bench.make()
    assert bench.run.bills == [(None, 41.5, "second of computing")]


def test_a_small_picture_is_sent_within_the_order_and_a_large_one_ahead_of_it(bench: Bench, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8)).save(large)
    bench.make(replace(bench.request, conditionings=(Conditioning(role=Role.FIRST_FRAME, path=large),)))
    (upload,) = (request for request in bench.server.requests if request.path == "/v1/files")
    file = upload.form["content"]
    assert len(file.content) > MAX_DATA_URI_BYTES  # type: ignore[union-attr]
    assert file.name == "first-frame.png"  # type: ignore[union-attr]
    (order,) = bench.server.did("create")
    assert order.json["input"]["image"].startswith(f"{bench.server.base_url(bench.contract)}/v1/files/")


def test_a_model_says_which_fields_are_missing(bench: Bench) -> None:
    without = {"model": "maker/model", "input": '{"prompt": null}'}
    error = bench.fails(replace(bench.request, options=without))
    assert isinstance(error, RequestRefused)
    assert "prompt is required" in error.sentence()
    assert bench.run.operation is None


@pytest.mark.parametrize(
    "name",
    ["", "model", "a/b/c", "../x", "a/b:1234", f"a/b:{VERSION}0", "a/b?x=1", "https://example.com/a/b"],
)
def test_a_name_that_can_be_no_model_is_refused_before_anything_is_sent(bench: Bench, name: str) -> None:
    error = bench.fails(replace(bench.request, options={"model": name}))
    assert isinstance(error, UnsupportedValue)
    assert bench.server.requests == []


def test_input_of_the_users_own_must_be_a_json_object(bench: Bench) -> None:
    error = bench.fails(replace(bench.request, options={"model": "a/b", "input": "[]"}))
    assert isinstance(error, UnsupportedValue)
    assert error.field == "option input"


def test_a_job_that_never_began_costs_nothing(adapter: Replicate) -> None:
    status = status_of(adapter, status="aborted")
    assert isinstance(status.failure, JobExpired)
    assert status.failure.details["charged"] == "no"


def test_a_clip_that_was_removed_after_an_hour_is_told_as_paid_and_gone(adapter: Replicate) -> None:
    status = status_of(adapter, status="succeeded", output=None, data_removed=True)
    assert status.state is State.EXPIRED
    assert isinstance(status.failure, OutputExpired)
    assert status.failure.details["charged"] == "yes"


def test_the_code_for_content_stands_in_the_words(bench: Bench) -> None:
    bench.set(Faults(ending="moderated"))
    error = bench.fails()
    assert isinstance(error, Moderated)
    assert error.details["code"] == "E005"


def test_other_codes_are_failures(bench: Bench) -> None:
    bench.set(Faults(ending="failed"))
    error = bench.fails()
    assert isinstance(error, ProviderFailed)
    assert not isinstance(error, Moderated)
    assert error.details["code"] == "E1001"


@pytest.mark.parametrize(
    ("output", "url", "count"),
    [
        ("https://a.example/1.mp4", "https://a.example/1.mp4", 1),
        (["https://a.example/1.mp4", "https://a.example/2.mp4"], "https://a.example/1.mp4", 2),
        ([None, "https://a.example/2.mp4"], "https://a.example/2.mp4", 1),
    ],
    ids=["text", "list", "list with a hole"],
)
def test_an_output_is_one_address_or_a_list(adapter: Replicate, output: object, url: str, count: int) -> None:
    status = status_of(adapter, status="succeeded", output=output)
    assert status.result is not None
    assert (status.result.url, status.outputs) == (url, count)


@pytest.mark.parametrize("output", [None, [], {}, 7, ""], ids=["null", "empty", "object", "number", "no text"])
def test_an_output_without_an_address_names_no_clip(adapter: Replicate, output: object) -> None:
    assert status_of(adapter, status="succeeded", output=output).result is None


def test_a_model_with_a_row_of_its_own_is_sent_what_its_page_says(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of("replicate", model="replicate-seedance-1-pro")
    bench.make(GenerationRequest(model=bench.spec.id, prompt="a fox", seed=7, duration_seconds=12))
    (order,) = bench.server.did("create")
    assert order.path == "/v1/models/bytedance/seedance-1-pro/predictions"
    assert order.json["input"] == {
        "prompt": "a fox",
        "duration": 12,
        "resolution": "1080p",
        "aspect_ratio": "16:9",
        "fps": 24,
        "seed": 7,
    }


def test_a_row_says_what_its_model_calls_things_and_what_it_does_not_have(settings: Settings, bench: Bench) -> None:
    spec = spec_of("replicate-any")
    fields = {"fields": {"prompt": "text", "seed": "", "audio": "with_sound"}}
    found = Replicate(spec.model_copy(update={"settings": fields}), settings)
    resolved = replace(bench.resolved(), generate_audio=True)
    from providers.pictures import Attachments

    sent = found.order(resolved, Attachments(), "tag").json
    assert sent is not None
    assert sent["input"] == {"text": "a fox in the snow", "with_sound": True}
