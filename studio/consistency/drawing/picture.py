"""The report as one picture: verdict on top, a timeline for each check that matters, the worst frames, the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.consistency.drawing.canvas import (
    COLOURS,
    CURVE,
    CURVE_WASH,
    FAINT,
    INK,
    MARK,
    MUTED,
    PANEL,
    RULE,
    WASHES,
    Canvas,
    width_of,
    wrapped,
)
from studio.consistency.drawing.frames import MomentPart
from studio.consistency.drawing.moments import Moment
from studio.consistency.drawing.sheet import Mark, Row, Sheet, ticks, time_in_words
from studio.consistency.drawing.symbols import draw_symbol
from studio.media import Image

if TYPE_CHECKING:
    import PIL.Image

WIDTH = 1600
_MARGIN = 56
_INSIDE = WIDTH - 2 * _MARGIN
_LABELS = 320  # what the names of the checks take on the left
_CHART = _MARGIN + _LABELS
_CHART_WIDTH = WIDTH - _MARGIN - _CHART
_COLUMNS = 3
_COLUMN = (_INSIDE - (_COLUMNS - 1) * 28) / _COLUMNS
_MOST_ROWS = 24


@dataclass(frozen=True, kw_only=True)
class Part:
    """A horizontal piece of the sheet. draw: is given the canvas and the piece's upper edge."""

    height: float
    draw: Callable[[Canvas, float], None]


def draw_sheet(sheet: Sheet, moments: Sequence[Moment], pictures: Mapping[int, Image]) -> PIL.Image.Image:
    """Return the sheet, 1600 pixels wide and as high as it needs to be. pictures: small frames by index."""
    parts = [_header(sheet), *_timelines(sheet)]
    if pictures:
        moment_part = MomentPart(moments=moments, pictures=pictures, frame_rate=sheet.frame_rate, width=_INSIDE)
        parts += [_title("The worst moments", "before, during and after"), _space(8)]
        parts.append(Part(height=moment_part.height, draw=lambda canvas, top: moment_part.draw(canvas, _MARGIN, top)))
    parts += [*_grid(sheet), *_remarks(sheet), _footer(sheet)]
    canvas = Canvas(WIDTH, round(sum(part.height for part in parts)))
    top = 0.0
    for part in parts:
        part.draw(canvas, top)
        top += part.height
    return canvas.finished()


def _header(sheet: Sheet) -> Part:
    def draw(canvas: Canvas, top: float) -> None:
        colour, wash = COLOURS[sheet.verdict], WASHES[sheet.verdict]
        canvas.box(0, top, WIDTH, 148, wash)
        canvas.box(0, top, WIDTH, 6, colour)
        draw_symbol(canvas, sheet.verdict, _MARGIN + 34, top + 78, 32)
        left = _MARGIN + 92
        word = canvas.text(left, top + 72, sheet.verdict.upper(), 34, colour, is_bold=True)
        canvas.text(left + word + 24, top + 72, sheet.name, 30, INK, room=_INSIDE - word - 120)
        canvas.text(left, top + 112, sheet.facts, 20, MUTED, room=_INSIDE * 0.6)
        canvas.text(WIDTH - _MARGIN, top + 112, sheet.counts, 20, INK, anchor="rs")

    return Part(height=148, draw=draw)


def _timelines(sheet: Sheet) -> list[Part]:
    parts: list[Part] = []
    drawn = [row for row in sheet.failed if row.lines or row.bands][:_MOST_ROWS]
    if drawn:
        parts += [_title("What failed, and when", "worst first"), *(_timeline(row, sheet) for row in drawn)]
        parts.append(_axis(sheet))
    parts += [_bare(row) for row in sheet.failed if row not in drawn][:_MOST_ROWS]
    if sheet.near:
        parts += [_title("Passed, but not by much", ""), *(_timeline(row, sheet) for row in sheet.near), _axis(sheet)]
    return parts


