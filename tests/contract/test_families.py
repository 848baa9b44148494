"""What every local family promises, run over each of them at its smallest, with random weights of the real classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.errors import Canceled, OutOfMemory, UnsupportedValue
from studio.media import FrameClip
from studio.registry import Registry
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role
from studio.weights import WeightStore
from tests.pipelines.checkpoints import FamilyCase, all_cases
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS = 3
_SIDE = {"min": 16, "max": 256, "default": 32, "step": 16, "offset": 0}
SMALL = {
    "width": _SIDE,
    "height": _SIDE,
    "num_frames": {"min": 1, "max": 9, "default": 5},
    "sizes": (),
    "max_pixels": None,
}
CASES = all_cases()


@dataclass(frozen=True)
class Bench:
    """One case, ready to run."""

    case: FamilyCase
    generator: Any
    folder: Path
    resolved: ResolvedRequest


def media_of(case: FamilyCase, folder: Path) -> tuple[Conditioning, ...]:
    found = []
    for number, role in enumerate(case.roles):
        if role is Role.SOURCE_VIDEO:
            found.append(Conditioning(role=role, path=_video(folder / "source.mp4")))
            continue
        path = folder / f"picture{number}.png"
        y, x = np.mgrid[0:96, 0:96]
        image = np.stack([x * 2, y * (1 + number), 255 - x], axis=-1).clip(0, 255).astype(np.uint8)
        PIL.Image.fromarray(image).save(path)
        found.append(Conditioning(role=role, path=path))
    return tuple(found)


def _video(path: Path) -> Path:
    import imageio_ffmpeg

    writer = imageio_ffmpeg.write_frames(str(path), (96, 96), fps=8, macro_block_size=1)
    writer.send(None)
    for shift in range(40):
        frame = np.roll(np.tile(np.arange(96, dtype=np.uint8)[None, :, None] * 2, (96, 1, 3)), shift, axis=1)
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def bench(request: pytest.FixtureRequest, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    case = request.param
    folder = case.save(tmp_path / "weights")
    monkeypatch.setattr(WeightStore, "locate", lambda _self, _spec: folder)
    spec = load_catalog().get(case.base)
    data = spec.model_dump()
    data["parameters"] |= SMALL | dict(case.parameters)
    data["settings"] = data["settings"] | dict(case.settings)
    from studio.registry import _import_class

    changed = type(spec).model_validate(data)
    generator = _import_class(changed)(changed, studio.settings)
    wish = GenerationRequest(
        model=spec.id,
        prompt="a red circle moving" if case.has_text else "",
        seed=5,
        num_inference_steps=STEPS if spec.parameters.num_inference_steps else None,
        conditionings=media_of(case, tmp_path),
        **case.fields,
    )
    return Bench(case, generator, folder, generator.resolve(wish))


def clip_of(bench: Bench, run: RecordingRun, **changes: Any) -> FrameClip:
    return bench.generator.generate(replace(bench.resolved, **changes), run)


def test_frames_equal_the_stock_pipeline(bench: Bench, tmp_path: Path) -> None:
    if bench.case.stock is None:
        pytest.skip("stock has no pipeline that does this in one call")
    with bench.generator.session():
        ours = clip_of(bench, RecordingRun(workdir=tmp_path)).frames
    with torch.no_grad():
        floats = bench.case.stock(bench.folder, bench.resolved, torch.Generator("cpu").manual_seed(5))
    stock = (floats * 255).round().astype(np.int16)
    assert ours.shape == stock.shape
    assert np.abs(ours.astype(np.int16) - stock).max() <= 1
    assert np.mean(ours != stock) < 0.01


def test_seeds_reproduce_steps_are_told_and_the_clip_has_the_shape_asked_for(bench: Bench, tmp_path: Path) -> None:
    runs = [RecordingRun(workdir=tmp_path) for _ in range(3)]
    with bench.generator.session():
        first, again = (clip_of(bench, run) for run in runs[:2])
        other = clip_of(bench, runs[2], seed=6)
    wanted = bench.resolved
    assert first.frames.shape == (wanted.num_frames, wanted.height, wanted.width, 3)
    assert first.frame_rate == wanted.frame_rate == Fraction(wanted.frame_rate)
    np.testing.assert_array_equal(first.frames, again.frames)
    assert np.any(first.frames != other.frames)
    done = [step for step, _ in runs[0].steps]
    assert done == sorted(done)
    assert runs[0].steps[-1][0] == runs[0].steps[-1][1] == bench.generator._number_of_steps(wanted)
    assert runs[0].previews
    if bench.case.has_audio:
        assert first.audio is not None
        length = first.audio.duration_seconds
        assert abs(float(length) - wanted.num_frames / float(wanted.frame_rate)) < 0.2


def test_it_is_canceled_between_steps_and_goes_on_from_there_bit_for_bit(bench: Bench, tmp_path: Path) -> None:
    with bench.generator.session():
        undisturbed = clip_of(bench, RecordingRun(workdir=tmp_path)).frames
        first = RecordingRun(workdir=tmp_path, cancel_at=1, keeps_each_step=True)
        with pytest.raises(Canceled):
            clip_of(bench, first)
        assert first.steps[-1][0] == 1
        assert "sampling" in first.shelf
        second = RecordingRun(workdir=tmp_path, earlier=first.shelf)
        frames = clip_of(bench, second).frames
    assert second.steps[0][0] == 1
    np.testing.assert_array_equal(frames, undisturbed)


@pytest.mark.parametrize("stage", ["sampling", "decoding"])
def test_memory_that_runs_out_once_costs_no_clip(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    run = RecordingRun(workdir=tmp_path)
    with bench.generator.session():
        undisturbed = clip_of(bench, RecordingRun(workdir=tmp_path)).frames
        failing = _fails_once(bench.generator, stage, monkeypatch)
        if has_less := len(bench.generator._plans(bench.generator._model.placement, bench.resolved)) > 1:
            frames = clip_of(bench, run).frames
        else:  # the next run goes on from what this one has kept
            with pytest.raises(OutOfMemory, match=f"memory ran out while {stage}"):
                clip_of(bench, run)
            frames = clip_of(bench, RecordingRun(workdir=tmp_path, earlier=run.shelf)).frames
    assert failing == ["failed"]
    assert any("ran out while" in note and "went on with less" in note for note in run.notes) is has_less
    assert np.abs(frames.astype(np.int16) - undisturbed.astype(np.int16)).max() <= 1


def test_memory_that_is_never_enough_is_named_and_what_was_made_is_kept(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RecordingRun(workdir=tmp_path)
    with bench.generator.session():
        with monkeypatch.context() as patch:
            _fails_always(bench.generator, patch)
            with pytest.raises(OutOfMemory, match="memory ran out while decoding") as failure:
                clip_of(bench, run)
        assert failure.value.fix
        assert "latents" in run.shelf
        second = RecordingRun(workdir=tmp_path, earlier=run.shelf)
        assert clip_of(bench, second).frames.any()
    assert second.stages == ["decoding"]


def _fails_once(generator: Any, stage: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the second denoiser step, or the decode, run out of memory the first time."""
    failed: list[str] = []
    hook = "_decode" if stage == "decoding" else "_sample"
    stock = getattr(generator, hook)

    def fail() -> None:
        if not failed:
            failed.append("failed")
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    def decode(*given: Any) -> Any:
        yield from stock(*given)
        fail()

    def sample(pipeline: Any, resolved: Any, embeddings: Any, rng: Any, on_step: Any) -> Any:
        def step(pipeline: Any, index: int, timestep: Any, tensors: Any) -> Any:
            if index == 1:
                fail()
            return on_step(pipeline, index, timestep, tensors)

        return stock(pipeline, resolved, embeddings, rng, step)

    monkeypatch.setattr(generator, hook, decode if stage == "decoding" else sample)
    return failed


