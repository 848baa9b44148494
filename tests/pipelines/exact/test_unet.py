"""The exact forward gives the stock UNet's result, whatever is computed at a time."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.exact.unet import exact_forward
from pipelines.plan import Tiling
from tests.pipelines.exact.unets import Inputs, inputs_of, small_unet

pytestmark = pytest.mark.filterwarnings("ignore")

TILINGS = [
    Tiling(),
    Tiling(frames=1, positions=1),
    Tiling(frames=3, positions=7),
    Tiling(frames=2, is_guidance_split=True),
    Tiling(positions=10**6),
]


def difference(unet: Any, inputs: Inputs, tiling: Tiling) -> float:
    with torch.inference_mode():
        stock = unet(*inputs).sample
        ours = exact_forward(unet, tiling)(*inputs).sample
    assert ours.shape == stock.shape
    assert ours.dtype == stock.dtype
    assert ours.is_contiguous()
    return float((ours - stock).abs().max())


@cache
def unet_of(dtype: torch.dtype) -> Any:
    return small_unet(dtype)


@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize("frames", [1, 14, 16, 25, 32])
def test_it_equals_stock_for_clips_of_any_length(frames: int, tiling: Tiling) -> None:
    unet = unet_of(torch.float32)
    assert difference(unet, inputs_of(unet, batch=2, frames=frames, height=4, width=6), tiling) <= 1e-5


@pytest.mark.parametrize("tiling", TILINGS)
def test_it_equals_stock_in_double_precision_to_twelve_digits(tiling: Tiling) -> None:
    unet = unet_of(torch.float64)
    assert difference(unet, inputs_of(unet, batch=2, frames=5), tiling) <= 1e-12


@settings(max_examples=15, deadline=None)
@given(
    frames=st.integers(1, 6),
    height=st.integers(4, 9),
    width=st.integers(4, 9),
    batch=st.integers(1, 2),
    tokens=st.integers(1, 3),
    frames_at_a_time=st.none() | st.integers(1, 7),
    positions_at_a_time=st.none() | st.integers(1, 90),
    is_split=st.booleans(),
)
def test_any_size_and_any_tiling_equals_stock(
    frames: int,
    height: int,
    width: int,
    batch: int,
    tokens: int,
    frames_at_a_time: int | None,
    positions_at_a_time: int | None,
    is_split: bool,
) -> None:
    unet = unet_of(torch.float64)
    inputs = inputs_of(unet, batch=batch, frames=frames, height=height, width=width, tokens=tokens)
    tiling = Tiling(frames=frames_at_a_time, positions=positions_at_a_time, is_guidance_split=is_split)
    assert difference(unet, inputs, tiling) <= 1e-12


@pytest.mark.parametrize(
    "config",
    [
        {"layers_per_block": (0, 1)},
        {"layers_per_block": (2, 3)},
        {"transformer_layers_per_block": (2, 1)},
        {
            "down_block_types": ("DownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal"),
            "up_block_types": ("CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"),
        },
        {
            "block_out_channels": (32, 64, 32),
            "down_block_types": ("DownBlockSpatioTemporal",) * 3,
            "up_block_types": ("UpBlockSpatioTemporal",) * 3,
            "num_attention_heads": 1,
        },
    ],
)
@pytest.mark.parametrize("size", [(8, 12), (7, 5)])
def test_it_equals_stock_for_every_kind_of_block(config: dict[str, Any], size: tuple[int, int]) -> None:
    unet = small_unet(**config)
    inputs = inputs_of(unet, frames=3, height=size[0], width=size[1])
    for tiling in (Tiling(), Tiling(frames=1, positions=5)):
        assert difference(unet, inputs, tiling) <= 1e-5


@pytest.mark.parametrize("timestep", [7, 0.25, torch.tensor([3.0]), torch.tensor([3.0, 5.0])])
def test_it_takes_every_form_of_time_step_that_stock_takes(timestep: Any) -> None:
    unet = unet_of(torch.float32)
    sample, _, context, conditions = inputs_of(unet, batch=2)
    for tiling in (Tiling(), Tiling(is_guidance_split=True)):
        assert difference(unet, (sample, timestep, context, conditions), tiling) <= 1e-5


def test_it_returns_a_tuple_where_stock_does() -> None:
    unet = unet_of(torch.float32)
    (ours,) = exact_forward(unet, Tiling())(*inputs_of(unet), return_dict=False)
    assert torch.equal(ours, exact_forward(unet, Tiling())(*inputs_of(unet)).sample)


def test_products_computed_as_convolutions_equal_stock() -> None:
    """One thread computes linear layers as stock does; more of them on a CPU do not."""
    unet = unet_of(torch.float32)
    threads = torch.get_num_threads()
    try:
        for torch_threads in (1, 2):
            torch.set_num_threads(torch_threads)
            assert difference(unet, inputs_of(unet, frames=3, height=9, width=9), Tiling()) <= 1e-5
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("tiling", TILINGS)
def test_half_precision_is_no_further_from_the_truth_than_stock(dtype: torch.dtype, tiling: Tiling) -> None:
    unet = small_unet(dtype)
    inputs = inputs_of(unet, frames=5)
    with torch.inference_mode():
        stock, ours = unet(*inputs).sample, exact_forward(unet, tiling)(*inputs).sample
        truth = unet.double()(*(tensor.double() for tensor in inputs)).sample
    assert (ours - truth).square().mean().sqrt() <= 1.1 * (stock - truth).square().mean().sqrt()


def test_half_precision_does_not_overflow_where_stock_does_not() -> None:
    """Squares of numbers beyond 255 are no longer numbers in half precision; statistics are taken in single."""
    unet = small_unet(torch.float16)
    with torch.no_grad():
        unet.conv_in.weight.mul_(1000)
    inputs = inputs_of(unet)
    for tiling in TILINGS:
        with torch.inference_mode():
            stock, ours = unet(*inputs).sample.float(), exact_forward(unet, tiling)(*inputs).sample.float()
        assert ours.isfinite().all()
        assert (ours - stock).abs().max() <= 0.02 * stock.abs().max()


def test_another_kind_of_unet_is_refused() -> None:
    with pytest.raises(ValueError, match="UNetSpatioTemporalConditionModel, got Linear"):
        exact_forward(torch.nn.Linear(1, 1), Tiling())
