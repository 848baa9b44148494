"""A prompt that was encoded once needs no text encoder again; whatever decides its embeddings has it encoded anew."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import local
from studio.generator import Generator
from studio.request import GenerationRequest
from tests.pipelines.conftest import RecordingRun, save_wan
from tests.pipelines.test_loras import save, tensors_for

pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def wan(tmp_path: Path, generator_of: Callable[..., Generator], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A tiny model whose every prompt is worth keeping; `encoded` of it are the prompts that were."""
    monkeypatch.setattr(local, "WORTH_KEEPING_SECONDS", 0.0)
    generator: Any = generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"), settings={"max_sequence_length": 8})
    generator.encoded = []
    stock = generator._encode

    def encode(pipeline: Any, resolved: Any) -> Any:
        generator.encoded.append(resolved.prompt)
        return stock(pipeline, resolved)

    generator._encode = encode
    return generator


def clip_of(generator: Any, folder: Path, prompt: str = "a red circle", seed: int = 5, **fields: Any) -> Any:
    wish = GenerationRequest(
        model=generator.spec.id, prompt=prompt, seed=seed, **{"num_inference_steps": 1, "num_frames": 1} | fields
    )
    run = RecordingRun(workdir=folder)
    return generator.generate(generator.resolve(wish), run).frames


def files_of(generator: Any) -> list[Path]:
    folder = generator.settings.home / "embeddings"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def test_the_next_seed_runs_no_text_encoder_and_makes_the_same_clip_as_with_it(wan: Any, tmp_path: Path) -> None:
    with wan.session():
        clip_of(wan, tmp_path)
        known = clip_of(wan, tmp_path, seed=6)
        assert len(wan.encoded) == 1
        for file in files_of(wan):
            file.unlink()
        np.testing.assert_array_equal(clip_of(wan, tmp_path, seed=6), known)
        assert len(wan.encoded) == 2


def test_another_session_knows_it_too(wan: Any, tmp_path: Path) -> None:
    for seed in (5, 6):
        with wan.session():
            clip_of(wan, tmp_path, seed=seed)
    assert len(wan.encoded) == 1


@pytest.mark.parametrize("fields", [{"num_inference_steps": 2}, {"guidance_scale": 4.0}], ids=["steps", "guidance"])
def test_steps_and_the_strength_of_guidance_have_no_part_in_it(
    fields: dict[str, Any], wan: Any, tmp_path: Path
) -> None:
    with wan.session():
        clip_of(wan, tmp_path)
        clip_of(wan, tmp_path, **fields)
    assert len(wan.encoded) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "a circle"},
        {"negative_prompt": "red"},
        {"guidance_scale": 1.0},
        {"options": {"weights_format": "fp8"}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_decides_it_has_it_encoded_anew(fields: dict[str, Any], wan: Any, tmp_path: Path) -> None:
    with wan.session():
        clip_of(wan, tmp_path)
        clip_of(wan, tmp_path, **fields)
        assert len(wan.encoded) == 2
        clip_of(wan, tmp_path, seed=7, **fields)
        clip_of(wan, tmp_path, seed=7)
    assert len(wan.encoded) == 2
    assert len(files_of(wan)) == 2


def test_a_lora_has_it_encoded_anew_and_so_has_another_file_of_its_name(wan: Any, tmp_path: Path) -> None:
    """A LoRA may be for the text encoder as well."""
    with wan.session():
        tensors = tensors_for(wan._pipeline.transformer)
        style = save(tmp_path / "style.safetensors", tensors)
        clip_of(wan, tmp_path)
        for count in (2, 2):
            clip_of(wan, tmp_path, options={"lora": str(style)})
            assert len(wan.encoded) == count
        save(style, {key: value * 2 for key, value in tensors.items()})
        clip_of(wan, tmp_path, options={"lora": str(style)})
    assert len(wan.encoded) == 3


def test_exchanged_weights_of_the_text_encoder_have_it_encoded_anew(wan: Any, tmp_path: Path) -> None:
    with wan.session():
        clip_of(wan, tmp_path)
        (weights,) = (tmp_path / "wan" / "text_encoder").glob("*.safetensors")
        content = weights.read_bytes()
        weights.unlink()
        weights.write_bytes(content + b" ")
        clip_of(wan, tmp_path)
    assert len(wan.encoded) == 2


def test_what_is_encoded_at_once_is_not_kept(wan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "WORTH_KEEPING_SECONDS", 1e6)
    with wan.session():
        for seed in (5, 6):
            clip_of(wan, tmp_path, seed=seed)
    assert len(wan.encoded) == 2
    assert files_of(wan) == []


def test_they_are_for_the_owner_alone_and_do_not_spell_the_prompt(wan: Any, tmp_path: Path) -> None:
    with wan.session():
        clip_of(wan, tmp_path)
    (file,) = files_of(wan)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert b"red circle" not in file.read_bytes()
    assert "red" not in file.name


def test_a_damaged_file_costs_an_encoding_and_no_clip(wan: Any, tmp_path: Path) -> None:
    with wan.session():
        first = clip_of(wan, tmp_path)
        (file,) = files_of(wan)
        file.write_bytes(file.read_bytes()[:-7])
        np.testing.assert_array_equal(clip_of(wan, tmp_path), first)
        np.testing.assert_array_equal(clip_of(wan, tmp_path), first)
    assert len(wan.encoded) == 2
