"""What there is to draw of a report, laid out in shares of time and height; read from its JSON, new or years old."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from studio.consistency.wording import VERDICTS, frames_of, names_frames

Span = tuple[float, float]
Line = tuple[tuple[float, float], ...]

# Findings about the whole clip are marked in every row: they explain what the other checks did there.
_MARKS = {"hard_cut": "cut", "jump_cut": "jump cut", "dissolve": "dissolve", "fades": "fade"}
_NEAR_SCORE = 0.62
_MOST_NEAR = 3
_HEADROOM = 1.12
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One check. verdict: passed, failed or inconclusive. figure: what was measured, in words.

    short_figure: the same without its unit.
    lines: pieces of the curve as (share of time, share of height). limit: height of the threshold, None where the
    curve is in another unit. bands: (begin, end) of events, shares of time. places: their frames, in words.
    """

    title: str
    verdict: str
    figure: str
    short_figure: str
    reason: str
    places: str = ""
    score: float | None = None
    lines: tuple[Line, ...] = ()
    limit: float | None = None
    bands: tuple[Span, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A cut, dissolve or fade. span: (begin, end), shares of time."""

    kind: str
    span: Span

    @property
    def is_cut(self) -> bool:
        return self.kind.endswith("cut")


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A whole report. facts: size, rate and length, in words. failed: worst first. near: passed, but not by much.

    skipped: (title, reason, what mends it) of what nobody could look at.
    """

    name: str
    verdict: str
    facts: str
    counts: str
    num_frames: int
    frame_rate: float
    failed: tuple[Row, ...]
    near: tuple[Row, ...]
    passed: tuple[Row, ...]
    unsure: tuple[Row, ...]
    skipped: tuple[tuple[str, str, str], ...]
    marks: tuple[Mark, ...]
    footer: str

    @property
    def seconds(self) -> float:
        return self.num_frames / self.frame_rate


def sheet_of(report: Mapping[str, Any], name: str) -> Sheet:
    """Return what there is to draw. report: as `Report.as_json` writes it. name: of the clip."""
    num_frames, rate = max(int(report["num_frames"]), 1), Fraction(report["frame_rate"])
    checks = sorted(report["checks"], key=lambda check: 1.0 if check["score"] is None else check["score"])
    rows = [_row(check, num_frames) for check in checks]
    by_verdict = {verdict: [row for row in rows if row.verdict == verdict] for verdict in VERDICTS.values()}
    near = [row for row in by_verdict["passed"] if row.lines and (row.score or 1.0) < _NEAR_SCORE][:_MOST_NEAR]
    skipped = tuple((item["title"], item["reason"], item.get("extra", "")) for item in report.get("not_assessed", ()))
    return Sheet(
        name=name,
        verdict=VERDICTS[report["passed"]],
        facts=_facts(report, num_frames, rate),
        counts=_counts(by_verdict, skipped),
        num_frames=num_frames,
        frame_rate=float(rate),
        failed=tuple(by_verdict["failed"]),
        near=tuple(near),
        passed=tuple(row for row in by_verdict["passed"] if row not in near),
        unsure=tuple(by_verdict["inconclusive"]),
        skipped=skipped,
        marks=tuple(_marks(report, num_frames)),
        footer=_footer(report),
    )


def ticks(seconds: float, most: int = 10) -> list[float]:
    """Return round times, in seconds, for an axis that begins at 0."""
    step = next((item for item in _STEPS if seconds / item <= most), seconds)
    return [index * step for index in range(int(seconds / step + 1e-9) + 1)]


def time_in_words(seconds: float) -> str:
    """Return a time on the axis: ``1.5 s``, ``12:30`` or ``1:02:30``."""
    if seconds < 120:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _row(check: Mapping[str, Any], num_frames: int) -> Row:
    series, step = check.get("series") or (), check.get("series_step") or 1
    # Some curves count something else than the verdict does; the threshold says nothing about those.
    is_comparable = str(check.get("series_unit") or "").startswith(check["unit"])
    limit = check["threshold"] if is_comparable else None
    known = [value for value in series if value is not None]
    top = max([*known, limit or 0.0]) * _HEADROOM or 1.0
    return Row(
        title=check["title"],
        verdict=VERDICTS[check["passed"]],
        figure=_figure(check, f" {check['unit']}"),
        short_figure=_figure(check, ""),
        reason=str(check.get("reason") or ""),
        places="" if names_frames(str(check.get("reason") or "")) else frames_of(check),
        score=check["score"],
        lines=tuple(_lines(series, step, num_frames, top)),
        limit=None if limit is None else limit / top,
        bands=tuple(_bands(check, num_frames)),
    )


def _figure(check: Mapping[str, Any], unit: str) -> str:
    if check["value"] is None:
        return ""
    limit = "" if check["threshold"] is None else f", limit {check['threshold']:.3g}"
    return f"{check['value']:.3g}{unit}{limit}"


def _lines(series: Sequence[float | None], step: int, num_frames: int, top: float) -> Iterable[Line]:
    piece: list[tuple[float, float]] = []
    for index, value in enumerate(series):
        if value is not None:
            middle = min((index + 0.5) * step / num_frames, 1.0)
            piece.append((middle, min(max(value / top, 0.0), 1.0)))
        elif piece:
            yield tuple(piece)
            piece = []
    if piece:
        yield tuple(piece)


def _bands(check: Mapping[str, Any], num_frames: int) -> Iterable[Span]:
    events = check.get("events") or [{"first_frame": i, "last_frame": i} for i in check.get("worst_frames") or ()]
    for event in events:
        yield _span(event, num_frames)


def _span(event: Mapping[str, Any], num_frames: int) -> Span:
    return event["first_frame"] / num_frames, min((event["last_frame"] + 1) / num_frames, 1.0)


def _marks(report: Mapping[str, Any], num_frames: int) -> Iterable[Mark]:
    for check in report["checks"]:
        if check["id"] in _MARKS:
            for event in check.get("events") or ():
                yield Mark(kind=_MARKS[check["id"]], span=_span(event, num_frames))


def _facts(report: Mapping[str, Any], num_frames: int, rate: Fraction) -> str:
    seconds = num_frames / rate
    length = f"{float(seconds):.2f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    words = [f"{report['width']} x {report['height']}", f"{float(rate):.6g} frames/s", f"{num_frames} frames", length]
    return "  ·  ".join(words)


def _counts(by_verdict: Mapping[str, Sequence[Row]], skipped: Sequence[object]) -> str:
    counts = [(len(by_verdict[word]), word) for word in ("failed", "passed", "inconclusive")]
    counts.append((len(skipped), "not assessed"))
    return "  ·  ".join(f"{number} {word}" for number, word in counts if number)


def _footer(report: Mapping[str, Any]) -> str:
    words = ["Local Video Studio, checks of temporal consistency"]
    words += [f"profile {report['profile']}"] if report.get("profile") else []
    words += [f"thresholds of {report['calibration']}"] if report.get("calibration") else []
    return "  ·  ".join(words)
