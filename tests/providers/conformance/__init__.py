"""A server on this machine that speaks the providers' contracts, as their documentation says them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from tests.providers.conformance.contract import Contract


def contracts() -> tuple[Contract, ...]:
    """Return one contract for each class in the modules of this package, in the order of their names."""
    found: dict[str, Contract] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("__"):
            continue
        members = inspect.getmembers(importlib.import_module(f"{__name__}.{module.name}"), inspect.isclass)
        for _, kind in members:
            is_own = kind.__module__ == f"{__name__}.{module.name}"
            if is_own and issubclass(kind, Contract) and kind is not Contract:
                found[kind.name] = kind()
    return tuple(found[name] for name in sorted(found))
