"""What a complete run leaves behind."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.consistency import calibrating, scoring
from benchmarks.consistency.detectors import NOT_JUDGED
from benchmarks.consistency.observing import Plan
from benchmarks.watermark import results as watermark_results
from studio.consistency.check import Check

PATH = watermark_results.FOLDER / "consistency.json"
CHECK_CODE = ("studio/consistency/**/*.py",)
_PACKAGES = ("numpy", "opencv-python-headless", "av")


def collect(plan: Plan, evidence: scoring.Evidence, thresholds: Mapping[str, float],
            checks: Sequence[type[Check]]) -> dict[str, Any]:  # fmt: skip
    """Return everything that is printed and written. thresholds: of the calibrated checks."""
    return {
        "environment": environment(),
        "segments": {name: {"source": item.source, "kind": item.kind, "has_repeats": item.has_repeats}
                     for name, item in evidence.segments.items() if name in plan.segments},
        "thresholds": {check.id: _about(check, evidence, thresholds) for check in checks if check.id not in NOT_JUDGED},
        "dissolve_f1": scoring.dissolve_f1(evidence),
        "rows": [*scoring.fault_rows(evidence), *scoring.alarm_rows(evidence)],
    }  # fmt: skip


def _about(check: type[Check], evidence: scoring.Evidence, thresholds: Mapping[str, float]) -> dict[str, Any]:
    values = [value for source in evidence.values(check.id).values() for value in source if np.isfinite(value)]
    return {
        "threshold": thresholds.get(check.id, check.threshold),
        "unit": check.unit,
        "is_calibrated": check.id in thresholds,
        "clean_median": float(np.median(values)) if values else None,
        "clean_most": max(values, default=None),
    }


def environment() -> dict[str, Any]:
    """When, on what and of which code the numbers are."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "check_code_sha256": watermark_results.code_digest(*CHECK_CODE),
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def write(found: Mapping[str, Any], path: Path = PATH) -> None:
    """Write a file with one line for each row, so that changes can be read."""
    head = {name: value for name, value in found.items() if name != "rows"}
    watermark_results.write(path, _rounded(head), _rounded(found["rows"]))


def load(path: Path = PATH) -> dict[str, Any]:
    """Return what `write` wrote."""
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def units_of(checks: Sequence[type[Check]]) -> dict[str, str]:
    """Return the unit of each check's value."""
    return {check.id: check.unit for check in checks}


def write_thresholds(evidence: scoring.Evidence, thresholds: Mapping[str, float],
                     checks: Sequence[type[Check]]) -> None:  # fmt: skip
    """Write the studio's calibration, with the names of the clips."""
    clean = {name: evidence.values(name) for name in thresholds}
    calibrating.write(thresholds, clean, units_of(checks), sorted({case.segment for case in evidence.of("clean")}))


def _rounded(value: Any) -> Any:
    """Round every float within, to four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
