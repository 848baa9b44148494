"""What is particular to SkyReels-V2: frames with noise levels of their own, and their solvers' memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.errors import Canceled, UnsupportedValue
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role
from tests.pipelines.checkpoints.skyreels import save_skyreels
from tests.pipelines.checkpoints.wan import SETTINGS
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")

TOTAL = 3


@pytest.fixture
def generator(tmp_path: Path, generator_of: Callable[..., Any]) -> Any:
    return generator_of(
        "skyreels-v2-df-1.3b-540p",
        save_skyreels(tmp_path / "skyreels", is_forcing=True),
        settings={**SETTINGS, "image_flow_shift": 2.0},
        parameters={"num_frames": {"min": 1, "max": 17, "default": 13}},
    )


def request_of(generator: Any, *, pictures: tuple[Conditioning, ...] = (), **options: int) -> ResolvedRequest:
    wish = GenerationRequest(
        model=generator.spec.id, prompt="a red circle", seed=5, num_inference_steps=TOTAL, conditionings=pictures,
        options=options,
    )  # fmt: skip
    resolved: ResolvedRequest = generator.resolve(wish)
    return resolved


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"ar_step": 1}, {"ar_step": 9}, {"ar_step": 1, "causal_block_size": 2}], ids=str
)
def test_the_steps_that_are_announced_are_those_that_are_done(
    generator: Any, run: RecordingRun, photo: Conditioning, options: dict[str, int], first: bool, last: bool
) -> None:
    if last and (not first or "causal_block_size" in options):
        return  # no such task, or a last picture that no block has room for
    pictures = (photo, replace(photo, role=Role.LAST_FRAME))[: first + last]
    resolved = request_of(generator, pictures=pictures, **options)
    with generator.session():
        generator.generate(resolved, run)
    assert len(run.previews) == generator._number_of_steps(resolved)


def test_a_lagging_run_goes_on_bit_for_bit_where_one_with_the_stock_solver_does_not(
    generator: Any, tmp_path: Path
) -> None:
    from diffusers import UniPCMultistepScheduler

    resolved = request_of(generator, ar_step=1)

    def resumed(step: int) -> np.ndarray:
        first = RecordingRun(workdir=tmp_path, cancel_at=step, keeps_each_step=True)
        with pytest.raises(Canceled):
            generator.generate(resolved, first)
        frames: np.ndarray = generator.generate(resolved, RecordingRun(workdir=tmp_path, earlier=first.shelf)).frames
        return frames

    with generator.session():
        undisturbed = generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames
        for step in (1, 2):
            np.testing.assert_array_equal(resumed(step), undisturbed)
        generator._model._scheduler = UniPCMultistepScheduler.from_config(generator._model._scheduler.config)
        np.testing.assert_array_equal(generator.generate(resolved, RecordingRun(workdir=tmp_path)).frames, undisturbed)
        assert np.any(resumed(2) != undisturbed)


def test_a_given_picture_is_a_frame_without_noise_and_has_a_shift_of_its_own(
    generator: Any, run: RecordingRun, photo: Conditioning
) -> None:
    seen: list[Any] = []
    decode = generator._decode

    def watched(pipeline: Any, latents: Any, resolved: Any) -> Any:
        seen.append(latents.clone())
        return decode(pipeline, latents, resolved)

    generator._decode = watched
    resolved = request_of(generator, pictures=(photo,))
    with generator.session():
        for seed in (5, 6):
            generator.generate(replace(resolved, seed=seed), run)
        assert generator._model._scheduler.config.flow_shift == 3.0
    one, other = seen
    assert np.array_equal(one[:, :, 0], other[:, :, 0])
    assert not np.array_equal(one[:, :, 1:], other[:, :, 1:])


def test_blocks_that_do_not_fill_the_clip_are_refused(generator: Any) -> None:
    with pytest.raises(UnsupportedValue, match=r"causal_block_size: blocks .* got 3; allowed: a divisor of 4"):
        request_of(generator, causal_block_size=3)


def test_a_last_picture_takes_a_place_in_a_block(generator: Any, photo: Conditioning) -> None:
    pictures = (photo, replace(photo, role=Role.LAST_FRAME))
    with pytest.raises(UnsupportedValue, match="a divisor of 5"):
        request_of(generator, pictures=pictures, causal_block_size=2)
    assert request_of(generator, pictures=pictures, causal_block_size=5).options["causal_block_size"] == 5
