"""What the tab Create reads and hands in beside its form, and clips that are made longer from the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import PIL.Image
import pytest

from studio.app import Studio
from studio.jobs.states import JobState
from studio.library.asset import Asset
from studio.people.account import Role
from studio.people.visitor import LOCAL, Visitor
from studio.request import GenerationRequest
from tests.webpage import ServedPage
from ui.web.backstage import estimating
from ui.web.backstage.bench import Bench, Recipes
from ui.web.backstage.estimating import AT_A_TIME, MAX_WAITING, Estimator
from ui.web.form.extension import can_extend, extension_fields, extension_wish
from ui.web.form.forms import values_of
from ui.web.form.orders import Orders
from ui.web.form.state import Filler, FormState
from ui.web.views.models import make_label

MODEL = "scripted-moving"


def _until(ask: Callable[[], Any], seconds: float = 60) -> Any:
    """Return the first answer that is not empty."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := ask():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come")


@pytest.fixture(scope="module")
def clip(site: ServedPage) -> Asset:
    """A clip that was made from the page."""
    spec = site.studio.registry.catalog.get(MODEL)
    values = {"prompt": "a bright <b>square</b>", "seed": "11", "num_inference_steps": 2, "option.shade": 20}
    job = Orders(site.studio, site.bench, LOCAL).make(spec, FormState(model=MODEL), values)
    made: Asset = _until(lambda: site.studio.store.asset_of_job(job.id))
    return made


def test_models_are_listed_with_those_that_are_ready_first(site: ServedPage) -> None:
    told = site.client.get("/studio/models").json()
    models = told["models"]
    assert {model["id"] for model in models} == {spec.id for spec in site.studio.registry.catalog}
    ready = [model["is_ready"] for model in models]
    assert ready == sorted(ready, reverse=True)
    assert told["visitor"]["may_make"]
    by_id = {model["id"]: model for model in models}
    assert by_id["micro-wan"]["licence"]["commercial_use"] is True
    assert by_id["wan2.1-t2v-1.3b"]["command"] == "studio models pull wan2.1-t2v-1.3b"
    assert by_id["sora-2"]["status"] == "retired"
    assert str(site.studio.settings.home) not in str(told)


def test_an_estimate_is_worked_out_beside_the_page(site: ServedPage) -> None:
    def measured() -> Any:
        told = site.client.get("/studio/models/micro-wan/estimate").json()
        return None if told["is_pending"] else told

    told = _until(measured)
    assert (told["width"], told["num_frames"], told["fits"]) == (128, 17, True)
    assert told["seconds"] > 0
    again = site.client.get(f"/studio/estimates/micro-wan/{told['key']}").json()
    assert again == told
    assert site.client.get("/studio/estimates/micro-wan/nothing").status_code == 404
    assert site.client.get("/studio/models/nobody/estimate").status_code == 404


def test_a_price_stands_on_the_button_and_prompts_change_no_estimate(site: ServedPage) -> None:
    estimator, spec = Estimator(site.studio), site.studio.registry.catalog.get("kling-v3")
    found = estimator.ask(spec, GenerationRequest(model="kling-v3", prompt="a fox"), 30)
    same = estimator.ask(spec, GenerationRequest(model="kling-v3", seed=None, prompt="a hare"), 30)
    assert found.key == same.key
    assert found.estimate is not None
    cost = found.estimate.cost
    assert cost is not None
    told = {
        "where": "remote",
        "is_pending": False,
        "error": None,
        "cost": {"amount": cost.amount, "currency": cost.currency},
    }
    assert make_label(told) == f"Make the clip: about {cost.amount:.2f} USD"
    assert make_label({**told, "cost": None}) == "Make the clip: nobody knows the price"
    assert make_label({**told, "where": "local"}) == "Make the clip"


def test_an_estimate_is_worked_out_again_after_a_while(site: ServedPage) -> None:
    now = [0.0]
    estimator, spec = Estimator(site.studio, lambda: now[0]), site.studio.registry.catalog.get(MODEL)
    request = GenerationRequest(model=MODEL)
    first = estimator.ask(spec, request, 30)
    assert estimator.ask(spec, request, 30) is first
    now[0] = 301.0
    assert estimator.ask(spec, request, 30) is not first


