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

    from pipelines.exact.resampling import doubled_kernel

    kernel = doubled_kernel(convolution.weight)
    return conv_transpose2d(x, kernel, convolution.bias, stride=2, padding=1)
