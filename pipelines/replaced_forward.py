"""Puts another forward into one module for a while, and leaves the module as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Forward = Callable[..., Any]

# What `module(...)` looks at before the class's own forward; hooks and compilers write there as well.
_OWN = ("forward", "_compiled_call_impl")


@contextmanager
def replaced_forward(module: Any, make: Callable[[Forward], Forward]) -> Iterator[None]:
    """Let calls of a module go through `make(forward)`, where `forward` is what they went through until now.

    Several may lie over one another; they are taken off in the opposite order.
    """
    own = {name: vars(module)[name] for name in _OWN if name in vars(module)}
    module.forward = make(module.forward)
    module._compiled_call_impl = None
    try:
        yield
    finally:
        for name in _OWN:
            vars(module).pop(name, None)
        vars(module).update(own)
