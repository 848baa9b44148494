"""The contact sheet of a batch: pages without scripts that play the sealed files themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

from studio.batch.contact_sheet_style import GENERATOR, STYLE
from studio.batch.outcome import AssetFacts, EntryOutcome, Totals
from studio.provenance.shown import one_line, paragraph

# Nothing but the clips themselves may be loaded, whatever a prompt or a file name contains.
_POLICY = "default-src 'none'; media-src 'self' file:; style-src 'unsafe-inline'"
_BADGES = {
    "passed": ("good", "✓", "checks passed"),
    "flagged": ("warn", "!", "a check failed"),
    "released": ("warn", "!", "released by hand"),
    "inconclusive": ("dull", "–", "checks inconclusive"),
    "unchecked": ("dull", "–", "not checked"),
}
_STATES = {
    "succeeded": ("good", "✓", "succeeded"),
    "failed": ("bad", "✕", "failed"),
    "canceled": ("dull", "⊘", "canceled"),
    "held": ("warn", "!", "held for review"),
    "running": ("busy", "▸", "running"),
    "queued": ("busy", "…", "waiting"),
}
# Browsers refuse to open more than a thousand players on one page.
CARDS_A_PAGE = 500
MAX_LINKS = 200
# What the buttons of the page show: every card has the class of one group.
_GROUPS = (("good", "Good"), ("warn", "To look at"), ("bad", "Failed"), ("busy", "Not done"), ("dull", "Canceled"))


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What all pages of a contact sheet share. outcomes: of every entry; each clip in them is there and sealed.

    folder: where the pages will lie. near: where page and clip both lie below this folder, the clip is linked relative
    to the page, so that they can be moved together; other clips by their full address.
    """

    outcomes: Sequence[EntryOutcome]
    totals: Totals
    title: str
    folder: Path
    near: Path
    written_at: datetime

    @property
    def names(self) -> tuple[str, ...]:
        """The file names of the pages."""
        count = max(1, -(-len(self.outcomes) // CARDS_A_PAGE))
        return ("index.html", *(f"page-{number}.html" for number in range(2, count + 1)))

    def page(self, index: int) -> Iterator[str]:
        """Yield a page in pieces. index: from 0."""
        outcomes = self.outcomes[index * CARDS_A_PAGE : (index + 1) * CARDS_A_PAGE]
        groups = [_group(item) for item in outcomes]
        pages = _pages(self, index) if len(self.names) > 1 else ""
        yield _head(self.title)
        yield _header(self.totals, self.title)
        yield _failures(self) if pages and index == 0 else ""
        yield pages + _filters(groups) + "<main>"
        for outcome, group in zip(outcomes, groups, strict=True):
            yield _card(outcome, group, self.folder, self.near)
        yield f"</main>{pages}{_foot(self.written_at)}"


def _head(title: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="generator" content="{GENERATOR}">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>"
    )


def _foot(written_at: datetime) -> str:
    return (
        "<footer><p>Every clip on this page is the sealed file itself: checked, watermarked and signed. "
        "<code>studio verify FILE</code> says what may be trusted about it.</p>"
        f"<p>Written {written_at:%Y-%m-%d %H:%M} UTC.</p></footer></body></html>\n"
    )


def _pages(sheet: Sheet, index: int) -> str:
    """Return the links between the pages; each says which entries it shows."""
    links = []
    for number, name in enumerate(sheet.names):
        shown = sheet.outcomes[number * CARDS_A_PAGE : (number + 1) * CARDS_A_PAGE]
        here = ' aria-current="page"' if number == index else ""
        links.append(f'<a href="{name}"{here}>{shown[0].number}–{shown[-1].number}</a>')
    return f'<nav aria-label="Pages">{"".join(links)}</nav>'


def _failures(sheet: Sheet) -> str:
    """Return links to what failed, on whatever page it is."""
    failed = [(place, item) for place, item in enumerate(sheet.outcomes) if _group(item) == "bad"]
    links = "".join(
        f'<a href="{sheet.names[place // CARDS_A_PAGE]}#job-{item.number}">#{item.number} {_text(item.name, 40)}</a>'
        for place, item in failed[:MAX_LINKS]
    )
    more = f"<span>and {len(failed) - MAX_LINKS:,} more</span>" if len(failed) > MAX_LINKS else ""
    return f'<nav class="failures" aria-label="Failed"><b>Failed</b>{links}{more}</nav>' if failed else ""


def _header(totals: Totals, title: str) -> str:
    done, every = totals.succeeded, totals.entries
    shares = (
        f'<i class="{_STATES.get(state, _STATES["queued"])[0]}" style="flex-grow:{count}"></i>'
        for state, count in sorted(totals.states.items(), key=lambda item: _rank(item[0]))
    )
    return (
        f'<header><p class="kind">Contact sheet</p><h1>{_text(title)}</h1>'
        f'<p class="sum"><b>{done:,}</b> of {every:,} {"clip" if every == 1 else "clips"} made</p>'
        f'<div class="bar" role="img" aria-label="{_text(_states_in_words(totals))}">{"".join(shares)}</div>'
        f"<dl>{''.join(_fact(name, words) for name, words in _figures(totals))}</dl></header>"
    )


def _figures(totals: Totals) -> Iterator[tuple[str, str]]:
    for state, count in sorted(totals.states.items(), key=lambda item: _rank(item[0])):
        yield _STATES.get(state, ("", "", state))[2], f"{count:,}"
    if totals.checks.get("flagged"):
        yield "with a failed check", f"{totals.checks['flagged']:,}"
    if totals.seconds:
        yield "working time", time_in_words(totals.seconds)
    if any(totals.estimated.values()) and not totals.billed:
        yield "estimated", _money(totals.estimated)
    if any(totals.billed.values()):
        yield "billed", _money(totals.billed)


def _filters(groups: Sequence[str]) -> str:
    """Return the buttons that show some of the cards alone: radio buttons, as the page has no script."""
    present = [(group, name) for group, name in _GROUPS if group in groups]
    if len(present) < 2:
        return ""
    buttons = [_filter("all", "All", len(groups), is_on=True)]
    buttons += [_filter(group, name, groups.count(group)) for group, name in present]
    return f'<fieldset><legend class="unseen">Show</legend>{"".join(buttons)}</fieldset>'


def _filter(group: str, name: str, count: int, *, is_on: bool = False) -> str:
    checked = " checked" if is_on else ""
    return (
        f'<input type="radio" name="show" id="show-{group}"{checked}>'
        f'<label for="show-{group}">{name} <span>{count:,}</span></label>'
    )


def _card(outcome: EntryOutcome, group: str, folder: Path, near: Path) -> str:
    prompt = paragraph(str(outcome.request.get("prompt") or ""))
    name = f'<b class="name">{_text(outcome.name)}</b>' if outcome.name else ""
    words = f'<p class="prompt" dir="auto">{escape(prompt)}</p>' if prompt.strip() else ""
    return (
        f'<article class="{group}" id="job-{outcome.number}">{_screen(outcome, folder, near)}'
        f'<div class="body"><p class="head"><span class="number">{outcome.number}</span>{name}{_badge(outcome)}</p>'
        f"{words}{_note(outcome)}{_facts(outcome)}{_more(outcome)}</div></article>\n"
    )


def _screen(outcome: EntryOutcome, folder: Path, near: Path) -> str:
    width, height = _size(outcome)
    if outcome.asset is None:
        tone, sign, words = _STATES.get(outcome.state, ("dull", "–", outcome.state))
        if outcome.state == "succeeded":
            tone, sign, words = "bad", "✕", "not shown"
        return (
            f'<div class="screen empty {tone}" style="aspect-ratio:{width}/{height}">'
            f'<span aria-hidden="true">{sign}</span><b>{_text(words)}</b></div>'
        )
    label = _text(f"Clip {outcome.number}: {outcome.name or outcome.request.get('prompt') or 'without a prompt'}")
    return (
        f'<video class="screen" style="aspect-ratio:{width}/{height}" width="{width}" height="{height}" '
        f'controls loop muted playsinline preload="metadata" loading="lazy" aria-label="{label}" '
        f'src="{escape(address_of(outcome.asset.path, folder, near))}#t=0.1"></video>'
    )


def address_of(path: Path, folder: Path, near: Path) -> str:
    """Return how a page in `folder` links a file: relative where both lie below `near`, else in full."""
    if path.is_relative_to(near) and folder.is_relative_to(near):
        return quote(Path(os.path.relpath(path, folder)).as_posix())
    return path.as_uri()


def _badge(outcome: EntryOutcome) -> str:
    """Return how a clip stands with its checks; where there is none, its place is taken by words already."""
    if outcome.asset is None:
        return ""
    tone, sign, words = _BADGES.get(outcome.asset.checks, ("dull", "–", outcome.asset.checks))
    return f'<span class="badge {tone}"><span aria-hidden="true">{sign}</span> {_text(words)}</span>'


def _note(outcome: EntryOutcome) -> str:
    return f'<p class="error" dir="auto">{_text(outcome.error, 600)}</p>' if outcome.error else ""


def _facts(outcome: EntryOutcome) -> str:
    request = outcome.request
    seed = request.get("seed") if outcome.asset is None else outcome.asset.seed
    facts = [_text(request.get("model")), "" if seed is None else f"seed {_text(seed)}"]
    facts.append("" if outcome.seconds is None else time_in_words(outcome.seconds))
    facts.append(_money({str(m["currency"]): float(m["amount"])}) if (m := outcome.billed) and m.get("amount") else "")
    facts.append(f"{outcome.attempts} attempts" if outcome.attempts > 1 else "")
    facts.append(_text(outcome.asset.attribution) if outcome.asset and outcome.asset.attribution else "")
    return f'<p class="facts">{"".join(f"<span>{fact}</span>" for fact in facts if fact)}</p>'


def _more(outcome: EntryOutcome) -> str:
    rows = [(name, words) for name, words in _details(outcome) if words]
    return f"<details><summary>Details</summary><dl>{''.join(_fact(*row) for row in rows)}</dl></details>"


def _details(outcome: EntryOutcome) -> Iterator[tuple[str, str]]:
    request, asset = outcome.request, outcome.asset
    yield "without", str(request.get("negative_prompt") or "")
    yield "size", f"{request['width']} x {request['height']}" if request.get("width") else ""
    yield (
        "length",
        f"{request['num_frames']} frames at {request['frame_rate']} per second" if request.get("num_frames") else "",
    )
    yield "steps", str(request.get("num_inference_steps") or "")
    yield "guidance", str(request.get("guidance_scale") or "")
    yield "options", ", ".join(f"{key} = {value}" for key, value in dict(request.get("options") or {}).items())
    for item in request.get("conditionings") or ():
        yield str(item["role"]), Path(item["path"]).name
    yield "in the file", outcome.where
    yield "job", outcome.job_id or ""
    if asset is not None:
        yield "clip", str(asset.path)
        yield "sha256", asset.sha256


def _fact(name: str, words: str) -> str:
    return f"<div><dt>{_text(name)}</dt><dd>{_text(words, 2000)}</dd></div>"


def _group(outcome: EntryOutcome) -> str:
    if outcome.asset is not None:
        tone = _BADGES.get(outcome.asset.checks, ("dull",))[0]
        return "warn" if tone == "warn" or outcome.error else "good"
    return "bad" if outcome.state == "succeeded" else _STATES.get(outcome.state, ("dull",))[0]


def _size(outcome: EntryOutcome) -> tuple[int, int]:
    source: AssetFacts | None = outcome.asset
    if source is not None:
        return source.width, source.height
    width, height = outcome.request.get("width"), outcome.request.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (16, 9)


def _states_in_words(totals: Totals) -> str:
    return ", ".join(f"{count} {_STATES.get(state, ('', '', state))[2]}" for state, count in totals.states.items())


def _rank(state: str) -> int:
    return list(_STATES).index(state) if state in _STATES else len(_STATES)


def time_in_words(seconds: float) -> str:
    """Return a duration such as ``4.2 s``, ``12 min 5 s`` or ``3 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def _money(amounts: dict[str, float] | object) -> str:
    found = dict(amounts) if isinstance(amounts, dict) else {}
    return ", ".join(f"{amount:,.2f} {_text(currency)}" for currency, amount in found.items())


def _text(value: object, limit: int = 200) -> str:
    return escape(one_line(value, limit))