def _timeline(row: Row, sheet: Sheet) -> Part:
    height = 104

    def draw(canvas: Canvas, top: float) -> None:
        _label(canvas, row, top)
        canvas.box(_CHART, top, _CHART_WIDTH, height, PANEL, radius=4)
        for begin, end in row.bands if row.verdict == "failed" else ():
            _band(canvas, begin, end, top, height)
        _curve(canvas, row, top, height)
        for mark in sheet.marks:
            _mark(canvas, mark, top, height)

    return Part(height=height + 14, draw=draw)


def _label(canvas: Canvas, row: Row, top: float) -> None:
    draw_symbol(canvas, row.verdict, _MARGIN + 11, top + 16, 10)
    size = 20 if width_of(row.title, 20) <= _LABELS - 48 else 17
    canvas.text(_MARGIN + 32, top + 23, row.title, size, INK, is_bold=True, room=_LABELS - 48)
    canvas.text(_MARGIN + 32, top + 46, row.figure, 16, MUTED, room=_LABELS - 48)
    reason = row.reason if row.verdict == "failed" else ""
    for number, line in enumerate(wrapped(reason, 15, _LABELS - 48, 3)):
        canvas.text(_MARGIN + 32, top + 67 + 18 * number, line, 15, COLOURS["failed"])


def _band(canvas: Canvas, begin: float, end: float, top: float, height: float) -> None:
    left, right = _CHART + begin * _CHART_WIDTH, _CHART + end * _CHART_WIDTH
    middle, width = (left + right) / 2, max(right - left, 5.0)
    canvas.box(middle - width / 2, top, width, height, WASHES["failed"])
    canvas.box(middle - width / 2, top + height - 5, width, 5, COLOURS["failed"])


def _curve(canvas: Canvas, row: Row, top: float, height: float) -> None:
    floor, room = top + height - 5, height - 14
    for piece in row.lines:
        points = [(_CHART + x * _CHART_WIDTH, floor - y * room) for x, y in piece]
        if len(points) == 1:
            canvas.disc(*points[0], 2.5, CURVE)
            continue
        if row.verdict != "failed":
            canvas.area([(points[0][0], floor), *points, (points[-1][0], floor)], CURVE_WASH)
        canvas.line(points, CURVE, 2)
    if row.limit is not None:
        level = floor - row.limit * room
        canvas.dashes((_CHART, level), (_CHART + _CHART_WIDTH, level), COLOURS["failed"], 1.5)
        is_low = level - top < 24
        canvas.text(_CHART + _CHART_WIDTH - 8, level + (16 if is_low else -6), "limit", 14, COLOURS["failed"],
                    anchor="rs", halo=PANEL)  # fmt: skip


def _mark(canvas: Canvas, mark: Mark, top: float, height: float) -> None:
    left, right = (_CHART + share * _CHART_WIDTH for share in mark.span)
    if mark.is_cut:
        canvas.dashes((left, top), (left, top + height), MARK, 1.5)
        canvas.area([(left - 6, top), (left + 6, top), (left, top + 8)], MARK)
        return
    canvas.box(left, top, max(right - left, 4.0), 5, MARK)
    for edge in (left, right):
        canvas.dashes((edge, top), (edge, top + height), MARK, 1)


def _axis(sheet: Sheet) -> Part:
    def draw(canvas: Canvas, top: float) -> None:
        top -= 8
        canvas.line([(_CHART, top), (_CHART + _CHART_WIDTH, top)], RULE, 1.5)
        for seconds in ticks(sheet.seconds):
            x = _CHART + min(seconds / sheet.seconds, 1.0) * _CHART_WIDTH
            canvas.line([(x, top), (x, top + 6)], FAINT, 1.5)
            canvas.text(x, top + 24, time_in_words(seconds), 15, MUTED, anchor="ms")
        _legend(canvas, sheet, top)

    return Part(height=40, draw=draw)


