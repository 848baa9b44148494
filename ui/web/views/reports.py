"""What is shown of a consistency report, be it new or stored years ago: what was flagged first, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.consistency.wording import frames_of
from ui.web.words import say

_ORDER = {False: 0, None: 1, True: 2}
_WORDS = {False: "flagged", None: "not_assessed", True: "passed"}
_TONES = {False: "warn", None: "quiet", True: "good"}


def report_view(report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a report with its checks sorted, those that say no first; None where no check looked at the file.

    report: as `Report.as_json` writes it. Each check keeps its figures and gains ``word`` and ``tone`` for a badge,
    ``text``, one sentence of what it says, and ``threshold_fits``: whether its threshold is in the unit of its series.
    """
    checks = (report or {}).get("checks") or ()
    if report is None or not checks:
        return None
    shown = [_check(check) for check in sorted(checks, key=lambda check: _ORDER[check.get("passed")])]
    counts = {word: sum(check["word"] == word for check in shown) for word in _WORDS.values()}
    verdict = report.get("passed")
    return {
        "passed": verdict,
        "sentence": _sentence(verdict, counts),
        "tone": _TONES[verdict],
        "counts": counts,
        "checks": shown,
        "not_assessed": [dict(item) for item in report.get("not_assessed") or ()],
        "num_frames": report.get("num_frames"),
        "frame_rate": str(report.get("frame_rate") or ""),
        "profile": report.get("profile") or "gate",
        "calibration": report.get("calibration") or "",
    }


def _check(check: Mapping[str, Any]) -> dict[str, Any]:
    passed = check.get("passed")
    unit, series_unit = str(check.get("unit") or ""), str(check.get("series_unit") or "")
    word = _WORDS[passed]
    return {
        "id": check["id"],
        "title": check["title"],
        "passed": passed,
        "word": word,
        "word_text": say(f"clip.check.{word}"),
        "tone": _TONES[passed],
        "text": _text(check),
        "reason": str(check.get("reason") or ""),
        "score": check.get("score"),
        "value": check.get("value"),
        "unit": unit,
        "threshold": check.get("threshold"),
        "threshold_fits": check.get("threshold") is not None and bool(unit) and series_unit.startswith(unit),
        "worst_frames": list(check.get("worst_frames") or ()),
        "events": [dict(event) for event in check.get("events") or ()],
        "series": list(check.get("series") or ()),
        "series_unit": series_unit,
        "series_step": check.get("series_step") or 1,
    }


def _text(check: Mapping[str, Any]) -> str:
    reason = str(check.get("reason") or "")
    if reason:
        return reason[:1].upper() + reason[1:] + "."
    if check.get("passed") is None:
        return say("clip.check.could_not_tell")
    if check.get("passed"):
        return say("clip.check.nothing_found")
    frames = frames_of(check)
    return say("clip.check.seen_at", frames=frames) if frames else say("clip.check.beyond")


def _sentence(verdict: bool | None, counts: Mapping[str, int]) -> str:
    if verdict is False:
        return say("clip.report.flagged", flagged=counts["flagged"], all=sum(counts.values()))
    return say("clip.report.passed" if verdict else "clip.report.inconclusive", passed=counts["passed"])
