"""Forms of all models: what they ask for, what comes of it, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.catalog.loader import load_catalog
from studio.catalog.schema import ModelSpec
from studio.errors import RequestError, UnsupportedValue
from studio.request import Role
from studio.resolve import resolve
from ui.web.form.fields import CUSTOM, Field, facts_of, fields_of
from ui.web.form.forms import defaults_of, field_named, request_of, values_of

CATALOG = load_catalog()
SERVED = [spec for spec in CATALOG if spec.generator is not None]
PROMPT = "a red circle bouncing on a gray background"
_NEEDS_VIDEO = {spec.id for spec in SERVED if [task.value for task in spec.tasks] == ["video-to-video"]}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    PIL.Image.new("RGB", (640, 480), (90, 120, 60)).save(path)
    return path


def _filled(spec: ModelSpec, picture: Path) -> dict[str, Any]:
    """Return an untouched form with a prompt and the pictures that the first of the model's tasks needs."""
    values: dict[str, Any] = dict(defaults_of(spec))
    if "prompt" in values:
        values["prompt"] = PROMPT
    roles = [field.name for field in fields_of(spec) if field.kind in ("picture", "pictures")]
    needs_text_alone = any(task.value == "text-to-video" for task in spec.tasks)
    wanted = [] if needs_text_alone else _required(spec, roles) or roles[:1]
    return values | {name: [str(picture)] for name in wanted if name in roles}


def _required(spec: ModelSpec, roles: list[str]) -> list[str]:
    return [field.name for field in fields_of(spec) if field.is_required and field.name in roles]


@pytest.mark.parametrize("spec", [spec for spec in SERVED if spec.id not in _NEEDS_VIDEO], ids=lambda spec: spec.id)
def test_an_untouched_form_is_a_request_that_its_model_takes_and_fills_the_form_again(
    spec: ModelSpec, picture: Path
) -> None:
    values = _filled(spec, picture)
    resolved = resolve(spec, request_of(spec, values)[0])
    again = values_of(spec, resolved) | {role.value: values[role.value] for role in Role if role.value in values}
    once_more = resolve(spec, request_of(spec, again)[0])
    same = ("width", "height", "num_frames", "frame_rate", "num_inference_steps", "guidance_scale", "options", "prompt")
    assert {name: getattr(once_more, name) for name in same} == {name: getattr(resolved, name) for name in same}
    assert once_more.seed == resolved.seed or not spec.parameters.seed


@pytest.mark.parametrize("spec", list(CATALOG), ids=lambda spec: spec.id)
def test_a_form_has_what_its_model_has_and_nothing_else(spec: ModelSpec) -> None:
    fields = {field.name: field for field in fields_of(spec)}
    rules = spec.parameters
    assert len(fields) == len(fields_of(spec))
    assert ("prompt" in fields) == (rules.prompt != "unused")
    assert ("negative_prompt" in fields) == (rules.negative_prompt and rules.prompt != "unused")
    assert ("seed" in fields) == rules.seed
    assert {name.removeprefix("option.") for name in fields if name.startswith("option.")} == set(rules.options)
    assert ("max_cost" in fields) == (spec.where == "remote")
    assert all(field.label.strip() for field in fields.values())
    for field in fields.values():
        assert field.kind != "choice" or field.default in {choice.value for choice in field.choices}


@pytest.mark.parametrize("spec", SERVED, ids=lambda spec: spec.id)
def test_every_size_and_length_that_is_offered_is_one_that_the_model_makes(spec: ModelSpec, picture: Path) -> None:
    if spec.id in _NEEDS_VIDEO:
        pytest.skip("it begins with a video")
    values = _filled(spec, picture)
    for name in ("size", "num_frames"):
        field = next((field for field in fields_of(spec) if field.name == name), None)
        for choice in () if field is None else field.choices:
            if choice.value == CUSTOM or (name == "size" and spec.where == "remote"):
                continue  # some sizes of a provider are for some of its tasks alone
            resolved = resolve(spec, request_of(spec, values | {name: choice.value})[0])
            assert name == "num_frames" or choice.value == f"{resolved.width}x{resolved.height}"
            assert name == "size" or int(choice.value) == resolved.num_frames


def _spec(model: str) -> ModelSpec:
    return CATALOG.get(model)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_inference_steps", float("nan")),
        ("num_inference_steps", float("inf")),
        ("num_inference_steps", 12.5),
        ("num_inference_steps", True),
        ("num_inference_steps", "12; drop table jobs"),
        ("num_inference_steps", [12]),
        ("num_inference_steps", 10**400),
        ("guidance_scale", float("-inf")),
        ("guidance_scale", {"value": 3}),
        ("prompt", 12),
        ("prompt", "half \ud800 a character"),
        ("prompt", "x" * 10_001),
        ("frame_rate", "24,5"),
        ("frame_rate", "1/0"),
        ("frame_rate", "-8"),
        ("seed", "-1"),
        ("seed", "1e5"),
        ("seed", "١٢"),
        ("option.attention", "<script>alert(1)</script>"),
        ("option.compile", "yes"),
        ("option.lora", "../../etc/passwd.safetensors"),
        ("on_fail", "explode"),
        ("label", "loud"),
        ("priority", 0.5),
        ("first-frame", 7),
        ("first-frame", ["a.png", "b.png"]),
        ("first-frame", "a\0b"),
    ],
)
def test_what_is_not_of_a_fields_kind_is_refused_by_the_fields_name(name: str, value: Any) -> None:
    spec = _spec("micro-wan")
    with pytest.raises(UnsupportedValue) as caught:
        request_of(spec, defaults_of(spec) | {"prompt": PROMPT, name: value})
    assert field_named(spec, caught.value.field) == name


