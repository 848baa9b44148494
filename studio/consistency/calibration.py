"""Thresholds, and what clean clips measure: data, written by `python -m benchmarks.consistency --write-thresholds`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """threshold: in the check's unit. quantiles: of clean clips' values, evenly spaced, least first."""

    threshold: float
    quantiles: tuple[float, ...]


def threshold_of(check_id: str) -> float:
    """Return a check's threshold. Raises KeyError for a check that was never calibrated."""
    return _calibrations()[check_id].threshold


def rank_of(check_id: str, value: float) -> float | None:
    """Return the share of clean clips, 0 to 1, that measure less; None for a check that was never calibrated."""
    calibration = _calibrations().get(check_id)
    if calibration is None or not calibration.quantiles:
        return None
    quantiles = np.array(calibration.quantiles)
    below = float(np.searchsorted(quantiles, value, side="left"))
    return below / len(quantiles)


def calibrated_on() -> str:
    """Return the date of the calibration, ISO 8601."""
    return str(_data()["date"])


@lru_cache(maxsize=1)
def _calibrations() -> dict[str, Calibration]:
    return {
        name: Calibration(threshold=float(row["threshold"]), quantiles=tuple(row["quantiles"]))
        for name, row in _data()["checks"].items()
    }


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    text = files("studio.consistency").joinpath("calibration.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data
