"""What is shown of an error: its parts, without folders of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.errors import StudioError
from ui.api.problems import usable_fix, without_paths

PARTS = ("message", "field", "got", "allowed", "fix")


def error_view(error: StudioError | Mapping[str, Any], home: Path) -> dict[str, Any]:
    """Return the parts of an error that people are shown. home: its path is told to nobody."""
    told = without_paths(error.as_json() if isinstance(error, StudioError) else error, home)
    return {name: told.get(name) for name in PARTS} | {"fix": usable_fix(told.get("fix"))}
