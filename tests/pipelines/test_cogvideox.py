"""What is particular to CogVideoX: its solver's memory, its decode in pieces, its padding in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.errors import Canceled
from studio.request import GenerationRequest, ResolvedRequest
from tests.pipelines.checkpoints.cogvideox import CHANNELS, TOKENS, save_cogvideox
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")

TOTAL = 4


@pytest.fixture
def make(generator_of: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    def build(base: str, **kind: Any) -> Any:
        return generator_of(
            base,
            save_cogvideox(tmp_path / "weights", **kind),
            parameters={"num_frames": {"min": 1, "max": 49, "default": 9}},
            settings={"max_sequence_length": TOKENS},
        )

    return build


def request_of(generator: Any, **fields: Any) -> ResolvedRequest:
    wish = {"prompt": "a red circle", "seed": 5, "num_inference_steps": TOTAL, **fields}
    resolved: ResolvedRequest = generator.resolve(GenerationRequest(model=generator.spec.id, **wish))
    return resolved


def resumed(generator: Any, resolved: ResolvedRequest, workdir: Path, step: int) -> np.ndarray:
    """Return the frames of a run that was canceled after a step and taken up again."""
    first = RecordingRun(workdir=workdir, cancel_at=step, keeps_each_step=True)
    with pytest.raises(Canceled):
        generator.generate(resolved, first)
    frames: np.ndarray = generator.generate(resolved, RecordingRun(workdir=workdir, earlier=first.shelf)).frames
    return frames


def test_the_remembering_solver_goes_on_bit_for_bit_where_the_stock_one_does_not(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    from diffusers import CogVideoXDPMScheduler

    generator = make("cogvideox-5b", is_dpm=True, has_rotary_positions=True)
    resolved = request_of(generator)
    with generator.session():
        undisturbed = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
        for step in range(1, TOTAL):
            np.testing.assert_array_equal(resumed(generator, resolved, tmp_path, step), undisturbed)
        generator._model._scheduler = CogVideoXDPMScheduler.from_config(generator._model._scheduler.config)
        np.testing.assert_array_equal(generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames, undisturbed)
        assert np.any(resumed(generator, resolved, tmp_path, 2) != undisturbed)


def test_the_remembering_solver_forgets_the_run_before() -> None:
    from pipelines.cogvideox_scheduler import RememberingScheduler

    scheduler = RememberingScheduler(prediction_type="v_prediction", timestep_spacing="trailing")
    noise = torch.randn(3, 1, 3, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(1))

    def run() -> torch.Tensor:
        rng = torch.Generator().manual_seed(2)
        scheduler.set_timesteps(3)
        assert scheduler.last_prediction is None
        latents, before = noise[0], None
        for output, time in zip(noise, scheduler.timesteps, strict=True):
            latents, _ = scheduler.step(output, None, time, before, latents, generator=rng)
            before = time
            assert scheduler.last_prediction is not None
        return latents

    assert torch.equal(run(), run())


@pytest.mark.parametrize(("latent_frames", "pieces"), [(1, [1]), (2, [8]), (3, [9]), (4, [8, 8]), (5, [9, 8])])
def test_it_decodes_in_pieces_that_are_those_of_the_stock_decoder_bit_for_bit(
    make: Callable[..., Any], latent_frames: int, pieces: list[int]
) -> None:
    generator = make("cogvideox-2b")
    resolved = request_of(generator, num_frames=4 * latent_frames - 3)
    latents = torch.randn(1, latent_frames, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(1))
    with generator.session(), torch.inference_mode():
        ours = list(generator._decode(generator._pipeline, latents, resolved))
        stock = generator._pipeline.decode_latents(latents)[0].transpose(0, 1)
    assert [len(piece) for piece in ours] == pieces
    assert torch.equal(torch.cat(ours), stock)


def test_frames_that_only_fill_the_patches_of_the_second_generation_are_not_decoded(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    generator = make("cogvideox1.5-5b", is_dpm=True, is_second=True)
    resolved = request_of(generator, num_frames=9)
    seen: list[Any] = []
    decode = generator._decode

    def watched(pipeline: Any, latents: Any, request: ResolvedRequest) -> Any:
        seen.append(latents)
        return decode(pipeline, latents, request)

    generator._decode = watched
    with generator.session():
        clip = generator.generate(resolved, RecordingRun(workdir=tmp_path))
    assert seen[0].shape == (1, 4, CHANNELS, 4, 4)
    assert len(clip.frames) == 9


def test_guidance_that_grows_makes_another_clip(make: Callable[..., Any], tmp_path: Path) -> None:
    generator = make("cogvideox-5b", is_dpm=True, has_rotary_positions=True)
    with generator.session():
        steady, growing = (
            generator.generate(
                request_of(generator, options={"use_dynamic_cfg": is_growing}), RecordingRun(workdir=tmp_path)
            ).frames
            for is_growing in (False, True)
        )
    assert np.any(steady != growing)


def test_the_smallest_computes_in_the_format_it_was_trained_in(make: Callable[..., Any]) -> None:
    assert make("cogvideox-2b").gpu_dtype == "float16"
    assert make("cogvideox-5b").gpu_dtype == "bfloat16"
