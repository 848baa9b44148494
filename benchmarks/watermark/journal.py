"""Rows of finished work in a JSON Lines file, so that a run that was cut off goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Journal:
    """The rows of one piece of work: an earlier run's and those appended now. A half-written line is dropped."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        path.write_text("".join(whole))
        self._path = path
        self.rows: list[Row] = [json.loads(line) for line in whole]

    def append(self, row: Row) -> None:
        """Keep a row."""
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)

    def has(self, **values: object) -> bool:
        """Whether a row holds all these values."""
        return any(all(row.get(name) == value for name, value in values.items()) for row in self.rows)
