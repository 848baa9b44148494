"""Wan checkpoints of every kind run through the stock pipelines, seeded, observed and cancelable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from studio.app import Studio
from studio.errors import Canceled, UnsupportedValue, WeightsMismatch
from studio.generator import Generator
from studio.request import Conditioning, GenerationRequest, Role
from tests.pipelines.checkpoints.wan import save_wan_first_last, save_wan_vace
from tests.pipelines.conftest import RecordingRun, save_wan
from tests.studio.media_files import pan, write_mp4

pytestmark = pytest.mark.filterwarnings("ignore")


def clip_of(generator: Generator, run: RecordingRun, **fields: object) -> np.ndarray:
    request = {"model": generator.spec.id, "num_inference_steps": 2, "prompt": "a red circle", "seed": 5, **fields}
    with generator.session():
        return generator.generate(generator.resolve(GenerationRequest(**request)), run).frames


def test_text_to_video_equals_the_stock_pipeline(
    tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun
) -> None:
    import torch
    from diffusers import WanPipeline

    folder = save_wan(tmp_path / "wan")
    generator = generator_of("wan2.1-t2v-1.3b", folder, settings={"max_sequence_length": 8})
    ours = clip_of(generator, run)
    pipeline = WanPipeline.from_pretrained(folder, dtype=torch.float32)
    stock = pipeline(
        "a red circle", "", height=32, width=32, num_frames=5, num_inference_steps=2, max_sequence_length=8,
        guidance_scale=generator.spec.parameters.guidance_scale.default, generator=torch.Generator().manual_seed(5),
    ).frames[0]  # fmt: skip
    # One level of 255: where a value lies between two, the order in which threads add up decides.
    apart = np.abs(ours.astype(np.int16) - (stock * 255).round().astype(np.int16))
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.001


def test_a_seed_reproduces_bit_for_bit_and_another_does_not(
    tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun
) -> None:
    generator = generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"))
    first, again, other = (clip_of(generator, run, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_one_transformer_serves_both_tasks_the_ti2v_way(
    tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun, photo: Conditioning
) -> None:
    folder = save_wan(tmp_path / "wan", expand_timesteps=True)
    generator = generator_of("wan2.2-ti2v-5b", folder)
    words = clip_of(generator, run)
    picture = clip_of(generator, run, conditionings=(photo,))
    assert words.shape == picture.shape == (5, 32, 32, 3)
    assert np.any(words != picture)


def test_image_to_video_of_a_checkpoint_with_mask_channels(
    tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun, photo: Conditioning
) -> None:
    generator = generator_of("wan2.2-i2v-a14b", save_wan(tmp_path / "wan", tasks=("i2v",), experts=2))
    assert clip_of(generator, run, conditionings=(photo,)).shape == (5, 32, 32, 3)


def test_a_pair_of_experts_runs(tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun) -> None:
    generator = generator_of("wan2.2-t2v-a14b", save_wan(tmp_path / "wan", experts=2))
    assert clip_of(generator, run).shape == (5, 32, 32, 3)


def test_each_step_is_told_with_a_preview(
    tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun
) -> None:
    clip_of(generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan")), run)
    assert run.steps == [(0, 2), (1, 2), (2, 2)]
    assert all(preview.image.dtype == np.uint8 and preview.image.ndim == 3 for preview in run.previews)
    assert len(run.previews) == 2


def test_it_stops_between_steps(tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun) -> None:
    run.cancel_at = 1
    with pytest.raises(Canceled):
        clip_of(generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan")), run, num_inference_steps=4)
    assert run.steps[-1] == (1, 4)


def test_damaged_weights_are_named_with_the_mend(
    tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun
) -> None:
    folder = save_wan(tmp_path / "wan")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WeightsMismatch, match="models pull wan2"):
        clip_of(generator_of("wan2.1-t2v-1.3b", folder), run)


def test_an_unknown_word_is_named_with_the_vocabulary(studio: Studio) -> None:
    warnings = studio.resolve(
        GenerationRequest(model="micro-wan", prompt="a red dragon moving left on a Black background")
    ).warnings
    assert len(warnings) == 1
    assert "'dragon'" in warnings[0]
    assert "triangle" in warnings[0]


def test_a_prompt_of_known_words_is_not_warned_about(studio: Studio) -> None:
    prompt = "a large cyan star staying still on a brown background"
    assert studio.resolve(GenerationRequest(model="micro-wan", prompt=prompt)).warnings == ()


def test_the_row_of_micro_wan_names_the_words_its_tokenizer_knows(studio: Studio) -> None:
    from pipelines.vocabulary import unknown_words
    from studio.weights import WeightStore

    spec = studio.registry.catalog.get("micro-wan")
    words = spec.parameters.prompt_grammar.replace("|", " ").replace("[", " ").replace("]", " ").replace(",", " ")
    folder = WeightStore(studio.settings).locate(spec)
    placeholders = {"COLOUR", "SHAPE", "MOTION", "BACKGROUND", "with", "or", "and"}
    listed = [word for word in words.replace(":", " ").replace(";", " ").split() if word not in placeholders]
    assert unknown_words(folder / "tokenizer", " ".join(listed)) == []


def test_both_pictures_shape_the_clip_between_them(
    tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun, photo: Conditioning
) -> None:
    generator = generator_of("wan2.1-flf2v-14b-720p", save_wan_first_last(tmp_path / "wan"))
    dark, light = (last_frame(tmp_path, level) for level in (20, 230))
    first = clip_of(generator, run, conditionings=(photo, dark))
    assert np.any(first != clip_of(generator, run, conditionings=(photo, light)))
    assert np.any(first != clip_of(generator, run, conditionings=(replace(dark, role=Role.FIRST_FRAME), dark)))


def test_a_video_is_made_anew_in_the_steps_that_its_strength_leaves(
    tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun
) -> None:
    generator = generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"))
    source = source_video(tmp_path, 8)
    fields = {"conditionings": (source,), "num_inference_steps": 4}
    half = clip_of(generator, run, **fields, options={"strength": 0.5})
    assert len(run.previews) == 2
    whole = clip_of(generator, RecordingRun(workdir=tmp_path), **fields, options={"strength": 1.0})
    assert half.shape == whole.shape == (5, 32, 32, 3)
    assert np.any(half != whole)


def test_a_video_that_is_too_short_or_a_strength_that_leaves_nothing_is_refused_before_the_run(
    tmp_path: Path, generator_of: Callable[..., Generator]
) -> None:
    generator = generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"))
    short, long = source_video(tmp_path, 3), source_video(tmp_path, 40)
    with pytest.raises(UnsupportedValue, match="ends before the clip does"):
        generator.resolve(GenerationRequest(model=generator.spec.id, prompt="a", conditionings=(short,)))
    with pytest.raises(UnsupportedValue, match="leaves none to be done"):
        generator.resolve(
            GenerationRequest(
                model=generator.spec.id, prompt="a", conditionings=(long,), num_inference_steps=2,
                options={"strength": 0.3},
            )
        )  # fmt: skip
    resolved = generator.resolve(GenerationRequest(model=generator.spec.id, prompt="a", conditionings=(long,)))
    assert len(resolved.warnings) == 1
    assert "made from its first" in resolved.warnings[0]


def test_vace_lays_its_reference_before_the_clip_and_does_not_decode_it(
    tmp_path: Path, generator_of: Callable[..., Generator], run: RecordingRun, photo: Conditioning
) -> None:
    generator = generator_of("wan2.1-vace-1.3b", save_wan_vace(tmp_path / "vace"))
    seen, other = (replace(item, role=Role.REFERENCE) for item in (photo, last_frame(tmp_path, 20)))
    one = clip_of(generator, run, conditionings=(seen,))
    assert one.shape == (5, 32, 32, 3)
    assert np.any(one != clip_of(generator, run, conditionings=(other,)))
    assert np.any(one != clip_of(generator, run, conditionings=(seen,), options={"conditioning_scale": 0.0}))


def test_a_smaller_plan_decodes_the_same_frames_a_few_at_a_time(
    tmp_path: Path, generator_of: Callable[..., Generator]
) -> None:
    import torch

    from pipelines.plan import DecodeForm, MemoryPlan

    generator: Any = generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"))
    latents = torch.randn(1, 4, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    found = {}
    with generator.session(), torch.inference_mode():
        for form in (DecodeForm.WHOLE, DecodeForm.STREAMED):
            plan = MemoryPlan(name=form, decode=form)
            with generator.by(plan, generator._pipeline, None):
                found[form] = list(generator._decode(generator._pipeline, latents, None))
    assert [len(piece) for piece in found[DecodeForm.WHOLE]] == [1, 12]
    assert max(len(piece) for piece in found[DecodeForm.STREAMED]) <= 2
    whole, streamed = (torch.cat(pieces) for pieces in found.values())
    torch.testing.assert_close(streamed, whole, rtol=0, atol=1e-5)


def last_frame(folder: Path, level: int) -> Conditioning:
    path = folder / f"{level}.png"
    PIL.Image.new("RGB", (64, 64), (level, level, 128)).save(path)
    return Conditioning(role=Role.LAST_FRAME, path=path)


def source_video(folder: Path, num_frames: int) -> Conditioning:
    path = write_mp4(folder / f"{num_frames}.mp4", pan(num_frames, 64, 32), Fraction(16))
    return Conditioning(role=Role.SOURCE_VIDEO, path=path)
