"""The options that local models share become one manner of computing, and what shows of it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.manner import Manner, speed_of, told_options, with_steps_of_profile
from pipelines.quantised import Storage
from pipelines.speed import EXACT
from studio.catalog.loader import load_catalog
from studio.catalog.schema import ModelSpec
from studio.errors import UnsupportedValue
from studio.request import GenerationRequest, ResolvedRequest
from studio.resolve import resolve
from tests.pipelines.test_loras import save

torch = pytest.importorskip("torch")

WAN = load_catalog().get("wan2.1-t2v-1.3b")
NOWHERE = Path("/nowhere")


def row(**profiles: Any) -> ModelSpec:
    """Return a row with these speed profiles."""
    data = WAN.model_dump()
    data["settings"]["profiles"] = profiles
    data["parameters"]["options"]["speed"]["choices"] = ["exact", *profiles]
    return ModelSpec.model_validate(data)


def resolved(spec: ModelSpec, *, steps: int | None = None, **options: Any) -> ResolvedRequest:
    wish = GenerationRequest(model=spec.id, prompt="a cat", num_inference_steps=steps, options=options)
    return resolve(spec, wish)


def manner(spec: ModelSpec = WAN, **options: Any) -> Manner:
    return Manner.of(resolved(spec, **options).options, spec, NOWHERE)


def test_the_defaults_of_every_local_row_leave_everything_as_it_is() -> None:
    rows = [spec for spec in load_catalog() if spec.where == "local" and "speed" in spec.parameters.options]
    assert len(rows) > 10
    for spec in rows:
        defaults = {name: option.default for name, option in spec.parameters.options.items()}
        found = Manner.of(defaults, spec, NOWHERE)
        assert found == Manner()
        assert found.describe() is None


def test_a_row_without_shared_options_is_computed_as_it_is() -> None:
    assert Manner.of({"motion": 3}, WAN, NOWHERE) == Manner(speed=EXACT, loras=(), attention="auto", storage=None)


def test_every_choice_of_the_rows_is_understood() -> None:
    options = WAN.parameters.options
    for name in options["weights_format"].choices:
        assert manner(weights_format=name).storage == (None if name == "original" else Storage(name))
    for name in options["scheduler"].choices:
        assert manner(scheduler=name).speed.scheduler == (None if name == "original" else name)
    for name in options["speed"].choices:
        assert manner(speed=name).speed.name == name
    for name in options["attention"].choices:
        assert manner(attention=name).attention == name
    assert manner(compile=True).is_compiled


def test_what_shows_in_the_clip_is_told_in_one_line() -> None:
    assert manner(attention="sdpa-math").describe() is None
    assert manner(weights_format="fp8").describe() == "weights as fp8, approximate"
    assert manner(compile=True).describe() == "compiled"
    assert manner(scheduler="euler").describe() == "exact: euler sampler"
    whole = manner(speed="fast", scheduler="euler", weights_format="int8", compile=True).describe()
    assert whole is not None
    fast, storage, compiled = whole.split("; ")
    assert fast.startswith("fast: ")
    assert "euler sampler" in fast
    assert fast.endswith("approximate")
    assert (storage, compiled) == ("weights as int8, approximate", "compiled")
    assert "\n" not in whole


def test_a_sampler_of_the_request_goes_before_the_profiles() -> None:
    spec = row(quick={"scheduler": "lcm", "num_inference_steps": 4})
    assert speed_of({"speed": "quick"}, spec).scheduler == "lcm"
    assert speed_of({"speed": "quick", "scheduler": "original"}, spec).scheduler == "lcm"
    assert speed_of({"speed": "quick", "scheduler": "euler"}, spec).scheduler == "euler"


@pytest.mark.parametrize(
    ("options", "field"),
    [({"speed": "warp"}, "speed"), ({"scheduler": "dice"}, "scheduler"), ({"lora": "style.safetensors"}, "lora")],
)
def test_what_nobody_knows_is_refused_with_its_option(options: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedValue) as refusal:
        Manner.of(options, WAN, NOWHERE)
    assert refusal.value.field == field
    assert next(iter(options.values())) in refusal.value.sentence()


def test_loras_named_without_a_folder_are_looked_for_in_the_studios(tmp_path: Path) -> None:
    for name in ("style", "motion"):
        save(tmp_path / f"{name}.safetensors", {f"{name}.lora_A.weight": torch.zeros(1, 1)})
    found = Manner.of({"lora": "motion.safetensors:0.5, style.safetensors"}, WAN, tmp_path)
    assert [(lora.path, lora.strength) for lora in found.loras] == [
        (tmp_path / "motion.safetensors", 0.5),
        (tmp_path / "style.safetensors", 1.0),
    ]
    assert found.describe() is None  # they are told by name and digest


def test_where_a_lora_lies_is_not_told() -> None:
    options = {"lora": "/home/somebody/style.safetensors:0.8", "speed": "fast", "strength": 0.5}
    assert told_options(options) == {"speed": "fast", "strength": 0.5}
    assert "lora" in options


def test_the_steps_of_a_profile_are_taken_and_another_number_is_told() -> None:
    spec = row(quick={"scheduler": "lcm", "num_inference_steps": 4})
    for asked, warnings in ((None, ()), (4, ()), (30, ("steps: the profile quick takes 4, not 30",))):
        found = with_steps_of_profile(resolved(spec, steps=asked, speed="quick"), asked, spec)
        assert found.num_inference_steps == 4
        assert found.warnings == warnings


@pytest.mark.parametrize("asked", [None, 7])
def test_the_exact_profile_takes_the_steps_of_the_request(asked: int | None) -> None:
    before = resolved(WAN, steps=asked)
    assert with_steps_of_profile(before, asked, WAN) == before


def test_a_model_without_steps_has_none_whatever_the_profile() -> None:
    spec = row(quick={"num_inference_steps": 4})
    before = replace(resolved(spec, speed="quick"), num_inference_steps=None)
    assert with_steps_of_profile(before, None, spec) is before


def test_earlier_warnings_are_kept() -> None:
    spec = row(quick={"num_inference_steps": 4})
    before = replace(resolved(spec, speed="quick"), warnings=("first",))
    assert with_steps_of_profile(before, 9, spec).warnings[0] == "first"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"profiles": 3}, "settings.profiles"),
        ({"profiles": {"fast": 3}}, "settings.profiles"),
        ({"profiles": {"fast": {"schedule": "bogus"}}}, "settings.profiles"),
        ({"reference": 3}, "settings.reference"),
    ],
)
def test_a_row_that_makes_no_sense_is_named_with_its_field(settings: dict[str, object], field: str) -> None:
    from pipelines.manner import require_sound_settings
    from studio.catalog.loader import load_catalog
    from studio.errors import EnvironmentFault

    spec = load_catalog().get("micro-wan")
    require_sound_settings(spec)
    broken = spec.model_copy(update={"settings": {**spec.settings, **settings}})
    with pytest.raises(EnvironmentFault, match="micro-wan") as fault:
        require_sound_settings(broken)
    assert fault.value.field == f"micro-wan.{field}"
