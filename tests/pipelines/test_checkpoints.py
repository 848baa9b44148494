"""A run that was broken off goes on from the last good stage, and its frames are those of an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.placement import Placement
from pipelines.stages import NotKeepable, StageShelf, pack, unpack
from studio.errors import Canceled, DiskFull, GenerationFailed, OutOfMemory
from studio.generator import Generator
from studio.jobs.lease import Stopped
from studio.request import Conditioning, GenerationRequest, ResolvedRequest
from tests.pipelines.conftest import RecordingRun, save_svd, save_wan
from tests.pipelines.doomed import STEPS, FiledRun, micro_wan

pytestmark = pytest.mark.filterwarnings("ignore")

TOTAL = 4
# Of 255, between two orders of computing in float16 with random weights.
HALF_PRECISION = 3


@dataclass(frozen=True, kw_only=True)
class Case:
    """base: row of the catalog. save: writes its checkpoint. calls: clips that denoisers compute for one step."""

    base: str
    save: Callable[[Path], Path]
    calls: int
    has_picture: bool = False
    scheduler: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def wan(**kind: Any) -> Callable[[Path], Path]:
    return lambda folder: save_wan(folder, **kind)


CASES = {
    "wan with guidance": Case(base="wan2.1-t2v-1.3b", save=wan(), calls=2),
    "wan without guidance": Case(base="wan2.1-t2v-1.3b", save=wan(), calls=1, fields={"guidance_scale": 1.0}),
    "wan, flow-match euler": Case(base="wan2.1-t2v-1.3b", save=wan(), calls=2, scheduler="flow-match-euler"),
    "wan, dpm-solver": Case(base="wan2.1-t2v-1.3b", save=wan(), calls=2, scheduler="dpm-solver"),
    "wan, euler": Case(base="wan2.1-t2v-1.3b", save=wan(), calls=2, scheduler="euler"),
    "wan, words to the ti2v model": Case(base="wan2.2-ti2v-5b", save=wan(expand_timesteps=True), calls=2),
    "wan, clean first latent frame": Case(
        base="wan2.2-ti2v-5b", save=wan(expand_timesteps=True), calls=2, has_picture=True
    ),
    "wan, mask channels": Case(
        base="wan2.1-i2v-14b-480p", save=wan(tasks=("i2v",)), calls=2, has_picture=True
    ),
    "wan, mask channels, two experts": Case(
        base="wan2.2-i2v-a14b", save=wan(tasks=("i2v",), experts=2), calls=2, has_picture=True
    ),
    "wan, two experts": Case(base="wan2.2-t2v-a14b", save=wan(experts=2), calls=2),
    "svd with guidance": Case(base="svd", save=save_svd, calls=2, has_picture=True),
    "svd without guidance": Case(
        base="svd", save=save_svd, calls=1, has_picture=True,
        fields={"guidance_scale": 1.0, "options": {"decode_chunk_size": 2}},
    ),
}  # fmt: skip


def use_scheduler(folder: Path, name: str) -> None:
    """Give a checkpoint on disk another scheduler."""
    import diffusers

    scheduler = {
        "flow-match-euler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        "euler": diffusers.EulerDiscreteScheduler(prediction_type="v_prediction"),
        "dpm-solver": diffusers.DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    }[name]
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", type(scheduler).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))
    scheduler.save_pretrained(folder / "scheduler")


@pytest.fixture
def make(generator_of: Callable[..., Generator], tmp_path: Path) -> Callable[[Case], Generator]:
    def build(case: Case) -> Generator:
        folder = case.save(tmp_path / "weights")
        if case.scheduler is not None:
            use_scheduler(folder, case.scheduler)
        return generator_of(case.base, folder)

    return build


def request_of(generator: Generator, case: Case, photo: Conditioning, **changes: Any) -> ResolvedRequest:
    pictures = (photo,) if case.has_picture else ()
    prompt = "" if generator.spec.parameters.prompt == "unused" else "a red circle"
    fields = {"num_inference_steps": TOTAL, "seed": 5, "prompt": prompt, "conditionings": pictures}
    wish = GenerationRequest(model=generator.spec.id, **{**fields, **case.fields, **changes})
    return generator.resolve(wish)


@contextmanager
def counted(generator: Any, part: str) -> Iterator[list[str]]:
    """Give a list that grows with each clip that is really computed, be it one of a batch.

    part: ``denoiser``, ``text_encoder`` or ``decoder``, whose parts are counted as they come.
    """
    pipeline, calls = generator._pipeline, []
    hooks = []
    if part == "denoiser":
        names = ("transformer", "transformer_2", "unet")
        modules = {name: getattr(pipeline, name) for name in names if getattr(pipeline, name, None) is not None}
        for name, module in modules.items():
            inner = getattr(module, "time_embedding", None) or module.condition_embedder
            hooks.append(inner.register_forward_hook(_counter(calls, name)))
    else:
        inner = pipeline.vae.decoder if part == "decoder" else pipeline.text_encoder
        hooks.append(inner.register_forward_hook(lambda *_: calls.append(part)))
    decode = generator._decode
    if part == "decoder":
        generator._decode = lambda *given: (calls.append(part) or piece for piece in decode(*given))
    yield calls
    generator._decode = decode
    for hook in hooks:
        hook.remove()


def _counter(calls: list[str], name: str) -> Callable[..., None]:
    def count(_module: Any, _given: Any, output: Any) -> None:
        embedding = output[0] if isinstance(output, tuple) else output
        calls.extend([name] * len(embedding))

    return count


def broken_off(generator: Generator, resolved: ResolvedRequest, workdir: Path, step: int) -> RecordingRun:
    """Return a run that kept each step and was canceled after one of them."""
    run = RecordingRun(workdir=workdir, cancel_at=step, keeps_each_step=True)
    with pytest.raises(Canceled):
        generator.generate(resolved, run)
    return run


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_from_whatever_step_it_goes_on_the_frames_are_the_same(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, case: Case
) -> None:
    generator = make(case)
    resolved = request_of(generator, case, photo)
    with generator.session():
        undisturbed = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
        for step in range(1, TOTAL):
            first = broken_off(generator, resolved, tmp_path, step)
            second = RecordingRun(workdir=tmp_path, earlier=first.shelf)
            with counted(generator, "denoiser") as calls:
                frames = generator.generate(resolved, second).frames
            assert len(calls) == case.calls * (TOTAL - step)
            assert second.steps[0] == (step, TOTAL)
            assert [done for done, _ in second.steps[1:]] == list(range(step, TOTAL + 1))
            assert second.previews
            np.testing.assert_array_equal(frames, undisturbed)


def test_both_experts_of_a_pair_are_spared_and_both_are_needed(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning
) -> None:
    case = CASES["wan, two experts"]
    generator = make(case)
    resolved = request_of(generator, case, photo)
    with generator.session():
        with counted(generator, "denoiser") as calls:
            generator.generate(resolved, RecordingRun(workdir=tmp_path))
        assert set(calls) == {"transformer", "transformer_2"}
        first = broken_off(generator, resolved, tmp_path, TOTAL - 1)
        with counted(generator, "denoiser") as calls:
            generator.generate(resolved, RecordingRun(workdir=tmp_path, earlier=first.shelf))
        assert calls == ["transformer_2"] * 2


@pytest.mark.parametrize("name", ["wan with guidance", "wan, clean first latent frame", "svd with guidance"])
def test_a_run_broken_off_again_and_again_still_ends_the_same(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, name: str
) -> None:
    generator = make(CASES[name])
    resolved = request_of(generator, CASES[name], photo)
    with generator.session():
        undisturbed = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
        earlier: dict[str, bytes] = {}
        for step in (1, 2, 3):
            run = RecordingRun(workdir=tmp_path, cancel_at=step, keeps_each_step=True, earlier=earlier)
            with pytest.raises(Canceled):
                generator.generate(resolved, run)
            earlier = {**earlier, **run.shelf}
        frames = generator.generate(resolved, RecordingRun(workdir=tmp_path, earlier=earlier)).frames
    np.testing.assert_array_equal(frames, undisturbed)


@pytest.mark.parametrize("name", ["wan with guidance", "wan, mask channels", "svd with guidance"])
def test_a_decode_that_failed_is_repeated_without_sampling_or_reading_the_prompt(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, name: str
) -> None:
    generator = make(CASES[name])
    resolved = request_of(generator, CASES[name], photo)
    first = RecordingRun(workdir=tmp_path)
    with generator.session():
        undisturbed = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
        with failing(generator, "decode"), pytest.raises(OutOfMemory, match="while decoding"):
            generator.generate(resolved, first)
        second = RecordingRun(workdir=tmp_path, earlier=first.shelf)
        with counted(generator, "denoiser") as samples:
            frames = generator.generate(resolved, second).frames
    assert samples == []
    assert second.stages == ["decoding"]
    assert second.steps == [(TOTAL, TOTAL)]
    np.testing.assert_array_equal(frames, undisturbed)


@contextmanager
def failing(generator: Any, part: str) -> Iterator[None]:
    """Let a part of the pipeline run out of memory: a network, or the ``decode``, when it has begun."""

    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    if part == "decode":
        decode = generator._decode
        generator._decode = lambda *given: (fail() or piece for piece in decode(*given))
        yield
        generator._decode = decode
        return
    network = generator._pipeline
    for name in part.split("."):
        network = getattr(network, name)
    hook = network.register_forward_hook(fail)
    yield
    hook.remove()


def test_the_text_encoder_does_not_run_again(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning
) -> None:
    case = CASES["wan with guidance"]
    generator = make(case)
    resolved = request_of(generator, case, photo)
    with generator.session():
        first = RecordingRun(workdir=tmp_path)
        undisturbed = generator.generate(resolved, first).frames
        second = RecordingRun(workdir=tmp_path, earlier={"embeddings": first.shelf["embeddings"]})
        with counted(generator, "text_encoder") as calls:
            frames = generator.generate(resolved, second).frames
    assert calls == []
    assert first.stages == ["encoding", "decoding"]
    assert second.stages == ["decoding"]
    np.testing.assert_array_equal(frames, undisturbed)


class StoppingRun(RecordingRun):
    """Is asked to stop, gracefully, after a number of steps."""

    stop_at = 2
    is_asked_late = False

    def wants_checkpoint(self) -> bool:
        return not self.is_asked_late and self.steps[-1][0] >= self.stop_at

    def raise_if_canceled(self) -> None:
        if self.steps and self.steps[-1][0] >= self.stop_at:
            raise Stopped


@pytest.mark.parametrize("is_asked_late", [False, True], ids=["before the question", "between two questions"])
def test_a_graceful_stop_loses_no_step(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, is_asked_late: bool
) -> None:
    case = CASES["wan with guidance"]
    generator = make(case)
    resolved = request_of(generator, case, photo)
    first = StoppingRun(workdir=tmp_path)
    first.is_asked_late = is_asked_late
    with generator.session():
        with pytest.raises(Stopped):
            generator.generate(resolved, first)
        second = RecordingRun(workdir=tmp_path, earlier=first.shelf)
        generator.generate(resolved, second)
    assert second.steps[0] == (2, TOTAL)


def test_a_stop_after_the_last_step_keeps_the_latents(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning
) -> None:
    case = CASES["svd with guidance"]
    generator = make(case)
    resolved = request_of(generator, case, photo)
    first = StoppingRun(workdir=tmp_path)
    first.stop_at = TOTAL
    with generator.session(), counted(generator, "decoder") as decodes, pytest.raises(Stopped):
        generator.generate(resolved, first)
    assert decodes == []
    assert sorted(first.shelf) == ["latents"]


class ImpatientRun(RecordingRun):
    """Is canceled once a part of the clip is decoded."""

    decodes: Sequence[str] = ()

    def raise_if_canceled(self) -> None:
        if self.decodes:
            raise Canceled


@pytest.mark.parametrize("name", ["wan with guidance", "svd without guidance"])
def test_a_decode_can_be_canceled_between_its_parts(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, name: str
) -> None:
    generator = make(CASES[name])
    resolved = request_of(generator, CASES[name], photo)
    run = ImpatientRun(workdir=tmp_path)
    with generator.session(), counted(generator, "decoder") as run.decodes, pytest.raises(Canceled):
        generator.generate(resolved, run)
    assert len(run.decodes) == 1


BREAKS = {
    "canceled": {},
    "out of memory in the denoiser": {"wan": "transformer.condition_embedder", "svd": "unet.time_embedding"},
    "out of memory in the decoder": {"wan": "decode", "svd": "decode"},
    "out of memory in the encoder": {"wan": "text_encoder", "svd": "vae.encoder"},
}


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("name", ["wan with guidance", "wan, mask channels", "svd with guidance"])
def test_nothing_of_a_broken_run_reaches_the_next_one_of_the_same_session(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, name: str, how: str
) -> None:
    generator = make(CASES[name])
    resolved, other = (request_of(generator, CASES[name], photo, seed=seed) for seed in (5, 6))
    with generator.session():
        expected = generator.generate(other, RecordingRun(workdir=tmp_path)).frames
    with generator.session():
        part = BREAKS[how].get(name[:3])
        first = RecordingRun(workdir=tmp_path, cancel_at=2 if part is None else None, keeps_each_step=True)
        with failing(generator, part) if part else nullcontext(), pytest.raises((Canceled, OutOfMemory)):
            generator.generate(resolved, first)
        np.testing.assert_array_equal(generator.generate(other, RecordingRun(workdir=tmp_path)).frames, expected)
        generator.generate(resolved, RecordingRun(workdir=tmp_path, earlier=first.shelf))
        np.testing.assert_array_equal(generator.generate(other, RecordingRun(workdir=tmp_path)).frames, expected)


def test_a_retry_that_is_broken_off_while_it_passes_through_leaves_the_denoiser_whole(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["wan with guidance"]
    generator = make(case)
    resolved = request_of(generator, case, photo)
    with generator.session():
        undisturbed = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
        first = broken_off(generator, resolved, tmp_path, 3)
        with monkeypatch.context() as patch:
            patch.setattr(type(generator._pipeline.scheduler), "step", lambda *_, **__: torch.empty(-1))
            # Holding the error holds everything that was alive when it was raised.
            with pytest.raises(GenerationFailed) as failure:
                generator.generate(resolved, RecordingRun(workdir=tmp_path, earlier=first.shelf))
        assert "forward" not in vars(generator._pipeline.transformer)
        with counted(generator, "denoiser") as calls:
            frames = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
    assert len(calls) == 2 * TOTAL
    assert "failed while sampling" in str(failure.value)
    np.testing.assert_array_equal(frames, undisturbed)


def test_a_compiled_denoiser_is_spared_as_well(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning
) -> None:
    case = CASES["wan with guidance"]
    generator = make(case)
    resolved = request_of(generator, case, photo)
    with generator.session():
        transformer = generator._pipeline.transformer
        forward = transformer.forward
        compiled = transformer._compiled_call_impl = lambda *given, **named: forward(*given, **named)
        first = broken_off(generator, resolved, tmp_path, 3)
        with counted(generator, "denoiser") as calls:
            generator.generate(resolved, RecordingRun(workdir=tmp_path, earlier=first.shelf))
        assert len(calls) == 2 * (TOTAL - 3)
        assert transformer._compiled_call_impl is compiled


def test_the_random_numbers_go_on_where_they_were(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a denoiser that draws from the run's generator each time it computes."""
    case = CASES["wan with guidance"]
    generator = make(case)
    resolved = request_of(generator, case, photo)
    sample = generator._sample

    def noisy(pipeline: Any, resolved: Any, embeddings: Any, rng: torch.Generator, on_step: Any) -> Any:
        def blur(_module: Any, _given: Any, output: torch.Tensor) -> torch.Tensor:
            return output + torch.randn(output.shape, generator=rng)

        hook = pipeline.transformer.patch_embedding.register_forward_hook(blur)
        try:
            return sample(pipeline, resolved, embeddings, rng, on_step)
        finally:
            hook.remove()

    monkeypatch.setattr(generator, "_sample", noisy)
    with generator.session():
        undisturbed = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
        first = broken_off(generator, resolved, tmp_path, 3)
        frames = generator.generate(resolved, RecordingRun(workdir=tmp_path, earlier=first.shelf)).frames
    np.testing.assert_array_equal(frames, undisturbed)


