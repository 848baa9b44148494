"""The planner takes the first plan that fits, says before the run what does not, and names what would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.counting import Counting
from pipelines.memory import (
    DEVICE_SPREAD,
    DEVICE_WORKSPACE,
    GIB,
    HELD_BYTES,
    READING_BYTES,
    Budget,
    Forecast,
    Ladder,
    forecast_of,
)
from pipelines.placement import Placement, suppose_card
from pipelines.plan import MemoryPlan, Residency
from pipelines.rehearsal import Network, Rehearsed, Stage
from studio.app import Studio
from studio.config import Settings
from studio.errors import OutOfMemory
from studio.generator import Generator
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role
from tests.pipelines.conftest import RecordingRun, save_svd, save_wan

pytestmark = pytest.mark.filterwarnings("ignore")

PLANS = [MemoryPlan(name="large"), MemoryPlan(name="middle"), MemoryPlan(name="small")]
SIZES = {"large": 30 * GIB, "middle": 10 * GIB, "small": 4 * GIB}


def ladder(device_gib: float, ram_gib: float = 64, cheaper: Any = lambda: ()) -> Ladder:
    return Ladder(
        plans=PLANS,
        forecast=lambda plan: Forecast(plan=plan, device_bytes=SIZES[plan.name], ram_bytes=8 * GIB),
        budget=Budget(device_bytes=int(device_gib * GIB), ram_bytes=int(ram_gib * GIB)),
        cheaper=cheaper,
    )


@pytest.mark.parametrize(
    ("gib", "names"), [(80, ["large", "middle", "small"]), (30, ["large", "middle", "small"]), (8, ["small"])]
)
def test_it_begins_with_the_first_plan_that_fits_and_keeps_the_smaller_ones(gib: int, names: list[str]) -> None:
    assert [plan.name for plan in ladder(gib).from_what_fits()] == names


@pytest.mark.parametrize(("device", "ram", "resource"), [(3.5, 64, "GPU memory"), (80, 7, "RAM")])
def test_what_never_fits_is_refused_with_the_resource_and_the_cheapest_change(
    device: float, ram: float, resource: str
) -> None:
    small = Forecast(plan=PLANS[-1], device_bytes=3 * GIB, ram_bytes=6 * GIB)
    changes = (("--num-frames 24", lambda: replace(small, device_bytes=90 * GIB)), ("--num-frames 14", lambda: small))
    with pytest.raises(OutOfMemory, match=f"GiB of {resource} even by the smallest plan") as refusal:
        ladder(device, ram, lambda: changes).from_what_fits()
    assert refusal.value.fix == "--num-frames 14 fits"


def test_where_nothing_is_known_nothing_is_refused() -> None:
    unknown = replace(ladder(1), forecast=lambda _plan: None)
    assert unknown.from_what_fits() == PLANS


def stage(peak: int, parked: int = 0) -> Stage:
    return Stage(peak_bytes=peak, parked_bytes=parked, flops=0, convolution_flops=0, traffic_bytes=0, operations=0)


def test_a_forecast_puts_weights_and_stages_together_as_the_plan_has_them() -> None:
    networks = {
        "text_encoder": Network(weight_bytes=10 * GIB, largest_part_bytes=GIB),
        "transformer": Network(weight_bytes=3 * GIB, largest_part_bytes=GIB // 2),
        "vae": Network(weight_bytes=GIB, largest_part_bytes=GIB),
    }
    rehearsed = Rehearsed(encoding=stage(0), step=stage(2 * GIB), decode=stage(5 * GIB, parked=7 * GIB))

    def device(residency: Residency) -> float:
        plan = MemoryPlan(name="any", residency=residency)
        found = forecast_of(plan, rehearsed, networks, is_cpu=False, base_ram_bytes=GIB, clip_bytes=0)
        assert found.ram_bytes > GIB + 7 * GIB + sum(network.weight_bytes for network in networks.values())
        return ((found.device_bytes - DEVICE_WORKSPACE) / DEVICE_SPREAD - HELD_BYTES) / GIB

    assert device(Residency.RESIDENT) == pytest.approx(14 + 5)
    assert device(Residency.STAGED) == pytest.approx(10 + READING_BYTES / GIB)
    assert device(Residency.STREAMED) == pytest.approx(1 + 5)
    networks["text_encoder"] = Network(weight_bytes=GIB, largest_part_bytes=GIB)
    assert device(Residency.STAGED) == pytest.approx(1 + 5)
    rehearsed = replace(rehearsed, encoding=stage(GIB), step=stage(4 * GIB))
    assert device(Residency.STAGED) == pytest.approx(3 + 4 + 1)  # the VAE has read a picture and stays


CASES = {"svd": (save_svd, {}), "wan2.1-t2v-1.3b": (save_wan, {"settings": {"max_sequence_length": 8}})}


@pytest.mark.parametrize("base", CASES)
def test_the_forecast_is_within_a_tenth_above_what_the_run_really_takes(
    base: str, tmp_path: Path, generator_of: Callable[..., Generator], photo: Conditioning
) -> None:
    """Counted both times: on the meta device beforehand, and with real numbers in the run."""
    save, row = CASES[base]
    generator: Any = generator_of(base, save(tmp_path / "weights"), **row)
    resolved = request_of(generator, photo)
    with generator.session():
        for plan in generator._plans(generator._model.placement, resolved):
            foresight = generator.foresight(generator._model.placement, generator._model.folder)
            rehearsed = foresight.rehearsed(resolved, plan)
            outline = generator._outline(generator._pipeline, resolved, torch.float32)
            with torch.inference_mode(), generator.by(plan, generator._pipeline, resolved):
                latents = torch.randn(outline.latents.shape)
                with Counting(device="cpu", host="cpu") as decode:
                    for _ in generator._decode(generator._pipeline, latents, resolved):
                        pass
                call = {name: _real(value) for name, value in outline.call.items()}
                denoiser = getattr(generator._pipeline, "unet", None) or generator._pipeline.transformer
                with Counting(device="cpu", host="cpu") as step:
                    denoiser(**call)
            for foretold, measured, given in (
                (rehearsed.decode, decode, [latents]),
                (rehearsed.step, step, list(call.values())),
            ):
                real = measured.peak_bytes + sum(value.nbytes for value in given if isinstance(value, torch.Tensor))
                assert real <= foretold.peak_bytes + foretold.parked_bytes <= real * 1.1


def _real(value: Any) -> Any:
    return torch.randn(value.shape) if isinstance(value, torch.Tensor) else value


def request_of(generator: Any, photo: Conditioning) -> ResolvedRequest:
    has_text = generator.spec.parameters.prompt != "unused"
    return generator.resolve(
        GenerationRequest(
            model=generator.spec.id,
            prompt="a red circle" if has_text else "",
            num_inference_steps=2,
            seed=5,
            conditionings=() if has_text else (photo,),
        )
    )


def test_figures_are_remembered_and_survive_a_damaged_memory(
    tmp_path: Path, generator_of: Callable[..., Generator], photo: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator: Any = generator_of("svd", save_svd(tmp_path / "svd"))
    resolved = request_of(generator, photo)
    placement = Placement(device=torch.device("cpu"), dtype=torch.float32)
    plan = generator._plans(placement, resolved)[0]
    first = generator.foresight(placement, tmp_path / "svd").rehearsed(resolved, plan)
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.foresight.build_meta_pipeline", lambda *_: pytest.fail("it was rehearsed again"))
        assert generator.foresight(placement, tmp_path / "svd").rehearsed(resolved, plan) == first
    (generator.settings.home / "rehearsals.json").write_text('{"half a')
    assert generator.foresight(placement, tmp_path / "svd").rehearsed(resolved, plan) == first


@pytest.fixture
def picture(tmp_path: Path) -> Conditioning:
    import PIL.Image

    PIL.Image.new("RGB", (64, 36), "teal").save(tmp_path / "picture.png")
    return Conditioning(role=Role.FIRST_FRAME, path=tmp_path / "picture.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gib", "most", "fits"), [(7.4, 7.4, True), (5.4, 5.4, True), (3.4, 3.4, True), (1.0, 9, False)]
)
def test_svd_xt_is_foretold_to_fit_cards_of_8_6_and_4_gb_before_it_is_downloaded(
    gib: float, most: float, fits: bool, tmp_path: Path, picture: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STUDIO_VRAM_LIMIT", str(gib))
    _, figures = Studio(Settings()).estimate(GenerationRequest(model="svd-xt", conditionings=(picture,)))
    assert figures.vram_bytes is not None
    assert figures.vram_bytes <= most * GIB
    assert bool(figures.shortage) is not fits
    if not fits:
        assert "GPU memory" in figures.shortage


def test_a_model_whose_weights_exceed_main_memory_is_refused_before_loading(
    tmp_path: Path, generator_of: Callable[..., Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"))
    monkeypatch.setattr("pipelines.memory.available_ram", lambda: 1000)
    with pytest.raises(OutOfMemory, match="do not fit into main memory"), generator.session():
        pytest.fail("it was loaded")


def test_a_run_that_does_not_fit_is_refused_before_it_begins(
    tmp_path: Path, generator_of: Callable[..., Generator], photo: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator: Any = generator_of("svd", save_svd(tmp_path / "svd"))
    resolved = request_of(generator, photo)
    run = RecordingRun(workdir=tmp_path)
    with generator.session():
        monkeypatch.setattr(Budget, "measure", lambda *_: Budget(device_bytes=None, ram_bytes=1 << 20))
        with pytest.raises(OutOfMemory, match="GiB of RAM even by the smallest plan"):
            generator.generate(resolved, run)
    assert run.steps == []


def test_the_plan_on_a_card_is_made_with_the_number_format_of_the_card() -> None:
    assert suppose_card("bfloat16").dtype is torch.bfloat16
