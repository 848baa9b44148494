"""What a run leaves behind: rows, and when, on what and with which versions they were made. Written after every row."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "results"
_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "triton", "xformers")
_DIGITS = 5  # kept of every measured number


@dataclass(kw_only=True)
class Results:
    """A JSON file that holds what is known so far. about: what was done. more: what is found beside the rows."""

    path: Path | None
    about: Mapping[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a row, in place of one of the same section and name."""
        places = [index for index, other in enumerate(self.rows) if _key(other) == _key(row)]
        if places:
            self.rows[places[0]] = dict(row)
        else:
            self.rows.append(dict(row))
        self.write()

    def resume(self) -> None:
        """Take over the rows of the file that is there."""
        if self.path is not None and self.path.is_file():
            self.rows = json.loads(self.path.read_text())["rows"]

    def write(self) -> None:
        """Write the file with a line for each row, so that changes can be read; nothing where there is no path."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps({"about": self.about, **_rounded(self.more)}, indent=1)[:-2]
        lines = ",\n".join("  " + json.dumps(_rounded(row)) for row in self.rows)
        self.path.write_text(f'{head},\n "rows": [\n{lines}\n ]\n}}\n')


def environment() -> dict[str, Any]:
    """Return date, versions and machine."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def _key(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("section"), row["name"]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
