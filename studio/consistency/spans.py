"""Frames that lie together, as (first, last) with both included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]


def runs(flags: Sequence[bool] | NDArray[np.bool_]) -> list[Span]:
    """Return each group of true flags in a row."""
    padded = np.concatenate([[False], np.asarray(flags, bool), [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def groups(indices: Iterable[int], most_apart: int = 1) -> list[Span]:
    """Return each group of growing indices of which none is further than `most_apart` from the one before."""
    found: list[Span] = []
    for index in indices:
        if found and index - found[-1][1] <= most_apart:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found
