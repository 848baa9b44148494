"""LTX-2: sound beside the picture, kept and taken up with it, and guidance of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.errors import Canceled
from studio.generator import Generator
from studio.media import FrameClip
from studio.request import GenerationRequest
from tests.pipelines.checkpoints.ltx2 import SETTINGS, SIZES, both, save_later_ltx2, save_ltx2
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")

Make = Callable[..., Generator]


@pytest.fixture
def ltx2(tmp_path: Path, generator_of: Make) -> Generator:
    return generator_of("ltx-2", save_ltx2(tmp_path / "weights"), parameters=SIZES, settings=SETTINGS)


def wish(generator: Generator, **fields: Any) -> Any:
    request = {"prompt": "a red circle", "seed": 5, "num_inference_steps": 2, "generate_audio": True} | fields
    return generator.resolve(GenerationRequest(model=generator.spec.id, **request))


def clip_of(generator: Generator, run: RecordingRun, **fields: Any) -> FrameClip:
    return generator.generate(wish(generator, **fields), run)


def test_the_sound_is_that_of_the_stock_pipeline(ltx2: Generator, run: RecordingRun, tmp_path: Path) -> None:
    with ltx2.session():
        audio = clip_of(ltx2, run).audio
    _, stock = both(tmp_path / "weights", wish(ltx2), torch.Generator().manual_seed(5))
    assert audio is not None
    assert audio.sample_rate == 4000
    np.testing.assert_allclose(audio.samples, stock.numpy().T, atol=1e-5)
    assert audio.samples.std() > 1e-3


def test_a_silent_clip_has_the_same_frames(ltx2: Generator, run: RecordingRun) -> None:
    with ltx2.session():
        silent, sounding = (clip_of(ltx2, run, generate_audio=wanted) for wanted in (False, True))
    assert silent.audio is None
    np.testing.assert_array_equal(silent.frames, sounding.frames)


def test_a_retry_goes_on_with_picture_and_sound_bit_for_bit(ltx2: Generator, run: RecordingRun, tmp_path: Path) -> None:
    with ltx2.session():
        undisturbed = clip_of(ltx2, run, num_inference_steps=3)
        first = RecordingRun(workdir=tmp_path, cancel_at=2, keeps_each_step=True)
        with pytest.raises(Canceled):
            clip_of(ltx2, first, num_inference_steps=3)
        again = clip_of(ltx2, RecordingRun(workdir=tmp_path, earlier=first.shelf), num_inference_steps=3)
    np.testing.assert_array_equal(again.frames, undisturbed.frames)
    assert again.audio is not None
    assert undisturbed.audio is not None
    np.testing.assert_array_equal(again.audio.samples, undisturbed.audio.samples)


@pytest.mark.parametrize("option", ["audio_guidance_scale", "modality_scale", "stg_scale", "guidance_rescale"])
def test_each_kind_of_guidance_changes_the_clip(
    tmp_path: Path, generator_of: Make, run: RecordingRun, option: str
) -> None:
    generator = generator_of("ltx-2.3", save_later_ltx2(tmp_path / "weights"), parameters=SIZES, settings=SETTINGS)
    with generator.session():
        usual, other = (
            clip_of(generator, run),
            clip_of(generator, run, options={option: 1.0 if "rescale" in option else 2.0}),
        )
    assert np.any(usual.frames != other.frames) or np.any(usual.audio.samples != other.audio.samples)


def test_without_any_guidance_the_denoiser_is_called_once_a_step_with_its_own_noise_levels(
    tmp_path: Path, generator_of: Make, run: RecordingRun
) -> None:
    parameters = SIZES | {"num_inference_steps": {"min": 2, "max": 2, "default": 2}}
    generator = generator_of(
        "ltx-2.5",
        save_later_ltx2(tmp_path / "weights"),
        parameters=parameters,
        settings=SETTINGS | {"sigmas": [1.0, 0.4]},
    )
    levels: list[float] = []
    with generator.session():
        generator._pipeline.transformer.register_forward_pre_hook(
            lambda _module, _given, named: levels.append(float(named["timestep"].flatten()[0])), with_kwargs=True
        )
        clip_of(generator, run)
    assert levels == [1000.0, 400.0]


def test_the_row_of_the_distilled_checkpoint_holds_its_levels() -> None:
    from diffusers.pipelines.ltx2.utils import DISTILLED_SIGMA_VALUES

    from studio.catalog.loader import load_catalog

    spec = load_catalog().get("ltx-2.5")
    assert spec.settings["sigmas"] == DISTILLED_SIGMA_VALUES
    assert spec.parameters.num_inference_steps.default == len(DISTILLED_SIGMA_VALUES)
