"""What Gemini Omni does beyond what all providers do: states that wait for people, files, empty successes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from providers.gemini_omni import GeminiOmni
from providers.states import Result, State, Status
from providers.wire import Answer
from studio.catalog.loader import load_catalog
from studio.catalog.schema import Status as SpecStatus
from studio.errors import (
    AccessDenied,
    JobExpired,
    KeyRefused,
    ModelGone,
    Moderated,
    OutputExpired,
    ProtocolError,
    ProviderBroken,
    ProviderFailed,
    QuotaUsedUp,
    RateLimited,
    RequestRefused,
    StudioError,
    UnsupportedValue,
)
from studio.request import Conditioning, GenerationRequest, Role
from tests.providers.bench import Bench, sha256, sha256_of
from tests.providers.conformance.clips import clip
from tests.providers.conformance.faults import Faults

MODEL = "gemini-omni-1.2-flash"


@pytest.fixture
def bench(bench_of: Callable[[str], Bench]) -> Bench:
    return bench_of("gemini")


@pytest.fixture
def say(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the provider's side say something else."""

    def change(**what: Any) -> None:
        for name, value in what.items():
            monkeypatch.setattr(bench.contract, name, value)

    return change


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "holiday.mp4"
    path.write_bytes(clip(128, 72, 3.0))
    return path


def _edit(path: Path, **more: Any) -> GenerationRequest:
    source = (Conditioning(role=Role.SOURCE_VIDEO, path=path),)
    return GenerationRequest(model=MODEL, prompt="make it an anime", seed=3, conditionings=source, **more)


# -- how a job ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("requires_action", "a person at the provider"),
        ("requires_continuation", "stopped half way"),
        ("incomplete", "before the clip was whole"),
        ("budget_exceeded", "a budget that is set at the provider was used up"),
    ],
)
def test_a_job_that_stops_short_says_why_and_is_not_asked_for_again(
    bench: Bench, say: Callable[..., None], word: str, said: str
) -> None:
    say(told={"status": word, "steps": []})
    error = bench.fails()
    assert type(error) is ProviderFailed
    assert said in str(error)
    assert (error.details["code"], error.details["charged"]) == (word, "unknown")
    polls = len(bench.server.did("poll"))
    assert type(bench.fails_to_resume()) is ProviderFailed
    assert len(bench.server.did("poll")) == polls
    assert len(bench.server.did("create")) == 1


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"status": "failed", "errors": [{"code": "safety", "message": "no"}]}, Moderated),
        ({"status": "failed", "errors": [{"code": "x", "message": "against our content policy"}]}, Moderated),
        ({"status": "failed", "errors": [{"code": "https://g.co/e/resource_exhausted"}]}, RateLimited),
        ({"status": "failed", "errors": []}, ProviderBroken),
        ({"status": "completed", "steps": [], "usage": {}}, Moderated),
        ({"steps": [{"type": "model_output", "error": {"code": 13}}], "usage": {}}, ProviderBroken),
    ],
    ids=["safety", "words", "quota", "no reason", "empty success", "an error in a step"],
)  # fmt: skip
def test_an_end_without_a_clip_is_told_apart(
    bench: Bench, say: Callable[..., None], told: dict[str, Any], kind: type[StudioError]
) -> None:
    say(told=told)
    error = bench.fails()
    assert type(error) is kind
    assert error.details["ended"] is True


def test_an_empty_success_repeats_what_the_model_said_instead(bench: Bench) -> None:
    bench.set(Faults(ending="moderated"))
    assert "I cannot make this video" in str(bench.fails())


def test_a_clip_that_was_counted_and_is_not_there_can_be_asked_for_again(
    bench: Bench, say: Callable[..., None]
) -> None:
    say(told={"steps": []})
    error = bench.fails()
    assert type(error) is ProtocolError
    assert error.details["charged"] == "unknown"
    say(told={})
    assert sha256_of(bench.resume()) == sha256(bench.server.clip)
    assert len(bench.server.did("create")) == 1


def test_tokens_that_were_counted_go_into_the_ledger_without_taking_the_place_of_the_price(bench: Bench) -> None:
    bench.make()
    assert bench.run.bills == [(None, 29120.0, "token")]


# -- where the clip is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", ["uri", "name", "inline"])
def test_the_clip_arrives_however_it_is_delivered(bench: Bench, say: Callable[..., None], delivery: str) -> None:
    say(delivery=delivery, clip=bench.server.clip)
    assert sha256_of(bench.make()) == sha256(bench.server.clip)
    assert len(bench.server.did("result")) == (delivery != "inline")


def test_a_file_is_waited_for_until_it_is_ready(bench: Bench, say: Callable[..., None]) -> None:
    say(files=("PROCESSING", "STATE_UNSPECIFIED", "PROCESSING", "ACTIVE"))
    assert sha256_of(bench.make()) == sha256(bench.server.clip)
    looks = [request for request in bench.server.did("other") if "/files/" in request.path]
    assert len(looks) == 4


