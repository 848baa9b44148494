"""LTX-Video: what conditions it, the decoder's own step, videos to start from, schedules of distilled checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from studio.generator import Generator
from studio.request import Conditioning, GenerationRequest, Role
from tests.pipelines.checkpoints.ltx import SETTINGS, SIZES, save_early_ltx, save_ltx
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")

Make = Callable[..., Generator]
STRENGTHS = (0.1, 0.9)


@pytest.fixture
def ltx(tmp_path: Path, generator_of: Make) -> Generator:
    return generator_of("ltx-video-0.9.5", save_ltx(tmp_path / "weights"), parameters=SIZES, settings=SETTINGS)


@pytest.fixture
def last(tmp_path: Path) -> Conditioning:
    PIL.Image.new("RGB", (64, 32), (250, 20, 20)).save(tmp_path / "last.png")
    return Conditioning(role=Role.LAST_FRAME, path=tmp_path / "last.png")


def source(folder: Path, colour: int) -> Conditioning:
    """Write a video of one grey."""
    import imageio_ffmpeg

    path = folder / f"source{colour}.mp4"
    writer = imageio_ffmpeg.write_frames(str(path), (64, 32), fps=24, macro_block_size=1)
    writer.send(None)
    for _ in range(12):
        writer.send(np.full((32, 64, 3), colour, np.uint8))
    writer.close()
    return Conditioning(role=Role.SOURCE_VIDEO, path=path)


def clip_of(generator: Generator, run: RecordingRun, **fields: Any) -> np.ndarray:
    request = {"prompt": "a red circle moving", "seed": 5, "num_inference_steps": 3} | fields
    return generator.generate(generator.resolve(GenerationRequest(model=generator.spec.id, **request)), run).frames


def test_the_frame_rate_conditions_the_model(ltx: Generator, run: RecordingRun) -> None:
    with ltx.session():
        slow, fast = (clip_of(ltx, run, frame_rate=Fraction(rate)) for rate in (8, 50))
    assert np.any(slow != fast)


def test_first_and_last_picture_both_count(
    ltx: Generator, run: RecordingRun, photo: Conditioning, last: Conditioning
) -> None:
    with ltx.session():
        text, first, both = (clip_of(ltx, run, conditionings=given) for given in ((), (photo,), (photo, last)))
    assert np.any(text != first)
    assert np.any(first != both)


def test_options_reach_the_pipeline(ltx: Generator, run: RecordingRun, photo: Conditioning) -> None:
    with ltx.session():
        plain, rescaled = (clip_of(ltx, run, options={"guidance_rescale": value}) for value in (0.0, 1.0))
        still, moved = (
            clip_of(ltx, run, conditionings=(photo,), options={"image_cond_noise_scale": value}) for value in (0.0, 1.0)
        )
    assert np.any(plain != rescaled)
    assert np.any(still != moved)


def test_with_full_strength_nothing_of_the_source_is_left(ltx: Generator, run: RecordingRun, tmp_path: Path) -> None:
    dark, light = (source(tmp_path, colour) for colour in (20, 230))
    with ltx.session():
        one, two = (clip_of(ltx, run, conditionings=(video,), options={"strength": 1.0}) for video in (dark, light))
        three, four = (clip_of(ltx, run, conditionings=(video,), options={"strength": 0.5}) for video in (dark, light))
    np.testing.assert_array_equal(one, two)
    assert np.any(three != four)


def test_less_strength_stays_nearer_to_the_source(ltx: Generator, run: RecordingRun, tmp_path: Path) -> None:
    video = source(tmp_path, 60)
    with ltx.session(), torch.inference_mode():
        resolved = ltx.resolve(GenerationRequest(model=ltx.spec.id, prompt="a", seed=5, conditionings=(video,)))
        pipeline = ltx._pipeline
        vae = pipeline.vae
        frames = torch.full((1, 3, 9, resolved.height, resolved.width), 60 / 127.5 - 1)
        wanted = vae.encode(frames).latent_dist.mode()
        distances = []
        for strength in STRENGTHS:
            taken = ltx.resolve(
                GenerationRequest(
                    model=ltx.spec.id, prompt="a", seed=5, num_inference_steps=3, conditionings=(video,),
                    options={"strength": strength},
                )
            )  # fmt: skip
            rng = torch.Generator().manual_seed(5)
            latents = ltx._sample(pipeline, taken, ltx._encode(pipeline, taken), rng, lambda *_: {})
            distances.append(float((latents - wanted).square().mean()))
    assert distances[0] < distances[1]


def test_all_steps_are_done_from_a_source(ltx: Generator, run: RecordingRun, tmp_path: Path) -> None:
    with ltx.session():
        clip_of(ltx, run, conditionings=(source(tmp_path, 60),), options={"strength": 0.3})
    assert run.steps == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_distilled_checkpoint_takes_its_own_timesteps_where_their_number_is_asked_for(
    tmp_path: Path, generator_of: Make
) -> None:
    folder = save_ltx(tmp_path / "weights")
    own = [1000, 900, 400.5]
    generator = generator_of(
        "ltx-video-0.9.8-13b-distilled", folder, settings=SETTINGS | {"timesteps": own},
        parameters=SIZES | {"num_inference_steps": {"min": 2, "max": 4, "default": 3}},
    )  # fmt: skip
    with generator.session():
        assert timesteps_of(generator, 3) == own
        assert timesteps_of(generator, 2) != own[:2]


def timesteps_of(generator: Generator, steps: int) -> list[float]:
    resolved = generator.resolve(
        GenerationRequest(model=generator.spec.id, prompt="a", seed=1, num_inference_steps=steps)
    )
    seen: list[float] = []

    def on_step(_pipeline: Any, _index: int, timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(float(timestep))
        return {}

    pipeline = generator._pipeline
    with torch.inference_mode():
        generator._sample(pipeline, resolved, generator._encode(pipeline, resolved), torch.Generator(), on_step)
    return seen


def test_a_decoder_that_draws_noise_draws_the_same_for_a_seed_and_leaves_torchs_generator_alone(
    tmp_path: Path, generator_of: Make, run: RecordingRun
) -> None:
    folder = save_ltx(tmp_path / "weights", injects_noise=True)
    generator = generator_of("ltx-video-0.9.5", folder, parameters=SIZES, settings=SETTINGS)
    with generator.session():
        before = torch.random.get_rng_state()
        first = clip_of(generator, run)
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(99)
        np.testing.assert_array_equal(first, clip_of(generator, run))


@pytest.mark.parametrize("save", [save_ltx, save_early_ltx])
def test_the_preview_shows_a_frame_of_the_latents_of_a_step(
    tmp_path: Path, generator_of: Make, run: RecordingRun, photo: Conditioning, last: Conditioning, save: Any
) -> None:
    is_early = save is save_early_ltx
    generator = generator_of(
        "ltx-video-0.9" if is_early else "ltx-video-0.9.5", save(tmp_path / "weights"), parameters=SIZES,
        settings=SETTINGS,
    )  # fmt: skip
    with generator.session():
        clip_of(generator, run, conditionings=(photo,) if is_early else (photo, last))
    height, width = run.previews[0].image.shape[:2]
    assert width == 2 * height
