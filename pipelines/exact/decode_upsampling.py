"""Doubling a picture and convolving it, as one transposed convolution of the small picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def upsampled_convolution(x: torch.Tensor, convolution: Any) -> torch.Tensor:
    """Return (B, O, 2H, 2W) for (B, C, H, W): each pixel doubled both ways, then the 3 x 3 convolution with padding 1.

    Both taps of the kernel that fall on copies of one pixel are added before they meet it, which leaves four products
    of nine and no picture in between (Shi et al., arXiv 1609.07009, section 2).
    """
    from torch.nn.functional import conv_transpose2d

    kernel = _doubled_kernel(convolution.weight)
    return conv_transpose2d(x, kernel, convolution.bias, stride=2, padding=1)


def _doubled_kernel(weight: torch.Tensor) -> torch.Tensor:
    """Return (C, O, 4, 4) for (O, C, 3, 3): the flipped kernel, each tap spread over the pixel's two copies."""
    import torch
    from torch.nn.functional import pad

    wide = weight.to(torch.promote_types(weight.dtype, torch.float32)).flip(-1, -2).transpose(0, 1)
    rows = pad(wide, (0, 0, 0, 1)) + pad(wide, (0, 0, 1, 0))
    return (pad(rows, (0, 1)) + pad(rows, (1, 0))).to(weight.dtype)
