"""A studio whose catalog has models that differ in what they can do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.comparing.comparer import Comparer
from studio.comparing.comparison import Comparison
from studio.comparing.wish import CompareWish, Variant
from studio.registry import Registry
from studio.request import GenerationRequest
from tests.studio.comparing.contestants import write_contestants


@pytest.fixture
def comparer(studio: Studio, tmp_path: Path) -> Comparer:
    write_contestants(tmp_path / "rows")
    reload_rows(studio.comparisons, studio, tmp_path)
    return studio.comparisons


def reload_rows(comparer: Comparer, studio: Studio, tmp_path: Path) -> None:
    """Let a studio that is open already see rows that were written just now."""
    registry = Registry(load_catalog((tmp_path / "rows",)), studio.settings)
    studio.__dict__["registry"] = registry
    object.__setattr__(comparer._shop, "registry", registry)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "start.png"
    rng = np.random.default_rng(1)
    cv2.imwrite(str(path), cv2.resize(rng.integers(40, 200, (8, 8, 3), dtype=np.uint8), (128, 128)))
    return path


def wish(*models: str | Variant, **fields: Any) -> CompareWish:
    """Return a comparison of models. fields: of the request, but for title and tags."""
    own = {name: fields.pop(name) for name in ("title", "tags", "max_cost", "on_fail") if name in fields}
    variants = [item if isinstance(item, Variant) else Variant(model=item) for item in models]
    base = GenerationRequest(model="", **{"prompt": "a square", "width": 96, "height": 96, "seed": 3} | fields)
    return CompareWish(base=base, variants=variants, **own)


Made = Callable[..., Comparison]


@pytest.fixture
def made(comparer: Comparer) -> Made:
    """Make a comparison of scripted models to its end."""

    def make(*models: str | Variant, **fields: Any) -> Comparison:
        return comparer.make(comparer.start(wish(*models or ("scripted-moving", "scripted-frozen"), **fields)).id)

    return make
