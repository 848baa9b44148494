"""Presets, earlier prompts and last values: each visitor's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.app import Studio
from studio.errors import StudioError, UnsupportedValue
from studio.jobs.job import Job
from studio.people.account import Role
from studio.people.presets import MAX_PRESETS, Presets, UnknownPreset, last_job, recent_prompts
from studio.people.visitor import LOCAL, NotAllowed, Visitor
from tests.webpage import page_studio
from ui.web.backstage.bench import Bench
from ui.web.form.choosing import default_model
from ui.web.form.orders import Orders, told_error
from ui.web.form.state import Filler, FormState

ADA = Visitor(name="ada", role=Role.CREATOR)
BEN = Visitor(name="ben", role=Role.CREATOR)
EVE = Visitor(name="eve", role=Role.VIEWER)
MODEL = "scripted-moving"


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STUDIO_DATABASE_URL", raising=False)
    studio = page_studio(tmp_path / "home", tmp_path / "rows")
    for visitor in (ADA, BEN, EVE):
        studio.people.add(str(visitor.name), f"{visitor.name} has a long word", visitor.role)
    yield studio
    studio.store.close()


def _made(studio: Studio, visitor: Visitor, prompt: str, **values: object) -> Job:
    spec = studio.registry.catalog.get(MODEL)
    return Orders(studio, Bench.of(studio), visitor).make(spec, FormState(model=MODEL), {"prompt": prompt, **values})


def test_a_preset_is_kept_under_its_name_replaced_and_forgotten(studio: Studio) -> None:
    presets = Presets(studio.store)
    first = presets.save(ADA, MODEL, "  Fast   draft ", {"num_inference_steps": 2})
    again = presets.save(ADA, MODEL, "Fast draft", {"num_inference_steps": 4})
    assert first.id == again.id
    assert [(item.name, item.values) for item in presets.of_model(ADA, MODEL)] == [
        ("Fast draft", {"num_inference_steps": 4})
    ]
    assert presets.of_model(ADA, "micro-wan") == []
    presets.remove(ADA, first.id)
    with pytest.raises(UnknownPreset):
        presets.preset(ADA, first.id)


def test_nobody_sees_or_removes_anothers_presets(studio: Studio) -> None:
    presets = Presets(studio.store)
    theirs = presets.save(ADA, MODEL, "mine", {"prompt": "a secret"})
    assert presets.of_model(BEN, MODEL) == presets.of_model(LOCAL, MODEL) == []
    for other in (BEN, LOCAL):
        with pytest.raises(UnknownPreset):
            presets.preset(other, theirs.id)
        with pytest.raises(UnknownPreset):
            presets.remove(other, theirs.id)


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\u0007b"])
def test_a_name_that_nobody_could_read_is_refused(studio: Studio, name: str) -> None:
    with pytest.raises(UnsupportedValue):
        Presets(studio.store).save(ADA, MODEL, name, {})


def test_there_is_an_end_to_presets(studio: Studio) -> None:
    presets = Presets(studio.store)
    for number in range(MAX_PRESETS):
        presets.save(ADA, MODEL, f"number {number}", {})
    with pytest.raises(UnsupportedValue, match="too many"):
        presets.save(ADA, MODEL, "one more", {})
    presets.save(ADA, MODEL, "number 1", {"seed": "1"})


def test_earlier_prompts_are_ones_own_each_once_the_latest_first(studio: Studio) -> None:
    for prompt in ("first", "second", "first"):
        _made(studio, ADA, prompt)
    _made(studio, BEN, "of ben")
    _made(studio, LOCAL, "of this machine")
    assert recent_prompts(studio.store, ADA) == ["first", "second"]
    assert recent_prompts(studio.store, LOCAL) == ["of this machine"]


def test_the_last_model_and_its_values_stand_in_the_form_but_another_seed(studio: Studio) -> None:
    assert default_model(studio, ADA) == "micro-wan"
    _made(studio, ADA, "a square", seed="7", num_inference_steps=5)
    assert default_model(studio, ADA) == MODEL
    assert default_model(studio, BEN) == "micro-wan"
    spec = studio.registry.catalog.get(MODEL)
    values = Filler(studio, Bench.of(studio), ADA).values(FormState(model=MODEL), spec)
    assert (values["prompt"], values["num_inference_steps"]) == ("a square", 5)
    assert "seed" not in values
    assert Filler(studio, Bench.of(studio), BEN).values(FormState(model=MODEL), spec) == {}
    assert last_job(studio.store, BEN) is None


def test_a_job_is_its_visitors_and_a_viewer_makes_none(studio: Studio) -> None:
    job = _made(studio, ADA, "a square")
    assert studio.people.owner(job.id) == "ada"
    with pytest.raises(NotAllowed):
        _made(studio, EVE, "a square")
    assert len(studio.desk.jobs()) == 1


def test_two_presses_are_two_jobs(studio: Studio) -> None:
    assert _made(studio, ADA, "a square").id != _made(studio, ADA, "a square").id


def test_a_waiting_job_is_filled_in_and_changed_where_it_stands(studio: Studio) -> None:
    job = _made(studio, ADA, "a square", seed="3")
    spec, filler = studio.registry.catalog.get(MODEL), Filler(studio, Bench.of(studio), ADA)
    state = filler.of_errand({"do": "edit", "job": job.id}, FormState())
    values = filler.values(state, spec)
    assert (state.mode, values["prompt"], values["seed"]) == ("edit", "a square", "3")
    changed = Orders(studio, Bench.of(studio), ADA).change(spec, state, values | {"prompt": "a circle", "priority": 4})
    assert (changed.id, changed.request["prompt"], changed.request["seed"], changed.priority) == (
        job.id,
        "a circle",
        3,
        4,
    )
    with pytest.raises(NotAllowed):
        Filler(studio, Bench.of(studio), BEN).of_errand({"do": "edit", "job": job.id}, FormState())
    with pytest.raises(NotAllowed):
        Orders(studio, Bench.of(studio), BEN).change(spec, state, values)


def test_errors_name_the_field_of_the_form_and_nothing_of_this_machine(studio: Studio) -> None:
    spec = studio.registry.catalog.get(MODEL)
    with pytest.raises(StudioError) as caught:
        _made(studio, ADA, "a square", **{"first-frame": str(studio.settings.home / "none.png")})
    told = told_error(caught.value, spec, studio.settings.home)
    assert told["field"] == "first-frame"
    assert str(studio.settings.home) not in told["error"]


_SENSELESS: list[dict[str, object]] = [
    {"do": "again"},
    {"do": "again", "asset": "x" * 60},
    {"do": "dance"},
    {"do": "edit", "job": 7},
    {"do": "restore", "recipe": "00"},
    {"do": "extend", "asset": "nothing"},
]


@pytest.mark.parametrize("errand", _SENSELESS)
def test_an_errand_about_nothing_is_refused(studio: Studio, errand: dict[str, object]) -> None:
    with pytest.raises(StudioError):
        Filler(studio, Bench.of(studio), ADA).of_errand(errand, FormState())


def test_a_state_comes_back_as_it_was() -> None:
    state = FormState(
        model="m", fill=3, mode="edit", subject="job", notes=("a",), missing=("first-frame",), draft={"prompt": "x"}
    )
    assert FormState.from_json(state.as_json()) == state
    assert FormState.from_json(None) == FormState()
