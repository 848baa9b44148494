"""The stock UNet's convolutions, linear layers and group norms, called with less work. Imports torch.

A layer is computed from its weights where it is what it seems, and called where something is wrapped around it: a LoRA,
quantised weights, weights kept in another number format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pipelines.kernels.group_norm import Moments, normalise
from pipelines.kernels.target import device_kind

# Fewer rows are computed at the same speed whichever way.
FEW_ROWS = 64


def is_plain(layer: Any, kind: type[nn.Module]) -> bool:
    """Say whether a layer is torch's own, with ordinary weights and no hooks: then its weights say all."""
    return (
        type(layer) is kind
        and type(layer.weight) is nn.Parameter
        and "forward" not in vars(layer)
        and not layer._forward_hooks
        and not layer._forward_pre_hooks
    )


def project(layer: Any, x: torch.Tensor, shift: torch.Tensor | None = None) -> torch.Tensor:
    """Return layer(x) + shift for a linear layer. x: (..., C). shift: (F,), added with the bias."""
    if not is_plain(layer, nn.Linear):
        return _shifted(layer(x), shift)
    return _product(x, layer.weight, _sum(layer.bias, shift))


def project_together(layers: Sequence[Any], x: torch.Tensor) -> Sequence[torch.Tensor]:
    """Return layer(x) of several linear layers: where they have no bias, views of the result of one product."""
    if not all(is_plain(layer, nn.Linear) and layer.bias is None for layer in layers):
        return [project(layer, x) for layer in layers]
    weights = [layer.weight for layer in layers]
    return torch.split(_product(x, torch.cat(weights), None), [len(weight) for weight in weights], dim=-1)


def convolve(layer: Any, x: torch.Tensor, shift: torch.Tensor | None = None) -> torch.Tensor:
    """Return layer(x) + shift for a Conv2d. x: (n, C, H, W). shift: (F,), added with the bias."""
    if not is_plain(layer, nn.Conv2d):
        return _shifted(layer(x), shift, axes=2)
    return functional.conv2d(
        x, layer.weight, _sum(layer.bias, shift), layer.stride, layer.padding, layer.dilation, layer.groups
    )


def convolve_frames(layer: Any, columns: torch.Tensor, shift: torch.Tensor | None = None) -> torch.Tensor:
    """Return layer(x) + shift for a Conv3d of (3, 1, 1), as a Conv2d of (3, 1) on the same memory.

    columns: (1, C, T, N). shift: (F,), added with the bias.
    """
    if not is_plain(layer, nn.Conv3d):
        return _shifted(layer(columns[..., None])[..., 0], shift, axes=2)
    return functional.conv2d(columns, layer.weight[..., 0], _sum(layer.bias, shift), padding=(1, 0))


def group_normed(norm: Any, x: torch.Tensor, moments: Moments | None = None, *, is_activated: bool) -> torch.Tensor:
    """Return (n, C, H, W) through a GroupNorm, and through SiLU where `is_activated`. moments: of x where None."""
    if moments is None and device_kind(x) == "cpu":  # where torch's own leaves channels last as they are
        normed = functional.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
        return functional.silu(normed, inplace=True) if is_activated else normed
    if moments is None:
        moments = Moments.of(x, norm.num_groups)
    return normalise(x, moments, norm.weight, norm.bias, eps=norm.eps, is_activated=is_activated)


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    if not _is_better_convolved(x):
        return functional.linear(x, weight, bias)
    rows = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    made = functional.conv2d(rows, weight[:, :, None, None], bias)
    return made.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


def _is_better_convolved(x: torch.Tensor) -> bool:
    """On a CPU torch gives float32 products to MKL, which runs at half speed on AMD's, and convolutions to oneDNN.

    For a single thread it keeps small convolutions to itself. A compiler chooses for itself.
    """
    return (
        device_kind(x) == "cpu"
        and x.dtype == torch.float32
        and x.numel() >= FEW_ROWS * x.shape[-1]
        and not torch.compiler.is_compiling()
        and torch.get_num_threads() > 1
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    )


def _sum(bias: torch.Tensor | None, shift: torch.Tensor | None) -> torch.Tensor | None:
    return bias if shift is None else shift if bias is None else bias + shift


def _shifted(made: torch.Tensor, shift: torch.Tensor | None, axes: int = 0) -> torch.Tensor:
    return made if shift is None else made.add_(shift.view(-1, *(1 for _ in range(axes))))
