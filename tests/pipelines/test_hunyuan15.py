"""HunyuanVideo-1.5: steps told without a callback, sizes of the user's choice, guidance by the guider."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.generator import Generator
from studio.request import Conditioning, GenerationRequest
from tests.pipelines.checkpoints.hunyuan15 import SIZES, save_hunyuan15, save_of_picture, stock
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")

Make = Callable[..., Generator]


@pytest.fixture
def from_text(tmp_path: Path, generator_of: Make) -> Generator:
    return generator_of("hunyuanvideo-1.5-480p-t2v", save_hunyuan15(tmp_path / "weights"), parameters=SIZES)


def wish(generator: Generator, **fields: Any) -> Any:
    request: dict[str, Any] = {"prompt": "a red circle moving", "seed": 5, "num_inference_steps": 2}
    return generator.resolve(GenerationRequest(model=generator.spec.id, **(request | fields)))


def clip_of(generator: Generator, run: RecordingRun, **fields: Any) -> np.ndarray:
    return generator.generate(wish(generator, **fields), run).frames


def test_each_step_is_told_although_the_pipeline_has_no_callback(from_text: Generator, run: RecordingRun) -> None:
    with from_text.session():
        clip_of(from_text, run, num_inference_steps=3)
    assert run.steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert len(run.previews) == 3


def test_the_kept_pipeline_is_as_it_was_loaded(from_text: Generator, run: RecordingRun) -> None:
    with from_text.session():
        pipeline = from_text._pipeline
        guider = pipeline.guider
        clip_of(from_text, run, guidance_scale=3)
        assert pipeline.guider is guider
        assert type(pipeline.scheduler).__name__ == "FlowMatchEulerDiscreteScheduler"
        assert "step" not in vars(pipeline.scheduler)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_guidance_is_the_requests_and_equals_stock(
    from_text: Generator, tmp_path: Path, run: RecordingRun, scale: float
) -> None:
    fields = {"guidance_scale": scale, "negative_prompt": "black"}
    with from_text.session():
        ours = clip_of(from_text, run, **fields)
    floats = stock(tmp_path / "weights", wish(from_text, **fields), torch.Generator().manual_seed(5))
    assert np.abs(ours - (floats * 255).round()).max() <= 1


def test_without_guidance_the_denoiser_is_called_once_a_step(from_text: Generator, run: RecordingRun) -> None:
    calls = []
    with from_text.session():
        from_text._pipeline.transformer.register_forward_hook(lambda *_: calls.append(1))
        clip_of(from_text, run, guidance_scale=1)
        assert len(calls) == 2
        clip_of(from_text, run, guidance_scale=2)
    assert len(calls) == 2 + 4


def test_words_in_quotation_marks_are_read_letter_by_letter(from_text: Generator, run: RecordingRun) -> None:
    with from_text.session():
        quoted, plain = (
            from_text._encode(from_text._pipeline, wish(from_text, prompt=prompt))["prompt_embeds_mask_2"].sum()
            for prompt in ('a red circle "moving"', "a red circle moving")
        )
        clip = clip_of(from_text, run, prompt='a red circle "moving"')
        assert np.any(clip != clip_of(from_text, run))
    assert quoted > 0
    assert plain == 0


def test_a_picture_of_any_size_the_row_allows_is_set_in_motion(
    tmp_path: Path, generator_of: Make, run: RecordingRun, photo: Conditioning
) -> None:
    folder = save_of_picture(tmp_path / "weights")
    generator = generator_of("hunyuanvideo-1.5-480p-i2v", folder, parameters=SIZES)
    with generator.session():
        # The pipeline by itself makes one of its own sizes: 40 x 40 pixels at most, in steps of 4.
        frames = clip_of(generator, run, conditionings=(photo,), width=80, height=16)
    assert frames.shape == (9, 16, 80, 3)


def test_a_row_sets_the_shift_of_the_schedule(tmp_path: Path, generator_of: Make) -> None:
    folder = save_hunyuan15(tmp_path / "weights")
    generator = generator_of("hunyuanvideo-1.5-480p-t2v", folder, settings={"flow_shift": 9.0})
    with generator.session():
        assert generator._pipeline.scheduler.shift == 9.0


def test_neither_padding_nor_a_mask_reaches_the_denoiser(from_text: Generator, run: RecordingRun) -> None:
    seen = []
    with from_text.session():
        block = from_text._pipeline.transformer.transformer_blocks[0]
        block.register_forward_hook(lambda _module, given, _result: seen.append((given[1].shape[1], given[3])))
        clip_of(from_text, run)
    # Stock: 1,000 tokens, 256 letters and 729 places of a picture.
    assert all(length < 12 and mask is None for length, mask in seen)
