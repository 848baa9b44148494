"""What is particular to Mochi: its decode frame by latent frame, its padded prompt, its variant on the hub."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.mochi_decoder import decode_mochi
from studio.request import GenerationRequest
from tests.pipelines.checkpoints.mochi import CHANNELS, TOKENS, save_mochi
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def vae() -> Any:
    from diffusers import AutoencoderKLMochi

    torch.manual_seed(3)
    return AutoencoderKLMochi(
        latent_channels=CHANNELS, out_channels=3, encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32), layers_per_block=(1, 2, 1, 1, 1),
    ).eval()  # fmt: skip


@pytest.mark.parametrize(("latent_frames", "rows", "columns"), [(1, 2, 3), (2, 3, 2), (5, 2, 2)])
def test_the_decode_in_pieces_is_that_of_the_whole_clip(vae: Any, latent_frames: int, rows: int, columns: int) -> None:
    latents = torch.randn(1, CHANNELS, latent_frames, rows, columns, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        pieces = list(decode_mochi(vae, latents))
        whole = vae.decode(latents).sample[0].transpose(0, 1)
    assert [len(piece) for piece in pieces] == [1] + [6] * (latent_frames - 1)
    torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=1e-5)


def test_a_piece_needs_no_more_memory_in_a_longer_clip(vae: Any) -> None:
    """The largest tensor that any layer gives is that of one latent frame."""
    largest: list[int] = []

    def measure(_module: Any, _given: Any, output: Any) -> None:
        parts = output if isinstance(output, tuple) else (output,)
        largest.extend(part.numel() for part in parts if torch.is_tensor(part))

    peaks = []
    hooks = [module.register_forward_hook(measure) for module in vae.decoder.modules()]
    for latent_frames in (1, 4):
        largest.clear()
        with torch.inference_mode():
            for _ in decode_mochi(vae, torch.zeros(1, CHANNELS, latent_frames, 2, 2)):
                pass
        peaks.append(max(largest))
    for hook in hooks:
        hook.remove()
    assert peaks[0] == peaks[1]


def test_the_decoder_is_left_as_it_was_found_even_by_a_decode_that_is_given_up(vae: Any) -> None:
    latents = torch.zeros(1, CHANNELS, 2, 2, 2)
    with torch.inference_mode():
        before = vae.decode(latents).sample
        with contextlib.closing(decode_mochi(vae, latents)) as pieces:  # type: ignore[type-var]
            next(pieces)
        after = vae.decode(latents).sample
    assert torch.equal(before, after)
    assert not any("forward" in vars(module) for module in vae.decoder.modules())


def test_padding_of_the_prompt_does_not_reach_the_clip(
    tmp_path: Path, generator_of: Callable[..., Any], run: RecordingRun
) -> None:
    """Two lengths of padding differ by rounding alone."""
    folder = save_mochi(tmp_path / "mochi")
    frames = []
    for tokens in (TOKENS, 2 * TOKENS):
        generator = generator_of(
            "mochi-1", folder, settings={"max_sequence_length": tokens},
            parameters={"num_frames": {"min": 1, "max": 13, "default": 7}},
        )  # fmt: skip
        wish = GenerationRequest(model="mochi-1", prompt="a red circle", seed=5, num_inference_steps=2)
        with generator.session():
            frames.append(generator.generate(generator.resolve(wish), run).frames.astype(int))
    assert np.abs(frames[0] - frames[1]).max() <= 1


def test_the_variant_of_the_row_is_taken_where_the_checkpoint_has_it(
    tmp_path: Path, generator_of: Callable[..., Any]
) -> None:
    folder = save_mochi(tmp_path / "mochi")
    generator = generator_of("mochi-1", folder)
    assert generator._variant(folder) is None
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.bf16.safetensors"))
    assert generator._variant(folder) == "bf16"
    with generator.session():
        assert generator._pipeline.transformer.config.out_channels == CHANNELS
