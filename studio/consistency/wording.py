"""What a report says, in lines for people. It reads the JSON of a report, be it new or stored years ago."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from studio.consistency.spans import groups

VERDICTS = {True: "passed", False: "failed", None: "inconclusive"}
_MAX_PLACES = 4
_NAMES_FRAMES = re.compile(r"\bframes? \d", re.ASCII)


def failed_checks(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the checks of a report that said no."""
    return [check for check in report["checks"] if check["passed"] is False]


def failure_lines(report: Mapping[str, Any]) -> list[str]:
    """Return one line for each failed check: its name, the frames at fault and the reason."""
    return [failure_line(check) for check in failed_checks(report)]


def failure_line(check: Mapping[str, Any]) -> str:
    """Say what a failed check saw and where."""
    reason = str(check.get("reason") or "")
    frames = "" if names_frames(reason) else frames_of(check)
    told = ", ".join(filter(None, (check["title"], frames)))
    return f"{told}: {reason}" if reason else told


def names_frames(words: str) -> bool:
    """Say whether words already tell which frames they are about."""
    return _NAMES_FRAMES.search(words) is not None


def frames_of(check: Mapping[str, Any]) -> str:
    """Name the frames that a check found fault with, such as ``frames 4 to 6, frame 9``; empty where it names none."""
    spans = sorted((event["first_frame"], event["last_frame"]) for event in check.get("events") or ())
    spans = spans or groups(sorted(check.get("worst_frames") or ()))
    words = [f"frame {first}" if first == last else f"frames {first} to {last}" for first, last in spans]
    more = [f"{len(words) - _MAX_PLACES} more places"] if len(words) > _MAX_PLACES else []
    return ", ".join([*words[:_MAX_PLACES], *more])