def _legend(canvas: Canvas, sheet: Sheet, top: float) -> None:
    left = _MARGIN + 32.0
    for kind, is_cut in dict.fromkeys((mark.kind, mark.is_cut) for mark in sheet.marks):
        if is_cut:
            canvas.area([(left, top + 12), (left + 12, top + 12), (left + 6, top + 20)], MARK)
        else:
            canvas.box(left, top + 13, 16, 5, MARK)
        left += 44 + canvas.text(left + 22, top + 22, kind, 15, MARK)


def _bare(row: Row) -> Part:
    """A failed check that knows no frames: a line of words."""

    def draw(canvas: Canvas, top: float) -> None:
        draw_symbol(canvas, row.verdict, _MARGIN + 11, top + 14, 10)
        canvas.text(_MARGIN + 32, top + 21, row.title, 20, INK, is_bold=True, room=_LABELS - 48)
        words = "  ·  ".join(filter(None, (row.figure, row.reason)))
        canvas.text(_CHART, top + 21, words, 17, COLOURS["failed"], room=_CHART_WIDTH)

    return Part(height=40, draw=draw)


def _grid(sheet: Sheet) -> list[Part]:
    if not sheet.passed:
        return []
    lines = -(-len(sheet.passed) // _COLUMNS)

    def draw(canvas: Canvas, top: float) -> None:
        for number, row in enumerate(sheet.passed):
            column, line = divmod(number, lines)
            left, y = _MARGIN + column * (_COLUMN + 28), top + 34 * line
            draw_symbol(canvas, "passed", left + 9, y + 15, 8)
            words = row.figure if width_of(row.figure, 15) <= _COLUMN * 0.56 else row.short_figure
            figure = canvas.text(left + _COLUMN, y + 20, words, 15, MUTED, anchor="rs", room=_COLUMN * 0.56)
            canvas.text(left + 28, y + 21, row.title, 17, INK, room=_COLUMN - figure - 40)
            canvas.line([(left, y + 33), (left + _COLUMN, y + 33)], RULE, 1)

    return [_title("Passed", ""), Part(height=34 * lines + 8, draw=draw)]


def _remarks(sheet: Sheet) -> list[Part]:
    """What nothing can be said about, with the reason: silence must not look like a pass."""
    unsure = [("inconclusive", row.title, row.reason) for row in sheet.unsure]
    skipped = [("", title, f"{reason}  ·  {extra}" if extra else reason) for title, reason, extra in sheet.skipped]
    parts = []
    for heading, items in (("Inconclusive", unsure), ("Not assessed", skipped)):
        parts += [_title(heading, ""), *(_remark(*item) for item in items)] if items else []
    return parts


def _remark(verdict: str, title: str, words: str) -> Part:
    def draw(canvas: Canvas, top: float) -> None:
        draw_symbol(canvas, verdict, _MARGIN + 9, top + 15, 8)
        canvas.text(_MARGIN + 28, top + 21, title, 17, INK, room=_LABELS - 40)
        canvas.text(_CHART, top + 21, words, 16, MUTED, room=_CHART_WIDTH)

    return Part(height=32, draw=draw)


def _title(words: str, aside: str) -> Part:
    def draw(canvas: Canvas, top: float) -> None:
        width = canvas.text(_MARGIN, top + 46, words, 23, INK, is_bold=True)
        canvas.text(_MARGIN + width + 14, top + 46, aside, 17, MUTED)

    return Part(height=64, draw=draw)


def _space(height: float) -> Part:
    return Part(height=height, draw=lambda _canvas, _top: None)


def _footer(sheet: Sheet) -> Part:
    def draw(canvas: Canvas, top: float) -> None:
        canvas.line([(_MARGIN, top + 24), (WIDTH - _MARGIN, top + 24)], RULE, 1)
        canvas.text(_MARGIN, top + 54, sheet.footer, 15, FAINT, room=_INSIDE)

    return Part(height=80, draw=draw)
