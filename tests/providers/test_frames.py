"""The first frame is sent as the first and the last as the last: the golden orders cannot tell two pictures apart."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from studio.request import Role
from tests.providers.bench import Bench
from tests.providers.conformance.contract import Golden, Pictures
from tests.providers.conftest import CONTRACTS

_LAST = re.compile(r"tail|last|end_")


def _blobs(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield where base64 stands in an order, and the base64 itself, in order."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _blobs(item, f"{place}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _blobs(item, f"{place}.{number}")
    elif isinstance(value, str) and len(value) > 200:
        yield place, value.rpartition(",")[2]


def _brightness_above(text: str) -> int:
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return int(np.asarray(image.convert("L"))[0, 0])


def _with_both(name: str, pictures: Pictures) -> Golden | None:
    contract: Any = CONTRACTS[name]
    more = contract.other_goldens(pictures) if hasattr(contract, "other_goldens") else ()
    both = {Role.FIRST_FRAME, Role.LAST_FRAME}
    found = (item for item in (*contract.goldens(pictures), *more) if both <= _roles(item))
    return next(found, None)


def _roles(golden: Golden) -> set[Role]:
    return {item.role for item in golden.request.conditionings}


@pytest.mark.parametrize("name", [name for name in CONTRACTS if name != "openai-videos"])
def test_the_first_frame_comes_first_and_the_last_one_last(
    bench_of: Callable[..., Bench], pictures: Pictures, name: str
) -> None:
    golden = _with_both(name, pictures)
    assert golden is not None
    bench = bench_of(name, model=golden.request.model)
    bench.make(golden.request)
    found = list(_blobs(bench.server.did("create")[0].json))
    assert len(found) == 2
    found.sort(key=lambda item: bool(_LAST.search(item[0])))  # stable: a list keeps its order
    dark, bright = (_brightness_above(text) for _, text in found)
    assert dark < 40 < 200 < bright
