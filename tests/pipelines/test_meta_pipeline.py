"""A pipeline without its weights has the real one's parts and shapes, and takes no memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.meta_pipeline import build_meta_pipeline
from tests.pipelines.conftest import save_svd, save_wan

pytestmark = pytest.mark.filterwarnings("ignore")

SAVERS: dict[str, Callable[[Path], Path]] = {
    "svd": save_svd,
    "wan": save_wan,
    "wan, two experts, picture": lambda folder: save_wan(folder, tasks=("i2v",), experts=2),
    "wan, time for each token": lambda folder: save_wan(folder, expand_timesteps=True),
}


def configurations(save: Callable[[Path], Path], tmp_path: Path) -> Path:
    """Write a checkpoint and take its weights away."""
    folder = save(tmp_path / "model")
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    return folder


def networks_of(pipeline: Any) -> dict[str, Any]:
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


@pytest.mark.parametrize("name", SAVERS)
def test_its_networks_have_the_shapes_of_the_real_ones(name: str, tmp_path: Path) -> None:
    import diffusers

    real = diffusers.DiffusionPipeline.from_pretrained(SAVERS[name](tmp_path / "model"), local_files_only=True)
    ours = build_meta_pipeline(tmp_path / "model", torch.float32, {})
    assert type(ours) is type(real)
    theirs = networks_of(real)
    found = networks_of(ours)
    assert found.keys() == theirs.keys()
    for part, network in found.items():
        assert type(network) is type(theirs[part])
        shapes = {key: (value.shape, value.dtype) for key, value in theirs[part].state_dict().items()}
        assert {key: (value.shape, value.dtype) for key, value in network.state_dict().items()} == shapes
    assert type(ours.scheduler) is type(real.scheduler)
    assert ours.scheduler.config == real.scheduler.config
    told = [key for key in real.config if key[0] != "_" and not isinstance(real.config[key], list | tuple)]
    assert {key: ours.config[key] for key in told} == {key: real.config[key] for key in told}


@pytest.mark.parametrize("name", SAVERS)
def test_nothing_of_it_is_in_memory_and_no_weight_is_read(name: str, tmp_path: Path) -> None:
    pipeline = build_meta_pipeline(configurations(SAVERS[name], tmp_path), torch.bfloat16, {})
    networks = networks_of(pipeline)
    assert {"vae"} < networks.keys()
    for network in networks.values():
        tensors = [*network.parameters(), *network.buffers()]
        assert tensors
        assert all(tensor.is_meta for tensor in tensors)
        assert not network.training


def test_each_network_has_the_number_format_it_is_loaded_in(tmp_path: Path) -> None:
    folder = configurations(save_wan, tmp_path)
    pipeline = build_meta_pipeline(folder, torch.bfloat16, {"vae": torch.float32})
    formats = {name: {weight.dtype for weight in part.parameters()} for name, part in networks_of(pipeline).items()}
    assert formats == {
        "vae": {torch.float32},
        "text_encoder": {torch.bfloat16},
        "transformer": {torch.bfloat16},
    }


def test_components_that_the_generator_leaves_out_are_not_built(tmp_path: Path) -> None:
    folder = configurations(save_wan, tmp_path)
    whole = build_meta_pipeline(folder, torch.float32, {})
    assert whole.text_encoder is not None
    pipeline = build_meta_pipeline(folder, torch.float32, {}, ("text_encoder",))
    assert pipeline.text_encoder is None
    assert pipeline.transformer is not None


def test_what_the_checkpoint_has_not_is_not_there(tmp_path: Path) -> None:
    pipeline = build_meta_pipeline(configurations(save_wan, tmp_path), torch.float32, {})
    assert pipeline.transformer_2 is None
    assert pipeline.tokenizer is None  # it has no weights, and is not needed


def test_the_pipelines_own_settings_are_kept(tmp_path: Path) -> None:
    plain = build_meta_pipeline(configurations(save_wan, tmp_path / "a"), torch.float32, {})
    other = build_meta_pipeline(configurations(SAVERS["wan, time for each token"], tmp_path / "b"), torch.float32, {})
    assert not plain.config.expand_timesteps
    assert other.config.expand_timesteps
    pair = build_meta_pipeline(configurations(SAVERS["wan, two experts, picture"], tmp_path / "c"), torch.float32, {})
    assert pair.config.boundary_ratio == 0.875


def test_it_runs_without_numbers(tmp_path: Path) -> None:
    pipeline = build_meta_pipeline(configurations(save_wan, tmp_path), torch.bfloat16, {"vae": torch.float32})
    with torch.device("meta"), torch.inference_mode():
        noise = pipeline.transformer(
            hidden_states=torch.empty(1, 4, 2, 4, 4, dtype=torch.bfloat16),
            timestep=torch.empty(1),
            encoder_hidden_states=torch.empty(1, 8, 16, dtype=torch.bfloat16),
        ).sample
    assert noise.is_meta
    assert noise.shape == (1, 4, 2, 4, 4)


def test_a_class_this_library_does_not_have_is_left_out(tmp_path: Path) -> None:
    folder = configurations(save_svd, tmp_path)
    index = json.loads((folder / "model_index.json").read_text())
    index["image_encoder"] = ["transformers", "NoSuchEncoder"]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert build_meta_pipeline(folder, torch.float32, {}).image_encoder is None


def test_the_default_device_is_as_it_was(tmp_path: Path) -> None:
    build_meta_pipeline(configurations(save_svd, tmp_path), torch.float32, {})
    assert torch.get_default_device().type == "cpu"
