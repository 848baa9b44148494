"""A loaded model goes from one way of keeping its weights to another, and back to what it was, bit for bit."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines import loaded as module
from pipelines.plan import DecodeForm, MemoryPlan, Residency
from pipelines.quantised import Storage, quantise_pipeline
from studio.errors import Canceled, UnsupportedValue, WeightsMismatch
from studio.generator import Generator
from studio.provenance.manifest import Adapter
from studio.request import Conditioning, GenerationRequest, ResolvedRequest
from tests.pipelines.conftest import RecordingRun, save_svd, save_wan
from tests.pipelines.test_loras import lora_at, save, tensors_for
from tests.pipelines.test_residency import weights_of

pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")

RESIDENT = MemoryPlan(name="resident")
ELSEWHERE = [
    MemoryPlan(name="staged", residency=Residency.STAGED, decode=DecodeForm.STREAMED),
    MemoryPlan(name="streamed", residency=Residency.STREAMED, decode=DecodeForm.STREAMED),
]


@pytest.fixture
def wan(tmp_path: Path, generator_of: Callable[..., Generator]) -> Any:
    return generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"), settings={"max_sequence_length": 8})


@pytest.fixture
def svd(tmp_path: Path, generator_of: Callable[..., Generator]) -> Any:
    return generator_of("svd", save_svd(tmp_path / "svd"))


@pytest.fixture
def style(tmp_path: Path, wan: Any) -> Path:
    """A LoRA for the tiny Wan model."""
    with wan.session():
        tensors = tensors_for(wan._pipeline.transformer)
    return save(tmp_path / "style.safetensors", tensors)


def request_of(generator: Any, *media: Conditioning, **options: Any) -> ResolvedRequest:
    has_text = generator.spec.parameters.prompt != "unused"
    wish = GenerationRequest(
        model=generator.spec.id,
        prompt="a red circle" if has_text else "",
        seed=5,
        num_inference_steps=2,
        conditionings=media,
        options=options,
    )
    found = generator.resolve(wish)
    assert isinstance(found, ResolvedRequest)
    return found


def frames_of(generator: Any, resolved: ResolvedRequest, run: RecordingRun, plan: MemoryPlan = RESIDENT) -> Any:
    generator._plans = lambda *_: [plan]
    run.steps.clear()
    return generator.generate(resolved, run).frames


def difference(one: Any, other: Any) -> int:
    return int(np.abs(one.astype(np.int16) - other.astype(np.int16)).max())


def loads_of(generator: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows whenever weights are read."""
    found: list[str] = []
    stock = generator._load

    def load(*given: Any) -> Any:
        found.append("read")
        return stock(*given)

    monkeypatch.setattr(generator, "_load", load)
    return found