def test_a_scheduler_that_forgets_to_begin_anew_does_no_harm(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import UniPCMultistepScheduler

    case = CASES["wan with guidance"]
    generator = make(case)
    resolved, other = (request_of(generator, case, photo, seed=seed) for seed in (5, 6))
    set_timesteps = UniPCMultistepScheduler.set_timesteps

    def forgetful(scheduler: Any, *arguments: Any, **named: Any) -> None:
        memory = scheduler.model_outputs, scheduler.lower_order_nums, scheduler.last_sample
        set_timesteps(scheduler, *arguments, **named)
        scheduler.model_outputs, scheduler.lower_order_nums, scheduler.last_sample = memory

    monkeypatch.setattr(UniPCMultistepScheduler, "set_timesteps", forgetful)
    with generator.session():
        expected = generator.generate(other, RecordingRun(workdir=tmp_path)).frames
        broken_off(generator, resolved, tmp_path, 3)
        np.testing.assert_array_equal(generator.generate(other, RecordingRun(workdir=tmp_path)).frames, expected)


@pytest.mark.parametrize(
    ("name", "pipeline_name"),
    [
        ("wan with guidance", "WanPipeline"),
        ("wan, clean first latent frame", "WanImageToVideoPipeline"),
        ("svd without guidance", "StableVideoDiffusionPipeline"),
    ],
)
def test_decoding_apart_equals_the_stock_pipeline_within_the_rounding_of_a_float(
    make: Callable[[Case], Generator],
    tmp_path: Path,
    photo: Conditioning,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    pipeline_name: str,
) -> None:
    import diffusers

    from pipelines.frames import to_uint8

    generator = make(CASES[name])
    resolved = request_of(generator, CASES[name], photo)
    seen: list[np.ndarray] = []
    monkeypatch.setattr("pipelines.frames.to_uint8", lambda frames: (seen.append(frames), to_uint8(frames))[1])
    stock_class = getattr(diffusers, pipeline_name)
    call = stock_class.__call__
    whole = {"output_type": "pt", **({"decode_chunk_size": 2} if "svd" in name else {})}
    with generator.session():
        generator.generate(resolved, RecordingRun(workdir=tmp_path))
        ours = np.concatenate(seen)
        seen.clear()
        monkeypatch.setattr(stock_class, "__call__", lambda self, *given, **named: call(self, *given, **named | whole))
        # What the stock pipeline made is in [0, 1] already.
        monkeypatch.setattr(generator, "_decode", lambda _pipeline, frames, _resolved: iter([frames[0] * 2 - 1]))
        generator.generate(resolved, RecordingRun(workdir=tmp_path))
    stock = np.concatenate(seen)
    assert ours.dtype == stock.dtype == np.float32
    np.testing.assert_allclose(ours, stock, rtol=0, atol=1e-4)  # of random weights, after four steps


def test_a_cache_of_activations_is_emptied_after_a_broken_run_and_nothing_is_kept_midway(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning
) -> None:
    from diffusers import FirstBlockCacheConfig

    case = CASES["wan with guidance"]
    generator = make(case)
    resolved, other = (request_of(generator, case, photo, seed=seed) for seed in (5, 6))
    with generator.session():
        exact = generator.generate(other, RecordingRun(workdir=tmp_path)).frames
        generator._pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.9))
        expected = generator.generate(other, RecordingRun(workdir=tmp_path)).frames
        assert np.any(expected != exact)
        assert sorted(broken_off(generator, resolved, tmp_path, 3).shelf) == ["embeddings"]
        np.testing.assert_array_equal(generator.generate(other, RecordingRun(workdir=tmp_path)).frames, expected)


