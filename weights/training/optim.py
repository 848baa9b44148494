"""Optimiser, learning-rate schedule and weight averaging for training small models on a CPU.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) updates matrices and kernels with their
orthogonalised momentum; AdamW takes the rest (biases, gains, embeddings). Muon's update is scaled by
0.2 * sqrt(max side) (Liu et al. 2025, arXiv:2502.16982, eq. 4) so that both can share one learning rate.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Quintic iteration of Jordan et al.: steepest slope at zero, singular values end in about [0.7, 1.2]."""


def orthogonalise(matrices: Tensor, *, num_iterations: int = 5, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Replace the singular values of each matrix by about one (Newton-Schulz).

    matrices: (K, rows, columns), any scale. Returns the same shape in `dtype`.
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    is_tall = matrices.size(1) > matrices.size(2)
    x = matrices.to(dtype)
    if is_tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(num_iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


def split_parameters(modules: Iterable[nn.Module]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Sort trainable parameters into (matrices and kernels for Muon, the rest for AdamW).

    Embeddings are lookup tables and anything with a side of one is a vector: both go to AdamW.
    """
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    seen: set[int] = set()
    for module in modules:
        for child in module.modules():
            for parameter in child.parameters(recurse=False):
                if id(parameter) in seen or not parameter.requires_grad:
                    continue
                seen.add(id(parameter))
                is_weight = isinstance(child, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and parameter.ndim >= 2
                is_matrix = is_weight and min(parameter.shape[0], parameter[0].numel()) > 1
                (matrices if is_matrix else rest).append(parameter)
    return matrices, rest


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for `matrices`, AdamW for `rest`, in one optimiser with one state dict.

    Kernels (out, in, ...) are flattened to (out, in * ...). Matrices of equal shape are orthogonalised as one batch.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        rest: list[nn.Parameter],
        *,
        matrix_learning_rate: float = 3e-3,
        rest_learning_rate: float = 3e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        orthogonalise_dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        groups = [
            {"params": matrices, "is_muon": True, "base_learning_rate": matrix_learning_rate},
            {"params": rest, "is_muon": False, "base_learning_rate": rest_learning_rate},
        ]
        self.orthogonalise_dtype = orthogonalise_dtype
        defaults = {"lr": 0.0, "momentum": momentum, "betas": betas, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)
        self.set_learning_rate(1.0)

    def set_learning_rate(self, multiplier: float) -> None:
        """Scale both learning rates; `multiplier` in [0, 1] comes from the schedule."""
        for group in self.param_groups:
            group["lr"] = group["base_learning_rate"] * multiplier

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Apply one update from the gradients; `closure` is not supported."""
        for group in self.param_groups:
            if group["is_muon"]:
                self._step_muon(group)
            else:
                self._step_adamw(group)

    def _step_muon(self, group: dict[str, Any]) -> None:
        by_shape: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape[(parameter.shape[0], parameter[0].numel())].append(parameter)
        for (rows, columns), parameters in by_shape.items():
            updates = torch.stack([self._nesterov(p, group["momentum"]).reshape(rows, columns) for p in parameters])
            updates = orthogonalise(updates, dtype=self.orthogonalise_dtype).to(parameters[0].dtype)
            scale = group["lr"] * 0.2 * max(rows, columns) ** 0.5
            for parameter, update in zip(parameters, updates, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.reshape(parameter.shape), alpha=-scale)

    def _nesterov(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        state = self.state[parameter]
        gradient = parameter.grad
        if gradient is None:
            raise ValueError("a parameter without gradient has no update")
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum"], momentum)

    def _step_adamw(self, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if "step" not in state:
                state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
            state["step"] += 1
            state["mean"].lerp_(parameter.grad, 1 - beta1)
            state["square"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
            step_size = group["lr"] / (1 - beta1 ** state["step"])
            denominator = (state["square"] / (1 - beta2 ** state["step"])).sqrt_().add_(1e-8)
            parameter.addcdiv_(state["mean"], denominator, value=-step_size)


def build_optimizer(modules: Iterable[nn.Module], **settings: Any) -> MuonWithAdamW:
    """One optimiser over all trainable parameters of `modules`; `settings` go to `MuonWithAdamW`."""
    matrices, rest = split_parameters(modules)
    return MuonWithAdamW(matrices, rest, **settings)


@dataclass(frozen=True, kw_only=True)
class WallClockSchedule:
    """Learning-rate multiplier by elapsed wall clock: short warm-up, constant, then linear decay to zero.

    minutes: whole run. decay_fraction: share of the run spent decaying. warmup_seconds: linear ramp at the start.
    """

    minutes: float
    decay_fraction: float = 0.4
    warmup_seconds: float = 20.0

    def multiplier(self, elapsed_seconds: float) -> float:
        """Return the factor in [0, 1] for the learning rate after `elapsed_seconds` of training."""
        remaining = 1.0 - elapsed_seconds / (60.0 * self.minutes)
        warmup = min(1.0, (elapsed_seconds + 1.0) / (self.warmup_seconds + 1.0))
        return max(0.0, min(warmup, remaining / self.decay_fraction, 1.0))

    def is_over(self, elapsed_seconds: float) -> bool:
        """True once the run has used its minutes."""
        return elapsed_seconds >= 60.0 * self.minutes


class WeightAverage:
    """Exponential moving average of a module's parameters and buffers.

    The decay ramps up as (1 + n) / (10 + n) so that the first steps are forgotten quickly.
    """

    def __init__(self, module: nn.Module, *, decay: float = 0.999) -> None:
        self.decay = decay
        self.num_updates = 0
        self.average = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the module's current weights; call after every optimiser step."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    @contextlib.contextmanager
    def applied(self, module: nn.Module) -> Iterator[nn.Module]:
        """Lend the averaged weights to `module` inside a `with` block, then put the raw ones back."""
        raw = {name: value.detach().clone() for name, value in module.state_dict().items()}
        module.load_state_dict(self.average)
        try:
            yield module
        finally:
            module.load_state_dict(raw)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"num_updates": self.num_updates, "average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.num_updates = state["num_updates"]
        for name, value in state["average"].items():
            self.average[name].copy_(value)
