"""From what clean clips measure to thresholds; by left-out source for testing, and of all clips for use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.watermark.results import REPOSITORY

CALIBRATION = REPOSITORY / "studio" / "consistency" / "calibration.json"
NUM_QUANTILES = 33
# Of clean clips, of each harmless edit's clips, and of clips with the fault.
_CLEAN_BELOW, _BENIGN_BELOW, _FAULTY_BELOW = 0.97, 0.92, 0.10
# In distances between the clean clips' median and that bound; and of the way from there to the faulty clips.
_MARGIN, _WAY = 0.3, 1 / 3
_DIGITS = 4

BySource = Mapping[str, Sequence[float]]


def threshold_of(
    clean: BySource,
    benign: Mapping[str, BySource] | None = None,
    faulty: BySource | None = None,
    least: float = float("-inf"),
) -> float:
    """Return a threshold, where higher is worse, from values by source.

    It is above the value that 3 % of clean clips reach, and that 8 % of the clips under any one harmless edit reach, by
    three tenths of its distance from the clean median. benign: by edit. Where 90 % of faulty clips lie above that, it
    goes a third of the way to them, so that there is room on either side. A source weighs as much as any other, however
    many of its clips there are; what could not be said (not finite) is left out. least: no threshold is below it.
    Infinite where nothing is known.
    """
    bounds = [(clean, _CLEAN_BELOW), *((values, _BENIGN_BELOW) for values in (benign or {}).values())]
    known = [bound for values, share in bounds if (bound := _quantile(values, share)) is not None]
    if not known:
        return float("inf")
    middle = _quantile(clean, 0.5) or 0.0
    base = max(least, max(known) + _MARGIN * (max(known) - middle))
    room = _quantile(faulty or {}, _FAULTY_BELOW)
    if room is None or room <= base:
        return _significant(base)
    return _significant(base + _WAY * (room - base))


def _quantile(values: BySource, share: float) -> float | None:
    """Return the value below which `share` of the sources' clips lie; None if there are none."""
    finite = {source: [value for value in found if np.isfinite(value)] for source, found in values.items()}
    numbers = np.array([value for found in finite.values() for value in found])
    weights = np.array([1 / len(found) for found in finite.values() for _ in found])
    return weighted_quantile(numbers, weights, share) if len(numbers) else None


def weighted_quantile(values: Any, weights: Any, share: float) -> float:
    """Return the value below which `share` of the weight lies, linear between values."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(share * weights.sum(), reached, values[order]))


def quantiles_of(values: BySource) -> list[float]:
    """Return 33 evenly spaced quantiles, least first."""
    numbers = [value for source in values.values() for value in source if np.isfinite(value)]
    if not numbers:
        return []
    return [_significant(item) for item in np.quantile(numbers, np.linspace(0, 1, NUM_QUANTILES))]


def calibrated_ids() -> set[str]:
    """Return the ids of the checks whose thresholds come from clean clips: those that the calibration file lists."""
    return set(json.loads(CALIBRATION.read_text())["checks"])


def write(thresholds: Mapping[str, float], clean: Mapping[str, BySource], units: Mapping[str, str],
          clips: Sequence[str], path: Path = CALIBRATION) -> None:  # fmt: skip
    """Write the studio's calibration file. clean: values by check and source.

    A check that is not measured here keeps what the file says of it.
    """
    checks = json.loads(path.read_text())["checks"] if path.exists() else {}
    checks |= {
        name: {"threshold": threshold, "unit": units[name], "quantiles": quantiles_of(clean[name])}
        for name, threshold in thresholds.items()
        if np.isfinite(threshold)
    }
    lines = ",\n".join(f'  "{name}": {json.dumps(row)}' for name, row in sorted(checks.items()))
    head = json.dumps({"schema": 1, "date": datetime.now(UTC).date().isoformat(), "clips": list(clips)})
    path.write_text(f'{head[:-1]}, "checks": {{\n{lines}\n}}}}\n')


def _significant(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