class FullDiskRun(RecordingRun):
    """Has no room for anything."""

    def keep(self, stage: str, content: bytes) -> None:
        raise DiskFull("there is no room")


def test_a_full_disk_costs_the_checkpoints_and_not_the_clip(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, caplog: pytest.LogCaptureFixture
) -> None:
    case = CASES["wan with guidance"]
    generator = make(case)
    resolved = request_of(generator, case, photo)
    with generator.session():
        undisturbed = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
        frames = generator.generate(resolved, FullDiskRun(workdir=tmp_path, keeps_each_step=True)).frames
    np.testing.assert_array_equal(frames, undisturbed)
    assert "the stage latents is not kept" in caplog.text


@pytest.mark.parametrize("stage", ["embeddings", "sampling", "latents"])
def test_a_stage_that_is_garbage_or_of_another_device_is_made_again(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, stage: str
) -> None:
    case = CASES["wan with guidance"]
    generator = make(case)
    resolved = request_of(generator, case, photo)
    with generator.session():
        first = RecordingRun(workdir=tmp_path, keeps_each_step=True)
        undisturbed = generator.generate(resolved, first).frames
        foreign = first.shelf[stage].replace(b"cpu ", b"gpu ", 1)
        for content in (b"", b"garbage" * 20, first.shelf[stage][:-1], foreign):
            run = RecordingRun(workdir=tmp_path, earlier={stage: content})
            with counted(generator, "denoiser") as calls:
                frames = generator.generate(resolved, run).frames
            assert len(calls) == 2 * TOTAL
            np.testing.assert_array_equal(frames, undisturbed)


