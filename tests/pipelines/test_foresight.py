"""What is rehearsed once is remembered, the machine is measured once, and smaller requests are ones a model allows."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from pipelines import foresight as module
from pipelines.foresight import FILE_NAME, MOST_REMEMBERED, Foresight, smaller_requests
from pipelines.placement import Placement, suppose_card
from pipelines.plan import DecodeForm, MemoryPlan, Residency
from pipelines.throughput import Throughput
from studio.catalog.loader import load_catalog
from studio.catalog.schema import Parameters
from studio.generator import Generator
from studio.request import GenerationRequest, ResolvedRequest, Task
from studio.resolve import resolve
from tests.pipelines.conftest import save_wan

pytestmark = pytest.mark.filterwarnings("ignore")

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32)
PLAN = MemoryPlan(name="any")
FAST = Throughput(
    device="fast", dtype="float32", matmul_flops=1e12, convolution_flops=1e12, copied_bytes=1e11,
    transferred_bytes=None, operation_seconds=1e-9,
)  # fmt: skip


@pytest.fixture
def wan(tmp_path: Path, generator_of: Callable[..., Generator]) -> Any:
    return generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"), settings={"max_sequence_length": 8})


@pytest.fixture
def foresight(wan: Any, tmp_path: Path) -> Callable[..., Foresight]:
    def make(placement: Placement = CPU) -> Foresight:
        return Foresight(generator=wan, placement=placement, folder=tmp_path / "wan", memory=tmp_path / "memory")

    return make


def request_of(generator: Any, **fields: Any) -> ResolvedRequest:
    found = generator.resolve(GenerationRequest(model=generator.spec.id, prompt="a red circle", seed=5, **fields))
    assert isinstance(found, ResolvedRequest)
    return found


def rehearsals(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by each stage that is gone through."""
    found: list[str] = []
    stock = Foresight._rehearse

    def noted(self: Foresight, stage: str, *given: Any) -> Any:
        found.append(stage)
        return stock(self, stage, *given)

    monkeypatch.setattr(Foresight, "_rehearse", noted)
    return found


def seconds(foresight: Foresight, resolved: ResolvedRequest, plan: MemoryPlan) -> float:
    found = foresight.seconds(resolved, plan)
    assert found is not None
    return found


