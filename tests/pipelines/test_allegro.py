"""What is particular to Allegro: a VAE of tiles, and a prompt that is cleaned first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from studio.request import GenerationRequest
from tests.pipelines.checkpoints.allegro import CASES, TILE, TOKENS, save_allegro

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def generator(tmp_path: Path, generator_of: Callable[..., Any]) -> Any:
    side = {"min": TILE, "max": 2 * TILE, "default": TILE, "step": 8}
    return generator_of(
        "allegro",
        save_allegro(tmp_path / "allegro"),
        settings={"max_sequence_length": TOKENS},
        parameters={**CASES[0].parameters, "width": side, "num_frames": {"min": 24, "max": 40, "default": 24}},
    )


def test_it_decodes_tiles_which_is_all_the_vae_can_do(generator: Any) -> None:
    """Two tiles beside one another, 48 pixels apart, and two in time."""
    resolved = generator.resolve(GenerationRequest(model="allegro", prompt="a", width=TILE + 48, num_frames=40))
    latents = torch.randn(1, 4, 10, TILE // 8, TILE // 8 + 6, generator=torch.Generator().manual_seed(1))
    with generator.session(), torch.inference_mode():
        pipeline = generator._pipeline
        with pytest.raises(NotImplementedError):
            pipeline.vae.decode(latents)
        (frames,) = generator._decode(pipeline, latents, resolved)
        stock = pipeline.decode_latents(latents)[0].transpose(0, 1)
    assert frames.shape == (40, 3, TILE, TILE + 48)
    assert torch.equal(frames, stock)


def test_capitals_in_the_prompt_do_not_matter_as_in_the_stock_pipeline(generator: Any) -> None:
    with generator.session(), torch.inference_mode():
        one, other = (
            generator._encode(generator._pipeline, generator.resolve(GenerationRequest(model="allegro", prompt=prompt)))
            for prompt in ("A Red CIRCLE", "a red circle")
        )
    assert torch.equal(one["prompt_embeds"], other["prompt_embeds"])
    assert one["negative_prompt_embeds"].shape == one["prompt_embeds"].shape


def test_it_has_previews_although_its_encoder_asks_for_whole_tiles(generator: Any) -> None:
    with generator.session():
        assert generator._preview is not None
        preview = generator._preview.render(torch.zeros(4, 16, 16))
    assert preview.image.shape == (128, 128, 3)
