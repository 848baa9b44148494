"""What only Kling does: two styles, a pair of keys, codes with HTTP 200, and finding a job by our own name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keyring
import numpy as np
import pytest
from PIL import Image

from providers.kling import Kling, signed_token
from providers.wire import Answer
from studio.config import Settings
from studio.errors import (
    AccessDenied,
    KeyRefused,
    MissingKey,
    ModelGone,
    Moderated,
    OutOfCredits,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    RequestRefused,
    StudioError,
    SubmitUnknown,
    TooManyJobs,
    UnsupportedValue,
)
from studio.keyrings import Keyring
from studio.keys import KeyChain
from studio.request import Conditioning, GenerationRequest, Role
from studio.spending.pricing import price_of
from tests.keyring_backend import JsonKeyring
from tests.providers.bench import Bench, sha256, sha256_of, spec_of
from tests.providers.conformance.contract import RAW_BASE64
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.kling import ACCESS_KEY, SECRET_KEY, TAG

BenchOf = Callable[..., Bench]
FOX = "a fox in the snow"
TURBO = GenerationRequest(model="kling-v3-turbo", prompt=FOX)
CODES: dict[str, type[StudioError]] = {
    "1000": KeyRefused,
    "1004": KeyRefused,
    "1100": OutOfCredits,
    "1102": OutOfCredits,
    "1103": AccessDenied,
    "1201": RequestRefused,
    "1203": ModelGone,
    "1301": Moderated,
    "1302": RateLimited,
    "1303": TooManyJobs,
}


@pytest.fixture
def bench(bench_of: BenchOf) -> Bench:
    return bench_of("kling")


@pytest.fixture
def turbo(bench_of: BenchOf) -> Bench:
    return bench_of("kling", model="kling-v3-turbo")


@pytest.fixture
def adapter(settings: Settings) -> Kling:
    return Kling(spec_of("kling-v3"), settings)


@pytest.fixture
def in_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A keyring of this test alone."""
    monkeypatch.setenv("TEST_KEYRING_FILE", str(tmp_path / "keyring.json"))
    before = keyring.get_keyring()
    keyring.set_keyring(JsonKeyring())  # type: ignore[no-untyped-call]
    yield
    keyring.set_keyring(before)


def answer(body: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status=status, headers={}, body=json.dumps(body).encode(), path="v1/videos/text2video")


def use_pair(monkeypatch: pytest.MonkeyPatch, *, secret: str = SECRET_KEY) -> None:
    monkeypatch.delenv("KLING_API_KEY")
    monkeypatch.setenv("KLINGAI_ACCESS_KEY", ACCESS_KEY)
    if secret:
        monkeypatch.setenv("KLINGAI_SECRET_KEY", secret)


# -- keys -----------------------------------------------------------------------------------------------------------


def test_a_pair_of_keys_signs_a_token_that_the_provider_accepts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    use_pair(monkeypatch)
    bench.make()
    for request in bench.server.requests:
        if request.provider == "kling":
            assert request.headers["authorization"].startswith("Bearer eyJ")
            assert SECRET_KEY not in str(request.headers)


def test_a_token_signed_with_another_key_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    use_pair(monkeypatch, secret="another-secret-0123456789abcdef01")
    assert type(bench.fails()) is KeyRefused
    assert bench.run.operation is None


def test_a_token_is_the_one_that_others_would_make() -> None:
    assert signed_token("access", "s" * 32, 1_700_000_000) == (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhY2Nlc3MiLCJleHAiOjE3MDAwMDE4MDAsIm5iZiI6MTY5OTk5OTk5NX0."
        "Nir2no-_rQJhmR4ToAOq5jMU6E_gckvyrwG8tmOQh7o"
    )


def test_half_a_pair_is_told_before_anything_is_sent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    use_pair(monkeypatch, secret="")
    assert "KLINGAI_SECRET_KEY" in bench.generator().missing()
    error = bench.fails()
    assert type(error) is MissingKey
    assert "second half" in error.message
    assert bench.server.requests == []


