"""Group normalisation in two passes, so that frames and tiles can be normalised by the statistics of a whole clip.

Group Normalization, arXiv 1803.08494. Moments of parts are joined with the parallel rule of Chan, Golub and LeVeque
(1983), which does not lose digits where the mean is large beside the spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pipelines.kernels.programs import Program, chosen, is_triton

if TYPE_CHECKING:
    import torch

# Measured together: what that holds beside the tensor, a copy of them in float32, is 64 MiB.
VALUES_AT_A_TIME = 2**24


@dataclass(frozen=True)
class Moments:
    """Of some values of each group. count: how many. mean, squares: (B, G) float32 or wider.

    squares: sum of squared distances from the mean.
    """

    count: int
    mean: torch.Tensor
    squares: torch.Tensor

    @classmethod
    def of(cls, x: torch.Tensor, groups: int, *, program: Program | None = None) -> Moments:
        """Measure (B, C, ...) values; every position of an item of the batch belongs to one sample.

        program: of `programs.running` where None; one in Triton takes tensors that are dense channels-last.
        """
        import torch

        if is_triton(program, chosen().group_norm, x):
            from pipelines.kernels import triton_group_norm as fused

            if fused.takes(x):
                return cls(x[0, 0].numel(), *fused.channel_moments(x))._of_groups(groups)
        axis = max(range(2, x.ndim), key=x.shape.__getitem__)
        parts = torch.split(x, max(1, VALUES_AT_A_TIME * x.shape[axis] // x.numel()), axis)
        return reduce(cls.joined, map(_of_channels, parts))._of_groups(groups)

    def joined(self, other: Moments) -> Moments:
        """Return the moments of both parts together."""
        count = self.count + other.count
        distance = other.mean - self.mean
        mean = self.mean + distance * (other.count / count)
        squares = self.squares + other.squares + distance * distance * (self.count * other.count / count)
        return Moments(count, mean, squares)

    def pooled(self, items: int) -> Moments:
        """Return the moments of each `items` neighbours of the batch taken as one sample: (B * items, G) -> (B, G)."""
        import torch

        mean = torch.unflatten(self.mean, 0, (-1, items))
        whole = mean.mean(1)
        between = (mean - whole[:, None]).square().sum(1) * self.count
        return Moments(self.count * items, whole, torch.unflatten(self.squares, 0, (-1, items)).sum(1) + between)

    def _of_groups(self, groups: int) -> Moments:
        """Return the moments of neighbouring channels taken as one sample: (B, C) -> (B, G)."""
        import torch

        mean = torch.unflatten(self.mean, 1, (groups, -1))
        whole = mean.mean(2)
        between = (mean - whole[..., None]).square().sum(2) * self.count
        squares = torch.unflatten(self.squares, 1, (groups, -1)).sum(2) + between
        return Moments(self.count * mean.shape[2], whole, squares)


def normalise(
    x: torch.Tensor,
    moments: Moments,
    weight: torch.Tensor,
    bias: torch.Tensor,
    *,
    eps: float,
    is_activated: bool,
    program: Program | None = None,
) -> torch.Tensor:
    """Return the normalised (B, C, ...) values, through SiLU where `is_activated`, in the memory format they came in.

    moments: of (B, G), or of (1, G) for all items of the batch. weight, bias: (C,). program: of `programs.running`
    where None; one in Triton takes tensors that are dense channels-last.
    """
    inverse = (moments.squares / moments.count + eps).rsqrt()
    per_group = x.shape[1] // inverse.shape[1]
    scale = inverse.repeat_interleave(per_group, 1) * weight
    shift = bias - moments.mean.repeat_interleave(per_group, 1) * scale
    if is_triton(program, chosen().group_norm, x, scale, shift):
        from pipelines.kernels import triton_group_norm as fused

        if fused.takes(x):
            return fused.scaled(x, scale, shift, is_activated=is_activated)
    return _scaled(x, scale, shift, is_activated)


def _of_channels(x: torch.Tensor) -> Moments:
    """Measure each channel of (B, C, ...)."""
    import torch

    axes = tuple(range(2, x.ndim))
    count = x[0, 0].numel()
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    if x.device.type == "cpu":
        # In two passes: torch's variance, which takes one, is 30 times as slow here.
        mean = wide.mean(axes, keepdim=True)
        distances = wide - mean if wide is x else wide.sub_(mean)
        return Moments(count, mean.flatten(1), distances.square_().sum(axes))
    variance, mean = torch.var_mean(wide, dim=axes, correction=0)
    return Moments(count, mean, variance * count)


def _scaled(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, is_activated: bool) -> torch.Tensor:
    import torch

    shape = (*scale.shape, *(1 for _ in range(x.ndim - 2)))
    scale, shift = scale.view(shape), shift.view(shape)
    if x.dtype == scale.dtype or torch.is_grad_enabled():
        result = torch.addcmul(shift, x.to(scale.dtype), scale).to(x.dtype)
    else:
        # On a GPU the numbers are widened on their way, and no wide copy is made.
        result = torch.addcmul(shift, x, scale, out=torch.empty_like(x))
    return torch.nn.functional.silu(result, inplace=True) if is_activated else result
