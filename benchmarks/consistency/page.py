"""The tables of docs/consistency.md, from the checks themselves and the results file."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.consistency import table
from benchmarks.watermark.results import REPOSITORY
from studio.consistency.runner import available_checks

PAGE = REPOSITORY / "docs" / "consistency.md"
_MARKS = ("checks", "faults", "alarms")


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables by name. results: as they are written to the file."""
    return {
        "checks": checks_table(),
        "faults": table.faults(results),
        "alarms": table.alarms(results),
    }


def checks_table() -> str:
    """Return a line for each built-in check."""
    lines = ["| check | finds | measured in | fails from |", "|---|---|---|---|"]
    for check in available_checks():
        if not check.__module__.startswith("studio."):
            continue
        first = re.split(r"(?<=\.)\s", inspect.getdoc(check) or "", maxsplit=1)[0]
        lines.append(f"| `{check.id}` | {' '.join(first.split())} | {check.unit} | {check.threshold:g} |")
    return "\n".join(lines)


def rewrite(results: Mapping[str, Any], path: Path = PAGE) -> None:
    """Put the tables into the page."""
    text = path.read_text(encoding="utf-8")
    for name, rows in tables(results).items():
        before, opening, rest = text.partition(f"<!-- {name} -->\n")
        _, closing, after = rest.partition(f"\n<!-- /{name} -->")
        text = "".join((before, opening, rows, closing, after))
    path.write_text(text, encoding="utf-8")


def of_page(name: str, path: Path = PAGE) -> str:
    """Return a table as it stands in the page."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return found[1] if found else ""
