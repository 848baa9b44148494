"""What only Runway does: frames with positions, credits, failure codes, limits told in words, uploads, deletion."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.runway import Runway
from providers.states import Charge, State, Status
from providers.wire import Answer
from studio.app import Studio
from studio.config import Settings
from studio.errors import (
    AccessDenied,
    DownloadRefused,
    InputRefused,
    Moderated,
    OutOfCredits,
    ProtocolError,
    ProviderBroken,
    ProviderFailed,
    QuotaUsedUp,
    RateLimited,
    RequestRefused,
    StudioError,
    Unreachable,
    UnsupportedValue,
)
from studio.generator import Cost
from studio.media import EncodedClip
from studio.request import Conditioning, GenerationRequest, Role
from tests.providers.bench import Bench, spec_of
from tests.providers.conformance.clips import clip
from tests.providers.conformance.contract import DATA_URI, Pictures
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.messages import Response
from tests.providers.conformance.runway import CREDITS, RunwayContract
from ui.cli.entry import run

BenchOf = Callable[..., Bench]


@pytest.fixture
def bench(bench_of: BenchOf) -> Bench:
    return bench_of("runway")


@pytest.fixture
def adapter(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Runway:
    monkeypatch.setenv("RUNWAYML_API_SECRET", "key_0123456789")
    return Runway(spec_of("runway-gen4.5"), settings)


def answer(http_status: int = 200, /, **body: Any) -> Answer:
    return Answer(status=http_status, headers={"content-type": "application/json"}, body=json.dumps(body).encode())


def status_of(adapter: Runway, **body: Any) -> Status:
    return adapter.status(answer(id="task-1", createdAt="2026-11-22T10:00:00Z", **body), {"id": "task-1"})


def failure_of(adapter: Runway, code: str | None, paid: int | None = None) -> StudioError:
    cost = {} if paid is None else {"cost": {"credits": paid}}
    failure = status_of(adapter, status="FAILED", failure="it did not work", failureCode=code, **cost).failure
    assert failure is not None
    return failure


# -- orders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1], ids=["first and last frame", "reference"])
def test_other_models_get_what_their_types_say(bench_of: BenchOf, pictures: Pictures, number: int) -> None:
    golden = RunwayContract().other_goldens(pictures)[number]
    bench = bench_of("runway", model=golden.request.model)
    bench.make(golden.request)
    (order,) = bench.server.did("create")
    assert (order.path, order.json) == (golden.path, golden.json)


def test_gen4_turbo_does_without_a_prompt_but_not_without_a_picture(bench_of: BenchOf, pictures: Pictures) -> None:
    bench = bench_of("runway", model="runway-gen4-turbo")
    request = GenerationRequest(model="runway-gen4-turbo", seed=1, duration_seconds=2)
    with pytest.raises(UnsupportedValue, match="needs a picture"):
        bench.make(request)
    bench.make(replace(request, conditionings=pictures.as_first_frame()))
    (order,) = bench.server.did("create")
    assert order.json == {
        "model": "gen4_turbo", "promptImage": DATA_URI, "ratio": "1280:720", "duration": 2, "seed": 1,
    }  # fmt: skip


@pytest.mark.parametrize("seconds", [1, 11, 2.5])
def test_a_length_that_the_model_does_not_make_is_refused(adapter: Runway, seconds: float) -> None:
    with pytest.raises(UnsupportedValue, match="allowed: 2 to 10"):
        adapter.resolve(GenerationRequest(model="runway-gen4.5", prompt="x", duration_seconds=seconds))


def test_a_shape_is_refused_without_a_picture_that_is_fine_with_one(adapter: Runway, pictures: Pictures) -> None:
    wish = GenerationRequest(model="runway-gen4.5", prompt="x", aspect_ratio="21:9")
    with pytest.raises(UnsupportedValue, match="aspect_ratio"):
        adapter.resolve(wish)
    assert adapter.resolve(replace(wish, conditionings=pictures.as_first_frame())).width == 1584


def test_a_prompt_is_counted_in_utf16_units(adapter: Runway) -> None:
    adapter.resolve(GenerationRequest(model="runway-gen4.5", prompt="🦊" * 500))
    with pytest.raises(UnsupportedValue, match="1002 UTF-16 units"):
        adapter.resolve(GenerationRequest(model="runway-gen4.5", prompt="🦊" * 501))


def test_the_highest_seed_is_that_of_32_bits(adapter: Runway) -> None:
    assert adapter.resolve(GenerationRequest(model="runway-gen4.5", prompt="x", seed=2**32 - 1)).seed == 2**32 - 1
    with pytest.raises(UnsupportedValue, match="4294967295"):
        adapter.resolve(GenerationRequest(model="runway-gen4.5", prompt="x", seed=2**32))


def test_a_picture_as_a_data_uri_stays_below_five_megabytes(adapter: Runway) -> None:
    image = adapter.remote.image
    assert image is not None
    assert len("data:image/jpeg;base64,") + -(-image.max_bytes // 3) * 4 <= 5_000_000


# -- editing a video ------------------------------------------------------------------------------------------------


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "holiday in Rome.mp4"
    path.write_bytes(clip(seconds=2.5))
    return path


def editing(video: Path, **more: Any) -> GenerationRequest:
    source = Conditioning(role=Role.SOURCE_VIDEO, path=video)
    return GenerationRequest(model="runway-aleph2", prompt="make it snow", seed=3, conditionings=(source,), **more)


def test_a_video_is_handed_over_ahead_and_named_in_the_order(bench_of: BenchOf, video: Path) -> None:
    bench = bench_of("runway", model="runway-aleph2")
    bench.make(editing(video, options={"target_aspect_ratio": "1:1"}))
    opening, sending, order = bench.server.requests[:3]
    assert opening.json == {"filename": "video.mp4", "type": "ephemeral"}
    assert "authorization" not in sending.headers
    assert sending.form["file"].content == video.read_bytes()  # type: ignore[union-attr]
    uri = order.json.pop("videoUri")
    assert uri.startswith("runway://")
    assert order.json == {
        "model": "aleph2", "promptText": "make it snow", "seed": 3, "targetAspectRatio": "1:1",
    }  # fmt: skip
    assert all(b"Rome" not in request.body for request in bench.server.requests)


def test_an_edited_video_costs_by_its_own_length_and_at_least_two_seconds(bench_of: BenchOf, video: Path) -> None:
    generator = bench_of("runway", model="runway-aleph2").generator()
    resolved = generator.resolve(editing(video))
    assert generator.estimate(resolved).cost == Cost(amount=0.84, currency="USD")
    assert generator.estimate(replace(resolved, num_frames=24)).cost == Cost(amount=0.56, currency="USD")
    with pytest.raises(UnsupportedValue, match="as long as the video"):
        generator.resolve(editing(video, duration_seconds=4))


def test_a_file_that_is_not_taken_leads_to_no_order(bench_of: BenchOf, video: Path, monkeypatch: Any) -> None:
    bench = bench_of("runway", model="runway-aleph2")
    monkeypatch.setattr(RunwayContract, "_take_upload", lambda *_: Response(status=403, body="no"))
    monkeypatch.setattr("providers.uploads.MAX_TRIES", 1)
    assert isinstance(bench.fails(editing(video)), Unreachable)
    assert bench.server.did("create") == []
    assert bench.run.operation is None


def test_a_video_is_not_handed_to_a_machine_inside(bench_of: BenchOf, video: Path, monkeypatch: Any) -> None:
    bench = bench_of("runway", model="runway-aleph2")
    slot = {"runwayUri": "runway://1", "uploadUrl": "http://169.254.169.254/latest", "fields": {}}
    monkeypatch.setattr(RunwayContract, "_open_upload", lambda *_: Response(body=slot))
    error = bench.fails(editing(video))
    assert isinstance(error, DownloadRefused)
    assert (error.details["charged"], error.fix) == ("no", "nothing was sent there, and nothing was ordered")
    assert bench.server.did("create") == []


# -- what answers mean ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", State.QUEUED),
        ("THROTTLED", State.QUEUED),
        ("RUNNING", State.RUNNING),
        ("SUCCEEDED", State.SUCCEEDED),
        ("FAILED", State.FAILED),
        ("CANCELLED", State.CANCELED),
        ("DAYDREAMING", None),
    ],
)
def test_words_mean_what_they_say(adapter: Runway, word: str, state: State | None) -> None:
    assert status_of(adapter, status=word).state is state


def test_a_throttled_task_says_why_it_waits(adapter: Runway) -> None:
    assert "as many" in status_of(adapter, status="THROTTLED").note
    assert status_of(adapter, status="PENDING").note == ""


def test_progress_is_told_while_a_task_runs_and_may_be_missing(adapter: Runway) -> None:
    assert status_of(adapter, status="RUNNING", progress=0.25).progress == 0.25
    assert status_of(adapter, status="RUNNING").progress is None


def test_credits_are_billed_as_money(bench: Bench) -> None:
    bench.make()
    assert bench.run.bills == [(Cost(amount=CREDITS / 100, currency="USD"), CREDITS, "credit")]


def test_an_estimate_of_the_provider_is_no_bill(adapter: Runway) -> None:
    assert status_of(adapter, status="RUNNING", estimatedCost={"credits": 60}).charge is None


def test_moderation_is_billed_too(bench: Bench) -> None:
    bench.set(Faults(ending="moderated"))
    bench.fails()
    assert bench.run.bills == [(Cost(amount=CREDITS / 100, currency="USD"), CREDITS, "credit")]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("SAFETY.INPUT.TEXT", Moderated),
        ("SAFETY.INPUT.IMAGE", Moderated),
        ("SAFETY.OUTPUT.VIDEO", Moderated),
        ("INPUT_PREPROCESSING.SAFETY.TEXT", Moderated),
        ("INTERNAL", ProviderBroken),
        ("INTERNAL.BAD_OUTPUT.CODE01", ProviderBroken),
        ("INPUT_PREPROCESSING.INTERNAL", ProviderBroken),
        ("THIRD_PARTY.UNAVAILABLE", ProviderBroken),
        ("ASSET.INVALID", InputRefused),
        ("SOMETHING.NEW", ProviderFailed),
        (None, ProviderFailed),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value),
)
def test_a_failure_code_tells_whose_fault_it_is(adapter: Runway, code: str | None, kind: type[StudioError]) -> None:
    error = failure_of(adapter, code)
    assert type(error) is kind
    assert error.details["code"] == code
    assert error.got is not None
    assert "it did not work" in error.got


def test_what_a_failure_cost_is_told_by_its_credits_before_all_else(adapter: Runway) -> None:
    assert failure_of(adapter, "SAFETY.INPUT.TEXT").details["charged"] == "yes"
    assert failure_of(adapter, "SAFETY.INPUT.TEXT", paid=0).details["charged"] == "no"
    assert failure_of(adapter, "INTERNAL.BAD_OUTPUT.CODE01").details["charged"] == "unknown"
    assert failure_of(adapter, "INTERNAL.BAD_OUTPUT.CODE01", paid=0).details["charged"] == "no"
    assert failure_of(adapter, "INTERNAL.BAD_OUTPUT.CODE01", paid=25).details["charged"] == "yes"


def test_success_without_a_clip_is_no_success(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    original = RunwayContract._task
    monkeypatch.setattr(RunwayContract, "_task", lambda *given: original(*given) | {"output": []})
    error = bench.fails()
    assert type(error) is ProtocolError
    assert error.details["charged"] == "unknown"


def test_of_several_outputs_the_first_is_kept_and_the_others_are_mentioned(adapter: Runway) -> None:
    status = status_of(adapter, status="SUCCEEDED", output=["https://a.example/1.mp4", "https://a.example/2.mp4"])
    assert status.result is not None
    assert (status.result.url, status.outputs) == ("https://a.example/1.mp4", 2)
    assert status.charge is None
    paid = status_of(adapter, status="SUCCEEDED", output=["https://a.example/1.mp4"], cost={"credits": 5})
    assert paid.charge == Charge(cost=Cost(amount=0.05, currency="USD"), units=5.0, unit="credit")


@pytest.mark.parametrize("id", ["", "../organization", "a/b", None, 7], ids=repr)
def test_an_id_that_could_lead_elsewhere_is_none(adapter: Runway, id: object) -> None:  # noqa: A002
    with pytest.raises(ProtocolError):
        adapter.handle(answer(id=id))


# -- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (429, "You have exceeded the daily task limit for this model", QuotaUsedUp),
        (429, "Too many requests", RateLimited),
        (400, "You do not have enough credits to run this task.", OutOfCredits),
        (403, "Model variant gen9 is not available", AccessDenied),
        (400, "Validation of body failed", RequestRefused),
    ],
    ids=["day's limit", "rate", "credits", "access", "body"],
)
def test_a_refusal_is_told_by_its_words(adapter: Runway, status: int, words: str, kind: type[StudioError]) -> None:
    error = adapter.refusal(answer(status, error=words))
    assert type(error) is kind
    assert error.details["charged"] == "no"
    assert error.got is not None
    assert words.rstrip(".") in error.got


def test_a_refusal_names_the_field(adapter: Runway) -> None:
    issue = {"code": "too_big", "path": ["promptText"], "message": "must be shorter"}
    error = adapter.refusal(answer(400, error="Validation of body failed", issues=[issue]))
    assert error.field == "promptText"
    assert error.got == "Validation of body failed: must be shorter"


# -- stopping -------------------------------------------------------------------------------------------------------


def test_a_task_that_is_done_is_not_deleted_with_its_clip(bench: Bench) -> None:
    bench.set(Faults(hasty=True))
    bench.run.cancel_when = lambda: len(bench.server.did("poll")) == 1
    assert isinstance(bench.make(), EncodedClip)
    assert bench.server.did("cancel") == []


# -- models that are gone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "replacement"),
    [
        ("runway-gen3a-turbo", "runway-gen4-turbo"),
        ("runway-gen4-aleph", "runway-aleph2"),
        ("stability-svd", "svd-xt"),
    ],
)
def test_whoever_chooses_a_model_that_is_gone_is_told_since_when_and_what_to_use(
    studio: Studio, capsys: pytest.CaptureFixture[str], model: str, replacement: str
) -> None:
    assert run(["generate", "--model", model, "--prompt", "a red fox"]) == 2
    told = capsys.readouterr().err
    assert "retired on 2026-0" in told
    assert f"use {replacement} instead" in told
    gone = studio.registry.catalog.get(model).retirement
    assert gone is not None
    assert gone.evidence


@pytest.mark.parametrize(("answers", "charged"), [(1, "unknown"), (2, "yes")], ids=["waiting", "running"])
def test_a_task_that_is_stopped_while_it_runs_is_paid_for_and_of_one_that_waits_nobody_knows(
    bench_of: Callable[[str], Bench], answers: int, charged: str
) -> None:
    bench = bench_of("runway")
    bench.run.cancel_when = lambda: len(bench.server.did("poll")) >= answers
    assert bench.fails().details["charged"] == charged
    assert len(bench.server.did("cancel")) == 1
