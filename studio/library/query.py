"""What people look for in the library, and the same as conditions of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from studio.errors import UnsupportedValue
from studio.library.asset import MOVING_PICTURES
from studio.library.curation_tables import CollectedRow, NoteRow, TagRow
from studio.library.tables import AssetRow

MAX_WORDS = 32
MAX_SEARCH_CHARACTERS = 1000
MAX_RATING = 5
KINDS = ("video", "animation", "picture", "sound")
STANDINGS = ("passed", "flagged", "released", "inconclusive", "unchecked")
# A database counts no years before the first or after the 9999th, and a time zone may lead beyond them.
_FIRST_YEAR, _LAST_YEAR = 1900, 9000


class Order(StrEnum):
    """What comes first. BEST_RATED: what has no rating comes last, and among equals the newest first."""

    NEWEST = "newest"
    OLDEST = "oldest"
    BEST_RATED = "best-rated"


@dataclass(frozen=True, kw_only=True)
class LibraryQuery:
    """Which assets are wanted; what is left out does not matter.

    text: words that must all occur in prompt, caption, tags, model or id, whatever their case; up to MAX_WORDS words
    and MAX_SEARCH_CHARACTERS characters. rating: at least so much, 1 to 5. standing: one of STANDINGS, as
    `Asset.standing` says it. kind: one of KINDS. since, until: when it was made, from the first moment on and before
    the second; both with a time zone. in_bin: what is in the bin, and nothing else; else what is not.

    Raises `UnsupportedValue` naming the field.
    """

    text: str = ""
    model: str | None = None
    tag: str | None = None
    collection_id: str | None = None
    rating: int | None = None
    standing: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    in_bin: bool = False
    order: Order = Order.NEWEST

    def __post_init__(self) -> None:
        words_of(self.text)
        if self.rating is not None and not 1 <= self.rating <= MAX_RATING:
            raise UnsupportedValue("no such rating", field="rating", got=self.rating, allowed=f"1 to {MAX_RATING}")
        for field, value, allowed in (("standing", self.standing, STANDINGS), ("kind", self.kind, KINDS)):
            if value is not None and value not in allowed:
                raise UnsupportedValue("no such choice", field=field, got=value, allowed=", ".join(allowed))
        for field, moment in (("since", self.since), ("until", self.until)):
            if moment is not None and moment.tzinfo is None:
                raise UnsupportedValue("a time without a time zone", field=field, got=moment, allowed="one with a zone")
            if moment is not None and not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
                years = f"{_FIRST_YEAR} to {_LAST_YEAR}"
                raise UnsupportedValue("nothing was made in this year", field=field, got=moment.year, allowed=years)


def words_of(text: str) -> list[str]:
    """Return the words of a search. Raises `UnsupportedValue` for more than anybody looks for."""
    words = text.split()
    if len(words) > MAX_WORDS or len(text) > MAX_SEARCH_CHARACTERS:
        allowed = f"up to {MAX_WORDS} words and {MAX_SEARCH_CHARACTERS} characters"
        raise UnsupportedValue("too much to search for", field="words", got=f"{len(words)} words", allowed=allowed)
    return words


def holding(text: str) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of a search: every word occurs somewhere in what is known of an asset."""
    return [_holding(word) for word in words_of(text)]


def _holding(word: str) -> sa.ColumnElement[bool]:
    # One text of all: SQLite asks Python for lower case, and words hold no line break.
    told = AssetRow.prompt + "\n" + AssetRow.model + "\n" + AssetRow.id
    return sa.or_(
        told.icontains(word, autoescape=True),
        AssetRow.id.in_(sa.select(NoteRow.asset_id).where(NoteRow.caption.icontains(word, autoescape=True))),
        AssetRow.id.in_(sa.select(TagRow.asset_id).where(TagRow.tag.icontains(word, autoescape=True))),
    )


def in_bin() -> sa.ColumnElement[bool]:
    """Return the condition that an asset is in the bin."""
    return AssetRow.id.in_(sa.select(NoteRow.asset_id).where(NoteRow.binned_at.is_not(None)))


