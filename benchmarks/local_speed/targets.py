"""What is aimed at on one H200, and whether the rows that were measured reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

GIB = 2**30
# Rounding in float16 differs from kernel to kernel: ours may be so many times as far from stock as stock from itself.
NOISE = 3.0

Rows = Sequence[Mapping[str, Any]]
Judged = Iterator[dict[str, Any]]


def check(rows: Rows) -> list[dict[str, Any]]:
    """Return for each target of the sections that were measured what was found and whether it is met."""
    return [*_steps(rows), *_clips(rows), *_caps(rows), *_kernels(rows), *_others(rows)]


def _judged(target: str, found: Any, wanted: str, *, is_met: bool, is_stretch: bool = False) -> dict[str, Any]:
    return {"target": target, "found": found, "wanted": wanted, "is_met": is_met, "is_stretch": is_stretch}


def _at_least(target: str, found: float | None, wanted: float) -> dict[str, Any]:
    return _judged(target, found, f">= {wanted}", is_met=found is not None and found >= wanted)


def _steps(rows: Rows) -> Judged:
    steps = _of(rows, "step")
    if not steps:
        return
    ours = _best(steps, lambda name: name.startswith("ours"))
    compiled = _best(steps, lambda name: name.startswith("stock, torch.compile"))
    yield _at_least("a step, exact, against stock", ours, 1.35)
    yield _at_least("a step, exact, against stock with torch.compile", ours and compiled and ours / compiled, 1.10)


def _clips(rows: Rows) -> Judged:
    clips = {row["name"]: row for row in _of(rows, "clip") if "median_ms" in row}
    stock = clips.get("stock", {}).get("peak_bytes")
    if not stock:
        return
    small = [row for name, row in clips.items() if name.startswith("ours") and _is_small(row, stock)]
    names = [row["name"] for row in small]
    yield _judged("a clip in <= 7.2 GiB, 4 times less than stock", names, "one or more", is_met=bool(small))
    faster = max((row["times_faster"] for row in small), default=None)
    yield _at_least("the time of such a clip against stock", faster, round(1 / 1.10, 3))


def _is_small(row: Mapping[str, Any], stock: int) -> bool:
    return bool(row["peak_bytes"] <= 7.2 * GIB and 4 * row["peak_bytes"] <= stock)


def _caps(rows: Rows) -> Judged:
    caps = [row for row in _of(rows, "caps") if row.get("is_capped") and row["is_exact"]]
    if not caps:
        return
    floor = next((row["frames_relative_l2"] for row in _of(rows, "clip") if "noise floor" in row["name"]), None)
    for gigabytes in (8, 6, 4):
        made = [row for row in caps if row["name"].startswith(f"{gigabytes} GB") and "failed" not in row]
        distance = made[0]["frames_relative_l2"] if made else None
        is_same = distance is not None and (floor is None or distance <= NOISE * floor)
        wanted = f"<= {NOISE} x the noise floor, {floor}"
        is_stretch = gigabytes < 6
        yield _judged(f"the same clip on {gigabytes} GB", distance, wanted, is_met=is_same, is_stretch=is_stretch)


def _kernels(rows: Rows) -> Judged:
    for row in _of(rows, "temporal attention"):
        is_large = row["name"].startswith("73728")
        if is_large:
            is_run = bool(row["is_run_by_ours"])
            yield _judged(f"temporal attention runs, {row['name']}", is_run, "true", is_met=is_run)
        else:
            yield _at_least(f"temporal attention, {row['name']}", row["times_faster"], 2)


def _others(rows: Rows) -> Judged:
    decodes = _of(rows, "decode")
    if decodes:
        yield _at_least("decode, SVD", _best(decodes, lambda name: name.startswith("SVD") and "stock" not in name), 1.3)
        yield _at_least("decode, Wan", _best(decodes, lambda name: name.startswith("Wan") and "stock" not in name), 1.3)
    hunyuan = _of(rows, "HunyuanVideo-1.5")
    if hunyuan:
        yield _at_least("HunyuanVideo-1.5, one forward", _best(hunyuan, lambda name: name != "stock"), 3)


def _of(rows: Rows, section: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["section"] == section]


def _best(rows: Rows, is_meant: Callable[[str], bool]) -> float | None:
    return max((row["times_faster"] for row in rows if is_meant(row["name"]) and "times_faster" in row), default=None)
