"""What a comparison would make: every model fits the request to itself, and nothing is changed that is not told."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.comparing.comparer import Comparer
from studio.comparing.planning import PlannedEntry
from studio.comparing.wish import TooFewEntries, Variant
from studio.errors import EnvironmentFault, RequestError, UnsupportedValue
from studio.jobs.budget import OverBudget
from studio.registry import Readiness
from studio.request import Conditioning, Role
from studio.spending.money import Money
from tests.studio.comparing.conftest import wish

MODELS = ("scripted-moving", "square", "cloud", "words")


def plan(comparer: Comparer, *models: str | Variant, **fields: Any) -> dict[str, PlannedEntry]:
    return {item.label: item for item in comparer.plan(wish(*models, **fields))}


def told(entry: PlannedEntry) -> dict[str, tuple[Any, Any]]:
    return {item.field: (item.asked, item.made) for item in entry.differences}


def test_a_request_that_all_can_make_has_no_differences(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "square", width=128, height=128, num_frames=17, frame_rate=Fraction(8))
    assert [item.differences for item in planned.values()] == [(), ()]
    assert [item.error for item in planned.values()] == [None, None]


def test_size_length_rate_steps_and_guidance_become_the_nearest_and_are_told(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "square", width=100, height=90, num_frames=10,
                   frame_rate=Fraction(100), num_inference_steps=60, guidance_scale=12.0)  # fmt: skip
    assert told(planned["scripted-moving"]) == {
        "size": ("100x90", "112x96"),
        "aspect_ratio": ("100:90", "7:6"),
        "num_frames": (10, 9),
        "frame_rate": ("100", "60"),
        "num_inference_steps": (60, 50),
        "guidance_scale": (12.0, 10.0),
    }
    assert told(planned["square"])["guidance_scale"] == (12.0, None)
    assert told(planned["square"])["num_frames"] == (10, 17)
    assert told(planned["square"])["num_inference_steps"] == (60, 8)
    assert all(item.field in item.sentence for entry in planned.values() for item in entry.differences)


def test_names_of_sizes_are_understood_by_models_that_know_pixels_alone(comparer: Comparer) -> None:
    planned = plan(
        comparer, "scripted-moving", "cloud", width=None, height=None, resolution="108p", aspect_ratio="16:9"
    )
    assert planned["cloud"].resolved is not None
    assert (planned["cloud"].resolved.width, planned["cloud"].resolved.height) == (192, 108)
    assert "resolution" not in told(planned["cloud"])
    assert planned["scripted-moving"].resolved is not None
    assert (planned["scripted-moving"].resolved.width, planned["scripted-moving"].resolved.height) == (192, 112)
    assert told(planned["scripted-moving"])["resolution"] == ("108p", "112p")
    assert "aspect_ratio" not in told(planned["scripted-moving"])  # 12:7 is near enough to 16:9


def test_a_shape_that_a_model_does_not_make_is_told(comparer: Comparer) -> None:
    planned = plan(comparer, "square", "words", width=256, height=128)
    assert told(planned["square"])["aspect_ratio"] == ("256:128", "1:1")
    resolved = planned["words"].resolved
    assert resolved is not None
    assert resolved.width * resolved.height <= 20000
    assert told(planned["words"])["size"] == ("256x128", f"{resolved.width}x{resolved.height}")


def test_seconds_are_made_as_near_as_a_model_can(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "square", "cloud", duration_seconds=Fraction("2.6"))
    assert told(planned["cloud"])["duration_seconds"] == ("2.6", 3.0)
    assert told(planned["square"])["duration_seconds"] == ("2.6", 2.125)
    assert told(planned["scripted-moving"])["duration_seconds"] == ("2.6", 2.625)


def test_frames_become_whole_seconds_where_a_model_counts_those(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "cloud", num_frames=33)
    assert told(planned["cloud"])["num_frames"] == (33, 24)


def test_what_a_model_lacks_is_left_out_and_told(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "cloud", negative_prompt="blur", num_inference_steps=7,
                   options={"mode": "hard"})  # fmt: skip
    assert planned["scripted-moving"].resolved is not None
    assert planned["scripted-moving"].resolved.negative_prompt == "blur"
    cloud = told(planned["cloud"])
    assert cloud["negative_prompt"] == ("blur", None)
    assert cloud["num_inference_steps"] == (7, None)
    assert cloud["option mode"] == ("hard", None)
    assert len([item for item in planned["cloud"].differences if item.field == "negative_prompt"]) == 1


def test_an_option_with_a_value_that_a_model_does_not_take_goes_back_to_its_default(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "square", options={"shade": 99, "mode": "odd"})
    assert told(planned["scripted-moving"])["option shade"] == (99, 10)
    assert told(planned["scripted-moving"])["option mode"] == ("odd", "soft")


def test_sound_is_told_where_there_is_none(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "cloud", generate_audio=True)
    assert told(planned["scripted-moving"])["generate_audio"] == ("sound", False)
    assert "generate_audio" not in told(planned["cloud"])


def test_a_model_that_draws_its_own_seed_says_that_it_cannot_be_made_again(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "cloud", seed=5)
    assert told(planned["cloud"])["seed"] == (5, None)
    assert "cannot be made again" in next(d.sentence for d in planned["cloud"].differences if d.field == "seed")
    assert planned["scripted-moving"].resolved is not None
    assert planned["scripted-moving"].resolved.seed == 5


def test_without_a_seed_all_that_take_one_get_the_same(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "scripted-frozen", "square", seed=None)
    seeds = {item.resolved.seed for item in planned.values() if item.resolved is not None}
    assert len(seeds) == 1
    assert not any(item.field == "seed" for entry in planned.values() for item in entry.differences)


def test_what_nobody_asked_for_and_models_do_differently_is_told_too(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "square", width=None, height=None)
    sentence = next(d.sentence for d in planned["square"].differences if d.field == "size")
    assert "128x128" in sentence
    assert "160x128" in sentence
    assert told(planned["square"])["duration_seconds"] == (None, 2.125)
    assert "frame_rate" not in told(planned["square"])  # both make eight per second


def test_changes_on_purpose_are_not_differences(comparer: Comparer) -> None:
    four = Variant(model="scripted-moving", changes={"num_inference_steps": 4})
    planned = plan(comparer, "scripted-moving", four, num_inference_steps=2)
    entry = planned["scripted-moving steps=4"]
    assert entry.changes == {"num_inference_steps": 4}
    assert entry.differences == ()
    assert entry.resolved is not None
    assert entry.resolved.num_inference_steps == 4


def test_changed_options_leave_the_others_as_they_are(comparer: Comparer) -> None:
    hard = Variant(model="scripted-moving", changes={"options": {"mode": "hard"}})
    resolved = plan(comparer, "square", hard, options={"shade": 7})["scripted-moving mode=hard"].resolved
    assert resolved is not None
    assert (resolved.options["mode"], resolved.options["shade"]) == ("hard", 7)


def test_two_entries_that_come_out_the_same_say_so(comparer: Comparer) -> None:
    more = [Variant(model="scripted-moving", changes={"num_inference_steps": steps}) for steps in (70, 80)]
    planned = plan(comparer, *more)
    assert "same as that of entry 1" in planned["scripted-moving steps=80"].differences[-1].sentence


def test_a_model_that_cannot_take_the_picture_is_an_entry_with_an_error(comparer: Comparer, picture: Path) -> None:
    start = (Conditioning(role=Role.FIRST_FRAME, path=picture),)
    planned = plan(comparer, "scripted-moving", "words", "picture", conditionings=start)
    assert planned["words"].resolved is None
    assert isinstance(planned["words"].error, UnsupportedValue)
    assert planned["words"].error.field == "task"
    assert told(planned["picture"])["prompt"] == ("a square", None)
    assert planned["scripted-moving"].error is None


def test_a_model_that_needs_a_picture_is_an_entry_with_an_error(comparer: Comparer) -> None:
    planned = plan(comparer, "scripted-moving", "square", "picture")
    assert planned["picture"].error is not None
    assert planned["picture"].error.field == "image"


def test_a_last_picture_is_left_out_where_a_model_can_only_begin_with_one(comparer: Comparer, picture: Path) -> None:
    both = tuple(Conditioning(role=role, path=picture) for role in (Role.FIRST_FRAME, Role.LAST_FRAME))
    planned = plan(comparer, "scripted-moving", "ends", conditionings=both)
    assert told(planned["scripted-moving"])["last_image"] == ("start.png", None)
    assert "last_image" not in told(planned["ends"])


def test_a_model_without_its_weights_is_an_entry_with_an_error(comparer: Comparer, monkeypatch: Any) -> None:
    registry = comparer._shop.registry
    real = registry.readiness
    gone = Readiness(ready=False, reason="no key", word="no key")
    monkeypatch.setattr(registry, "readiness", lambda spec: gone if spec.name == "square" else real(spec))
    planned = plan(comparer, "scripted-moving", "square", "words")
    assert isinstance(planned["square"].error, EnvironmentFault)
    with pytest.raises(EnvironmentFault, match="fewer than two"):
        comparer.start(wish("scripted-moving", "square"))


def test_remote_prices_are_told_and_limited_together(comparer: Comparer) -> None:
    two = [Variant(model="cloud", label=name) for name in ("one", "other")]
    planned = plan(comparer, *two)
    assert [item.cost for item in planned.values()] == [Money(amount=0.25, currency="USD")] * 2
    with pytest.raises(OverBudget, match=r"0\.50 USD"):
        comparer.start(wish(*two, max_cost=Money(amount=0.4, currency="USD")))
    assert comparer.list() == []


def test_one_contestant_that_can_be_made_is_no_comparison(comparer: Comparer) -> None:
    with pytest.raises(TooFewEntries, match="2 picture: image"):
        comparer.start(wish("scripted-moving", "picture"))


@pytest.mark.parametrize(
    ("models", "fields", "field"),
    [
        (["square"], {}, "variants"),
        (["square"] * 9, {}, "variants"),
        (["square", Variant(model="words", changes={"model": "square"})], {}, "changes"),
        (["square", "words"], {"width": -1}, "width"),
        (["square", "words"], {"duration_seconds": float("nan")}, "duration_seconds"),
        (["square", "words"], {"seed": 2**63}, "seed"),
        (["square", "words"], {"title": "x" * 201}, "title"),
        (["square", "words"], {"tags": ["x" * 41]}, "tags"),
        (["square", "words"], {"tags": ["a, b"]}, "tags"),
        (["square", "words"], {"tags": [str(number) for number in range(17)]}, "tags"),
        (["square", "nobody"], {}, "model"),
    ],
)
def test_what_no_comparison_could_be_is_refused(
    comparer: Comparer, models: list[Any], fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(RequestError) as caught:
        comparer.start(wish(*models, **fields))
    assert caught.value.field == field


FIGURES = st.fixed_dictionaries(
    {},
    optional={
        "width": st.integers(1, 5000),
        "height": st.integers(1, 5000),
        "num_frames": st.integers(1, 500),
        "frame_rate": st.fractions(min_value=1, max_value=200, max_denominator=1001),
        "num_inference_steps": st.integers(1, 500),
        "guidance_scale": st.floats(0, 100),
        "generate_audio": st.booleans(),
        "negative_prompt": st.sampled_from(["", "blur"]),
        "seed": st.integers(0, 2**63 - 1),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=FIGURES)
def test_whatever_is_asked_each_model_makes_something_and_tells_what_it_changed(
    comparer: Comparer, fields: dict[str, Any]
) -> None:
    nothing = {"width": None, "height": None, "seed": None}
    for entry in comparer.plan(wish(*MODELS, **nothing | fields)):
        resolved = entry.resolved
        assert resolved is not None, entry.error
        fields_told = {item.field for item in entry.differences}
        for name, asked in fields.items():
            made_it = getattr(resolved, name)
            if name == "seed" and entry.model == MODELS[2]:  # the one that draws its own
                made_it = None
            is_same = abs(made_it - asked) < 0.001 if name == "frame_rate" else made_it == asked
            assert is_same or ("size" if name in ("width", "height") else name) in fields_told
