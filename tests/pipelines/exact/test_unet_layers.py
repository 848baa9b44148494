"""Layers of the UNet computed in another form give what they give as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pipelines.exact.layers import convolve_frames, group_normed, project_together
from pipelines.exact.resampling import doubled_kernel
from pipelines.exact.resnet import temporal_share
from pipelines.exact.streams import as_columns

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 4)])
@torch.inference_mode()
def test_doubling_and_convolving_is_one_transposed_convolution(size: tuple[int, int], dtype: torch.dtype) -> None:
    from diffusers.models.upsampling import Upsample2D

    torch.manual_seed(0)
    stock = Upsample2D(80, use_conv=True, out_channels=24).to(dtype)
    x = torch.randn(2, 80, *size, dtype=dtype)
    ours = nn.functional.conv_transpose2d(x, doubled_kernel(stock.conv.weight), stock.conv.bias, stride=2, padding=1)
    torch.testing.assert_close(ours, stock(x), atol=1e-12 if dtype == torch.float64 else 1e-5, rtol=0)


def test_the_sums_of_a_half_precision_kernel_are_rounded_once() -> None:
    torch.manual_seed(0)
    weight = torch.randn(8, 8, 3, 3).half()
    assert torch.equal(doubled_kernel(weight), doubled_kernel(weight.double()).half())


@pytest.mark.parametrize("frames", [1, 2, 5])
@torch.inference_mode()
def test_a_convolution_along_the_frames_is_one_of_a_picture_whose_columns_they_are(frames: int) -> None:
    conv = nn.Conv3d(6, 10, (3, 1, 1), padding=(1, 0, 0))
    rows = torch.randn(frames, 15, 6)
    shift = torch.randn(10)
    ours = convolve_frames(conv, as_columns(rows), shift)
    stock = conv(rows.permute(2, 0, 1)[None, ..., None])[..., 0] + shift[:, None, None]
    torch.testing.assert_close(ours, stock, atol=1e-5, rtol=0)


def test_views_of_a_stream_are_channels_last_and_take_no_memory() -> None:
    rows = torch.randn(5, 12, 8)
    for x in (as_columns(rows), as_columns(rows[:, 3:7]).clone()):
        assert x.is_contiguous(memory_format=torch.channels_last)
    assert as_columns(rows).data_ptr() == rows.data_ptr()


@torch.inference_mode()
def test_layers_with_bias_are_called_one_by_one() -> None:
    layers = [nn.Linear(4, 3), nn.Linear(4, 5)]
    x = torch.randn(2, 7, 4)
    for ours, layer in zip(project_together(layers, x), layers, strict=True):
        torch.testing.assert_close(ours, layer(x))


@torch.inference_mode()
def test_norms_elsewhere_than_on_a_cpu_are_shaped_as_there() -> None:
    norm = nn.GroupNorm(4, 8)
    x = torch.randn(2, 3, 5, 8).permute(0, 3, 1, 2)
    for is_activated in (True, False):
        there = group_normed(norm.to("meta"), x.to("meta"), is_activated=is_activated)
        here = group_normed(nn.GroupNorm(4, 8), x, is_activated=is_activated)
        assert there.shape == here.shape
        assert there.stride() == here.stride()


@pytest.mark.parametrize("is_switched", [True, False])
@pytest.mark.parametrize("strategy", ["fixed", "learned", "learned_with_images"])
@torch.inference_mode()
def test_the_temporal_share_is_that_of_the_stock_blender(strategy: Any, is_switched: bool) -> None:
    from diffusers.models.resnet import AlphaBlender

    blender = AlphaBlender(0.3, strategy, switch_spatial_to_temporal_mix=is_switched)
    spatial, temporal = torch.randn(2, 1, 4, 3, 2, 2)
    stock = blender(spatial, temporal, torch.zeros(1, 3))
    share = temporal_share(blender, torch.float32)
    torch.testing.assert_close(spatial.lerp(temporal, share), stock, atol=1e-6, rtol=0)
