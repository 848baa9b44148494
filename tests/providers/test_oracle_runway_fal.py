"""What we send and what the conformance server answers, read by the providers' own packages, where they are installed.

They are for development alone: ``pip install runwayml==5.24.0 fal-client==1.0.3``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from studio.request import Conditioning, GenerationRequest, Role
from tests.providers.bench import Bench
from tests.providers.conformance.clips import clip
from tests.providers.conformance.contract import Golden, Pictures
from tests.providers.conformance.fal import FalContract
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.runway import RunwayContract
from tests.providers.run import RecordingRun

BenchOf = Callable[..., Bench]

RUNWAY_GOLDENS = ("text to video", "image to video", "first and last frame", "reference to video")
FAL_WORDS = {"IN_QUEUE": "Queued", "IN_PROGRESS": "InProgress", "COMPLETED": "Completed"}


def golden_of(contract: Any, pictures: Pictures, name: str) -> Golden:
    goldens = (*contract.goldens(pictures), *contract.other_goldens(pictures))
    return next(golden for golden in goldens if golden.name == name)


def order_of(bench: Bench, request: GenerationRequest) -> tuple[str, dict[str, Any]]:
    bench.set(Faults())
    bench.make(request)
    (order,) = bench.server.did("create")
    return order.path, order.json


@pytest.fixture
def runway_told(bench_of: BenchOf, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, Any]]]:
    """Return what Runway's side answers during a job, as calls and bodies."""
    return _listener(bench_of("runway"), RunwayContract, ("_create", "_query"), monkeypatch)


@pytest.fixture
def fal_told(bench_of: BenchOf, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, Any]]]:
    """Return what fal's side answers during a job, as calls and bodies."""
    return _listener(bench_of("fal"), FalContract, ("_create", "_query", "_result"), monkeypatch)


def _listener(
    bench: Bench, kind: type, calls: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[tuple[str, Any]]]:
    told: list[tuple[str, Any]] = []
    for name in calls:
        original = getattr(kind, name)

        def handler(*given: Any, name: str = name, original: Any = original) -> Any:
            response = original(*given)
            told.append((name, response.body))
            return response

        monkeypatch.setattr(kind, name, handler)

    def listen(faults: Faults) -> list[tuple[str, Any]]:
        told.clear()
        bench.set(faults)
        bench.run = RecordingRun(bench.run.workdir)
        if faults.ending == "done":
            bench.make()
        else:
            bench.fails()
        return list(told)

    return listen


# -- Runway ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNWAY_GOLDENS)
def test_runways_own_types_accept_our_orders(bench_of: BenchOf, pictures: Pictures, name: str) -> None:
    pytest.importorskip("runwayml")
    from pydantic import TypeAdapter
    from runwayml import types

    golden = golden_of(RunwayContract(), pictures, name)
    path, body = order_of(bench_of("runway", model=golden.request.model), golden.request)
    kinds: Mapping[str, Any] = {
        "/v1/text_to_video": types.text_to_video_create_params.TextToVideoCreateParams,
        "/v1/image_to_video": types.image_to_video_create_params.ImageToVideoCreateParams,
    }
    _require_fitting(TypeAdapter, kinds[path], body)


def test_runways_own_types_accept_our_edits(bench_of: BenchOf, tmp_path: Path) -> None:
    pytest.importorskip("runwayml")
    from pydantic import TypeAdapter, ValidationError
    from runwayml import types

    video = tmp_path / "video.mp4"
    video.write_bytes(clip(seconds=2.5))
    request = GenerationRequest(
        model="runway-aleph2",
        prompt="make it snow",
        options={"target_aspect_ratio": "1:1", "public_figure_threshold": "low"},
        conditionings=(Conditioning(role=Role.SOURCE_VIDEO, path=video),),
    )
    path, body = order_of(bench_of("runway", model=request.model), request)
    assert path == "/v1/video_to_video"
    kinds = types.video_to_video_create_params.VideoToVideoCreateParams
    _require_fitting(TypeAdapter, kinds, body)
    with pytest.raises(ValidationError):
        _require_fitting(TypeAdapter, kinds, {**body, "targetAspectRatio": "7:5"})


def _require_fitting(type_adapter: Any, union: Any, body: Mapping[str, Any]) -> None:
    """Assert that one member of a union of typed dictionaries takes a body, and knows all of its fields."""
    from runwayml._utils import PropertyInfo

    for member in get_args(union):
        hints = get_type_hints(member, include_extras=True)
        if body["model"] not in _texts_in(hints["model"]):
            continue
        names = {name: _alias(hint, PropertyInfo) or name for name, hint in hints.items()}
        ours = {name: body[alias] for name, alias in names.items() if alias in body}
        assert len(ours) == len(body), f"not known: {set(body) - set(names.values())}"
        for value in type_adapter(member).validate_python(ours).values():
            if not isinstance(value, str | int):
                list(value)  # what can be iterated over is looked at then
        return
    raise AssertionError(f"no type is for the model {body['model']}")


def _texts_in(hint: Any) -> set[str]:
    """Return the texts that an annotation allows for."""
    found: set[str] = set()
    for part in get_args(hint):
        found |= {part} if isinstance(part, str) else _texts_in(part)
    return found


def _alias(hint: Any, info: type) -> str | None:
    """Return how a field is called on the line."""
    for part in get_args(hint):
        if isinstance(part, info) and getattr(part, "alias", None):
            return str(part.alias)  # type: ignore[attr-defined]
        if (inner := _alias(part, info)) is not None:
            return inner
    return None


@pytest.mark.parametrize("ending", ["done", "failed", "moderated"])
def test_runways_own_types_accept_the_servers_answers(
    runway_told: Callable[..., list[tuple[str, Any]]], ending: str
) -> None:
    pytest.importorskip("runwayml")
    from pydantic import TypeAdapter
    from runwayml.types import TaskRetrieveResponse, TextToVideoCreateResponse

    words = []
    for call, body in runway_told(Faults(ending=ending)):
        if call == "_create":
            TextToVideoCreateResponse.model_validate(body)
        else:
            task = TypeAdapter(TaskRetrieveResponse).validate_python(body)
            words.append(task.status)
    assert words == ["PENDING", "THROTTLED", "RUNNING", "SUCCEEDED" if ending == "done" else "FAILED"]


# -- fal ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["done", "failed"])
def test_fals_own_client_reads_the_servers_answers(fal_told: Callable[..., list[tuple[str, Any]]], ending: str) -> None:
    client = pytest.importorskip("fal_client.client")
    parsed = []
    handle = None
    for call, body in fal_told(Faults(ending=ending)):
        if call == "_create":
            names = ("request_id", "response_url", "status_url", "cancel_url")
            handle = client._BaseRequestHandle(**{name: body[name] for name in names})
        elif call == "_query":
            assert handle is not None
            parsed.append(type(handle._parse_status(body)).__name__)
            assert parsed[-1] == FAL_WORDS[body["status"]]
    assert parsed == ["Queued", "InProgress", "Completed"]