def test_many_questions_at_once_stand_in_a_short_line_and_all_are_answered(
    site: ServedPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, estimate = threading.Event(), Studio.estimate
    busy: list[int] = []

    def slow(studio: Studio, request: GenerationRequest) -> Any:
        busy.append(len([thread for thread in threading.enumerate() if thread.name == "estimate"]) - others)
        assert go.wait(60)
        return estimate(studio, request)

    others = len([thread for thread in threading.enumerate() if thread.name == "estimate"])
    monkeypatch.setattr(Studio, "estimate", slow)
    estimator, spec = Estimator(site.studio), site.studio.registry.catalog.get(MODEL)
    requests = [GenerationRequest(model=MODEL, num_frames=number) for number in range(1, MAX_WAITING + 9)]
    asked = [estimator.ask(spec, request, 0.0) for request in requests]
    assert all(found.is_pending for found in asked)
    assert len(estimator._waiting) == MAX_WAITING
    go.set()
    _until(lambda: not any((estimator.known(found.key) or found).is_pending for found in asked))
    assert len(busy) == len(requests)
    assert max(busy) <= AT_A_TIME


def test_a_question_that_is_forgotten_is_not_worked_out(site: ServedPage, monkeypatch: pytest.MonkeyPatch) -> None:
    go, estimate = threading.Event(), Studio.estimate
    worked: list[int | None] = []

    def slow(studio: Studio, request: GenerationRequest) -> Any:
        worked.append(request.num_frames)
        assert go.wait(60)
        return estimate(studio, request)

    monkeypatch.setattr(Studio, "estimate", slow)
    monkeypatch.setattr(estimating, "MAX_KEPT", 3)
    estimator, spec = Estimator(site.studio), site.studio.registry.catalog.get(MODEL)

    def ask(number: int) -> estimating.Estimated:
        return estimator.ask(spec, GenerationRequest(model=MODEL, num_frames=number), 0.0)

    asked = [ask(1), ask(2)]
    _until(lambda: len(worked) == AT_A_TIME)  # from here on, others stand in line
    asked += [ask(number) for number in (3, 4, 5, 6)]
    assert [estimator.known(found.key) is None for found in asked] == [True] * 3 + [False] * 3
    go.set()
    _until(lambda: not (estimator.known(asked[-1].key, 1.0) or asked[-1]).is_pending)
    assert sorted(worked, key=str) == [1, 2, 4, 5, 6]


def test_a_dropped_sealed_file_fills_the_form_as_it_was_made(site: ServedPage, clip: Asset) -> None:
    with clip.path.open("rb") as stream:
        answer = site.client.post("/studio/recipe", files={"file": ("some clip.mp4", stream)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == MODEL
    filler = Filler(site.studio, site.bench, LOCAL)
    state = filler.of_errand({"do": "restore", "recipe": answer.json()["id"]}, FormState())
    spec = filler.spec(state)
    values = filler.values(state, spec)
    assert spec.id == MODEL
    assert (values["prompt"], values["seed"], values["option.shade"]) == ("a bright <b>square</b>", "11", 20)
    assert state.missing == ()


def test_a_file_that_tells_nothing_is_refused_in_a_sentence(site: ServedPage) -> None:
    answer = site.client.post("/studio/recipe", files={"file": ("x.mp4", b"nothing of a video" * 20)})
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]
    assert site.client.post("/studio/recipe", files={}).status_code in (415, 422)


def test_a_recipe_is_forgotten_after_an_hour() -> None:
    now = [0.0]
    recipes = Recipes(lambda: now[0])
    key = recipes.keep(object())  # type: ignore[arg-type]
    assert recipes.recipe(key)
    now[0] = 3601
    with pytest.raises(Exception, match="no longer kept"):
        recipes.recipe(key)


def test_again_takes_prompt_seed_and_pictures_of_a_clip(site: ServedPage, clip: Asset, tmp_path: Any) -> None:
    picture = tmp_path / "first.png"
    PIL.Image.new("RGB", (160, 128), (10, 90, 200)).save(picture)
    spec = site.studio.registry.catalog.get(MODEL)
    orders = Orders(site.studio, site.bench, LOCAL)
    job = orders.make(spec, FormState(model=MODEL), {"prompt": "x", "first-frame": str(picture)})
    made = _until(lambda: site.studio.store.asset_of_job(job.id))
    picture.unlink()
    filler = Filler(site.studio, site.bench, LOCAL)
    state = filler.of_errand({"do": "again", "asset": made.id}, FormState())
    values = filler.values(state, spec)
    assert values["seed"] == str(made.seed)
    assert [item.role for item in state.kept] == ["first-frame"]
    again = orders.make(spec, state, values)
    assert again.request["conditionings"][0]["sha256"] == made.request["conditionings"][0]["sha256"]
    stranger = Visitor(name="stranger", role=Role.CREATOR)
    theirs = Filler(site.studio, site.bench, stranger).of_errand({"do": "again", "asset": made.id}, FormState())
    assert theirs.kept == ()
    assert theirs.missing == ("first-frame",)


def test_a_picture_of_the_library_becomes_the_first_frame_without_an_upload(
    site: ServedPage, clip: Asset, tmp_path: Any
) -> None:
    from studio.export.derivation import Wish

    still = site.studio.export(clip.id, tmp_path / "last.png", Wish(frame=-1)).asset
    filler = Filler(site.studio, site.bench, LOCAL)
    state = filler.of_errand(
        {"do": "first-frame", "asset": still.id}, FormState(model=MODEL, draft={"prompt": "typed"})
    )
    spec = filler.spec(state)
    assert filler.values(state, spec)["prompt"] == "typed"
    job = Orders(site.studio, site.bench, LOCAL).make(spec, state, {"prompt": "it goes on"})
    assert job.request["task"] == "image-to-video"
    assert job.request["conditionings"][0]["sha256"] == still.sha256


def test_a_clip_is_made_longer_beside_the_page(site: ServedPage, clip: Asset) -> None:
    spec = site.studio.registry.catalog.get(MODEL)
    assert can_extend(spec)
    state = Filler(site.studio, site.bench, LOCAL).of_errand({"do": "extend", "asset": clip.id}, FormState())
    run = Orders(site.studio, site.bench, LOCAL).extend(spec, state, {"windows": 1, "seed": "5"})

    def ended() -> Any:
        runs = site.client.get("/studio/extensions").json()["extensions"]
        return next((item for item in runs if item["id"] == run.id and item["state"] != "running"), None)

    told = _until(ended, 120)
    assert told["state"] == "succeeded", told
    assert site.studio.store.asset(told["asset_id"]).num_frames > clip.num_frames
    assert site.client.post(f"/studio/extensions/{run.id}/stop").status_code == 200
    assert site.bench.extensions.runs() == []


def test_what_somebody_makes_is_theirs_as_soon_as_it_is_there(studio: Studio) -> None:
    studio.people.add("carla", "tulip engine waltz", Role.CREATOR)
    spec = studio.registry.catalog.get(MODEL)
    orders = Orders(studio, Bench.of(studio), Visitor(name="carla", role=Role.CREATOR))
    job = orders.make(spec, FormState(model=MODEL), {"prompt": "a square"})
    assert studio.people.owner(job.id) == "carla"
    studio.desk.cancel(job.id)


def test_what_is_typed_of_a_job_counts_where_it_is_changed(studio: Studio) -> None:
    spec = studio.registry.catalog.get(MODEL)
    bench = Bench.of(studio)
    orders = Orders(studio, bench, LOCAL)
    job = orders.make(spec, FormState(model=MODEL), {"prompt": "a square", "on_fail": "hold"})
    state = Filler(studio, bench, LOCAL).of_errand({"do": "edit", "job": job.id}, FormState())
    values = Filler(studio, bench, LOCAL).values(state, spec)
    assert values["on_fail"] == "hold"
    changed = orders.change(spec, state, values | {"on_fail": "retry", "retries": 2, "label": "icon", "priority": 6})
    assert changed.terms is not None
    assert (str(changed.terms.policy), changed.terms.label, changed.priority) == ("retry:2", "icon", 6)
    studio.desk.cancel(job.id)
    assert orders.change(spec, state, values).state is JobState.QUEUED
    studio.desk.cancel(job.id)


def test_what_cannot_be_made_longer_says_why(site: ServedPage, clip: Asset) -> None:
    spec = site.studio.registry.catalog.get(MODEL)
    run = Orders(site.studio, site.bench, LOCAL).extend(spec, FormState(mode="extend", subject=clip.id), {"overlap": 7})
    _until(lambda: run.state != "running")
    assert run.state == "failed"
    assert run.error is not None
    assert run.error["field"] == "overlap"
    site.bench.extensions.stop(run.id)


def test_the_form_of_a_longer_clip_is_a_wish(site: ServedPage) -> None:
    for spec in site.studio.registry.catalog:
        if spec.generator is None or not can_extend(spec):
            continue
        values = {field.name: field.default for field in extension_fields(spec)}
        wish = extension_wish(spec, "some-clip", values | {"add_seconds": "4.5"})
        wish.require_sense()
        assert (wish.clip, wish.model, float(wish.duration_seconds or 0)) == ("some-clip", spec.id, 4.5)
        assert wish.num_frames is None
        assert wish.prompt is None


def test_values_of_a_clip_are_those_of_its_request(site: ServedPage, clip: Asset) -> None:
    from studio.request import ResolvedRequest

    spec = site.studio.registry.catalog.get(MODEL)
    assert values_of(spec, ResolvedRequest.from_json(clip.request))["num_inference_steps"] == 2
