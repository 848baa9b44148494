"""What Luma does beyond what all providers do: failure codes, two meanings of 429, key frames, files before an edit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from providers.wire import Answer
from studio.app import Studio
from studio.errors import (
    AccessDenied,
    InputRefused,
    Moderated,
    OutOfCredits,
    OutputExpired,
    ProtocolError,
    ProviderBroken,
    RateLimited,
    RequestRefused,
    StudioError,
    TooManyJobs,
    UnsupportedValue,
)
from studio.request import Conditioning, GenerationRequest, Role, Task
from tests.providers.bench import Bench, sha256, sha256_of
from tests.providers.conformance.clips import clip
from tests.providers.conformance.contract import RAW_BASE64
from tests.providers.conformance.faults import Faults
from ui.cli.entry import run

PICTURE = {"data": RAW_BASE64, "media_type": "image/png"}


@pytest.fixture
def bench(bench_of: Callable[[str], Bench]) -> Bench:
    return bench_of("luma")


@pytest.fixture
def editing(bench_of: Callable[..., Bench]) -> Bench:
    return bench_of("luma", model="luma-ray-3.2-edit")


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
    path.write_bytes(clip(128, 72, 7.5))
    return path


def _edit(path: Path, **more: Any) -> GenerationRequest:
    source = (Conditioning(role=Role.SOURCE_VIDEO, path=path),)
    return GenerationRequest(model="luma-ray-3.2-edit", prompt="by moonlight", conditionings=source, **more)


# -- how a job ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("content_moderated", Moderated),
        ("generation_failed", ProviderBroken),
        ("budget_exhausted", OutOfCredits),
        ("output_not_found", OutputExpired),
        ("image_too_large", InputRefused),
        ("unsupported_format", InputRefused),
        ("corrupt_input", InputRefused),
        ("invalid_request", RequestRefused),
        ("rate_limited", RateLimited),
        ("something_new", ProviderBroken),
    ],
)
def test_failure_codes_become_errors_of_their_own(
    bench: Bench, say: Callable[..., None], code: str, kind: type[StudioError]
) -> None:
    say(failure=(code, "this is why"))
    bench.set(Faults(ending="failed"))
    error = bench.fails()
    assert type(error) is kind
    assert "this is why" in str(error)
    assert (error.details["code"], error.details["ended"]) == (code, True)
    assert len(bench.server.did("create")) == 1


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (429, "Rate limit exceeded", RateLimited),
        (429, "Concurrent job limit exceeded", TooManyJobs),
        (402, "Insufficient balance", OutOfCredits),
        (403, "Client is suspended", AccessDenied),
        (413, "source exceeds the size limit", InputRefused),
        (422, "loop is not supported with duration 10s", RequestRefused),
        (400, "The prompt was flagged by content moderation", Moderated),
    ],
)
def test_refusals_are_told_by_status_and_words(bench: Bench, status: int, words: str, kind: type[StudioError]) -> None:
    body = json.dumps({"detail": words}).encode()
    error = bench.generator().refusal(Answer(status=status, headers={"content-type": "application/json"}, body=body))
    assert type(error) is kind
    assert words in str(error)
    assert error.details["charged"] == "no"


def test_the_sides_name_of_an_exchange_is_kept_for_its_support(bench: Bench) -> None:
    bench.set(Faults(create="400"))
    assert bench.fails().details["request_id"] == "550e8400-e29b-41d4-a716-446655440000"


def test_a_job_that_is_done_and_names_no_clip_is_not_believed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.contract, "answer", lambda job, _word: {"id": job.id, "state": "completed", "output": []})
    assert type(bench.fails()) is ProtocolError


# -- what can be asked for ------------------------------------------------------------------------------------------


def test_a_long_clip_from_two_frames_takes_them_as_key_frames(bench: Bench) -> None:
    frames = bench.goldens[3].request.conditionings
    bench.make(GenerationRequest(model=bench.spec.id, prompt="night falls", duration_seconds=10, conditionings=frames))
    (order,) = bench.server.did("create")
    video = order.json["video"]
    assert video["keyframes"] == [PICTURE, PICTURE]
    assert video["keyframe_indexes"] == [0, 240]
    assert not {"start_frame", "end_frame"} & set(video)


def test_a_clip_of_high_range_is_a_row_of_its_own(bench_of: Callable[..., Bench]) -> None:
    bench = bench_of("luma", model="luma-ray-3.2-hdr")
    frames = bench.goldens[3].request.conditionings
    request = GenerationRequest(model=bench.spec.id, prompt="night falls", resolution="1080p", conditionings=frames)
    bench.make(request)
    (order,) = bench.server.did("create")
    assert order.json["video"] | {"keyframes": []} == {
        "resolution": "1080p",
        "duration": "5s",
        "hdr": True,
        "keyframes": [],
        "keyframe_indexes": [0, 120],
    }
    cost = bench.generator().estimate(bench.resolved(request)).cost
    assert cost is not None
    assert cost.amount == 2.4
    for wish in ({"resolution": "540p"}, {"duration_seconds": 10}, {"options": {"loop": True}}):
        with pytest.raises(UnsupportedValue):
            bench.resolved(GenerationRequest(model=bench.spec.id, prompt="a fox", **wish))  # type: ignore[arg-type]


def test_a_long_clip_cannot_be_a_loop_and_nothing_is_sent(bench: Bench) -> None:
    request = GenerationRequest(model=bench.spec.id, prompt="a fox", duration_seconds=10, options={"loop": True})
    with pytest.raises(UnsupportedValue, match="cannot be a loop"):
        bench.resolved(request)
    assert bench.server.requests == []


@pytest.mark.parametrize(
    ("wish", "price"),
    [
        ({"resolution": "540p"}, 0.15),
        ({"resolution": "540p", "duration_seconds": 10}, 0.45),
        ({"resolution": "1080p", "aspect_ratio": "1:1", "duration_seconds": 10}, 3.6),
        ({"resolution": "360p"}, None),
    ],
    ids=["short", "long", "square", "draft"],
)
def test_a_clip_has_a_price_by_tier_and_length(bench: Bench, wish: dict[str, Any], price: float | None) -> None:
    resolved = bench.resolved(GenerationRequest(model=bench.spec.id, prompt="a fox", **wish))
    cost = bench.generator().estimate(resolved).cost
    assert (None if cost is None else cost.amount) == price


@pytest.mark.parametrize(
    "wish",
    [{"seed": 7}, {"negative_prompt": "text"}, {"generate_audio": True}, {"duration_seconds": 7}],
    ids=["seed", "negative prompt", "sound", "7 s"],
)
def test_what_luma_lacks_is_refused(bench: Bench, wish: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedValue):
        bench.resolved(GenerationRequest(model=bench.spec.id, prompt="a fox", **wish))


# -- editing a video ------------------------------------------------------------------------------------------------


def test_a_video_is_handed_over_before_it_is_edited(editing: Bench, video: Path) -> None:
    assert sha256_of(editing.make(_edit(video))) == sha256(editing.server.clip)
    steps = [f"{request.method} {request.path.rpartition('/files')[1]}" for request in editing.server.did("other")]
    assert steps == ["POST /files", "PUT ", "POST /files", "GET /files", "GET /files"]
    (order,) = editing.server.did("create")
    name = order.json["source"]["file_id"]
    assert editing.contract.uploads[name] == video.read_bytes()  # type: ignore[attr-defined]
    assert order.json == {
        "model": "ray-3.2",
        "type": "video_edit",
        "prompt": "by moonlight",
        "source": {"file_id": name},
        "video": {"resolution": "720p", "edit": {"auto_controls": True}},
    }


def test_the_key_and_the_name_of_the_file_are_not_sent_to_the_presigned_address(editing: Bench, video: Path) -> None:
    editing.make(_edit(video))
    (put,) = (request for request in editing.server.requests if request.method == "PUT")
    assert "authorization" not in put.headers
    assert all(b"holiday" not in request.body for request in editing.server.requests)


def test_how_much_may_change_is_an_option(editing: Bench, video: Path) -> None:
    editing.make(_edit(video, options={"strength": "reimagine_2"}, resolution="1080p"))
    (order,) = editing.server.did("create")
    assert order.json["video"] == {"resolution": "1080p", "edit": {"strength": "reimagine_2"}}


def test_an_edit_is_as_long_as_its_video_and_costs_by_its_length(editing: Bench, video: Path) -> None:
    resolved = editing.resolved(_edit(video))
    assert (resolved.task, resolved.num_frames) == (Task.VIDEO_TO_VIDEO, 8 * 24)
    cost = editing.generator().estimate(resolved).cost
    assert cost is not None
    assert cost.amount == 2.16
    with pytest.raises(UnsupportedValue, match="as long as the video"):
        editing.resolved(_edit(video, duration_seconds=5))


def test_a_video_over_18_seconds_is_refused_before_it_is_sent(editing: Bench, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(clip(64, 36, 19.0))
    with pytest.raises(UnsupportedValue, match="18"):
        editing.resolved(_edit(path))
    assert editing.server.requests == []


def test_a_video_that_luma_cannot_read_is_not_ordered(
    editing: Bench, monkeypatch: pytest.MonkeyPatch, video: Path
) -> None:
    monkeypatch.setattr(editing.contract, "states", ("pending", "failed"))
    error = editing.fails(_edit(video))
    assert type(error) is InputRefused
    assert "could not be decoded" in str(error)
    assert editing.server.did("create") == []
    assert editing.run.operation is None


def test_a_place_for_the_video_that_is_no_place_is_not_believed(
    editing: Bench, monkeypatch: pytest.MonkeyPatch, video: Path
) -> None:
    generator = editing.generator()
    answer = Answer(status=201, headers={}, body=b'{"id": "x", "upload": null}')
    monkeypatch.setattr(generator, "ask", lambda *_args, **_more: answer)
    with generator.session(), pytest.raises(ProtocolError):
        generator.generate(generator.resolve(_edit(video)), editing.run)
    assert editing.server.did("create") == []


@pytest.mark.parametrize("model", ["luma-ray-2", "luma-ray-flash-2"])
def test_whoever_chooses_the_old_dream_machine_is_told_since_when_and_what_to_use(
    studio: Studio, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    assert run(["generate", "--model", model, "--prompt", "a red fox"]) == 2
    told = capsys.readouterr().err
    assert "retired on 2026-11-22" in told
    assert "use luma-ray-3.2 instead" in told
    gone = studio.registry.catalog.get(model).retirement
    assert gone is not None
    assert "no end date was found" in gone.evidence


# -- another shape for a video --------------------------------------------------------------------------------------


@pytest.fixture
def reframing(bench_of: Callable[..., Bench]) -> Bench:
    return bench_of("luma", model="luma-ray-3.2-reframe")


def _reframe(path: Path, **more: Any) -> GenerationRequest:
    source = (Conditioning(role=Role.SOURCE_VIDEO, path=path),)
    prompt = "more of the beach"
    return GenerationRequest(model="luma-ray-3.2-reframe", prompt=prompt, conditionings=source, **more)


def test_a_video_is_handed_over_and_given_another_shape(reframing: Bench, video: Path) -> None:
    assert sha256_of(reframing.make(_reframe(video, aspect_ratio="9:16"))) == sha256(reframing.server.clip)
    (order,) = reframing.server.did("create")
    name = order.json["source"]["file_id"]
    assert reframing.contract.uploads[name] == video.read_bytes()  # type: ignore[attr-defined]
    assert order.json == {
        "model": "ray-3.2",
        "type": "video_reframe",
        "prompt": "more of the beach",
        "aspect_ratio": "9:16",
        "source": {"file_id": name},
        "video": {"resolution": "720p"},
    }


@pytest.mark.parametrize(("resolution", "amount"), [("540p", 0.48), ("720p", 0.96), ("1080p", 2.88), ("360p", None)])
def test_another_shape_is_paid_by_the_second(
    reframing: Bench, video: Path, resolution: str, amount: float | None
) -> None:
    resolved = reframing.resolved(_reframe(video, aspect_ratio="21:9", resolution=resolution))
    assert resolved.num_frames == 8 * 24
    cost = reframing.generator().estimate(resolved).cost
    assert (None if cost is None else cost.amount) == amount


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({}, "which shape"),
        ({"aspect_ratio": "9:16", "resolution": "1080p"}, "upright clips"),
        ({"aspect_ratio": "1:1", "duration_seconds": 5}, "as long as the video"),
        ({"aspect_ratio": "1:1", "options": {"strength": "auto"}}, "no such option"),
    ],
    ids=["no shape", "upright in 1080p", "a length", "strength"],
)
def test_what_cannot_be_reframed_is_refused_before_it_is_sent(
    reframing: Bench, video: Path, wish: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnsupportedValue, match=words):
        reframing.resolved(_reframe(video, **wish))
    assert reframing.server.requests == []


def test_an_edit_in_1080p_may_be_upright(editing: Bench, tmp_path: Path) -> None:
    path = tmp_path / "upright.mp4"
    path.write_bytes(clip(72, 128, 2.0))
    resolved = editing.resolved(_edit(path, resolution="1080p", aspect_ratio="9:16"))
    assert (resolved.width, resolved.height) == (1080, 1920)
