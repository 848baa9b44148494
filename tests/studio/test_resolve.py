"""A request is filled from its row, or refused with the field, the value and what is allowed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.app import Studio
from studio.catalog.schema import IntegerRange
from studio.errors import RequestError, UnknownModel, UnreadableMedia, UnsupportedValue
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role, Task


def wish(**fields: object) -> GenerationRequest:
    return GenerationRequest(**{"model": "scripted-moving", **fields})


@pytest.fixture
def photo(tmp_path: Path) -> Conditioning:
    path = tmp_path / "photo.png"
    PIL.Image.fromarray(np.zeros((50, 200, 3), np.uint8)).save(path)
    return Conditioning(role=Role.FIRST_FRAME, path=path)


def test_defaults_come_from_the_row(studio: Studio) -> None:
    resolved = studio.resolve(wish())
    assert (resolved.width, resolved.height, resolved.num_frames) == (160, 128, 9)
    assert resolved.frame_rate == Fraction(8)
    assert resolved.options == {"shade": 10, "mode": "soft", "loop": False}
    assert resolved.task is Task.TEXT_TO_VIDEO


def test_a_seed_is_drawn_when_none_is_given(studio: Studio) -> None:
    seeds = {studio.resolve(wish()).seed for _ in range(8)}
    assert len(seeds) == 8


def test_what_was_asked_for_is_kept(studio: Studio) -> None:
    fields = {"seed": 2**63 - 1, "width": 128, "height": 80, "num_frames": 13, "prompt": "a <b>cat</b>\nsits"}
    resolved = studio.resolve(wish(**fields, options={"shade": "7", "loop": "TRUE"}))
    assert {name: getattr(resolved, name) for name in fields} == fields
    assert resolved.options == {"shade": 7, "mode": "soft", "loop": True}


@pytest.mark.parametrize(
    ("fields", "field", "hint"),
    [
        ({"width": 100}, "width", "96 or 112"),
        ({"height": 10**9}, "height", "nearest: 256"),
        ({"num_frames": 10}, "num_frames", "9 or 13"),
        ({"num_frames": 0}, "num_frames", "nearest: 5"),
        ({"num_inference_steps": 0}, "num_inference_steps", "1 to 50"),
        ({"guidance_scale": float("nan")}, "guidance_scale", "1 to 10"),
        ({"guidance_scale": 99.0}, "guidance_scale", "1 to 10"),
        ({"frame_rate": Fraction(1000)}, "frame_rate", "1 to 60"),
        ({"seed": -1}, "seed", "0 to"),
        ({"seed": 2**63}, "seed", "0 to"),
        ({"options": {"shade": 51}}, "option shade", "from 0 to 50"),
        ({"options": {"shade": "many"}}, "option shade", "whole number"),
        ({"options": {"shade": "1_0"}}, "option shade", "whole number"),
        ({"options": {"shade": "١٠"}}, "option shade", "whole number"),
        ({"frame_rate": Fraction(800000001, 100000000)}, "frame_rate", "24000/1001"),
        ({"options": {"mode": "odd"}}, "option mode", "soft, hard"),
        ({"options": {"loop": "maybe"}}, "option loop", "true or false"),
        ({"options": {"colour": "red"}}, "option", "loop, mode, shade"),
        ({"generate_audio": True}, "generate_audio", "false"),
        ({"task": Task.VIDEO_TO_VIDEO}, "task", "text-to-video"),
        ({"task": Task.IMAGE_TO_VIDEO}, "image", "--image"),
        ({"prompt": "\x00"}, "prompt", "U+0000"),
        ({"prompt": "\x1b[31m"}, "prompt", "U+001B"),
        ({"prompt": "x" * 10_001}, "prompt", "10001 characters"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(
    studio: Studio, fields: dict[str, object], field: str, hint: str
) -> None:
    with pytest.raises(UnsupportedValue) as caught:
        studio.resolve(wish(**fields))
    assert caught.value.field == field
    assert hint in caught.value.sentence()


@pytest.mark.parametrize(
    "prompt", ["flag \U0001f3f4\U000e0067\U000e007f", "two\r\nlines", "שלום\u200f", "<b>&amp;</b>"]
)
def test_a_prompt_may_hold_any_text(studio: Studio, prompt: str) -> None:
    assert studio.resolve(wish(prompt=prompt)).prompt == prompt


def test_an_unknown_model_is_answered_with_the_closest_ones(studio: Studio) -> None:
    with pytest.raises(UnknownModel, match="micro-wan"):
        studio.resolve(wish(model="mikro-wan"))


def test_an_image_makes_it_image_to_video_and_its_crop_is_told(studio: Studio, photo: Conditioning) -> None:
    resolved = studio.resolve(wish(conditionings=(photo,)))
    assert resolved.task is Task.IMAGE_TO_VIDEO
    assert resolved.conditionings[0].sha256 is not None
    assert "200x50" in resolved.warnings[0]
    assert "160x128" in resolved.warnings[0]


def test_an_image_that_changed_since_is_refused(studio: Studio, photo: Conditioning) -> None:
    stale = Conditioning(role=photo.role, path=photo.path, sha256="0" * 64)
    with pytest.raises(UnreadableMedia, match="changed"):
        studio.resolve(wish(conditionings=(stale,)))


def test_a_role_the_task_does_not_use_is_refused(studio: Studio, photo: Conditioning) -> None:
    extra = Conditioning(role=Role.REFERENCE, path=photo.path)
    with pytest.raises(RequestError, match="does not use it"):
        studio.resolve(wish(task=Task.IMAGE_TO_VIDEO, conditionings=(photo, extra)))


def test_a_prompt_is_refused_by_a_model_without_text(studio: Studio, photo: Conditioning) -> None:
    with pytest.raises(UnsupportedValue, match="reads no text"):
        studio.resolve(wish(model="micro-svd", prompt="hello", conditionings=(photo,)))


def test_a_resolved_request_survives_json(studio: Studio, photo: Conditioning) -> None:
    resolved = studio.resolve(wish(conditionings=(photo,), frame_rate=Fraction(30000, 1001)))
    assert ResolvedRequest.from_json(resolved.as_json()) == resolved


@given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 40), st.integers(-50, 200))
def test_the_nearest_numbers_are_allowed_and_nothing_lies_between(step: int, low: int, span: int, value: int) -> None:
    rule = IntegerRange(min=low, max=low + span * step, default=low, step=step, offset=low)
    nearest = rule.nearest(value)
    assert all(rule.allows(number) for number in nearest)
    if rule.allows(value):
        assert value in nearest
    best = min(abs(value - number) for number in range(rule.min, rule.max + 1, step))
    assert min(abs(value - number) for number in nearest) == best