def _fails_always(generator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    monkeypatch.setattr(generator, "_decode", decode)


def test_its_memory_is_foretold_by_going_through_it_without_numbers(bench: Bench) -> None:
    from pipelines.memory import Budget
    from pipelines.placement import Placement

    for placement in (
        Placement(device=torch.device("cpu"), dtype=torch.float32),
        Placement(device=torch.device("cuda"), dtype=torch.bfloat16),
    ):
        foresight = bench.generator.foresight(placement, bench.folder)
        plans = bench.generator._plans(placement, bench.resolved)
        forecasts = [foresight.forecast(bench.resolved, plan) for plan in plans]
        figures = [one.ram_bytes if placement.is_cpu else one.device_bytes for one in forecasts]
        assert all(figure > 0 for figure in figures)
        assert placement.is_cpu or max(figures) == figures[0]
        ladder = foresight.ladder(bench.resolved, Budget(device_bytes=1 << 40, ram_bytes=1 << 40))
        assert ladder.from_what_fits() == list(plans)


def test_its_speed_profiles_run_and_are_declared_as_approximate(bench: Bench, tmp_path: Path) -> None:
    names = [name for name in bench.generator.spec.parameters.options["speed"].choices if name != "exact"]
    if not names:
        pytest.skip("its row has no profile but exact")
    with bench.generator.session():
        exact = clip_of(bench, RecordingRun(workdir=tmp_path), num_inference_steps=6).frames
        for name in names:
            if not _can(bench, name):
                continue
            resolved = _with_option(bench, "speed", name)
            frames = bench.generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
            declared = bench.generator.declare(resolved)
            assert declared.speed_profile is not None
            assert declared.speed_profile.startswith(f"{name}: ")
            assert declared.speed_profile.endswith("approximate")
            assert frames.shape == exact.shape
            assert np.any(frames != exact)
        again = clip_of(bench, RecordingRun(workdir=tmp_path), num_inference_steps=6).frames
    np.testing.assert_array_equal(again, exact)


def _can(bench: Bench, profile: str) -> bool:
    """Say whether the profile goes with the task; a refusal names the option."""
    try:
        _with_option(bench, "speed", profile)
    except UnsupportedValue as refusal:
        return refusal.field != "option speed"
    return True


def _with_option(bench: Bench, name: str, value: object) -> ResolvedRequest:
    options = {**bench.resolved.options, name: value}
    wish = GenerationRequest(
        model=bench.resolved.model, task=bench.resolved.task, prompt=bench.resolved.prompt, seed=5,
        conditionings=bench.resolved.conditionings, **bench.case.fields | {"options": options},
    )  # fmt: skip
    return replace(bench.generator.resolve(wish), num_inference_steps=_steps(bench, options))


def _steps(bench: Bench, options: dict[str, Any]) -> int:
    from pipelines.manner import speed_of

    return speed_of(options, bench.generator.spec).steps(6)


def test_it_goes_through_the_whole_studio_to_a_sealed_file(bench: Bench, studio: Studio, tmp_path: Path) -> None:
    rows = Registry(studio.registry.catalog, studio.settings)
    rows._generators[bench.generator.spec.id] = bench.generator
    studio.__dict__["registry"] = rows
    resolved = bench.resolved
    wish = GenerationRequest(
        model=resolved.model, task=resolved.task, prompt=resolved.prompt, seed=resolved.seed, width=resolved.width,
        height=resolved.height, num_frames=resolved.num_frames, num_inference_steps=resolved.num_inference_steps,
        conditionings=tuple(replace(item, sha256=None) for item in resolved.conditionings),
        **{"options": dict(resolved.options), **bench.case.fields},
    )  # fmt: skip
    outcome = studio.generate(wish, output=tmp_path / "clip.mp4")
    assert outcome.verification.is_intact
    assert outcome.asset.num_frames == resolved.num_frames
    assert outcome.verification.c2pa.state == "trusted"


def test_every_family_that_is_served_has_a_case() -> None:
    served = {
        spec.generator
        for spec in load_catalog()
        if spec.where == "local" and spec.generator and spec.generator.startswith("pipelines.")
    }
    assert served <= {load_catalog().get(case.base).generator for case in CASES}
