"""Attention along the frames at the shapes that SVD has: ours beside each of torch's kernels. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.local_speed.bench import FAILURES, Bench, refusal
from benchmarks.local_speed.pairing import as_it_is, in_turns, relative_l2, summary
from pipelines.kernels.dot_product_attention import only
from pipelines.kernels.programs import DotProduct, Program
from pipelines.kernels.temporal_attention import temporal_attention

SECTION = "temporal attention"
KERNELS = (DotProduct.SDPA, DotProduct.FLASH, DotProduct.EFFICIENT, DotProduct.CUDNN, DotProduct.MATH)


def rows(bench: Bench) -> Iterator[dict[str, Any]]:
    """Measure each shape. torch's kernels are given rows that lie as they like them: stock pays for that in copies."""
    for shape in bench.size.temporal:
        positions, heads, frames, channels = shape
        given = [_random(bench, index, 1, frames, positions, heads * channels) for index in range(3)]
        by_row = [torch.unflatten(x[0], -1, (heads, channels)).permute(1, 2, 0, 3).contiguous() for x in given]
        expected = temporal_attention(*given, heads=heads, program=Program.TORCH)
        name = f"{positions} positions, {heads} heads, {frames} frames, {channels} channels"
        yield {"section": SECTION, "name": name, **_measured(bench, heads, given, by_row, expected)}


def _measured(
    bench: Bench, heads: int, given: list[torch.Tensor], by_row: list[torch.Tensor], expected: torch.Tensor
) -> dict[str, Any]:
    works: dict[str, Any] = {f"torch, {kernel.value}": partial(_by_torch, kernel, by_row) for kernel in KERNELS}
    for program in (Program.TORCH, Program.TRITON):
        if bench.is_cuda or program is Program.TORCH:
            works[f"ours, {program.value}"] = partial(temporal_attention, *given, heads=heads, program=program)
    found: dict[str, Any] = {}
    for name, work in works.items():
        try:
            made = work()
            distance = relative_l2(_as_positions(made) if name.startswith("torch") else made, expected)
            turns = {name: as_it_is(work)}
            seconds = in_turns(turns, rounds=bench.size.rounds, warm_ups=bench.size.warm_ups, device=bench.device)
            found[name] = summary(seconds[name]) | {"relative_l2": distance}
        except FAILURES as error:
            found[name] = {"failed": refusal(error)}
    return {"ways": found, **_best(found)}


def _best(found: dict[str, Any]) -> dict[str, Any]:
    """Return how many times faster the best of ours is than the best of torch's."""

    def least(whose: str) -> float | None:
        times = [way["median_ms"] for name, way in found.items() if name.startswith(whose) and "median_ms" in way]
        return min(times, default=None)

    stock, ours = least("torch"), least("ours")
    return {"times_faster": stock / ours if stock and ours else None, "is_run_by_ours": ours is not None}


def _by_torch(kernel: DotProduct, by_row: list[torch.Tensor]) -> torch.Tensor:
    query, key, value = by_row
    with only(kernel):
        return scaled_dot_product_attention(query, key, value)


def _as_positions(rows: torch.Tensor) -> torch.Tensor:
    """(N, heads, T, D) -> (1, T, N, heads x D)"""
    return rows.permute(2, 0, 1, 3).flatten(2)[None]


def _random(bench: Bench, seed: int, *shape: int) -> torch.Tensor:
    rng = torch.Generator(bench.device).manual_seed(seed)
    return torch.randn(shape, generator=rng, device=bench.device, dtype=torch.float32).to(bench.dtype)
