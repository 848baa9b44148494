"""What `studio verify` shows to people: the conclusion first, then one calm screen of findings."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.inspection.report import Disclosure, MediaFacts, Verification
    from studio.provenance.reading import C2paReading, IngredientReading

LABEL_WIDTH = 11
MOST_NOTICES, MOST_INGREDIENTS, MOST_ACTIONS = 5, 8, 6
WIDEST, PIPE_WIDTH = 110, 100
OK_SIGN = {"ok": "ok", "notice": "note", "unknown": "?"}


def lines(found: Verification, *, full: bool) -> Iterator[str]:
    """Yield the lines of the screen; `full` adds every check and disclosure below it."""
    yield from _wrapped(f"{found.conclusion.word.upper()}  ", found.conclusion.sentence)
    yield ""
    yield from _record(found.c2pa)
    yield from _row("mark", _mark(found))
    yield from _library(found)
    if found.media is not None:
        yield from _row("file", _media(found.media))
    yield from _notices(found, full=full)
    if full:
        yield from _all(found)


def _record(reading: C2paReading) -> Iterator[str]:
    if reading.state == "absent":
        yield from _row("record", "none")
        return
    place = " (in the file beside it)" if reading.place == "sidecar" else ""
    yield from _row("record", f"{reading.state}{place}; made with {reading.generator or 'an unnamed program'}")
    signer = reading.issuer or "unnamed"
    yield from _row("signer", f"{signer}, {_trust(reading)}; {_time(reading)}")
    if reading.state == "invalid" and reading.problem:
        yield from _row("problem", reading.problem)
    if reading.source_words:
        yield from _row("origin", reading.source_words)
    told = [action.words + (f" with {action.software}" if action.software else "") for action in reading.actions]
    if told:
        more = f" and {len(told) - MOST_ACTIONS} more" if len(told) > MOST_ACTIONS else ""
        yield from _row("actions", "; ".join(told[:MOST_ACTIONS]) + more)
    yield from _ingredients(reading.ingredients)


def _trust(reading: C2paReading) -> str:
    return f"known from: {reading.trust_list}" if reading.trust_list else "not on any list known here"


def _time(reading: C2paReading) -> str:
    stamp = reading.time_stamp
    if not stamp.is_present:
        return "no time stamp"
    authority = "" if stamp.is_trusted else ", authority not known here"
    return f"time stamp {stamp.time or 'without a readable time'}{authority}"


def _ingredients(items: tuple[IngredientReading, ...]) -> Iterator[str]:
    rows = list(_tree(items))
    for index, text in enumerate(rows[:MOST_INGREDIENTS]):
        yield f"{'made from' if index == 0 else '':<{LABEL_WIDTH}}{_cut(text)}"
    if len(rows) > MOST_INGREDIENTS:
        yield f"{'':<{LABEL_WIDTH}}and {len(rows) - MOST_INGREDIENTS} more (--json has them all)"


def _tree(items: tuple[IngredientReading, ...], depth: int = 0) -> Iterator[str]:
    for item in items:
        yield "  " * depth + _ingredient(item)
        yield from _tree(item.ingredients, depth + 1)


def _ingredient(item: IngredientReading) -> str:
    problem = f": {item.problem}" if item.state in ("invalid", "absent") else ""
    more = ", and more that is not shown" if item.is_cut else ""
    return f"{item.title or 'unnamed'} ({item.state}{problem}{more})"


def _mark(found: Verification) -> str:
    mark = found.watermark
    if not mark.detected:
        return "none found" + (", not even by a search" if found.was_searched else "")
    how = f", {mark.transform}" if mark.transform else ""
    how += ", faint and recognised as one of this library's" if mark.with_index else ""
    return f"{mark.identifier} ({mark.bits} bits, confidence {mark.confidence:.2f}{how})"


def _library(found: Verification) -> Iterator[str]:
    match = found.library
    if match is None:
        yield from _row("library", "nothing in this library")
        return
    yield from _row("library", f"asset {match.asset.id}, known by its {', '.join(match.by)}")
    if match.recovered is None:
        return
    stored = match.recovered.reading
    if not match.recovered.holds:
        yield from _row("recovered", "the record kept here does not hold any more")
        return
    told = "; ".join(
        action.words + (f" with {action.software}" if action.software else "") for action in stored.actions
    )
    named = {True: "it names this mark", False: "it names another mark", None: "found without a mark"}
    words = f"record kept here, not bound to this file ({named[match.recovered.names_the_mark]}): {told}"
    yield from _row("recovered", f"{words}; {stored.source_words or 'origin not told'}")


def _media(facts: MediaFacts) -> str:
    parts = [facts.container or "unknown", facts.codec or ""]
    parts += [f"{facts.width}x{facts.height}"] if facts.width else []
    parts += [f"{facts.frame_rate:g}/s"] if facts.frame_rate else []
    parts += [f"{facts.duration_seconds:.1f} s"] if facts.duration_seconds else []
    parts += [f"with {facts.audio.codec} sound"] if facts.audio else []
    parts += [f"{facts.size_bytes:,} bytes"]
    parts += [f"({facts.problem})"] if facts.problem else []
    return " ".join(filter(None, parts))


def _notices(found: Verification, *, full: bool) -> Iterator[str]:
    notices = found.notices
    if full or not notices:
        return
    for index, item in enumerate(notices[:MOST_NOTICES]):
        yield from _row("notices" if index == 0 else "", f"{item.title}: {item.detail}")
    if len(notices) > MOST_NOTICES:
        yield from _row("", f"and {len(notices) - MOST_NOTICES} more (--full)")


def _all(found: Verification) -> Iterator[str]:
    yield ""
    yield "What can be seen in the file (none of it says whether it is genuine)"
    for item in found.checklist:
        yield from _wrapped(f"  {OK_SIGN[item.result]:<5}", f"{item.title}: {item.detail}")
    yield ""
    yield "Disclosures"
    yield from _disclosures(found.disclosures)
    if found.c2pa.codes:
        yield ""
        yield "Codes of the record"
        for finding in found.c2pa.as_json()["findings"]:
            yield from _wrapped("  ", f"{finding['code']}: {finding['words']}")


def _disclosures(duties: Iterable[Disclosure]) -> Iterator[str]:
    law = None
    for item in duties:
        if item.law != law:
            law = item.law
            yield f"  {law}"
        yield from _wrapped(f"    {item.satisfied:<8}", f"{item.duty}: {item.where}")


def _row(label: str, text: str) -> Iterator[str]:
    yield from _wrapped(f"{label:<{LABEL_WIDTH}}", text)


def _wrapped(first: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text, _width(), initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    ) or [first.rstrip()]


def _cut(text: str) -> str:
    room = _width() - LABEL_WIDTH
    return text if len(text) <= room else text[: room - 1] + "…"


def _width() -> int:
    return min(shutil.get_terminal_size((PIPE_WIDTH, 24)).columns, WIDEST) if sys.stdout.isatty() else PIPE_WIDTH