class TestMemory:
    def test_the_seed_the_prompt_and_the_steps_change_nothing(
        self, wan: Any, foresight: Callable[..., Foresight], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolved = request_of(wan)
        first = foresight().rehearsed(resolved, PLAN)
        done = rehearsals(monkeypatch)
        other = replace(resolved, seed=9, prompt="a circle", num_inference_steps=3)
        assert foresight().rehearsed(other, PLAN) == first
        assert done == []

    def test_another_shape_is_gone_through(
        self, wan: Any, foresight: Callable[..., Foresight], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolved = request_of(wan)
        first = foresight().rehearsed(resolved, PLAN)
        done = rehearsals(monkeypatch)
        larger = foresight().rehearsed(replace(resolved, width=2 * resolved.width), PLAN)
        assert done == ["encoding", "step", "decode"]
        assert larger.step.flops > first.step.flops
        assert larger.decode.peak_bytes > first.decode.peak_bytes

    def test_another_plan_goes_through_what_it_changes_alone(
        self, wan: Any, foresight: Callable[..., Foresight], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolved = request_of(wan)
        foresight().rehearsed(resolved, PLAN)
        done = rehearsals(monkeypatch)
        foresight().rehearsed(resolved, MemoryPlan(name="other", residency=Residency.STAGED))
        assert done == []
        foresight().rehearsed(resolved, MemoryPlan(name="other", decode=DecodeForm.STREAMED))
        assert done == ["decode"]

    def test_another_model_of_the_same_configuration_is_gone_through(
        self,
        wan: Any,
        foresight: Callable[..., Foresight],
        generator_of: Callable[..., Generator],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        resolved = request_of(wan)
        first = foresight().rehearsed(resolved, PLAN)
        wordy: Any = generator_of("wan2.1-t2v-1.3b", tmp_path / "wan", settings={"max_sequence_length": 512})
        done = rehearsals(monkeypatch)
        found = replace(foresight(), generator=wordy).rehearsed(resolved, PLAN)
        assert "step" in done
        assert found.step.flops > first.step.flops

    def test_another_setting_of_the_pipeline_is_gone_through(
        self, wan: Any, foresight: Callable[..., Foresight], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        foresight().rehearsed(request_of(wan), PLAN)
        file = tmp_path / "wan" / "model_index.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"expand_timesteps": True}))
        done = rehearsals(monkeypatch)
        foresight().rehearsed(request_of(wan), PLAN)
        assert "step" in done

    @pytest.mark.parametrize(
        "content", ["[]", "null", '{"half', "", '{"x": 3}'], ids=["list", "null", "half", "empty", "strange"]
    )
    def test_a_damaged_file_costs_another_rehearsal(
        self, content: str, wan: Any, foresight: Callable[..., Foresight], tmp_path: Path
    ) -> None:
        resolved = request_of(wan)
        first = foresight().rehearsed(resolved, PLAN)
        (tmp_path / "memory" / FILE_NAME).write_text(content)
        assert foresight().rehearsed(resolved, PLAN) == first
        assert len(json.loads((tmp_path / "memory" / FILE_NAME).read_text())) >= 3

    @pytest.mark.parametrize("entry", [{}, {"peak_bytes": 3}, [1], None, 7])
    def test_entries_of_another_version_are_made_again(
        self, entry: object, wan: Any, foresight: Callable[..., Foresight], tmp_path: Path
    ) -> None:
        resolved = request_of(wan)
        first = foresight().rehearsed(resolved, PLAN)
        file = tmp_path / "memory" / FILE_NAME
        file.write_text(json.dumps(dict.fromkeys(json.loads(file.read_text()), entry)))
        assert foresight().rehearsed(resolved, PLAN) == first

    def test_only_so_many_are_remembered_and_the_oldest_go(
        self, wan: Any, foresight: Callable[..., Foresight], tmp_path: Path
    ) -> None:
        file = tmp_path / "memory" / FILE_NAME
        file.parent.mkdir()
        file.write_text(json.dumps({f"old{number}": None for number in range(MOST_REMEMBERED)}))
        foresight().rehearsed(request_of(wan), PLAN)
        kept = json.loads(file.read_text())
        assert len(kept) == MOST_REMEMBERED
        assert "old0" not in kept
        assert f"old{MOST_REMEMBERED - 1}" in kept

    def test_a_folder_that_cannot_be_written_fails_nothing(self, wan: Any, foresight: Callable[..., Foresight]) -> None:
        blocked = foresight()
        blocked.memory.write_text("a file")
        assert blocked.rehearsed(request_of(wan), PLAN).step.flops > 0

    def test_the_folder_is_for_the_owner_alone(
        self, wan: Any, foresight: Callable[..., Foresight], tmp_path: Path
    ) -> None:
        foresight().rehearsed(request_of(wan), PLAN)
        assert stat.S_IMODE((tmp_path / "memory").stat().st_mode) == 0o700


class TestTime:
    @pytest.fixture
    def measured(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        found: list[str] = []

        def measure(device: torch.device, dtype: torch.dtype) -> Throughput:
            found.append(device.type)
            return FAST

        monkeypatch.setattr(module, "measure_throughput", measure)
        return found

    def test_the_machine_is_measured_once(
        self, wan: Any, foresight: Callable[..., Foresight], measured: list[str], tmp_path: Path
    ) -> None:
        resolved = request_of(wan)
        first = foresight().seconds(resolved, PLAN)
        assert foresight().seconds(resolved, PLAN) == first
        assert measured == ["cpu"]
        (file,) = (tmp_path / "memory").glob("throughput-cpu-*.json")
        assert Throughput.from_json(json.loads(file.read_text())) == FAST

    @pytest.mark.parametrize("content", ["", '{"half', "[]", '{"device": "x"}'])
    def test_a_damaged_measurement_is_made_again(
        self, content: str, wan: Any, foresight: Callable[..., Foresight], measured: list[str], tmp_path: Path
    ) -> None:
        resolved = request_of(wan)
        first = foresight().seconds(resolved, PLAN)
        (file,) = (tmp_path / "memory").glob("throughput-cpu-*.json")
        file.write_text(content)
        assert foresight().seconds(resolved, PLAN) == first
        assert len(measured) == 2

    def test_more_threads_are_another_machine(
        self, wan: Any, foresight: Callable[..., Foresight], measured: list[str]
    ) -> None:
        resolved = request_of(wan)
        foresight().seconds(resolved, PLAN)
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(threads + 1)
            foresight().seconds(resolved, PLAN)
        finally:
            torch.set_num_threads(threads)
        assert len(measured) == 2

    @pytest.mark.usefixtures("measured")
    def test_the_sampling_takes_as_long_as_its_steps_together(
        self, wan: Any, foresight: Callable[..., Foresight]
    ) -> None:
        resolved = request_of(wan)
        one, two, three = (
            seconds(foresight(), replace(resolved, num_inference_steps=steps), PLAN) for steps in (1, 2, 3)
        )
        assert 0 < one < two < three
        assert three - two == pytest.approx(two - one)

    def test_weights_that_travel_take_their_time(
        self, wan: Any, foresight: Callable[..., Foresight], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow = replace(FAST, transferred_bytes=1e3)
        monkeypatch.setattr(Foresight, "_throughput", lambda _: slow)
        resolved = request_of(wan, num_inference_steps=2, guidance_scale=1.0)
        card = foresight(suppose_card("bfloat16"))
        resident = seconds(card, resolved, PLAN)
        streamed = seconds(card, resolved, MemoryPlan(name="s", residency=Residency.STREAMED))
        weights = card.networks_for(resolved)["transformer"].weight_bytes
        assert streamed - resident == pytest.approx(2 * weights / 1e3, rel=0.01)


def rules_of(model: str, **changes: Any) -> tuple[Parameters, ResolvedRequest]:
    spec = load_catalog().get(model)
    data = spec.model_dump()
    data["parameters"] |= changes
    changed = type(spec).model_validate(data)
    return changed.parameters, resolve(changed, GenerationRequest(model=model, prompt="a cat", seed=1))


class TestSmallerRequests:
    def test_fewer_frames_come_first_and_then_a_smaller_picture(self) -> None:
        rules, resolved = rules_of("wan2.1-t2v-1.3b")
        found = list(smaller_requests(rules, resolved))
        assert (resolved.width, resolved.height, resolved.num_frames) == (832, 480, 81)
        assert found[:3] == [{"num_frames": 57}, {"num_frames": 37}, {"num_frames": 17}]
        assert found[3:5] == [
            {"width": 624, "height": 352},
            {"width": 624, "height": 352, "num_frames": 5},
        ]

    @pytest.mark.parametrize(
        "model",
        [
            spec.id
            for spec in load_catalog()
            if spec.where == "local" and spec.generator and Task.TEXT_TO_VIDEO in spec.tasks
        ],
    )
    def test_each_is_smaller_and_one_the_model_allows(self, model: str) -> None:
        rules, resolved = rules_of(model)
        for change in smaller_requests(rules, resolved):
            found = replace(resolved, **cast(dict[str, Any], change))
            assert rules.num_frames.allows(found.num_frames)
            assert rules.width.allows(found.width)
            assert rules.height.allows(found.height)
            assert not rules.sizes or (found.width, found.height) in rules.sizes
            pixels = found.width * found.height * found.num_frames
            assert pixels < resolved.width * resolved.height * resolved.num_frames

    def test_of_sizes_that_are_listed_the_smaller_ones_are_offered(self) -> None:
        sizes = [(1280, 720), (832, 480), (480, 832), (640, 368)]
        rules, resolved = rules_of("wan2.1-t2v-1.3b", sizes=sizes)
        found = list(smaller_requests(rules, replace(resolved, width=1280, height=720)))
        offered = [(change["width"], change["height"]) for change in found if "width" in change]
        assert list(dict.fromkeys(offered)) == [(832, 480), (640, 368)]  # a picture lies as it lay

    def test_where_nothing_is_smaller_nothing_is_offered(self) -> None:
        rules, resolved = rules_of("micro-wan")
        assert list(smaller_requests(rules, resolved)) == []
        rules, resolved = rules_of("wan2.1-t2v-1.3b")
        smallest = replace(resolved, width=256, height=256, num_frames=5)
        assert list(smaller_requests(rules, smallest)) == []


@pytest.mark.parametrize("value", [-1, "many", 1.5, None, True])
def test_figures_that_make_no_sense_are_not_believed(value: object) -> None:
    from pipelines.rehearsal import Stage

    sound = dict.fromkeys(
        ("peak_bytes", "parked_bytes", "flops", "convolution_flops", "traffic_bytes", "operations"), 7
    )
    assert Stage.from_json(sound).peak_bytes == 7
    with pytest.raises((TypeError, ValueError)):
        Stage.from_json(sound | {"peak_bytes": value})