def test_a_file_that_could_not_be_made_ends_the_job(bench: Bench, say: Callable[..., None]) -> None:
    say(files=("PROCESSING", "FAILED"))
    error = bench.fails()
    assert type(error) is ProviderBroken
    assert "could not be processed" in str(error)
    assert error.details["ended"] is True
    assert bench.server.did("result") == []


def test_a_file_that_is_gone_is_looked_for_once_more(bench: Bench, say: Callable[..., None]) -> None:
    say(files=(403,))
    error = bench.fails()
    assert type(error) is OutputExpired
    assert error.details["charged"] == "yes"
    assert len(bench.server.did("create")) == 1


def test_waiting_for_a_file_can_be_stopped_and_picked_up(bench: Bench, say: Callable[..., None]) -> None:
    say(files=("PROCESSING",))
    bench.run.cancel_when = lambda: any("/files/" in request.path for request in bench.server.did("other"))
    assert type(bench.fails()).__name__ == "Canceled"
    bench.run.cancel_when = lambda: False
    say(files=("ACTIVE",))
    assert sha256_of(bench.resume()) == sha256(bench.server.clip)


@pytest.mark.parametrize("url", ["https://storage.googleapis.com/bucket/files/clip.mp4", "http://127.0.0.1:9/files/x"])
def test_the_key_stays_at_home_where_the_clip_lies_elsewhere(bench: Bench, url: str) -> None:
    generator = bench.generator()
    with generator.session():
        status = Status(word="completed", state=State.SUCCEEDED, result=Result(url=url))
        found = generator.result(status, {"id": "x"}, bench.run)
    assert found == Result(url=url), "fetched without the key, and only from where a clip may lie"
    assert bench.server.requests == []


# -- refusals -------------------------------------------------------------------------------------------------------


def _google(status: int, word: str, message: str, reason: str = "") -> dict[str, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    return {"error": {"code": status, "message": message, "status": word, "details": details}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, _google(400, "INVALID_ARGUMENT", "API key not valid.", "API_KEY_INVALID"), KeyRefused),
        (400, {"error": {"code": "invalid_request", "message": "API key expired. Please renew it."}}, KeyRefused),
        (400, _google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), AccessDenied),
        (403, _google(403, "PERMISSION_DENIED", "blocked", "API_KEY_HTTP_REFERRER_BLOCKED"), AccessDenied),
        (400, {"error": {"code": "invalid_request", "message": "bad duration in safety_settings"}}, RequestRefused),
        (400, {"error": {"code": "invalid_request", "message": "It was blocked for safety reasons."}}, Moderated),
        (400, {"error": {"code": "invalid_request", "message": "Invalid interaction name: v1_x"}}, JobExpired),
        (404, [_google(404, "NOT_FOUND", "models/gemini-omni-flash-preview is not found")], ModelGone),
        (429, _google(429, "RESOURCE_EXHAUSTED", "too many requests per minute"), RateLimited),
        (429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota", "details": [
            {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}]}}, QuotaUsedUp),
        (429, {"error": "nonsense"}, RateLimited),
    ],
    ids=["bad key", "old key", "region", "key restricted", "bad request", "blocked", "no such job", "no such model",
         "rate", "quota of a day", "nonsense"],
)  # fmt: skip
def test_refusals_are_understood_in_both_shapes(bench: Bench, status: int, body: Any, kind: type[StudioError]) -> None:
    headers = {"content-type": "application/json"}
    error = bench.generator().refusal(Answer(status=status, headers=headers, body=json.dumps(body).encode()))
    assert type(error) is kind


