"""Which program computes an operation: torch's own, or ours in Triton.

The Triton programs compute what the plain ones do, within rounding. That is tested in Triton's interpreter, and they
compile for NVIDIA's cards; nobody has timed them on a GPU yet. So `AUTO` takes torch's own operations, everywhere,
until a measurement in benchmarks/results says that a program in Triton is faster.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Compute capability. Triton does not use the matrix units of older ones: compiled for them, programs spill.
OLDEST_CARDS = (8, 0)


class Program(StrEnum):
    """AUTO: what is known to be best, at present TORCH. TORCH: torch's own operations, on every device.

    TRITON: one program in Triton for the whole operation wherever it can run, TORCH for the rest.
    """

    AUTO = "auto"
    TORCH = "torch"
    TRITON = "triton"


class DotProduct(StrEnum):
    """What computes scaled dot-product attention. SDPA: torch, with whichever of its kernels it prefers.

    FLASH, EFFICIENT, CUDNN, MATH: that kernel of torch's and no other. XFORMERS: the library of that name.
    """

    SDPA = "sdpa"
    FLASH = "flash"
    EFFICIENT = "efficient"
    CUDNN = "cudnn"
    MATH = "math"
    XFORMERS = "xformers"


@dataclass(frozen=True, kw_only=True)
class Programs:
    """A program for each operation."""

    attention: DotProduct = DotProduct.SDPA
    temporal_attention: Program = Program.AUTO
    group_norm: Program = Program.AUTO
    gated_linear: Program = Program.AUTO

    @classmethod
    def all(cls, program: Program) -> Programs:
        """Return the same program for each operation that has one in Triton."""
        return cls(temporal_attention=program, group_norm=program, gated_linear=program)


_CHOSEN: ContextVar[Programs | None] = ContextVar("programs", default=None)


def chosen() -> Programs:
    """Return the programs of the innermost `running`; `Programs()` outside of all."""
    return _CHOSEN.get() or Programs()


@contextmanager
def running(programs: Programs) -> Iterator[None]:
    """Let the operations of this package be computed by these programs for as long as the context lasts."""
    token = _CHOSEN.set(programs)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def is_triton(program: Program | None, default: Program, *tensors: torch.Tensor) -> bool:
    """Say whether the operation on these tensors runs in Triton. program: asked for by the caller, else `default`.

    The programs in Triton know no gradients.
    """
    if (program or default) is not Program.TRITON or not has_triton():
        return False
    import torch

    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return False
    return can_run_triton(tensors[0].device)


@cache
def has_triton() -> bool:
    """Say whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def can_run_triton(device: torch.device) -> bool:
    """Say whether the programs in Triton, which is installed, run on a device.

    On a CPU they do in Triton's interpreter alone, which is for tests: TRITON_INTERPRET=1.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= OLDEST_CARDS
    if device.type != "cpu":
        return False
    import triton  # type: ignore[import-untyped, import-not-found, unused-ignore]

    return bool(triton.knobs.runtime.interpret)