def test_a_single_key_comes_before_a_pair(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLINGAI_ACCESS_KEY", ACCESS_KEY)
    monkeypatch.setenv("KLINGAI_SECRET_KEY", SECRET_KEY)
    bench.make()
    assert bench.server.did("create")[0].headers["authorization"] == f"Bearer {bench.contract.key}"


def test_a_key_alone_in_the_keyring_is_sent_and_with_its_second_half_it_signs(adapter: Kling, in_keyring: None) -> None:
    chain = KeyChain((adapter.remote,), environ={}, keyring=Keyring())
    adapter._keys = chain
    chain.set("kling", ACCESS_KEY)
    assert adapter.authorization() == {"authorization": f"Bearer {ACCESS_KEY}"}
    chain.set("kling", SECRET_KEY, is_second=True)
    assert adapter.authorization()["authorization"].startswith("Bearer eyJ")


def test_turbo_does_not_take_a_pair_of_keys(turbo: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    use_pair(monkeypatch)
    assert "KLING_API_KEY" in turbo.generator().missing()
    assert type(turbo.fails(TURBO)) is MissingKey


# -- the newer style ------------------------------------------------------------------------------------------------


def test_turbo_names_the_model_in_the_path(turbo: Bench) -> None:
    clip = turbo.make(replace(TURBO, aspect_ratio="1:1", resolution="1080p"))
    assert sha256_of(clip) == sha256(turbo.server.clip)
    (order,) = turbo.server.did("create")
    assert order.path == "/text-to-video/kling-3.0-turbo"
    assert order.json == {
        "contents": [{"type": "prompt", "text": FOX}],
        "settings": {"resolution": "1080p", "duration": 5, "aspect_ratio": "1:1"},
        "options": {"external_task_id": TAG},
    }
    assert turbo.run.bills == [(None, 4.0, "unit")]


def test_turbo_takes_a_picture_in_its_list_of_contents(turbo: Bench) -> None:
    pictured = next(golden.request for golden in turbo.goldens if golden.name == "image to video")
    turbo.make(replace(pictured, model="kling-v3-turbo"))
    (order,) = turbo.server.did("create")
    assert order.path == "/image-to-video/kling-3.0-turbo"
    assert order.json["contents"] == [
        {"type": "prompt", "text": FOX},
        {"type": "first_frame", "url": RAW_BASE64},
    ]
    assert order.json["settings"] == {"resolution": "720p", "duration": 5}


def test_turbo_waits_through_all_words_and_tells_how_a_job_ends(turbo: Bench) -> None:
    turbo.set(Faults(invented="pondering", polls=("500", "reset")))
    turbo.make(TURBO)
    assert len(turbo.run.notes) == 1
    turbo.set(Faults(ending="moderated"))
    assert type(turbo.fails(TURBO)) is Moderated
    turbo.set(Faults(ending="failed"))
    assert type(turbo.fails(TURBO)) is ProviderFailed


def test_an_answer_about_other_jobs_is_not_taken_for_ours(settings: Settings) -> None:
    told = answer({"code": 0, "data": [{"id": "1", "status": "succeeded", "outputs": []}]})
    with pytest.raises(ProtocolError):
        Kling(spec_of("kling-v3-turbo"), settings).status(told, {"id": "2", "path": "tasks"})


# -- an order of which nobody knows whether it was taken ------------------------------------------------------------


@pytest.mark.parametrize("golden", [0, 1], ids=["text", "picture"])
def test_an_order_whose_answer_was_lost_is_found_by_our_name(bench: Bench, golden: int) -> None:
    bench.set(Faults(create="reset after"))
    assert type(bench.fails(bench.goldens[golden].request)) is SubmitUnknown
    bench.server.faults = Faults()
    assert sha256_of(bench.resume()) == sha256(bench.server.clip)
    assert len(bench.server.did("create")) == 1


def test_an_order_of_turbo_whose_answer_was_lost_is_found_by_our_name(turbo: Bench) -> None:
    turbo.set(Faults(create="reset after"))
    assert type(turbo.fails(TURBO)) is SubmitUnknown
    turbo.server.faults = Faults()
    assert sha256_of(turbo.resume()) == sha256(turbo.server.clip)
    assert len(turbo.server.did("create")) == 1


def _of_references(bench: Bench) -> GenerationRequest:
    return next(golden.request for golden in bench.goldens if golden.name.startswith("reference"))


def test_an_order_with_references_is_looked_for_where_it_went(bench_of: BenchOf) -> None:
    bench = bench_of("kling", model="kling-v1.6-references")
    bench.set(Faults(create="reset after"))
    assert type(bench.fails(_of_references(bench))) is SubmitUnknown
    bench.server.faults = Faults()
    assert sha256_of(bench.resume()) == sha256(bench.server.clip)
    assert {request.path.rpartition("/")[0] for request in bench.server.did("poll")} == {"/v1/videos/multi-image2video"}


def test_references_have_a_price_and_no_sound(bench_of: BenchOf) -> None:
    bench = bench_of("kling", model="kling-v1.6-references")
    request = _of_references(bench)
    cost = price_of(bench.spec, bench.resolved(request))
    assert cost is not None
    assert cost.amount == 0.98
    with pytest.raises(UnsupportedValue, match="up to 4"):
        bench.resolved(replace(request, conditionings=request.conditionings * 3))
    with pytest.raises(UnsupportedValue, match="makes no sound"):
        bench.resolved(replace(request, generate_audio=True))


@pytest.mark.parametrize("model", ["kling-v3", "kling-v3-turbo"])
def test_an_order_that_never_arrived_stays_unknown_and_is_not_sent_again(bench_of: BenchOf, model: str) -> None:
    bench = bench_of("kling", model=model)
    bench.set(Faults(create="reset before"))
    bench.fails(GenerationRequest(model=model, prompt=FOX))
    bench.server.faults = Faults()
    assert type(bench.fails_to_resume()) is SubmitUnknown
    assert len(bench.server.did("create")) == 1


# -- codes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", list(CODES))
def test_a_refusal_may_come_with_http_200(adapter: Kling, code: str) -> None:
    with pytest.raises(StudioError) as caught:
        adapter.handle(answer({"code": int(code), "message": "no", "request_id": "r"}))
    assert type(caught.value) is CODES[code]
    assert caught.value.details["code"] == code
    assert caught.value.details["charged"] == "no"


def test_an_empty_account_is_not_taken_for_too_many_requests(adapter: Kling) -> None:
    error = adapter.refusal(answer({"code": 1102, "message": "resource pack depleted or expired"}, status=429))
    assert type(error) is OutOfCredits


def test_a_fault_of_the_provider_with_http_200_leaves_the_order_unknown(adapter: Kling) -> None:
    with pytest.raises(ProtocolError) as caught:
        adapter.handle(answer({"code": 5000, "message": "internal error"}))
    assert caught.value.details["charged"] == "unknown"


@pytest.mark.parametrize("code", [5001, 1302])
def test_a_question_that_goes_wrong_with_http_200_does_not_end_the_job(adapter: Kling, code: int) -> None:
    with pytest.raises(ProtocolError):
        adapter.status(answer({"code": code, "message": "later"}), {"id": "8", "path": "v1/videos/text2video"})


# -- the rest -------------------------------------------------------------------------------------------------------


def test_the_units_that_were_taken_are_billed(bench: Bench) -> None:
    bench.make()
    assert bench.run.bills == [(None, 3.5, "unit")]


@pytest.mark.parametrize(
    ("resolution", "sound", "amount"),
    [("720p", False, 0.42), ("720p", True, 0.63), ("1080p", False, 0.56), ("1080p", True, 0.84)],
)
def test_the_price_follows_resolution_and_sound(bench: Bench, resolution: str, sound: bool, amount: float) -> None:
    cost = price_of(bench.spec, bench.resolved(replace(bench.request, resolution=resolution, generate_audio=sound)))
    assert cost is not None
    assert (cost.amount, cost.currency) == (amount, "USD")


@pytest.mark.parametrize("size", [(299, 400), (300, 800)], ids=["too small", "too narrow"])
def test_a_picture_that_is_not_taken_is_refused_before_anything_is_sent(
    bench: Bench, tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path)
    picture = Conditioning(role=Role.FIRST_FRAME, path=path)
    assert type(bench.fails(replace(bench.request, conditionings=(picture,)))) is UnsupportedValue
    assert bench.server.requests == []