@pytest.mark.parametrize("name", ["width", "option.nothing", "model", "<b>", "negative_prompt", "x" * 300])
def test_fields_that_the_form_does_not_have_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedValue, match="no such field"):
        request_of(_spec("micro-wan"), {"prompt": PROMPT, name: "1"})


@pytest.mark.parametrize(
    ("name", "value"), [("num_inference_steps", 51), ("guidance_scale", 0.5), ("frame_rate", "61")]
)
def test_a_number_that_does_not_fit_is_refused_in_the_rows_own_words(name: str, value: Any) -> None:
    spec = _spec("micro-wan")
    request, _ = request_of(spec, {"prompt": PROMPT, name: value})
    with pytest.raises(UnsupportedValue) as caught:
        resolve(spec, request)
    assert field_named(spec, caught.value.field) == name
    assert caught.value.allowed


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from([field.name for field in fields_of(_spec("wan2.1-t2v-1.3b"))]),
                       st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
                                 st.lists(st.text(max_size=5), max_size=3))))  # fmt: skip
def test_whatever_stands_in_a_form_is_a_request_or_a_refusal(values: dict[str, Any]) -> None:
    spec = _spec("wan2.1-t2v-1.3b")
    with suppress(RequestError):
        request, _ = request_of(spec, values)
        resolve(spec, request)


def test_numbers_travel_unrounded() -> None:
    spec = _spec("wan2.1-t2v-1.3b")
    values = {"prompt": PROMPT, "frame_rate": "30000/1001", "seed": str(2**63 - 1), "num_frames": "81", "size": CUSTOM,
              "width": 480.0, "height": 272, "option.strength": 0.35, "on_fail": "retry", "retries": 5.0,
              "label": "text", "priority": -100}  # fmt: skip
    request, wish = request_of(spec, values)
    assert (request.frame_rate, request.seed, request.num_frames) == (Fraction(30000, 1001), 2**63 - 1, 81)
    assert (request.width, request.height, request.options) == (480, 272, {"strength": 0.35})
    assert (str(wish.on_fail), wish.label, wish.priority) == ("retry:5", "text", -100)
    back = values_of(spec, resolve(spec, request))
    assert back["frame_rate"] == "30000/1001"
    assert (back["size"], back["width"], back["height"]) == (CUSTOM, 480, 272)
    assert back["seed"] == str(2**63 - 1)


def test_seconds_of_a_provider_and_the_most_it_may_cost_are_told() -> None:
    spec = _spec("kling-v3")
    request, wish = request_of(
        spec, {"prompt": "a fox", "duration_seconds": "7", "size": "720x1280", "max_cost": "1.5 usd"}
    )
    resolved = resolve(spec, request)
    assert (resolved.num_frames, resolved.width, resolved.height) == (168, 720, 1280)
    assert str(wish.max_cost) == "1.50 USD"
    assert values_of(spec, resolved)["duration_seconds"] == "7"


def test_tries_count_only_where_other_seeds_are_tried() -> None:
    spec = _spec("micro-wan")
    _, wish = request_of(spec, {"prompt": PROMPT, "on_fail": "hold", "retries": float("nan")})
    assert str(wish.on_fail) == "hold"
    with pytest.raises(UnsupportedValue) as caught:
        request_of(spec, {"prompt": PROMPT, "on_fail": "retry", "retries": 21})
    assert caught.value.field == "retries"


def test_a_form_leaves_out_what_another_models_request_had() -> None:
    wan, svd = _spec("wan2.1-t2v-1.3b"), _spec("micro-svd")
    resolved = resolve(wan, request_of(wan, {"prompt": PROMPT, "option.strength": 0.5})[0])
    values = values_of(svd, resolved)
    assert "prompt" not in values
    assert "option.strength" not in values
    assert set(values) <= {field.name for field in fields_of(svd)}


def test_what_leaves_no_choice_is_told_and_not_asked_for() -> None:
    spec = _spec("micro-wan")
    assert facts_of(spec) == ("128 × 128 pixels", "17 frames")
    names = {field.name for field in fields_of(spec)}
    assert not names & {"size", "width", "height", "num_frames", "duration_seconds"}


def _named(spec: ModelSpec, name: str) -> Field:
    return next(field for field in fields_of(spec) if field.name == name)


def test_fields_say_their_rule_and_unit() -> None:
    spec = _spec("wan2.1-t2v-1.3b")
    assert "4k+1" in _named(spec, "num_frames").help
    assert _named(spec, "width").unit == "pixels"
    assert "1 to 100" in _named(spec, "num_inference_steps").help
    assert _named(spec, "num_frames").choices[0].label == "0.312 s · 5 frames"
