"""Halving and doubling the UNet's pictures. Stock: Downsample2D and Upsample2D of diffusers. Imports torch."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pipelines.exact.layers import is_plain
from pipelines.exact.streams import Clip

# Weights are summed in float32, of so many channels at a time: all of them would take more than a picture does.
CHANNELS_AT_A_TIME = 64


def downsample(layer: Any, clip: Clip) -> None:
    """Halve the stream's pictures."""
    with clip.held(layer):
        clip.replace(layer)


def upsample(layer: Any, clip: Clip) -> None:
    """Double the stream's pictures, or bring them to the size of the last skip."""
    height, width = clip.stream.shape[2:4]
    size = tuple(clip.skips[-1].shape[2:4]) if clip.skips else (2 * height, 2 * width)
    with clip.held(layer):
        if size == (2 * height, 2 * width) and is_doubling(layer):
            kernel, bias = doubled_kernel(layer.conv.weight), layer.conv.bias
            clip.replace(partial(functional.conv_transpose2d, weight=kernel, bias=bias, stride=2, padding=1))
        else:
            clip.replace(lambda pictures: layer(pictures, size))


def is_doubling(layer: Any) -> bool:
    """Say whether an Upsample2D takes the nearest neighbour and convolves with a plain 3x3 kernel."""
    conv = getattr(layer, "conv", None)
    return (
        layer.interpolate
        and layer.norm is None
        and conv is not None
        and is_plain(conv, nn.Conv2d)
        and (conv.kernel_size, conv.padding, conv.stride, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)
    )


def doubled_kernel(weight: torch.Tensor) -> torch.Tensor:
    """Return the (C, O, 4, 4) transposed convolution that doubles a picture and convolves it with (O, C, 3, 3).

    Of each row of a doubled picture there are two, so that a pixel meets the sums of neighbouring taps: 4/9 of the
    multiplications, and the doubled picture is never in memory (arXiv 1609.07009, section 2).
    """
    outputs, inputs = weight.shape[:2]
    wide = torch.promote_types(weight.dtype, torch.float32)
    kernel = weight.new_empty(inputs, outputs, 4, 4)
    parts = zip(torch.split(kernel, CHANNELS_AT_A_TIME), torch.split(weight, CHANNELS_AT_A_TIME, 1), strict=True)
    for summed, given in parts:
        summed.copy_(_spread(_spread(given.to(wide).transpose(0, 1), 2), 3))
    return kernel


def _spread(taps: torch.Tensor, axis: int) -> torch.Tensor:
    """Return three taps along an axis as the four that a pixel sends to its two copies and their neighbours."""
    first, middle, last = torch.split(taps, 1, axis)
    return torch.cat((last, middle + last, first + middle, first), axis)
