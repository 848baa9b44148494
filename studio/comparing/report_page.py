"""The page of a report: HTML in which every text is escaped, and nothing runs or looks but our own script and style."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Any

from studio.comparing.comparison import Comparison, Entry
from studio.comparing.ranking import Ranking
from studio.comparing.report_ranking import ranking_part
from studio.comparing.voting import Vote
from studio.consistency.wording import failure_lines
from studio.library.asset import Asset
from studio.provenance.shown import one_line, paragraph

GENERATOR = "local-video-studio comparison report"
_CHECKS = {
    "passed": ("good", "checks passed"),
    "flagged": ("warn", "a check failed"),
    "released": ("warn", "released by hand"),
    "inconclusive": ("dull", "checks inconclusive"),
    "unchecked": ("dull", "not checked"),
}
_VERDICTS = {"tie": "neither is better", "both_bad": "both are bad"}
_PIECE_BYTES = 3 * 2**18  # whole groups of three, so that pieces of base64 can stand one after another
_FACTS = (("seed", "seed"), ("num_inference_steps", "steps"), ("guidance_scale", "guidance"))


@dataclass(frozen=True)
class Clip:
    """A sealed clip. content: the bytes of its file."""

    asset: Asset
    content: bytes

    def data_uri(self) -> Iterator[str]:
        """Yield, in pieces, an address that holds the file."""
        yield f"data:{self.asset.mime_type};base64,"
        for start in range(0, len(self.content), _PIECE_BYTES):
            yield base64.b64encode(self.content[start : start + _PIECE_BYTES]).decode("ascii")

    @property
    def file_name(self) -> str:
        """What the file is called when it is saved."""
        return f"{self.asset.id}.mp4"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One comparison of a report.

    clip_of: reads the clip of an entry, or returns a sentence on why it has none. It is asked once for each entry, in
    their order, when the page comes to it: one clip at a time is held.
    """

    comparison: Comparison
    votes: Sequence[Vote]
    ranking: Ranking
    clip_of: Callable[[Entry], Clip | str]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report. models: the ranking over all of its comparisons, None where there is one comparison."""

    sections: Sequence[Section]
    models: Ranking | None
    written_at: datetime

    def parts(self) -> Iterator[str]:
        """Yield the page in pieces."""
        style, script = (_file(name) for name in ("report.css", "report.js"))
        title = _title(self.sections[0].comparison) if len(self.sections) == 1 else "Comparisons"
        yield _head(title, style, script)
        yield f'<header><p class="kind">Comparison report</p><h1>{_text(title)}</h1>{_note_on_clips()}</header><main>'
        if self.models is not None:
            yield f'<section class="card"><h2>All comparisons, by model</h2>{ranking_part(self.models)}</section>'
        for section in self.sections:
            yield from _section(section, with_title=len(self.sections) > 1)
        yield f"</main>{_foot(self.written_at)}<script>{script}</script></body></html>\n"


def _head(title: str, style: str, script: str) -> str:
    # Whatever a prompt or a reason contains, no other script or style than these two, and nothing from anywhere.
    policy = (
        "default-src 'none'; media-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="generator" content="{GENERATOR}">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{_text(title)}</title><style>{style}</style></head><body>"
    )


def _note_on_clips() -> str:
    return (
        "<p>Every clip on this page was made by a generative model, and is the sealed file itself, byte for byte: "
        "watermarked and signed. Save one and run <code>studio verify FILE</code> to see what may be trusted about it; "
        "<code>sha256sum FILE</code> must print the digest that stands beside it.</p>"
    )


def _foot(written_at: datetime) -> str:
    return f"<footer><p>Written {written_at:%Y-%m-%d %H:%M} UTC by Local Video Studio.</p></footer>"


def _section(section: Section, *, with_title: bool) -> Iterator[str]:
    comparison = section.comparison
    heading = f"<h2>{_text(_title(comparison))}</h2>" if with_title else ""
    tags = "".join(f"<li>{_text(tag)}</li>" for tag in comparison.tags)
    prompt = escape(paragraph(comparison.prompt)) if comparison.prompt.strip() else "no prompt"
    yield (
        f'<section class="comparison" data-id="{_text(comparison.id)}">{heading}'
        f'<p class="prompt" dir="auto">{prompt}</p>{_asked(comparison)}'
        f"{f'<ul class=tags aria-label=Tags>{tags}</ul>' if tags else ''}"
    )
    yield _controls() if any(entry.asset is not None for entry in comparison.entries) else ""
    yield '<div class="clips">'
    for entry in comparison.entries:
        yield from _entry(entry, section.clip_of(entry))
    yield "</div>"
    yield f'<div class="card"><h3>Ranking of the entries</h3>{ranking_part(section.ranking)}</div>'
    yield f'<div class="card"><h3>Votes</h3>{_votes(section)}</div></section>\n'


def _asked(comparison: Comparison) -> str:
    """Return what was asked of all, but for the prompt."""
    told = []
    for name, value in comparison.request.items():
        if value in (None, "", [], {}) or name == "prompt":
            continue
        words = _pictures(value) if name == "conditionings" else _value(value)
        told.append(f"<span>{_text(name.replace('_', ' '))} <b>{_text(words, 400)}</b></span>")
    return f'<p class="facts">{"".join(told)}</p>' if told else ""


def _pictures(items: Any) -> str:
    """Name the pictures and videos that all started from, by file name: where they lie is nobody's business."""
    names = (str(item["path"]).replace("\\", "/").rpartition("/")[2] for item in items)
    return ", ".join(f"{item['role']} {name}" for item, name in zip(items, names, strict=True))


