"""The videos protocol: what the matrix does not know of it, and the studio as a server of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from studio.app import Studio
from studio.errors import ModelGone, RequestError, StudioError, UnsupportedValue
from studio.jobs.roll import WorkerCard
from studio.jobs.worker import Worker
from studio.media import probe_video
from studio.registry import Registry
from studio.request import GenerationRequest
from tests.providers.bench import Bench, catalog, spec_of
from tests.providers.conformance.contract import Contract, Jobs, Pictures, Request, Response
from tests.providers.run import RecordingRun
from tests.ui.api.conftest import serving
from ui.api.access import Access

BenchOf = Callable[[str], Bench]


@pytest.fixture
def bench(bench_of: BenchOf) -> Bench:
    return bench_of("openai-videos")


def test_what_nobody_asked_for_is_left_to_the_server(bench: Bench) -> None:
    bench.make(GenerationRequest(model="openai-videos", prompt="a fox", options={"send_seed": "false"}))
    (order,) = bench.server.did("create")
    assert set(order.form) == {"prompt", "seconds", "size"}


def test_what_somebody_asked_for_is_sent(bench: Bench) -> None:
    options = {"model": "wan", "num_inference_steps": 20, "guidance_scale": 3.5, "fps": 16}
    bench.make(
        GenerationRequest(model="openai-videos", prompt="a fox", negative_prompt="snow", seed=5, options=options)
    )
    (order,) = bench.server.did("create")
    asked = {"model": "wan", "num_inference_steps": "20", "guidance_scale": "3.5", "fps": "16", "seed": "5"}
    assert asked.items() <= order.form.items()
    assert order.form["negative_prompt"] == "snow"


def test_a_server_without_a_key_gets_none(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setattr(type(bench.contract), "authorize", lambda _self, _request: None)
    bench.make()
    assert all("authorization" not in request.headers for request in bench.server.requests)


def test_a_server_that_wants_to_be_left_alone_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    _answer_differently(bench, monkeypatch, lambda found: replace(found, headers={"openai-poll-after-ms": "150"}))
    bench.make()
    first, second, *_ = (request.at for request in bench.server.did("poll"))
    assert second - first >= 0.149


@pytest.mark.parametrize("words", ["soon", "-5", "", "nan"])
def test_nonsense_about_when_to_come_back_is_not_listened_to(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    _answer_differently(bench, monkeypatch, lambda found: replace(found, headers={"openai-poll-after-ms": words}))
    bench.make()


@pytest.mark.parametrize("id_", ["video_bGl0ZWxsbTpjdXN0b20=", "a/b", "../../etc/passwd", "x?y=z#w", "spaß"])
def test_ids_that_gateways_make_up_stay_one_part_of_the_address(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, id_: str
) -> None:
    create = Jobs.create
    monkeypatch.setattr(Jobs, "create", lambda jobs, **facts: create(jobs, id=id_, **facts))
    asked: list[str] = []
    find = Jobs.find

    def finding(jobs: Jobs, quoted: str) -> object:
        asked.append(quoted)
        return find(jobs, id_)

    monkeypatch.setattr(Jobs, "find", finding)
    bench.make()
    assert len(set(asked)) == 1
    assert {request.path.count("/") for request in bench.server.did("poll")} == {2}


@pytest.mark.parametrize("model", ["sora-2", "sora-2-pro"])
def test_soras_service_is_gone_and_what_to_use_instead_is_told(studio: Studio, model: str) -> None:
    with pytest.raises(StudioError, match="openai-videos") as refused:
        studio.resolve(GenerationRequest(model=model, prompt="a fox"))
    assert isinstance(refused.value, RequestError)
    assert "2026-09-24" in refused.value.sentence()


# -- the studio itself as the server --------------------------------------------------------------------------------


@pytest.fixture
def other_studio(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """`studio serve` with a worker, and the variable that leads there."""
    stop = threading.Event()
    worker = threading.Thread(target=Worker(studio.workshop, WorkerCard(device="cpu")).run, args=(stop,))
    worker.start()
    with serving(studio, Access()) as served:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{served.url}/v1")
        yield studio
    stop.set()
    worker.join(30)


def _ordered(studio: Studio, request: GenerationRequest, run: RecordingRun) -> tuple[int, int]:
    generator = Registry(catalog(), studio.settings).generator("openai-videos")
    generator = type(generator)(spec_of("openai-videos"), studio.settings)  # type: ignore[call-arg]
    with generator.session():
        clip = generator.generate(generator.resolve(request), run)
    facts = probe_video(clip.path)  # type: ignore[union-attr]
    return facts.width, facts.height


def test_another_studio_makes_the_clip(other_studio: Studio, pictures: Pictures, run: RecordingRun) -> None:
    request = GenerationRequest(
        model="openai-videos",
        prompt="a fox",
        width=256,
        height=144,
        duration_seconds=1,
        seed=3,
        options={"model": "scripted-moving", "num_inference_steps": 2},
        conditionings=pictures.as_first_frame(),
    )
    assert _ordered(other_studio, request, run) == (256, 144)
    (asset,) = other_studio.store.assets()
    assert (asset.model, asset.seed, asset.prompt) == ("scripted-moving", 3, "a fox")


def test_what_another_studio_refuses_is_told_with_its_words(other_studio: Studio, run: RecordingRun) -> None:
    request = GenerationRequest(model="openai-videos", prompt="a fox", options={"model": "no-such-model"})
    with pytest.raises(ModelGone, match="no-such-model"):
        _ordered(other_studio, request, run)
    wide = GenerationRequest(
        model="openai-videos", prompt="a fox", width=1280, height=720, options={"model": "scripted-moving"}
    )
    with pytest.raises(RequestError, match="1280"):
        _ordered(other_studio, wide, run)
    assert run.operation is None


@pytest.fixture
def run(tmp_path: object) -> RecordingRun:
    return RecordingRun(tmp_path / "work")  # type: ignore[operator]


def test_options_out_of_range_are_refused_before_anything_is_sent(bench: Bench) -> None:
    error = bench.fails(GenerationRequest(model="openai-videos", prompt="a fox", options={"fps": 1000}))
    assert isinstance(error, UnsupportedValue)
    assert bench.server.requests == []


def _answer_differently(bench: Bench, monkeypatch: pytest.MonkeyPatch, change: Callable[[Response], Response]) -> None:
    kind: type[Contract] = type(bench.contract)
    query = kind._query  # type: ignore[attr-defined]

    def changed(self: Contract, request: Request, jobs: Jobs) -> Response:
        return change(query(self, request, jobs))

    monkeypatch.setattr(kind, "_query", changed)
