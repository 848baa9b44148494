"""What the server of these tests says and is sent, judged by the official SDKs' own types, where they are installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, get_args

import httpx
import pytest

from studio.errors import StudioError
from tests.providers.bench import Bench
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.openrouter import listed

ENDINGS = ("done", "failed", "moderated")


class Recorder(httpx.BaseTransport):
    """The network, and a record of what went over it. orders: bodies; answers: method, path, HTTP status, body."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.orders: list[Any] = []
        self.answers: list[tuple[str, str, int, Any]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        content = response.read()
        if request.method == "POST" and request.headers.get("content-type") == "application/json":
            self.orders.append(json.loads(request.content))
        if "json" in response.headers.get("content-type", ""):
            self.answers.append((request.method, request.url.path, response.status_code, json.loads(content)))
        stream = httpx.ByteStream(content)
        return httpx.Response(response.status_code, headers=response.headers.raw, stream=stream)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


def spoken(bench: Bench, recorder: Recorder, ending: str) -> list[tuple[str, str, int, Any]]:
    """Return all answers of one job's life."""
    bench.set(Faults(ending=ending))
    if ending == "done":
        for golden in bench.goldens:
            bench.make(golden.request, recorder)
    else:
        bench.fails(transport=recorder)
    assert recorder.answers
    return recorder.answers


def refused(bench: Bench, recorder: Recorder, status: str) -> Any:
    """Return the body of a refusal."""
    bench.set(Faults(create=status))
    assert isinstance(bench.fails(transport=recorder), StudioError)
    return recorder.answers[-1][-1]


@pytest.mark.parametrize("ending", ENDINGS)
def test_openrouter_jobs_are_what_its_sdk_expects(
    bench_of: Callable[[str], Bench], recorder: Recorder, ending: str
) -> None:
    pytest.importorskip("openrouter")
    from openrouter.components import VideoGenerationRequest, VideoGenerationResponse
    from openrouter.components.videogenerationresponse import VideoGenerationResponseStatus

    words = get_args(get_args(VideoGenerationResponseStatus)[0])
    for method, _path, status, body in spoken(bench_of("openrouter"), recorder, ending):
        assert status == (202 if method == "POST" else 200)
        parsed = VideoGenerationResponse.model_validate(body)
        assert parsed.status in words
        assert set(body) <= set(VideoGenerationResponse.model_fields)
    for order in recorder.orders:
        VideoGenerationRequest.model_validate(order)
        assert set(order) <= set(VideoGenerationRequest.model_fields)


@pytest.mark.parametrize("status", ["400", "401", "402", "404", "429"])
def test_openrouter_refusals_are_what_its_sdk_expects(
    bench_of: Callable[[str], Bench], recorder: Recorder, status: str
) -> None:
    components = pytest.importorskip("openrouter.components")
    name = {"400": "BadRequest", "401": "Unauthorized", "402": "PaymentRequired", "404": "NotFound"}.get(status)
    kind = getattr(components, f"{name or 'TooManyRequests'}ResponseErrorData")
    body = refused(bench_of("openrouter"), recorder, status)
    assert kind.model_validate(body["error"]).code == int(status)


def test_openrouters_list_is_what_its_sdk_expects() -> None:
    components = pytest.importorskip("openrouter.components")
    entry = listed()
    assert set(entry) == set(components.VideoModel.model_fields)
    assert components.VideoModelsListResponse.model_validate({"data": [entry]}).data[0].id == entry["id"]


def test_every_word_of_openrouters_sdk_is_known() -> None:
    module = pytest.importorskip("openrouter.components.videogenerationresponse")
    from providers.openrouter import OpenRouter

    assert set(get_args(get_args(module.VideoGenerationResponseStatus)[0])) == set(OpenRouter.states)


@pytest.mark.parametrize("ending", ENDINGS)
def test_replicates_predictions_are_what_its_sdk_expects(
    bench_of: Callable[[str], Bench], recorder: Recorder, ending: str
) -> None:
    pytest.importorskip("replicate")
    from replicate.prediction import Prediction

    for method, _path, status, body in spoken(bench_of("replicate"), recorder, ending):
        assert status == (201 if method == "POST" else 200)
        assert Prediction(**body).id == body["id"]


@pytest.mark.parametrize("status", ["400", "401", "402", "404", "429"])
def test_replicates_refusals_are_what_its_sdk_expects(
    bench_of: Callable[[str], Bench], recorder: Recorder, status: str
) -> None:
    exceptions = pytest.importorskip("replicate.exceptions")
    body = refused(bench_of("replicate"), recorder, status)
    error = exceptions.ReplicateError.from_response(httpx.Response(int(status), json=body))
    assert error.status == int(status)
    assert error.title
    assert error.detail


def test_every_word_of_replicates_sdk_is_known() -> None:
    module = pytest.importorskip("replicate.prediction")
    from providers.replicate import Replicate

    words = set(get_args(module.Prediction.__fields__["status"].outer_type_))
    assert words < set(Replicate.states)
    assert set(Replicate.states) - words == {"aborted"}  # its documentation knows it, and its SDK fails on it


@pytest.mark.parametrize("ending", ENDINGS)
def test_videos_of_openais_protocol_are_what_its_sdk_expects(
    bench_of: Callable[[str], Bench], recorder: Recorder, ending: str
) -> None:
    types = pytest.importorskip("openai.types")
    words = get_args(types.Video.model_fields["status"].annotation)
    for _method, path, status, body in spoken(bench_of("openai-videos"), recorder, ending):
        assert "/videos" in path
        assert status == 200
        parsed = types.Video.model_validate(body)
        assert parsed.status in words
        assert parsed.object == "video"
        assert (parsed.error is not None) == (parsed.status == "failed")