def conditions(query: LibraryQuery) -> list[sa.ColumnElement[bool]]:
    """Return what an asset must fulfil."""
    return [in_bin() if query.in_bin else sa.not_(in_bin()), *_wanted(query)]


def count(query: LibraryQuery) -> sa.Select[int]:
    """Return how many assets there are. All less those in the bin is faster than to ask of each where it is."""
    chosen = sa.select(sa.func.count()).select_from(AssetRow).where(*_wanted(query))
    binned = chosen.where(in_bin())
    return binned if query.in_bin else sa.select(chosen.scalar_subquery() - binned.scalar_subquery())


def _wanted(query: LibraryQuery) -> list[sa.ColumnElement[bool]]:
    """Return what an asset must fulfil, in the bin or not."""
    found = [*holding(query.text), *_added_by_people(query)]
    if query.model is not None:
        found.append(AssetRow.model == query.model)
    if query.standing is not None:
        found += [_may_stand(query.standing), standing_column() == query.standing]
    if query.kind is not None:
        found.append(_is_kind(query.kind))
    if query.since is not None:
        found.append(AssetRow.created_at >= query.since)
    if query.until is not None:
        found.append(AssetRow.created_at < query.until)
    return found


def _added_by_people(query: LibraryQuery) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if query.tag is not None:
        found.append(AssetRow.id.in_(sa.select(TagRow.asset_id).where(TagRow.tag == query.tag)))
    if query.collection_id is not None:
        chosen = CollectedRow.collection_id == query.collection_id
        found.append(AssetRow.id.in_(sa.select(CollectedRow.asset_id).where(chosen)))
    if query.rating is not None:
        found.append(AssetRow.id.in_(sa.select(NoteRow.asset_id).where(NoteRow.rating >= query.rating)))
    return found


def ordering(order: Order) -> Sequence[sa.ColumnElement[Any]]:
    """Return by what assets are ordered. BEST_RATED needs the notes joined in; ids sort by time."""
    if order is Order.BEST_RATED:
        return sa.func.coalesce(NoteRow.rating, 0).desc(), AssetRow.id.desc()
    columns = (AssetRow.created_at, AssetRow.id)
    return [column.asc() if order is Order.OLDEST else column.desc() for column in columns]


def _may_stand(standing: str) -> sa.ColumnElement[bool]:
    """Return what is true of all that stand so and is read faster than the ruling."""
    if standing == "passed":
        return AssetRow.checks_passed.is_not(False)
    return (
        AssetRow.checks_passed.is_(False) if standing in ("flagged", "released") else AssetRow.checks_passed.is_(None)
    )


def standing_column() -> sa.ColumnElement[str]:
    """Return `Asset.standing` as SQL says it; ruling and report are looked at only where nothing else tells."""
    checks = sa.func.coalesce(sa.func.json_array_length(AssetRow.report["checks"]), 0)
    return sa.case(
        (AssetRow.checks_passed.is_(True), "passed"),
        (AssetRow.ruling.is_not(None), AssetRow.ruling["standing"].as_string()),
        (AssetRow.checks_passed.is_(False), "flagged"),
        (checks == 0, "unchecked"),
        else_="inconclusive",
    )


def _is_kind(kind: str) -> sa.ColumnElement[bool]:
    """Return the condition that `Asset.kind` is this."""
    is_sound, is_image = AssetRow.mime_type.startswith("audio/"), AssetRow.mime_type.startswith("image/")
    is_moving = AssetRow.mime_type.in_(MOVING_PICTURES) & (AssetRow.num_frames > 1)
    return {
        "sound": is_sound,
        "animation": is_moving,
        "picture": is_image & sa.not_(is_moving),
        "video": sa.not_(is_sound | is_image),
    }[kind]


__all__ = [
    "KINDS", "MAX_RATING", "MAX_SEARCH_CHARACTERS", "MAX_WORDS", "STANDINGS", "LibraryQuery", "Order", "conditions",
    "count", "holding", "in_bin", "ordering", "standing_column", "words_of",
]  # fmt: skip