def _controls() -> str:
    """Return what plays all clips of a comparison together; shown by the script, as it does nothing without it."""
    speeds = "".join(
        f'<option value="{speed}"{" selected" if speed == 1 else ""}>{speed}×</option>' for speed in (0.25, 0.5, 1, 2)
    )
    return (
        '<div class="controls" role="group" aria-label="All clips together" hidden>'
        '<button type="button" class="play">Play</button>'
        '<button type="button" class="back" aria-label="One frame back">◂ frame</button>'
        '<button type="button" class="forward" aria-label="One frame forward">frame ▸</button>'
        '<input type="range" class="seek" min="0" max="1" step="0.001" value="0" aria-label="Position">'
        '<output class="time">0.00 s</output>'
        f'<label>Speed <select class="speed">{speeds}</select></label>'
        '<label><input type="checkbox" class="loop" checked> Loop</label></div>'
    )


def _entry(entry: Entry, clip: Clip | str) -> Iterator[str]:
    yield f'<article id="entry-{entry.number}"><h3><span class="number">{entry.number}</span> {_text(entry.label)}</h3>'
    if isinstance(clip, str):
        yield f'<p class="empty"><b>{_text(entry.state)}</b> {_text(clip, 600)}</p>'
    else:
        yield from _screen(entry, clip)
    yield f"<dl>{''.join(_fact(name, words) for name, words in _facts(entry) if words)}</dl>"
    if isinstance(clip, Clip) and (failures := failure_lines(clip.asset.report)):
        items = "".join(f"<li>{_text(line, 400)}</li>" for line in failures)
        yield f'<div class="differences"><h4>Failed checks</h4><ul>{items}</ul></div>'
    if entry.differences:
        items = "".join(f"<li>{_text(item.sentence, 400)}</li>" for item in entry.differences)
        yield f'<div class="differences"><h4>Not as asked</h4><ul>{items}</ul></div>'
    yield "</article>"


def _screen(entry: Entry, clip: Clip) -> Iterator[str]:
    asset = clip.asset
    tone, words = _CHECKS.get(asset.standing, ("dull", asset.standing))
    label = _text(f"Clip {entry.number}: {entry.label}")
    yield f'<div class="screen"><video controls muted playsinline width="{asset.width}" height="{asset.height}" '
    yield f'aria-label="{label}" data-frame-rate="{float(asset.frame_rate):.6f}" data-frames="{asset.num_frames}" src="'
    yield from clip.data_uri()
    yield '"></video></div>'
    sound = '<button type="button" class="sound" aria-pressed="false" hidden>Sound</button>'
    yield (
        f'<p class="badges"><span class="badge {tone}">{_text(words)}</span>'
        f"{sound if asset.request.get('generate_audio') else ''}"
        f'<a class="save" download="{_text(clip.file_name)}" hidden>Save the sealed file</a></p>'
    )


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    asset = entry.asset
    yield "model", entry.model
    yield "set otherwise", ", ".join(f"{name} = {_value(value)}" for name, value in entry.changes.items())
    if asset is not None:
        rate = float(asset.frame_rate)
        yield "size", f"{asset.width} x {asset.height}"
        yield "length", f"{asset.num_frames} frames at {rate:g} per second, {asset.num_frames / rate:.3g} s"
        for name, shown in _FACTS:
            value = asset.request.get(name)
            yield shown, "" if value is None else _value(value)
    yield "took", "" if entry.seconds is None else f"{entry.seconds:.1f} s"
    yield "cost", _cost(entry)
    if asset is not None:
        yield "", str((asset.master or {}).get("attribution") or "")
        yield "sha256", asset.sha256
        yield "clip", asset.id


def _cost(entry: Entry) -> str:
    cost = entry.cost
    if not cost or cost.get("amount") is None:
        return ""
    if not cost["amount"]:
        return "none"
    return f"{float(cost['amount']):.4g} {cost.get('currency')} {'billed' if entry.is_billed else 'estimated'}"


def _votes(section: Section) -> str:
    if not section.votes:
        return "<p>Nobody has voted yet.</p>"
    voters = list(dict.fromkeys(vote.voter for vote in section.votes))
    rows = "".join(_vote(vote, section.comparison, voters.index(vote.voter) + 1) for vote in section.votes)
    return (
        "<div class=wide><table><thead><tr><th>When</th><th>Who</th><th>Left</th><th>Right</th><th>Verdict</th>"
        f"<th>Names hidden</th><th>Reasons</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _vote(vote: Vote, comparison: Comparison, voter: int) -> str:
    """Return a vote as a line of the table. voter: a number, as names of accounts are nobody else's business."""
    labels = {entry.number: entry.label for entry in comparison.entries}
    winner = vote.winner
    verdict = _VERDICTS.get(vote.verdict.value, f"{winner} is better")
    sides = [f"{number} {labels.get(number, '')}" for number in (vote.left, vote.right)]
    cells = [f"{vote.created_at:%Y-%m-%d %H:%M}", f"voter {voter}", *sides, verdict]
    cells += ["yes" if vote.was_blind else "no", "; ".join(vote.reasons)]
    return f"<tr>{''.join(f'<td>{_text(cell, 2000)}</td>' for cell in cells)}</tr>"


def _title(comparison: Comparison) -> str:
    return comparison.title or one_line(comparison.prompt, 80) or comparison.id


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {item}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return _pictures(value) if value and isinstance(value[0], Mapping) else ", ".join(map(str, value))
    return str(value)


def _fact(name: str, words: str) -> str:
    return f"<div><dt>{_text(name)}</dt><dd>{_text(words, 2000)}</dd></div>"


def _text(value: object, limit: int = 200) -> str:
    return escape(one_line(value, limit))


def _digest(text: str) -> str:
    """Return what a policy knows a script or a style by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _file(name: str) -> str:
    return (files("studio.comparing") / "page" / name).read_text(encoding="utf-8")
