"""Which kind of device some work is for, also where it is only gone through without numbers, on the meta device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_REHEARSED: ContextVar[str | None] = ContextVar("rehearsed", default=None)


def device_kind(tensor: torch.Tensor) -> str:
    """Return ``cpu``, ``cuda`` ...: of a tensor on the meta device that of the device it is rehearsed for."""
    kind = tensor.device.type
    return _REHEARSED.get() or kind if kind == "meta" else kind


@contextmanager
def rehearsed_for(kind: str) -> Iterator[None]:
    """Let work on the meta device take the ways it would take on a device of this kind."""
    token = _REHEARSED.set(kind)
    try:
        yield
    finally:
        _REHEARSED.reset(token)