class TestEightBits:
    def test_original_weights_come_back_bit_for_bit(
        self, wan: Any, run: RecordingRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original, small = request_of(wan), request_of(wan, weights_format="fp8")
        loads = loads_of(wan, monkeypatch)
        with wan.session():
            before = weights_of(wan)
            first = frames_of(wan, original, run)
            eighth = frames_of(wan, small, run)
            again = frames_of(wan, small, run)
            assert len(loads) == 1
            assert torch.float8_e4m3fn in {weight.dtype for weight in wan._pipeline.transformer.parameters()}
            last = frames_of(wan, original, run)
            after = weights_of(wan)
        assert len(loads) == 2
        assert difference(first, eighth) > 0
        np.testing.assert_array_equal(eighth, again)
        np.testing.assert_array_equal(first, last)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    @pytest.mark.parametrize("plan", ELSEWHERE, ids=lambda plan: plan.name)
    def test_they_are_staged_and_streamed_as_well(self, plan: MemoryPlan, wan: Any, run: RecordingRun) -> None:
        small = request_of(wan, weights_format="fp8")
        with wan.session():
            resident = frames_of(wan, small, run)
            assert difference(frames_of(wan, small, run, plan), resident) <= 1

    def test_a_change_that_failed_midway_leaves_no_eight_bits_behind(
        self, wan: Any, run: RecordingRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(pipeline: Any, storage: Storage, *, compute_dtype: torch.dtype) -> None:
            quantise_pipeline(pipeline, storage, compute_dtype=compute_dtype)
            raise RuntimeError("midway")

        original, small = request_of(wan), request_of(wan, weights_format="fp8")
        with wan.session():
            first = frames_of(wan, original, run)
            with monkeypatch.context() as patch:
                patch.setattr(module, "quantise_pipeline", broken)
                with pytest.raises(WeightsMismatch):
                    frames_of(wan, small, run)
            np.testing.assert_array_equal(frames_of(wan, original, run), first)
            assert difference(frames_of(wan, small, run), first) > 0

    def test_the_old_weights_are_gone_before_the_new_are_read(
        self, wan: Any, run: RecordingRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise a model would take its memory twice."""
        with wan.session():
            frames_of(wan, request_of(wan, weights_format="fp8"), run)
            model = wan._loaded()
            weights = weakref.ref(next(model.pipeline.transformer.parameters()))
            found: list[Any] = []
            stock = model._load

            def load() -> Any:
                found.append(weights())
                return stock()

            monkeypatch.setattr(model, "_load", load)
            frames_of(wan, request_of(wan), run)
        assert found == [None]

    def test_weights_that_could_not_be_read_again_are_read_by_the_next_request(
        self, wan: Any, run: RecordingRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> None:
            raise OSError("gone")

        original = request_of(wan)
        with wan.session():
            first = frames_of(wan, original, run)
            frames_of(wan, request_of(wan, weights_format="fp8"), run)
            with monkeypatch.context() as patch:
                patch.setattr(wan._loaded(), "_load", broken)
                for _ in range(2):
                    with pytest.raises(Exception, match="weights"):
                        frames_of(wan, original, run)
            np.testing.assert_array_equal(frames_of(wan, original, run), first)

    def test_a_format_this_machine_has_not_costs_no_loading(
        self, wan: Any, run: RecordingRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(storage: Storage, device: torch.device) -> None:
            raise UnsupportedValue("this device has no eight-bit floats", field="weights_format")

        original = request_of(wan)
        loads = loads_of(wan, monkeypatch)
        with wan.session():
            first = frames_of(wan, original, run)
            with monkeypatch.context() as patch:
                patch.setattr(module, "require_storage", refuse)
                with pytest.raises(UnsupportedValue):
                    frames_of(wan, request_of(wan, weights_format="fp8"), run)
            np.testing.assert_array_equal(frames_of(wan, original, run), first)
        assert len(loads) == 1


class TestLoRAs:
    def test_one_shapes_its_own_clip_and_no_other(self, wan: Any, run: RecordingRun, style: Path) -> None:
        plain, styled = request_of(wan), request_of(wan, lora=str(style))
        with wan.session():
            before = weights_of(wan)
            modules = [type(part) for part in wan._pipeline.transformer.modules()]
            first = frames_of(wan, plain, run)
            shaped = frames_of(wan, styled, run)
            last = frames_of(wan, plain, run)
            assert [type(part) for part in wan._pipeline.transformer.modules()] == modules
            after = weights_of(wan)
        assert difference(first, shaped) > 1
        np.testing.assert_array_equal(first, last)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_it_does_what_it_would_do_fused_into_the_weights(self, wan: Any, run: RecordingRun, style: Path) -> None:
        with wan.session():
            shaped = frames_of(wan, request_of(wan, lora=f"{style}:0.5"), run)
            transformer = wan._pipeline.transformer
            _fuse(transformer, tensors_for(transformer), 0.5, "transformer.")
            assert difference(frames_of(wan, request_of(wan), run), shaped) <= 1

    def test_the_signed_file_is_told_its_name_digest_and_strength(self, wan: Any, style: Path) -> None:
        declared = wan.declare(request_of(wan, lora=f"{style}:0.5"))
        assert declared.adapters == (Adapter(name="style.safetensors", sha256=lora_at(style).sha256, scale=0.5),)
        assert "lora" not in declared.options
        assert declared.speed_profile is None
        assert wan.declare(request_of(wan)).adapters == ()

    def test_at_strength_zero_it_does_nothing_and_is_not_told(self, wan: Any, run: RecordingRun, style: Path) -> None:
        off = request_of(wan, lora=f"{style}:0")
        assert wan.declare(off).adapters == ()
        with wan.session():
            np.testing.assert_array_equal(frames_of(wan, off, run), frames_of(wan, request_of(wan), run))

    @pytest.mark.parametrize("plan", ELSEWHERE, ids=lambda plan: plan.name)
    def test_it_travels_with_weights_that_are_staged_or_streamed(
        self, plan: MemoryPlan, wan: Any, run: RecordingRun, style: Path
    ) -> None:
        plain, styled = request_of(wan), request_of(wan, lora=str(style))
        with wan.session():
            first = frames_of(wan, plain, run)
            before = weights_of(wan)
            resident = frames_of(wan, styled, run)
            assert difference(frames_of(wan, styled, run, plan), resident) <= 1
            assert difference(frames_of(wan, plain, run, plan), first) <= 1
            np.testing.assert_array_equal(frames_of(wan, plain, run), first)
            after = weights_of(wan)
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert before.keys() == after.keys()

    @pytest.mark.parametrize("plan", [RESIDENT, ELSEWHERE[1]], ids=lambda plan: plan.name)
    def test_a_unet_whose_layers_are_rewritten_computes_with_it_too(
        self, plan: MemoryPlan, svd: Any, run: RecordingRun, photo: Conditioning, tmp_path: Path
    ) -> None:
        with svd.session():
            unet = svd._pipeline.unet
            tensors = tensors_for(unet, ending="attn1.to_out.0", prefix="unet.")
            style = save(tmp_path / "style.safetensors", tensors)
            first = frames_of(svd, request_of(svd, photo), run, plan)
            shaped = frames_of(svd, request_of(svd, photo, lora=f"{style}:0.5"), run, plan)
            np.testing.assert_array_equal(frames_of(svd, request_of(svd, photo), run, plan), first)
            svd._loaded().residence.dissolve()
            _fuse(svd._pipeline.unet, tensors, 0.5, "unet.")
            fused = frames_of(svd, request_of(svd, photo), run)
        assert difference(first, shaped) > 1
        assert difference(fused, shaped) <= 1

    def test_beside_eight_bits_and_then_neither(self, wan: Any, run: RecordingRun, style: Path) -> None:
        both = request_of(wan, lora=str(style), weights_format="fp8")
        with wan.session():
            first = frames_of(wan, request_of(wan), run)
            styled = frames_of(wan, request_of(wan, lora=str(style)), run)
            small = frames_of(wan, request_of(wan, weights_format="fp8"), run)
            together = frames_of(wan, both, run)
            assert difference(together, small) > 1
            assert difference(together, styled) > 0
            np.testing.assert_array_equal(frames_of(wan, request_of(wan, weights_format="fp8"), run), small)
            np.testing.assert_array_equal(frames_of(wan, request_of(wan), run), first)

    def test_a_canceled_run_leaves_none_behind(self, wan: Any, run: RecordingRun, style: Path) -> None:
        canceled = RecordingRun(workdir=run.workdir, cancel_at=1)
        with wan.session():
            first = frames_of(wan, request_of(wan), run)
            with pytest.raises(Canceled):
                frames_of(wan, request_of(wan, lora=str(style)), canceled)
            np.testing.assert_array_equal(frames_of(wan, request_of(wan), run), first)

    def test_layers_the_model_has_not_are_told_to_the_owner(
        self, wan: Any, run: RecordingRun, style: Path, tmp_path: Path
    ) -> None:
        from safetensors.torch import load_file

        more = {f"transformer.blocks.7.attn1.to_q.lora_{part}.weight": torch.ones(3, 3) for part in "AB"}
        partly = save(tmp_path / "partly.safetensors", load_file(style) | more)
        with wan.session():
            frames_of(wan, request_of(wan, lora=str(partly)), run)
        assert any("1 of the" in note and "partly.safetensors" in note for note in run.notes)
        assert not any(str(tmp_path) in note for note in run.notes)

    def test_a_file_that_changed_while_the_job_waited_is_refused(
        self, wan: Any, run: RecordingRun, style: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        styled = request_of(wan, lora=str(style))
        manner = wan._manner(styled)
        with wan.session():
            first = frames_of(wan, request_of(wan), run)
            save(style, {key: value * 2 for key, value in tensors_for(wan._pipeline.transformer).items()})
            with monkeypatch.context() as patch:
                patch.setattr(wan, "_manner", lambda _: manner)
                with pytest.raises(WeightsMismatch, match="changed while the job waited"):
                    frames_of(wan, styled, run)
            np.testing.assert_array_equal(frames_of(wan, request_of(wan), run), first)


def test_each_run_begins_with_a_scheduler_that_remembers_nothing(wan: Any, run: RecordingRun) -> None:
    resolved = request_of(wan)
    with wan.session():
        frames_of(wan, resolved, run)
        used = wan._pipeline.scheduler
        frames_of(wan, replace(resolved, seed=6), run)
        assert wan._pipeline.scheduler is not used
        wan._loaded().arrange(RESIDENT)
        assert len(wan._pipeline.scheduler.timesteps) != 2


def _fuse(network: Any, tensors: dict[str, Any], strength: float, prefix: str) -> None:
    for key, down in tensors.items():
        if ".lora_A." in key:
            layer = network.get_submodule(key.removeprefix(prefix).removesuffix(".lora_A.weight"))
            up = tensors[key.replace("lora_A", "lora_B")]
            layer.weight = torch.nn.Parameter(layer.weight.detach() + strength * (up @ down))
