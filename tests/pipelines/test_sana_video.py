"""What is particular to SANA-Video: what its text encoder is told, its first frame, its sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.errors import UnsupportedValue
from studio.request import Conditioning, GenerationRequest
from tests.pipelines.checkpoints.sana_video import TOKENS, save_sana_video
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def generator(tmp_path: Path, generator_of: Callable[..., Any]) -> Any:
    folder = save_sana_video(tmp_path / "sana")
    return generator_of("sana-video-2b-480p", folder, settings={"max_sequence_length": TOKENS})


def frames_of(generator: Any, run: RecordingRun, **fields: Any) -> np.ndarray:
    wish = {"prompt": "a red circle", "seed": 5, "num_inference_steps": 2, **fields}
    frames: np.ndarray = generator.generate(
        generator.resolve(GenerationRequest(model=generator.spec.id, **wish)), run
    ).frames
    return frames


def test_the_prompt_goes_in_with_its_motion_score_after_the_instruction(generator: Any, run: RecordingRun) -> None:
    seen: list[Any] = []
    with generator.session():
        pipeline = generator._pipeline
        tokenizer = pipeline.tokenizer
        pipeline.tokenizer = Spy(tokenizer, seen)
        frames_of(generator, run, options={"motion_score": 7})
    texts = [text for given in seen for text in ([given] if isinstance(given, str) else given)]
    prompt = next(text for text in texts if "circle" in text)
    assert prompt.lower().startswith("given a user prompt, generate an 'enhanced prompt'")
    assert prompt.endswith("a red circle motion score: 7.")
    assert "" in texts


def test_a_first_picture_is_a_frame_that_is_done(
    generator: Any, run: RecordingRun, photo: Conditioning, tmp_path: Path
) -> None:
    latents: list[Any] = []
    decode = generator._decode

    def watched(pipeline: Any, given: Any, resolved: Any) -> Any:
        latents.append(given)
        return decode(pipeline, given, resolved)

    generator._decode = watched
    with generator.session():
        one = frames_of(generator, run, conditionings=(photo,))
        other = frames_of(generator, RecordingRun(workdir=tmp_path), conditionings=(photo,), seed=6)
    assert np.array_equal(latents[0][:, :, 0], latents[1][:, :, 0])
    assert not np.array_equal(latents[0][:, :, 1:], latents[1][:, :, 1:])
    assert np.any(one != other)


def test_the_rows_allow_only_sizes_that_diffusers_takes_as_they_are(studio: Any) -> None:
    from diffusers.pipelines.sana_video import pipeline_sana_video as stock

    bins = {"sana-video-2b-480p": stock.ASPECT_RATIO_480_BIN, "sana-video-2b-720p": stock.ASPECT_RATIO_720_BIN}
    for model, known in bins.items():
        rules = studio.registry.catalog.get(model).parameters
        sizes = {(int(width), int(height)) for height, width in known.values()}
        assert set(rules.sizes) == {size for size in sizes if not (size[0] % 32 or size[1] % 32)}
    with pytest.raises(UnsupportedValue, match="832x480"):
        studio.resolve(GenerationRequest(model="sana-video-2b-480p", prompt="a", width=640, height=480))


class Spy:
    """A tokenizer that writes down what it is given."""

    def __init__(self, tokenizer: Any, seen: list[Any]) -> None:
        self._tokenizer, self._seen = tokenizer, seen

    def __call__(self, text: Any, **how: Any) -> Any:
        self._seen.append(text)
        return self._tokenizer(text, **how)

    def encode(self, text: str) -> Any:
        return self._tokenizer.encode(text)
