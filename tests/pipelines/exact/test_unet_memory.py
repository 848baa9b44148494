"""What the exact forward takes: counted at the full size of SVD-XT without weights, and watched at a small one."""

from __future__ import annotations

import gc
import weakref
from functools import cache
from typing import Any

import pytest
import torch

from pipelines.counting import Counting
from pipelines.exact.streams import Clip, Tiles, resident
from pipelines.exact.unet import exact_forward
from pipelines.plan import Tiling
from tests.pipelines.exact.unets import inputs_of, small_unet

pytestmark = pytest.mark.filterwarnings("ignore")

GIB = 2**30


@cache
def svd_xt() -> Any:
    """The UNet of SVD-XT, 1.5 billion parameters of shape alone."""
    from diffusers import UNetSpatioTemporalConditionModel

    with torch.device("meta"):
        unet = UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20), num_frames=25, sample_size=96)
    return unet.to("meta", torch.float16).eval()


def count(forward: Any, *, batch: int = 2) -> Counting:
    """Count one call for 25 frames of 576x1024 pixels."""
    shapes = ((batch, 25, 8, 72, 128), (), (batch, 1, 1024), (batch, 3))
    inputs = [torch.empty(shape, dtype=torch.float16, device="meta") for shape in shapes]
    with torch.inference_mode(), Counting() as counting:
        forward(*inputs)
    return counting


@pytest.mark.parametrize(
    ("tiling", "most"),
    [
        (Tiling(), 2.4),
        (Tiling(is_guidance_split=True), 1.75),
        (Tiling(frames=4, positions=2048), 1.75),
        (Tiling(frames=4, positions=2048, is_guidance_split=True), 1.0),
    ],
)
def test_a_clip_of_full_size_takes_a_part_of_what_stock_takes(tiling: Tiling, most: float) -> None:
    counting = count(exact_forward(svd_xt(), tiling))
    assert counting.peak_bytes <= most * GIB
    assert counting.flops < 151e12  # stock: 160e12, of which 6e12 for attention to one key


def test_stock_takes_more_than_seven_gibibytes() -> None:
    counting = count(svd_xt())
    assert 7.5 * GIB < counting.peak_bytes < 8 * GIB


@pytest.mark.slow
def test_the_smallest_tiles_take_less_than_a_gibibyte() -> None:
    tiling = Tiling(frames=1, positions=512, is_guidance_split=True)
    assert count(exact_forward(svd_xt(), tiling)).peak_bytes <= 0.85 * GIB


def test_a_longer_batch_takes_no_more_where_it_is_split() -> None:
    unet = small_unet().to("meta")
    peaks, outputs = [], []
    for batch in (1, 4):
        inputs = [tensor.to("meta") for tensor in inputs_of(unet, batch=batch, frames=14, height=32, width=32)]
        with torch.inference_mode(), Counting() as counting:
            outputs.append(exact_forward(unet, Tiling(is_guidance_split=True))(*inputs).sample)
        peaks.append(counting.peak_bytes)
    assert peaks[1] <= peaks[0] + outputs[1].nbytes


@torch.inference_mode()
def test_nothing_outlives_the_call_but_its_result() -> None:
    unet = small_unet()
    inputs = inputs_of(unet)
    forward = exact_forward(unet, Tiling(frames=1, positions=3))
    with Counting(device="cpu", host="none") as counting:
        output = forward(*inputs).sample
        assert counting.live_bytes <= -(-output.nbytes // 512) * 512
    born = weakref.ref(inputs[0])
    del inputs
    gc.collect()
    assert born() is None


@torch.inference_mode()
def test_the_caller_s_tensors_are_left_as_they_were() -> None:
    unet = small_unet()
    inputs = inputs_of(unet)
    before = [tensor.clone() for tensor in inputs]
    exact_forward(unet, Tiling())(*inputs)
    assert all(map(torch.equal, inputs, before))


def test_tiles_of_deeper_layers_fill_the_same_memory() -> None:
    tiles = Tiles.of(Tiling(frames=2, positions=100), positions=64, channels=32)
    assert [part.stop for part in tiles.of_frames(torch.empty(9, 8, 8, 32))] == [2, 4, 6, 8, 9]
    assert [part.stop for part in tiles.of_frames(torch.empty(9, 4, 4, 64))] == [4, 8, 9]
    assert [part.stop for part in tiles.of_positions(torch.empty(9, 160, 32))] == [100, 160]
    assert [part.stop for part in tiles.of_positions(torch.empty(9, 160, 64))] == [50, 100, 150, 160]
    assert [part.stop for part in tiles.of_positions(torch.empty(9, 2, 32000))] == [1, 2]


def clip_of(stream: torch.Tensor) -> Clip:
    tiles = Tiles.of(Tiling(), positions=1, channels=1)
    return Clip(stream=stream, embedding=stream, context=stream, tiles=tiles, held=resident)


def test_a_smaller_result_is_written_over_the_stream_and_then_takes_its_own_room() -> None:
    stream = torch.arange(24.0).reshape(1, 3, 1, 2, 4)
    clip = clip_of(stream)
    room = clip.room(2)
    assert room.data_ptr() == stream.data_ptr()
    for frame in range(3):  # of which each is read before it is written over
        room[0, frame] = stream[0, frame, ..., :2]
    clip.settle(room)
    assert torch.equal(clip.stream, torch.arange(24.0).reshape(1, 3, 1, 2, 4)[..., :2])
    assert clip.stream.untyped_storage().nbytes() == clip.stream.nbytes


def test_a_stream_that_waits_for_the_way_up_is_not_written_over() -> None:
    clip = clip_of(torch.zeros(1, 2, 1, 1, 4))
    clip.skips.append(clip.stream)
    assert clip.room(4).data_ptr() != clip.stream.data_ptr()
