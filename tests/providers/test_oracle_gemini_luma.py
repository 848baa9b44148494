"""Google's and Luma's own libraries agree with our orders and our server's answers; skipped without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.request import Conditioning, GenerationRequest, Role
from tests.providers.bench import Bench
from tests.providers.conformance.clips import clip
from tests.providers.conformance.faults import Faults

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ENDINGS = ("done", "failed", "moderated")


def _told(bench: Bench, ending: str) -> Iterator[tuple[str, Any]]:
    """Yield all answers about a job that ends so: the word, and the whole answer."""
    contract: Any = bench.contract
    bench.set(Faults(ending=ending))
    jobs = bench.server.jobs[contract.name]
    jobs.faults = bench.server.faults
    job = jobs.create(**bench.goldens[0].json or {}, base_url=bench.server.base_url(contract))
    for _ in range(len(contract.walk) + 1):
        word = job.step()
        yield word, contract.answer(job, word)


# -- Google ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def gemini(bench_of: Callable[[str], Bench]) -> Bench:
    return bench_of("gemini")


@pytest.fixture
def google(gemini: Bench) -> Iterator[Any]:
    """Google's own client, which talks to our server."""
    genai = pytest.importorskip("google.genai")
    client = genai.Client(
        api_key=gemini.contract.key, http_options={"base_url": gemini.server.base_url(gemini.contract)}
    )
    yield client
    client.close()


def test_google_sends_what_we_send(gemini: Bench, google: Any) -> None:
    for golden in gemini.goldens:
        gemini.set(Faults())
        gemini.make(golden.request)
        google.interactions.create(**gemini.server.did("create")[0].json)
        ours, theirs = gemini.server.did("create")
        assert (theirs.path, theirs.json) == (ours.path, ours.json), golden.name


def test_google_asks_and_stops_where_we_do(gemini: Bench, google: Any) -> None:
    gemini.set(Faults())
    begun = google.interactions.create(**gemini.goldens[0].json)
    assert begun.status == "queued"
    assert google.interactions.get(begun.id).status == "queued"
    assert google.interactions.cancel(begun.id).status == "cancelled"
    assert [request.does for request in gemini.server.requests] == ["create", "poll", "cancel"]


def test_google_finds_the_clip_where_we_do(gemini: Bench, google: Any) -> None:
    gemini.set(Faults(hasty=True))
    begun = google.interactions.create(**gemini.goldens[0].json)
    google.interactions.get(begun.id)
    done = google.interactions.get(begun.id)
    assert done.status == "completed"
    assert done.output_video.uri.endswith(":download?alt=media")
    name = "files/" + done.output_video.uri.rpartition("/")[2].partition(":")[0]
    assert [google.files.get(name=name).state.name for _ in range(2)] == ["PROCESSING", "ACTIVE"]
    assert google.files.download(file=name) == gemini.server.clip


@pytest.mark.parametrize("ending", ENDINGS)
def test_google_understands_all_answers(gemini: Bench, ending: str) -> None:
    interactions = pytest.importorskip("google.genai._gaos.types.interactions.interaction")
    known = {"queued", "in_progress", "completed", "failed"}
    for word, answer in _told(gemini, ending):
        found = interactions.Interaction.model_validate(answer)
        assert found.status == word
        assert word in known
        assert not any("unknown" in type(step).__name__.lower() for step in found.steps or ())


def test_google_knows_every_state_that_we_know_and_no_other(gemini: Bench) -> None:
    interactions = pytest.importorskip("google.genai._gaos.types.interactions.interaction")
    words = interactions.InteractionStatus.__args__[0].__args__
    assert set(words) == set(gemini.generator().states)


def test_google_knows_the_models_and_the_tasks(gemini: Bench) -> None:
    model = pytest.importorskip("google.genai._gaos.types.interactions.model")
    config = pytest.importorskip("google.genai._gaos.types.interactions.videoconfig")
    assert {"gemini-omni-1.2-flash", "gemini-omni-1.1-flash"} <= set(model.Model.__args__[0].__args__)
    sent = {golden.json["generation_config"].get("video_config", {}).get("task") for golden in gemini.goldens}
    assert sent - {None} < set(config.Task.__args__[0].__args__)


