"""Two ways to do the same, timed in turns, and how far apart their results are. Imports torch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

Work = Callable[[], Any]
# What is to be arranged for some work, untimed, and undone after it.
Turn = Callable[[], AbstractContextManager[Work]]


def as_it_is(work: Work) -> Turn:
    """Return the turn of some work that needs nothing arranged."""
    return lambda: nullcontext(work)


def in_turns(turns: Mapping[str, Turn], *, rounds: int, warm_ups: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of each work, done in turns, `rounds` times each after `warm_ups` times untimed."""
    for turn in turns.values():
        with turn() as work:
            for _ in range(warm_ups):
                work()
    found: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            with turn() as work:
                found[name].append(seconds_of(work, device))
    return found


def seconds_of(work: Work, device: torch.device) -> float:
    """Time some work once: between two events on a GPU, by the clock elsewhere."""
    if device.type != "cuda":
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)
    began.record()
    work()
    ended.record()
    torch.cuda.synchronize(device)
    return float(began.elapsed_time(ended)) / 1000


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return median, least and most of some times, in milliseconds."""
    return {"median_ms": statistics.median(seconds) * 1e3, "min_ms": min(seconds) * 1e3, "max_ms": max(seconds) * 1e3}


def ratio(stock: Sequence[float], ours: Sequence[float]) -> float:
    """Return how many times faster ours is: the median over turns, each beside its neighbour."""
    return statistics.median(theirs / mine for theirs, mine in zip(stock, ours, strict=True))


def relative_l2(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return |found - expected| / |expected|, both as vectors in float32."""
    wanted = expected.float()
    return float((found.float() - wanted).norm() / wanted.norm())


def is_finite(tensor: torch.Tensor) -> bool:
    """Say whether a tensor is free of infinities and of what is no number."""
    return bool(tensor.isfinite().all())