def test_the_variable_that_google_prefers_wins(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIzaOther00000000000000000000000000000000")
    bench.make()
    assert {request.headers["x-goog-api-key"] for request in bench.server.did("poll")} == {bench.contract.key}
    monkeypatch.delenv("GOOGLE_API_KEY")
    assert bench.generator().key == "AIzaOther00000000000000000000000000000000"


# -- what can be asked for ------------------------------------------------------------------------------------------


def test_a_video_to_be_edited_goes_along_and_sets_the_length(bench: Bench, video: Path) -> None:
    assert bench.resolved(_edit(video)).num_frames == 3 * 24
    bench.make(_edit(video))
    (order,) = bench.server.did("create")
    assert [part["type"] for part in order.json["input"][0]["content"]] == ["video", "text"]
    assert order.json["input"][0]["content"][0]["mime_type"] == "video/mp4"
    assert order.json["generation_config"] == {"seed": 3, "video_config": {"task": "edit"}}
    assert order.json["response_format"] == {"type": "video", "delivery": "uri", "resolution": "720p"}
    assert b"holiday" not in order.body


@pytest.mark.parametrize("length", [{"duration_seconds": 5}, {"num_frames": 120}], ids=["seconds", "frames"])
def test_an_edit_cannot_be_given_a_length(bench: Bench, video: Path, length: dict[str, int]) -> None:
    with pytest.raises(UnsupportedValue, match="as long as the video"):
        bench.resolved(_edit(video, **length))


def test_a_video_that_is_too_long_to_be_edited_is_refused_before_it_is_sent(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(clip(64, 36, 11.0))
    with pytest.raises(UnsupportedValue, match="up to 10 s"):
        bench.resolved(_edit(path))
    assert bench.server.requests == []


def _extension(path: Path, version: str = "1.2", **more: Any) -> GenerationRequest:
    source = (Conditioning(role=Role.SOURCE_VIDEO, path=path),)
    model = f"gemini-omni-{version}-flash-extend"
    return GenerationRequest(model=model, prompt="then it rains", seed=3, conditionings=source, **more)


def test_a_video_is_extended_by_the_seconds_that_are_asked_for(bench_of: Callable[..., Bench], video: Path) -> None:
    bench = bench_of("gemini", model="gemini-omni-1.2-flash-extend")
    request = _extension(video, duration_seconds=7)
    resolved = bench.resolved(request)
    assert resolved.warnings[-1].endswith("the clip is the video of 3 s and 7 s more")
    cost = bench.generator().estimate(resolved).cost
    assert cost is not None
    assert cost.amount == 0.49
    assert sha256_of(bench.make(request)) == sha256(bench.server.clip)
    (order,) = bench.server.did("create")
    assert order.json["model"] == MODEL
    assert [part["type"] for part in order.json["input"][0]["content"]] == ["video", "text"]
    assert order.json["generation_config"] == {"seed": 3, "video_config": {"task": "extend"}}
    form = {"type": "video", "delivery": "uri", "resolution": "720p", "duration": "7s"}
    assert order.json["response_format"] == form


@pytest.mark.parametrize(("version", "most"), [("1.2", 30), ("1.1", 40)], ids=["1.2", "1.1"])
def test_an_extended_video_has_a_longest_length_by_model(
    bench_of: Callable[..., Bench], tmp_path: Path, version: str, most: int
) -> None:
    bench = bench_of("gemini", model=f"gemini-omni-{version}-flash-extend")
    path = tmp_path / "long.mp4"
    path.write_bytes(clip(64, 36, most - 5.0))
    assert bench.resolved(_extension(path, version, duration_seconds=5)).num_frames == 5 * 24
    with pytest.raises(UnsupportedValue, match=f"up to {most} s with the video"):
        bench.resolved(_extension(path, version, duration_seconds=6))
    with pytest.raises(UnsupportedValue, match="3 to 10"):
        bench.resolved(_extension(path, version, duration_seconds=11))
    path.write_bytes(clip(64, 36, most - 2.0))
    with pytest.raises(UnsupportedValue, match=f"up to {most - 3} s"):
        bench.resolved(_extension(path, version))
    assert bench.server.requests == []


@pytest.mark.parametrize("prompt", ["<FIRST_FRAME> it turns", "[# Sources <FIRST_FRAME>@Image1] it turns"])
def test_tags_that_the_user_wrote_are_left_as_they_are(bench: Bench, prompt: str) -> None:
    image = bench.goldens[1].request
    bench.make(GenerationRequest(model=image.model, prompt=prompt, conditionings=image.conditionings))
    (order,) = bench.server.did("create")
    assert order.json["input"][0]["content"][-1] == {"type": "text", "text": prompt}


def test_the_model_before_is_shorter_and_dearer(bench: Bench, bench_of: Callable[..., Bench]) -> None:
    older = bench_of("gemini", model="gemini-omni-1.1-flash")
    ask = GenerationRequest(model=older.spec.id, prompt="a fox", duration_seconds=10, resolution="1080p")
    cost = older.generator().estimate(older.resolved(ask)).cost
    assert cost is not None
    assert (cost.amount, cost.currency) == (1.5, "USD")
    with pytest.raises(UnsupportedValue, match="3 to 10"):
        older.resolved(GenerationRequest(model=older.spec.id, prompt="a fox", duration_seconds=15))
    estimate = bench.generator().estimate(bench.resolved())
    assert estimate.cost is not None
    assert estimate.cost.amount == 1.05
    assert "third-party" in estimate.basis


def test_sound_is_always_there_and_a_wish_for_silence_is_answered(bench: Bench) -> None:
    quiet = GenerationRequest(model=bench.spec.id, prompt="a fox", generate_audio=False)
    resolved = bench.resolved(quiet)
    assert resolved.generate_audio
    assert any("cannot be switched off" in text for text in resolved.warnings)
    assert isinstance(bench.generator(), GeminiOmni)


def test_the_model_before_omni_is_retired_and_names_its_successor() -> None:
    spec = load_catalog().get("gemini-veo-3.1")
    assert spec.status is SpecStatus.RETIRED
    assert spec.retirement is not None
    assert (spec.retirement.retired_on.isoformat(), spec.retirement.replacement) == ("2026-10-22", MODEL)