# -- Luma -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def luma(bench_of: Callable[[str], Bench]) -> Bench:
    return bench_of("luma")


@pytest.fixture
def theirs(luma: Bench) -> Iterator[Any]:
    """Luma's own client, which talks to our server."""
    library = pytest.importorskip("luma_agents")
    with library.Luma(
        auth_token=luma.contract.key, base_url=luma.server.base_url(luma.contract), max_retries=0
    ) as client:
        yield client


def test_luma_sends_what_we_send(luma: Bench, theirs: Any) -> None:
    for golden in luma.goldens:
        luma.set(Faults())
        luma.make(golden.request)
        theirs.generations.create(**luma.server.did("create")[0].json)
        ours, other = luma.server.did("create")
        assert (other.path, other.json) == (ours.path, ours.json), golden.name


def test_luma_knows_every_field_that_we_send(luma: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    types = pytest.importorskip("luma_agents.types")
    import pydantic

    for name in dir(types):
        if name.endswith(("Param", "Params")):
            monkeypatch.setattr(getattr(types, name), "__pydantic_config__", {"extra": "forbid"}, raising=False)
    form = pydantic.TypeAdapter(types.GenerationCreateParams)
    for golden in luma.goldens:
        luma.set(Faults())
        luma.make(golden.request)
        form.validate_python(luma.server.did("create")[0].json)
    with pytest.raises(pydantic.ValidationError):
        form.validate_python({"prompt": "a fox", "video": {"length": "5s"}})


@pytest.mark.parametrize("work", ["edit", "reframe"])
def test_luma_sends_what_we_send_of_a_video(bench_of: Callable[..., Bench], tmp_path: Path, work: str) -> None:
    library = pytest.importorskip("luma_agents")
    bench = bench_of("luma", model=f"luma-ray-3.2-{work}")
    path = tmp_path / "video.mp4"
    path.write_bytes(clip(64, 36, 2.0))
    source = (Conditioning(role=Role.SOURCE_VIDEO, path=path),)
    bench.make(GenerationRequest(model=bench.spec.id, prompt="wider", aspect_ratio="21:9", conditionings=source))
    base_url = bench.server.base_url(bench.contract)
    with library.Luma(auth_token=bench.contract.key, base_url=base_url, max_retries=0) as client:
        client.generations.create(**bench.server.did("create")[0].json)
    ours, other = bench.server.did("create")
    assert (other.path, other.json) == (ours.path, ours.json)
    assert ours.json["type"] == f"video_{work}"


@pytest.mark.parametrize("ending", ENDINGS)
def test_luma_understands_all_answers(luma: Bench, ending: str) -> None:
    types = pytest.importorskip("luma_agents.types")
    for word, answer in _told(luma, ending):
        found = types.Generation.model_validate(answer)
        assert found.state == word


def test_luma_knows_every_state_and_failure_that_we_know_and_no_other(luma: Bench) -> None:
    types = pytest.importorskip("luma_agents.types")
    states = types.Generation.model_fields["state"].annotation.__args__
    assert set(states) == set(luma.generator().states)
    assert set(types.GenerationFailureCode.__args__) == set(luma.generator().kinds)


def test_luma_takes_files_where_we_do(luma: Bench, theirs: Any) -> None:
    import httpx

    luma.set(Faults())
    slot = theirs.files.create(mime_type="video/mp4", size_bytes=4, purpose="input")
    assert slot.upload.method == "PUT"
    assert httpx.put(slot.upload.url, content=b"clip", headers=slot.upload.headers).status_code == 200
    assert theirs.files.complete(slot.id).state == "pending"
    assert [theirs.files.get(slot.id).state for _ in range(2)] == ["pending", "ready"]
