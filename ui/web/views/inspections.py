"""How far the inspection of an uploaded file is, and what it has found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ui.api.problems import without_home
from ui.web.backstage.inspecting import Inspection, is_video
from ui.web.views.errors import error_view
from ui.web.views.reports import report_view
from ui.web.views.verification import verification_view
from ui.web.words import say


def inspection_view(inspection: Inspection, home: Path) -> dict[str, Any]:
    """Return what the tab Inspect shows. home: its path is told to nobody."""
    found = inspection.found
    report = None if inspection.report is None else inspection.report.as_json()
    return {
        "id": inspection.id,
        "name": inspection.name,
        "state": inspection.state,
        "state_text": say(f"inspect.progress.{inspection.state}"),
        "is_open": inspection.is_open,
        "error": None if inspection.error is None else error_view(inspection.error, home),
        "verification": None if found is None else verification_view(found, home, name=inspection.name),
        "is_video": found is not None and is_video(found),
        "done": inspection.done,
        "total": inspection.total,
        "percent": _percent(inspection),
        "check_error": None if inspection.check_error is None else error_view(inspection.check_error, home),
        "consistency": report_view(report),
        "consistency_json": None if report is None else without_home(report, home),
    }


def _percent(inspection: Inspection) -> int | None:
    if inspection.report is not None:
        return 100
    return min(99, 100 * inspection.done // inspection.total) if inspection.total else None