def test_latents_that_are_not_finite_are_not_kept(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning
) -> None:
    case = CASES["wan with guidance"]
    generator = make(case)
    run = RecordingRun(workdir=tmp_path, keeps_each_step=True)
    with generator.session():
        with torch.no_grad():
            generator._pipeline.transformer.proj_out.bias.fill_(float("nan"))
        with pytest.raises(GenerationFailed, match="not finite"):
            generator.generate(request_of(generator, case, photo), run)
    assert sorted(run.shelf) == ["embeddings"]


@pytest.fixture
def half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU compute in the format of a GPU."""
    placement = Placement(device=torch.device("cpu"), dtype=torch.float16)
    monkeypatch.setattr("pipelines.local.choose_placement", lambda *_: placement)


def test_svd_in_half_precision_equals_the_stock_pipeline_and_goes_on_bit_for_bit(
    make: Callable[[Case], Generator], tmp_path: Path, photo: Conditioning, half_precision: None
) -> None:
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

    from studio.media import fit_image, read_image

    case = CASES["svd with guidance"]
    generator = make(case)
    resolved = request_of(generator, case, photo, num_inference_steps=2)
    with generator.session():
        assert generator._pipeline.vae.config.force_upcast
        with failing(generator, "vae.encoder"), pytest.raises(OutOfMemory):
            generator.generate(resolved, RecordingRun(workdir=tmp_path))
        ours = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
        first = broken_off(generator, resolved, tmp_path, 1)
        again = generator.generate(resolved, RecordingRun(workdir=tmp_path, earlier=first.shelf)).frames
    stock = StableVideoDiffusionPipeline.from_pretrained(tmp_path / "weights", dtype=torch.float16)(
        Image.fromarray(fit_image(read_image(photo.path), 32, 32)), height=32, width=32, num_frames=5,
        num_inference_steps=2, max_guidance_scale=resolved.guidance_scale, fps=7,
        min_guidance_scale=resolved.options["min_guidance_scale"], decode_chunk_size=5,
        generator=torch.Generator().manual_seed(5), output_type="np",
        motion_bucket_id=resolved.options["motion_bucket_id"],
        noise_aug_strength=resolved.options["noise_aug_strength"],
    ).frames[0]  # fmt: skip
    assert np.abs(ours.astype(np.int16) - (stock * 255).round().astype(np.int16)).max() <= HALF_PRECISION
    np.testing.assert_array_equal(again, ours)


def test_tensors_come_back_bit_for_bit_and_lie_in_memory_as_they_did() -> None:
    noise = torch.randn(2, 3, 4, 6)
    parts = {
        "odd": torch.tensor([float("nan"), -0.0, float("inf"), 1e-40]),
        "brain": noise.to(torch.bfloat16),
        "half": noise.half(),
        "whole": torch.arange(7),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "channels last": noise.to(memory_format=torch.channels_last),
        "part": noise[:, 1:, ::2],
        "expanded": torch.ones(1, 3).expand(4, 3),
        "state": torch.Generator().manual_seed(3).get_state(),
        "list": [None, noise, noise[0], 2, 0.1, True, "text", {"deep": [torch.ones(2)]}],
    }
    back = unpack(pack(parts, "here"), "here", torch.device("cpu"))
    assert list(back) == list(parts)
    assert back["list"][3:7] == [2, 0.1, True, "text"]
    assert back["list"][0] is None
    for before, after in zip(_tensors(parts), _tensors(back), strict=True):
        assert after.dtype is before.dtype
        assert torch.equal(
            after.contiguous().view(-1).view(torch.uint8), before.contiguous().view(-1).view(torch.uint8)
        )
        assert 0 in before.stride() or after.stride() == before.stride()


def _bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, dict | list):
        return [tensor for item in (value.values() if isinstance(value, dict) else value) for tensor in _tensors(item)]
    return [value] if isinstance(value, torch.Tensor) else []


_UNKEEPABLE = [np.float64(1.0), np.ones(2), (1, 2), object(), b"bytes"]


@pytest.mark.parametrize("value", _UNKEEPABLE, ids=["float64", "array", "tuple", "object", "bytes"])
def test_what_would_come_back_as_something_else_is_not_kept(value: object) -> None:
    with pytest.raises(NotKeepable):
        pack({"value": value}, "here")


def test_nothing_is_kept_midway_of_a_scheduler_with_parts_of_its_own_kind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RecordingRun(workdir=tmp_path)
    shelf = StageShelf(run, Placement(device=torch.device("cpu"), dtype=torch.float32))
    shelf.keep("sampling", {"scheduler": {"noise": random.Random(0)}})
    assert run.shelf == {}
    assert "is not kept" in caplog.text


class Doomed:
    """The process of `tests.pipelines.doomed`."""

    def __init__(self, folder: Path, waits_in: str) -> None:
        folder.mkdir()
        self.folder = folder
        # As many threads as here: other sums are added up in another order.
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        command = [sys.executable, "-m", "tests.pipelines.doomed", str(folder), waits_in]
        self._process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2])

    def steps(self) -> int:
        file = self.folder / "steps"
        return file.stat().st_size - 1 if file.exists() else 0

    def kill_when(self, is_time: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not is_time():
            assert time.monotonic() < deadline
            assert self._process.poll() is None
            time.sleep(0.001)
        assert self.kill() == -signal.SIGKILL

    def kill(self) -> int:
        self._process.kill()
        return self._process.wait()


@pytest.fixture
def doomed(studio: object, tmp_path: Path) -> Iterator[list[Doomed]]:
    """Two processes, one to be killed in sampling and one in decoding."""
    processes = [Doomed(tmp_path / stage, stage) for stage in ("sampling", "decoding")]
    yield processes
    for process in processes:
        process.kill()


def test_after_a_kill_in_sampling_and_one_in_decoding_only_the_rest_is_done(
    doomed: list[Doomed], tmp_path: Path
) -> None:
    sampling, decoding = doomed
    moment = random.SystemRandom().randint(1, STEPS - 10)
    generator, resolved = micro_wan()
    with generator.session():
        sampling.kill_when(lambda: sampling.steps() >= moment)
        decoding.kill_when((decoding.folder / "decoding").exists)
        undisturbed = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames

        run = FiledRun(sampling.folder, resolved)
        with counted(generator, "denoiser") as calls:
            np.testing.assert_array_equal(generator.generate(resolved, run).frames, undisturbed)
        assert moment - 1 <= run.steps[0] < STEPS
        assert len(calls) == 2 * (STEPS - run.steps[0])

        run = FiledRun(decoding.folder, resolved)
        with counted(generator, "denoiser") as calls:
            np.testing.assert_array_equal(generator.generate(resolved, run).frames, undisturbed)
        assert calls == []
        assert run.steps == [STEPS]
    assert not list(tmp_path.glob("*/.sampling*.part"))
