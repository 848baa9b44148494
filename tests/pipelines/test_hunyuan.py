"""HunyuanVideo: embedded and true guidance, pictures both ways, decoding in the tiles that stock decodes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.generator import Generator
from studio.request import Conditioning, GenerationRequest
from tests.pipelines.checkpoints.hunyuan import SIZES, save_beside, save_hunyuan, save_in_place, stock
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")

Make = Callable[..., Generator]


def wish(generator: Generator, **fields: Any) -> Any:
    request: dict[str, Any] = {"prompt": "a red circle moving", "seed": 5, "num_inference_steps": 2}
    return generator.resolve(GenerationRequest(model=generator.spec.id, **(request | fields)))


def clip_of(generator: Generator, run: RecordingRun, **fields: Any) -> np.ndarray:
    with generator.session():
        return generator.generate(wish(generator, **fields), run).frames


def test_a_negative_prompt_counts_with_true_guidance_and_equals_stock(
    tmp_path: Path, generator_of: Make, run: RecordingRun
) -> None:
    folder = save_hunyuan(tmp_path / "weights")
    generator = generator_of("hunyuanvideo", folder, parameters=SIZES)
    guided = {"negative_prompt": "black circle", "options": {"true_cfg_scale": 4.0}}
    ours = clip_of(generator, run, **guided)
    floats = stock(folder, wish(generator, **guided), torch.Generator().manual_seed(5))
    assert np.abs(ours - (floats * 255).round()).max() <= 1
    assert np.any(ours != clip_of(generator, run))
    assert np.any(ours != clip_of(generator, run, options={"true_cfg_scale": 4.0}))


def test_a_negative_prompt_without_true_guidance_is_remarked_upon(tmp_path: Path, generator_of: Make) -> None:
    generator = generator_of("hunyuanvideo", save_hunyuan(tmp_path / "weights"), parameters=SIZES)
    assert "true_cfg_scale" in wish(generator, negative_prompt="black").warnings[-1]
    assert wish(generator, negative_prompt="black", options={"true_cfg_scale": 2.0}).warnings == ()
    assert wish(generator).warnings == ()


def test_the_embedded_guidance_reaches_the_denoiser(tmp_path: Path, generator_of: Make, run: RecordingRun) -> None:
    generator = generator_of("hunyuanvideo", save_hunyuan(tmp_path / "weights"), parameters=SIZES)
    with generator.session():
        low, high = (generator.generate(wish(generator, guidance_scale=scale), run).frames for scale in (1, 12))
    assert np.any(low != high)


@pytest.mark.parametrize("save", [save_in_place, save_beside])
def test_the_picture_is_seen_by_the_text_encoder_and_by_the_denoiser(
    tmp_path: Path, generator_of: Make, run: RecordingRun, photo: Conditioning, save: Callable[[Path], Path]
) -> None:
    generator = generator_of("hunyuanvideo-i2v", save(tmp_path / "weights"), parameters=SIZES)
    other = replace(photo, path=_turned(photo.path, tmp_path))
    with generator.session():
        one = generator._encode(generator._pipeline, wish(generator, conditionings=(photo,)))
        two = generator._encode(generator._pipeline, wish(generator, conditionings=(other,)))
        frames = generator.generate(wish(generator, conditionings=(photo,)), run).frames
    assert torch.any(one["prompt_embeds"] != two["prompt_embeds"])
    assert frames.shape == (9, 32, 48, 3)


def _turned(path: Path, folder: Path) -> Path:
    import PIL.Image

    PIL.Image.open(path).rotate(180).save(folder / "turned.png")
    return folder / "turned.png"


@pytest.mark.parametrize("num_frames", [5, 13, 17, 25, 29, 41])
def test_tiles_decoded_one_by_one_are_the_whole_clip(tmp_path: Path, generator_of: Make, num_frames: int) -> None:
    generator = generator_of("hunyuanvideo", save_hunyuan(tmp_path / "weights"), parameters=SIZES)
    with generator.session(), torch.inference_mode():
        pipeline = generator._pipeline
        latents = torch.randn(1, 4, (num_frames - 1) // 4 + 1, 2, 3, generator=torch.Generator().manual_seed(1))
        pieces = list(generator._decode(pipeline, latents, wish(generator)))
        whole = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    assert torch.equal(torch.cat(pieces), whole[0].transpose(0, 1))
    assert len(pieces) > 1 or num_frames <= 13


def test_padded_text_costs_the_denoiser_nothing(tmp_path: Path, generator_of: Make, run: RecordingRun) -> None:
    generator = generator_of("hunyuanvideo", save_hunyuan(tmp_path / "weights"), parameters=SIZES)
    lengths = []
    with generator.session():
        block = generator._pipeline.transformer.transformer_blocks[0]
        block.register_forward_hook(lambda _module, given, _result: lengths.append((given[1].shape[1], given[3])))
        generator.generate(wish(generator), run)
    assert all(length < 20 and mask is None for length, mask in lengths)
