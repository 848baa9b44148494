"""The report as a page: one file without scripts, readable from any disk; every word in it is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from studio.consistency.drawing.canvas import COLOURS, CURVE, MARK, WASHES, Colour
from studio.consistency.drawing.moments import Moment
from studio.consistency.drawing.sheet import Row, Sheet, ticks, time_in_words
from studio.media import Image

_CHART_WIDTH, _CHART_HEIGHT = 1000, 96
_JPEG_QUALITY = 86
# Nothing may be loaded from anywhere, whatever a file name or a prompt contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_SYMBOLS = {"failed": "✕", "passed": "✓", "inconclusive": "–", "": "○"}


def page_of(sheet: Sheet, moments: Sequence[Moment], pictures: Mapping[int, Image]) -> str:
    """Return the page. pictures: small frames by index, (h, w, 3) uint8 RGB."""
    charted = [*sheet.failed, *sheet.near]
    body = "".join(
        (
            _header(sheet),
            _section("What failed, and when", "".join(_chart(row, sheet) for row in sheet.failed)),
            _section("Passed, but not by much", "".join(_chart(row, sheet) for row in sheet.near)),
            _axis(sheet) if any(row.lines or row.bands for row in charted) else "",
            _section("The worst moments", "".join(_moment(item, pictures, sheet.frame_rate) for item in moments)),
            _section("Passed", _list("passed", ((row.title, row.figure) for row in sheet.passed))),
            _section("Inconclusive", _list("inconclusive", ((row.title, row.reason) for row in sheet.unsure))),
            _section(
                "Not assessed", _list("", ((item[0], ". ".join(filter(None, item[1:]))) for item in sheet.skipped))
            ),
            f"<footer>{_text(sheet.footer)}</footer>",
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(sheet.name)}: {sheet.verdict}</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _header(sheet: Sheet) -> str:
    return (
        f'<header class="{sheet.verdict}"><h1><span class="verdict">{_symbol(sheet.verdict)} {sheet.verdict}</span> '
        f"{_text(sheet.name)}</h1><p>{_text(sheet.facts)}</p><p>{_text(sheet.counts)}</p></header>"
    )


def _chart(row: Row, sheet: Sheet) -> str:
    words = "".join(
        (
            f"<h3>{_symbol(row.verdict)} {_text(row.title)}</h3>",
            f'<p class="figure">{_text(row.figure)}</p>' if row.figure else "",
            f'<p class="reason">{_text(row.reason)}</p>' if row.reason else "",
            f'<p class="figure">{_text(row.places)}</p>' if row.places else "",
        )
    )
    drawing = _curve(row, sheet) if row.lines or row.bands else ""
    return f'<div class="row {row.verdict}"><div>{words}</div>{drawing}</div>'


def _curve(row: Row, sheet: Sheet) -> str:
    shapes = [_rectangle(begin, end, WASHES["failed"]) for begin, end in row.bands]
    for piece in row.lines:
        points = [f"{x * _CHART_WIDTH:.1f},{(1 - y * 0.94) * _CHART_HEIGHT:.1f}" for x, y in piece]
        if len(points) == 1:
            points.append(points[0])
        shapes.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{_css(CURVE)}" stroke-width="2" '
                      'stroke-linecap="round" vector-effect="non-scaling-stroke"/>')  # fmt: skip
    if row.limit is not None:
        level = (1 - row.limit * 0.94) * _CHART_HEIGHT
        shapes.append(_rule(0, level, _CHART_WIDTH, level, COLOURS["failed"]))
    edges = {edge for mark in sheet.marks for edge in mark.span[: 1 if mark.is_cut else 2]}
    shapes += [_rule(edge * _CHART_WIDTH, 0, edge * _CHART_WIDTH, _CHART_HEIGHT, MARK) for edge in sorted(edges)]
    label = _text(f"{row.title} over time. {row.places or row.reason}")
    return (f'<svg viewBox="0 0 {_CHART_WIDTH} {_CHART_HEIGHT}" preserveAspectRatio="none" role="img" '
            f'aria-label="{label}">{"".join(shapes)}</svg>')  # fmt: skip


def _axis(sheet: Sheet) -> str:
    places = ((seconds, 100 * min(seconds / sheet.seconds, 1.0)) for seconds in ticks(sheet.seconds))
    marks = "".join(f'<span style="left:{share:.2f}%">{time_in_words(seconds)}</span>' for seconds, share in places)
    kinds = ", ".join(dict.fromkeys(mark.kind for mark in sheet.marks))
    return f'<div class="row axis"><div class="mark">{_text(kinds)}</div><div class="ticks">{marks}</div></div>'


def _moment(moment: Moment, pictures: Mapping[int, Image], frame_rate: float) -> str:
    if not pictures:
        return ""
    figures = "".join(
        _frame(pictures[index], index, frame_rate, moment, is_worst=index == moment.at)
        for index in moment.frames
        if index is not None and index in pictures
    )
    titles = _text(" + ".join(moment.titles))
    return (
        f'<div class="moment"><h3>{titles}</h3><p class="reason">{_text(moment.reason)}</p><div>{figures}</div></div>'
    )


def _frame(image: Image, index: int, frame_rate: float, moment: Moment, *, is_worst: bool) -> str:
    box = ""
    if moment.box is not None:
        x, y, width, height = (f"{100 * min(max(value, 0.0), 1.0):.1f}%" for value in moment.box)
        box = f'<i style="left:{x};top:{y};width:{width};height:{height}"></i>'
    caption = f"frame {index}, {index / frame_rate:.2f} s"
    kind = ' class="worst"' if is_worst else ""
    return (f'<figure{kind}><span><img alt="{caption}" src="data:image/jpeg;base64,{_jpeg(image)}">{box}</span>'
            f"<figcaption>{caption}</figcaption></figure>")  # fmt: skip


def _list(verdict: str, items: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"<li>{_symbol(verdict)} <b>{_text(name)}</b> {_text(words)}</li>" for name, words in items)
    return f"<ul>{lines}</ul>" if lines else ""


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _symbol(verdict: str) -> str:
    return f'<span class="symbol {verdict or "skipped"}" aria-hidden="true">{_SYMBOLS[verdict]}</span>'


def _rectangle(begin: float, end: float, colour: Colour) -> str:
    x, width = begin * _CHART_WIDTH, max((end - begin) * _CHART_WIDTH, 4.0)
    return f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="{_CHART_HEIGHT}" fill="{_css(colour)}"/>'


def _rule(x1: float, y1: float, x2: float, y2: float, colour: Colour) -> str:
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_css(colour)}" '
            'stroke-width="1.5" stroke-dasharray="5 4" vector-effect="non-scaling-stroke"/>')  # fmt: skip


def _text(words: str) -> str:
    """Escape words, and take out what steers a terminal or turns the direction of writing."""
    return escape("".join(letter if letter.isprintable() else "\ufffd" for letter in words))


def _jpeg(image: Image) -> str:
    import PIL.Image

    stream = io.BytesIO()
    PIL.Image.fromarray(image).save(stream, "JPEG", quality=_JPEG_QUALITY)
    return base64.b64encode(stream.getvalue()).decode()


def _css(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


_STYLE = f"""
:root {{ color: #161e2c; background: #fff; font: 16px/1.45 system-ui, sans-serif; }}
body {{ margin: 0; }} main {{ max-width: 1400px; margin: 0 auto; padding: 0 24px 40px; }}
header {{ margin: 0 -24px; padding: 20px 24px; border-top: 6px solid; }}
header p {{ margin: 4px 0 0; color: #5c687a; }}
h1 {{ margin: 0; font-size: 26px; font-weight: 500; overflow-wrap: anywhere; }}
.verdict {{ font-weight: 700; text-transform: uppercase; margin-right: 12px; white-space: nowrap; }}
header.failed {{ background: {_css(WASHES["failed"])}; border-color: {_css(COLOURS["failed"])}; }}
header.passed {{ background: {_css(WASHES["passed"])}; border-color: {_css(COLOURS["passed"])}; }}
header.inconclusive {{ background: {_css(WASHES["inconclusive"])}; border-color: {_css(COLOURS["inconclusive"])}; }}
.failed .verdict, .symbol.failed, .failed .reason, .worst figcaption {{ color: {_css(COLOURS["failed"])}; }}
.passed .verdict, .symbol.passed {{ color: {_css(COLOURS["passed"])}; }}
.inconclusive .verdict, .symbol.inconclusive {{ color: {_css(COLOURS["inconclusive"])}; }}
h2 {{ font-size: 20px; margin: 32px 0 12px; }} h3 {{ font-size: 16px; margin: 0; }}
.row {{ display: grid; grid-template-columns: 300px 1fr; gap: 16px; margin-bottom: 14px; }}
.row p {{ margin: 2px 0 0; font-size: 14px; overflow-wrap: anywhere; }} .figure, .skipped {{ color: #5c687a; }}
svg {{ width: 100%; height: {_CHART_HEIGHT}px; background: #f6f8fa; border-radius: 4px; }}
.ticks {{ position: relative; height: 20px; white-space: nowrap; color: #5c687a; font-size: 13px; }}
.ticks span {{ position: absolute; transform: translateX(-50%); }} .mark {{ color: {_css(MARK)}; font-size: 13px; }}
.moment {{ margin-bottom: 22px; }} .moment p {{ margin: 0 0 6px; font-size: 14px; }}
.moment > div {{ display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; max-width: 1100px; }}
figure {{ margin: 0; }} figure span {{ position: relative; display: block; overflow: hidden; }}
img {{ width: 100%; display: block; }}
figure i {{ position: absolute; border: 3px solid #ffb000; outline: 1px solid #fff; box-sizing: border-box; }}
.worst span {{ outline: 3px solid {_css(COLOURS["failed"])}; }}
figcaption {{ font-size: 13px; color: #5c687a; margin-top: 4px; }}
ul {{ list-style: none; margin: 0; padding: 0; columns: 2 480px; }}
li {{ break-inside: avoid; padding: 4px 0; font-size: 14px; }}
li b {{ font-weight: 600; margin-right: 8px; }} .symbol {{ font-weight: 700; }}
footer {{ margin-top: 36px; padding-top: 12px; border-top: 1px solid #dfe4eb; color: #929cab; font-size: 13px; }}
@media (max-width: 800px) {{ .row {{ grid-template-columns: 1fr; }} }}
"""
