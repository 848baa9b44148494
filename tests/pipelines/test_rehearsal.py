"""A network is weighed by the parts that travel one at a time; stages are gone through as they will be run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipelines.meta_pipeline import build_meta_pipeline
from pipelines.rehearsal import Network, Outline, networks_of, rehearse_decode, rehearse_encoding, rehearse_step
from tests.pipelines.conftest import save_svd, save_wan

pytestmark = pytest.mark.filterwarnings("ignore")

FLOAT = 4
UNIT = 512  # bytes; memory is counted in pieces of so many


class Pipeline:
    """Stands for a diffusers pipeline, of which only the parts by name are asked for."""

    def __init__(self, **components: Any) -> None:
        self.components = components


def weights(network: nn.Module) -> int:
    return sum(weight.numel() * FLOAT for weight in network.parameters())


def linear(units: int) -> nn.Linear:
    """Return a layer whose weights take so many times `UNIT`."""
    return nn.Linear(UNIT // FLOAT, units, bias=False)


class Denoiser(nn.Module):
    """Three blocks of two layers, and layers around them."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = linear(3)
        self.blocks = nn.ModuleList(_Block(units) for units in (4, 8, 6))
        self.leave = linear(2)


class _Block(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.attention = linear(units)
        self.feed = nn.Sequential(linear(units), linear(units))


class UNet(nn.Module):
    """Blocks that hold lists of layers of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = linear(3)
        self.down = nn.ModuleList(_Layers(units) for units in ((4, 5), (6,)))
        self.middle = _Layers((7, 2))
        self.up = nn.ModuleList([_Layers(()), None])


class _Layers(nn.Module):
    def __init__(self, units: tuple[int, ...]) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(linear(number) for number in units)
        self.sampler = linear(1)


def weighed(network: nn.Module, *adapted: str) -> Network:
    return networks_of(Pipeline(network=network, scheduler=object(), missing=None), adapted)["network"]


def test_the_largest_block_is_a_part_and_what_is_in_none_is_loose() -> None:
    found = weighed(Denoiser())
    assert found.weight_bytes == weights(Denoiser()) == (3 + 3 * (4 + 8 + 6) + 2) * UNIT
    assert found.largest_part_bytes == 3 * 8 * UNIT
    assert found.loose_bytes == (3 + 2) * UNIT


def test_blocks_of_an_adapted_network_come_apart_once_more() -> None:
    coarse, fine = weighed(UNet()), weighed(UNet(), "network")
    assert coarse.weight_bytes == fine.weight_bytes == weights(UNet())
    # The elements of outermost lists: the two of `down`, the layers of `middle`, the one of `up`.
    assert coarse.largest_part_bytes == (4 + 5 + 1) * UNIT
    assert coarse.loose_bytes == (3 + 1) * UNIT  # the entrance, and the sampler beside the layers of `middle`
    assert fine.largest_part_bytes == 7 * UNIT
    assert fine.loose_bytes == 0  # all layers travel, one by one


def test_a_fine_part_is_a_layer_and_no_block() -> None:
    network = nn.Module()
    network.down = nn.ModuleList([_Layers((4, 5))])
    assert weighed(network).largest_part_bytes == (4 + 5 + 1) * UNIT
    assert weighed(network, "network").largest_part_bytes == 5 * UNIT
    assert weighed(Denoiser(), "network").largest_part_bytes == 3 * 8 * UNIT  # its blocks have no lists


def test_a_layer_outside_all_blocks_of_an_adapted_network_travels_as_well() -> None:
    network = nn.Module()
    network.enter = linear(20)
    network.down = nn.ModuleList([_Layers((4, 5))])
    assert weighed(network, "network").largest_part_bytes == 20 * UNIT


def test_a_network_without_lists_is_one_part() -> None:
    network = nn.Sequential(linear(3), linear(4))
    found = weighed(network)
    assert found.weight_bytes == found.largest_part_bytes == 7 * UNIT


def test_weights_that_are_shared_count_once_and_halves_count_half() -> None:
    network = nn.Module()
    network.table = linear(8)
    network.blocks = nn.ModuleList([linear(4), linear(4)])
    network.head = network.table
    assert weighed(network) == Network(weight_bytes=16 * UNIT, largest_part_bytes=4 * UNIT, loose_bytes=8 * UNIT)
    assert weighed(network.half()).weight_bytes == 8 * UNIT


def test_buffers_count_as_weights() -> None:
    network = nn.Module()
    network.register_buffer("table", torch.zeros(300))
    assert weighed(network).weight_bytes == 3 * UNIT


@pytest.mark.parametrize("save", [save_svd, save_wan])
def test_the_networks_of_a_real_pipeline_are_all_weighed(save: Callable[[Path], Path], tmp_path: Path) -> None:
    pipeline = build_meta_pipeline(save(tmp_path / "model"), torch.float16, {})
    found = networks_of(pipeline, ("unet",))
    parts = {name for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    assert found.keys() == parts
    for name, network in found.items():
        held = sum(weight.numel() for weight in getattr(pipeline, name).parameters()) * 2
        assert held <= network.weight_bytes
        assert 0 < network.largest_part_bytes <= network.weight_bytes
        assert 0 <= network.loose_bytes < network.weight_bytes
    denoiser = found.get("unet") or found["transformer"]
    assert denoiser.largest_part_bytes < denoiser.weight_bytes / 2


def on_meta(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")


def test_a_step_counts_its_arguments_and_each_of_its_calls() -> None:
    class Network(nn.Module):
        def forward(self, sample: torch.Tensor, scale: float) -> torch.Tensor:
            return sample @ sample * scale

    pipeline = Pipeline()
    pipeline.unet = Network()  # type: ignore[attr-defined]
    sample = on_meta(64, 64)
    once, twice = (
        rehearse_step(pipeline, Outline(call={"sample": sample, "scale": 2.0}, latents=sample, calls=calls))
        for calls in (1, 2)
    )
    assert once.flops >= 2 * 64**3
    assert twice.flops == 2 * once.flops
    assert twice.traffic_bytes == 2 * once.traffic_bytes
    assert twice.operations == 2 * once.operations
    assert twice.peak_bytes == once.peak_bytes >= 3 * 64 * 64 * FLOAT  # one after the other


def test_frames_of_a_decode_are_let_go_of_as_they_come() -> None:
    latents = on_meta(1, 4, 2, 8, 8)
    frame_bytes = 3 * 64 * 64 * FLOAT

    def decode(num_frames: int) -> Callable[[], Iterator[torch.Tensor]]:
        return lambda: (on_meta(1, 3, 64, 64) for _ in range(num_frames))

    few, many = (rehearse_decode(Outline(call={}, latents=latents), decode(count)) for count in (2, 20))
    assert few.peak_bytes == many.peak_bytes
    assert frame_bytes + latents.numel() * FLOAT <= few.peak_bytes <= 2 * frame_bytes + latents.numel() * FLOAT
    several = rehearse_decode(Outline(call={}, latents={"video": latents, "audio": [latents]}), decode(2))
    assert several.peak_bytes - few.peak_bytes == latents.numel() * FLOAT


def test_where_no_picture_is_read_the_encoding_takes_nothing(tmp_path: Path) -> None:
    pipeline = build_meta_pipeline(save_svd(tmp_path / "svd"), torch.float16, {})
    found = rehearse_encoding(pipeline, Outline(call={}, latents=on_meta(1)))
    assert (found.peak_bytes, found.flops, found.operations) == (0, 0, 0)


def test_a_picture_is_read_in_the_format_the_pipeline_reads_it_in(tmp_path: Path) -> None:
    folder = save_svd(tmp_path / "svd")
    picture = Outline(call={}, latents=on_meta(1), picture=on_meta(1, 3, 64, 64))
    half = build_meta_pipeline(folder, torch.float16, {})
    whole = build_meta_pipeline(folder, torch.float32, {})
    assert rehearse_encoding(half, picture).flops == rehearse_encoding(whole, picture).flops > 0
    assert half.vae.dtype is torch.float16
    half.vae.register_to_config(force_upcast=False)
    narrow = rehearse_encoding(half, picture)
    half.vae.register_to_config(force_upcast=True)
    # What is widened takes about twice as much, and its own weights are in another place already.
    assert narrow.peak_bytes < rehearse_encoding(half, picture).peak_bytes
    assert half.vae.dtype is torch.float16
