"""SVD checkpoints run through the stock pipeline with every parameter that it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.svd import TURNS
from studio.errors import Canceled, UnsupportedValue
from studio.generator import Generator
from studio.request import Conditioning, GenerationRequest
from tests.pipelines.conftest import RecordingRun, save_svd

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def svd(tmp_path: Path, generator_of: Callable[..., Generator]) -> Generator:
    return generator_of("svd", save_svd(tmp_path / "svd"))


def clip_of(generator: Generator, run: RecordingRun, photo: Conditioning, **fields: object) -> np.ndarray:
    request = {"model": "svd", "num_inference_steps": 2, "seed": 5, "conditionings": (photo,), **fields}
    with generator.session():
        return generator.generate(generator.resolve(GenerationRequest(**request)), run).frames


def test_it_equals_the_stock_pipeline(tmp_path: Path, svd: Generator, run: RecordingRun, photo: Conditioning) -> None:
    import torch
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

    from studio.media import fit_image, read_image

    options = {"motion_bucket_id": 60, "noise_aug_strength": 0.1, "decode_chunk_size": 2, "min_guidance_scale": 1.0}
    ours = clip_of(svd, run, photo, guidance_scale=2.5, options=options)
    pipeline = StableVideoDiffusionPipeline.from_pretrained(tmp_path / "svd", dtype=torch.float32)
    stock = pipeline(
        Image.fromarray(fit_image(read_image(photo.path), 32, 32)), height=32, width=32, num_frames=5,
        num_inference_steps=2, max_guidance_scale=2.5, fps=7, generator=torch.Generator().manual_seed(5),
        output_type="np", **options,
    ).frames[0]  # fmt: skip
    # Layers are computed in another order than stock: equal within rounding, which tips a value here and there.
    difference = np.abs(ours.astype(np.int16) - (stock * 255).round().astype(np.int16))
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.001


@pytest.mark.parametrize("options", [{"motion_bucket_id": 250}, {"noise_aug_strength": 0.5}])
def test_its_options_reach_the_model(
    svd: Generator, run: RecordingRun, photo: Conditioning, options: dict[str, float]
) -> None:
    assert np.any(clip_of(svd, run, photo) != clip_of(svd, run, photo, options=options))


@pytest.mark.parametrize("pan", sorted(TURNS))
def test_a_turn_is_undone_and_points_the_camera_where_it_should(pan: str) -> None:
    """A camera that moves right in the turned picture sees more of the side that the option names."""
    turn = TURNS[pan]
    image = np.zeros((8, 8, 3), np.uint8)
    side = {"right": np.s_[:, 4:], "left": np.s_[:, :4], "up": np.s_[:4], "down": np.s_[4:]}[pan]
    image[side] = 255
    turned = turn.apply(image)
    assert turned[:, 4:].min() == 255
    latents = torch.from_numpy(np.ascontiguousarray(turned)).permute(2, 0, 1)
    np.testing.assert_array_equal(turn.undo_latents(latents).permute(1, 2, 0).numpy(), image)


def test_each_step_is_told_and_it_stops_between_steps(svd: Generator, run: RecordingRun, photo: Conditioning) -> None:
    run.cancel_at = 2
    with pytest.raises(Canceled):
        clip_of(svd, run, photo, num_inference_steps=5)
    assert run.steps == [(0, 5), (1, 5), (2, 5)]
    assert len(run.previews) == 2


def test_without_a_picture_it_says_what_to_add(svd: Generator) -> None:
    with pytest.raises(UnsupportedValue, match="add --image"):
        svd.resolve(GenerationRequest(model="svd"))
