"""Tiny random checkpoints of real diffusers classes, one module for each family, each with the cases it can serve.

`tests/contract/test_families.py` runs what every local generator promises over all of them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from studio.request import Role


@dataclass(frozen=True, kw_only=True)
class FamilyCase:
    """One task of one family at its smallest.

    name: unique, for the test's id. base: row of the catalog it stands for. save: writes its checkpoint into a folder.
    roles: media that go in; FIRST_FRAME and LAST_FRAME are pictures, REFERENCE pictures, SOURCE_VIDEO a short clip.
    parameters, settings: laid over the row's (sizes such as ``{"width": {...}}``). fields: of the request.
    stock: folder, resolved request, torch generator -> (T, H, W, 3) floats in [0, 1] of the stock pipeline called
    directly, as its documentation says; None where stock cannot do it.
    has_text: whether it takes a prompt. has_audio: whether its clips have sound.
    """

    name: str
    base: str
    save: Callable[[Path], Path]
    stock: Callable[[Path, Any, Any], np.ndarray[Any, Any]] | None
    roles: tuple[Role, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    has_text: bool = True
    has_audio: bool = False


def all_cases() -> list[FamilyCase]:
    """Return the cases of every module here that has a list ``CASES``."""
    found: list[FamilyCase] = []
    for module in pkgutil.iter_modules(__path__):
        found += getattr(importlib.import_module(f"{__name__}.{module.name}"), "CASES", [])
    return found
