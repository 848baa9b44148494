"""The rows as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

GIB = 2**30
_STAGES = ("image encoding", "VAE encoding", "step", "decoding")
_HEAD = (
    f"{'':<64}{'peak':>7}{'less':>6}{'  picture':<10}"
    f"{'planned':>8}{'image':>7}{'VAE':>7}{'step':>7}{'decode':>7}{'RAM':>7}{'step':>14}{'decode':>14}"
)
_UNITS = (
    f"{'':<64}{'GiB':>7}{'times':>6}{'':<10}{'GiB':>8}{'GiB':>7}{'GiB':>7}{'GiB':>7}{'GiB':>7}{'GiB':>7}"
    f"{'TFLOP   GB':>14}{'TFLOP   GB':>14}"
)


def header() -> str:
    """Return the two lines over the rows."""
    return f"{_HEAD}\n{_UNITS}"


def line(row: Mapping[str, Any], stock: Mapping[str, Any]) -> str:
    """Return one row and, below it, what its peak holds."""
    stages = row["stages"]
    peaks = "".join(f"{stages[name]['peak_bytes'] / GIB:7.2f}" for name in _STAGES)
    work = "".join(
        f"{stages[name]['flops'] / 1e12:8.1f}{stages[name]['traffic_bytes'] / 1e9:6.0f}"
        for name in ("step", "decoding")
    )
    planned = f"{row['forecast_bytes'] / GIB:8.2f}" if row.get("forecast_bytes") else " " * 8
    picture = "same" if row["is_exact"] else "CHANGED"
    return (
        f"{row['name']:<64}{row['peak_bytes'] / GIB:7.2f}{stock['peak_bytes'] / row['peak_bytes']:6.1f}  {picture:<8}"
        f"{planned}{peaks}{row['ram_bytes'] / GIB:7.2f}{work}\n{_holders(row)}"
    )


def targets(found: Sequence[Mapping[str, Any]]) -> str:
    """Return a line for each target."""
    return "\n".join(
        f"{'met   ' if one['is_met'] else 'FAILED'} {'(stretch) ' if one['is_stretch'] else ''}{one['target']}"
        f"{': ' + one['by'] if one['by'] else ''}"
        for one in found
    )


def _holders(row: Mapping[str, Any]) -> str:
    held = ", ".join(
        f"{one['operation']} {'x'.join(map(str, one['shape']))} {one['dtype']} {one['num_bytes'] / 2**20:.0f} MiB"
        for one in row["stages"][row["peak_in"]]["holders"]
    )
    return f"    peak in {row['peak_in']}: {held}"
