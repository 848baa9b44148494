"""Weights in eight bits: how much smaller, how close, and where it is refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pipelines.loras import with_loras
from pipelines.manner import Manner
from pipelines.quantised import Storage, quantise, quantise_pipeline, require_storage
from studio.errors import MissingPackage, UnsupportedValue
from tests.pipelines.conftest import save_svd, save_wan
from tests.pipelines.test_loras import call_svd, call_wan, load, lora_at, save, tensors_for

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.filterwarnings("ignore")

needs_torchao = pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
STORAGES = [Storage.FP8, pytest.param(Storage.INT8, marks=needs_torchao)]
# Three bits of mantissa, or eight bits of a channel's largest weight.
TOLERANCE = {Storage.FP8: 0.04, Storage.INT8: 0.02}


def weight_bytes(network: Any) -> int:
    """Return the bytes of a network's weights as they are kept: scales count, and what is shared counts once."""
    tensors = (*network.parameters(), *network.buffers())
    parts = {id(part): part for tensor in tensors for part in plain_tensors(tensor)}
    return sum(part.numel() * part.element_size() for part in parts.values())


def plain_tensors(tensor: Any) -> Iterable[Any]:
    """Return the ordinary tensors that one of torchao's is made of."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return (tensor,)
    names, _ = tensor.__tensor_flatten__()
    return tuple(part for name in names for part in plain_tensors(getattr(tensor, name)))


def distance(one: Any, other: Any) -> float:
    return float((one - other).norm() / other.norm())


def transformer() -> Any:
    """A transformer of ordinary proportions: little besides the linear layers of its blocks."""
    torch.manual_seed(0)
    return diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=4, attention_head_dim=32, in_channels=4, out_channels=4, text_dim=16,
        freq_dim=32, ffn_dim=512, num_layers=4, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    ).eval()  # fmt: skip


def text_encoder() -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=32, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
        )
    ).eval()


def encode(network: Any) -> Any:
    with torch.inference_mode():
        return network(torch.tensor([[3, 4, 5, 1]])).last_hidden_state


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_a_transformer_shrinks_and_says_nearly_the_same(storage: Storage, compute: str) -> None:
    dtype = getattr(torch, compute)
    network = transformer().to(dtype)
    inputs = torch.randn(1, 4, 2, 8, 8, dtype=dtype), torch.tensor([500.0]), torch.randn(1, 6, 16, dtype=dtype)
    with torch.inference_mode():
        stock, before = network(*inputs).sample, weight_bytes(network)
        quantise(network, storage, compute_dtype=dtype)
        result = network(*inputs).sample
        assert torch.equal(network(*inputs).sample, result)
    small = 0.3 if compute == "float32" else 0.6
    # Embeddings of the time and the text stay as they are in fp8: a third of the weights of this small one.
    assert weight_bytes(network) < before * (small + (0.2 if storage is Storage.FP8 else 0.0))
    assert 0 < distance(result.float(), stock.float()) < TOLERANCE[storage]
    assert network.dtype == dtype


@pytest.mark.parametrize("storage", STORAGES)
def test_the_weights_of_a_block_take_a_quarter(storage: Storage) -> None:
    network = transformer()
    before = weight_bytes(network.blocks)
    quantise(network, storage, compute_dtype=torch.float32)
    assert 0.24 * before < weight_bytes(network.blocks) < 0.28 * before


@pytest.mark.parametrize("storage", STORAGES)
def test_a_text_encoder_shrinks_and_keeps_its_own_number_format(storage: Storage) -> None:
    network = text_encoder()
    stock, before = encode(network), weight_bytes(network)
    quantise(network, storage, compute_dtype=torch.float32)
    assert weight_bytes(network) < 0.6 * before
    result = encode(network)
    assert 0 < distance(result, stock) < 2 * TOLERANCE[storage]
    assert result.dtype == network.dtype == torch.float32


@pytest.mark.parametrize("storage", STORAGES)
def test_a_whole_pipeline_runs_and_its_vae_stays(storage: Storage, tmp_path: Path) -> None:
    pipeline = load(save_wan(tmp_path / "wan", experts=2))
    vae = weight_bytes(pipeline.vae)

    def clip() -> Any:
        with torch.inference_mode():
            return pipeline(
                prompt="a red circle", height=32, width=32, num_frames=5, num_inference_steps=2, output_type="latent",
                generator=torch.Generator().manual_seed(0), max_sequence_length=16,
            ).frames  # fmt: skip

    networks = (pipeline.transformer, pipeline.transformer_2, pipeline.text_encoder)
    stock, before = clip(), [weight_bytes(network) for network in networks]
    quantise_pipeline(pipeline, storage, compute_dtype=torch.float32)
    assert all(weight_bytes(network) < size for network, size in zip(networks, before, strict=True))
    assert weight_bytes(pipeline.vae) == vae
    assert 0 < distance(clip(), stock) < 0.1
    assert str(Manner(storage=storage).describe()).endswith(f"{storage}, approximate")


@pytest.mark.parametrize("storage", STORAGES)
def test_stable_video_diffusions_unet_runs(storage: Storage, tmp_path: Path) -> None:
    pipeline = load(save_svd(tmp_path / "svd"))
    stock, before = call_svd(pipeline.unet), weight_bytes(pipeline.unet)
    quantise(pipeline.unet, storage, compute_dtype=torch.float32)
    assert weight_bytes(pipeline.unet) < (0.35 if storage is Storage.FP8 else 0.95) * before
    # Its outputs are small beside what its layers hand on: errors weigh more in them.
    assert 0 < distance(call_svd(pipeline.unet), stock) < 4 * TOLERANCE[storage]


@pytest.mark.parametrize("storage", STORAGES)
def test_a_lora_works_beside_such_weights_and_comes_off(storage: Storage, tmp_path: Path) -> None:
    pipeline = load(save_wan(tmp_path / "wan"))
    lora = lora_at(save(tmp_path / "style.safetensors", tensors_for(pipeline.transformer)))
    with with_loras(pipeline, [lora]):
        expected = call_wan(pipeline.transformer)
    quantise(pipeline.transformer, storage, compute_dtype=torch.float32)
    stock = call_wan(pipeline.transformer)
    with with_loras(pipeline, [lora]):
        assert distance(call_wan(pipeline.transformer), expected) < TOLERANCE[storage]
    assert torch.equal(call_wan(pipeline.transformer), stock)


def test_a_device_without_eight_bit_floats_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_storage(Storage.FP8, torch.device("cpu"))
    monkeypatch.delattr(torch, "float8_e4m3fn")
    with pytest.raises(UnsupportedValue, match="weights_format: this device has no eight-bit floats; got fp8 on cpu"):
        require_storage(Storage.FP8, torch.device("cpu"))


def test_without_torchao_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingPackage, match="need the package torchao; `pip install torchao`"):
        require_storage(Storage.INT8, torch.device("cpu"))


@pytest.mark.slow
@needs_torchao
def test_torchao_says_nothing_on_the_terminal() -> None:
    import subprocess
    import sys

    code = (
        "import torch\nfrom pipelines.quantised import Storage, quantise\n"
        "quantise(torch.nn.Sequential(torch.nn.Linear(64, 64)), Storage.INT8, compute_dtype=torch.float32)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")
