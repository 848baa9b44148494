"""Pages of the library for people who look through it: light rows, totals, and what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.errors import UnsupportedValue
from studio.library.asset import kind_of
from studio.library.curation_tables import CollectedRow, CollectionRow, NoteRow, TagRow
from studio.library.database import in_parts
from studio.library.people_tables import OwnerRow
from studio.library.query import LibraryQuery, Order, conditions, count, in_bin, ordering, standing_column
from studio.library.tables import AssetRow

MAX_PAGE = 500
# Reports and manifest stores are tens of kilobytes each, and a page shows neither.
_COLUMNS = (
    AssetRow.id, AssetRow.mime_type, AssetRow.num_frames, AssetRow.width, AssetRow.height, AssetRow.frame_rate,
    AssetRow.model, AssetRow.prompt, AssetRow.parent_id, AssetRow.sha256, AssetRow.size_bytes, AssetRow.created_at,
    NoteRow.rating, NoteRow.caption, NoteRow.binned_at, OwnerRow.account,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AssetItem:
    """What a list shows of an asset.

    kind: video, animation, picture or sound. width, height: pixels. frame_rate: frames per second.
    caption: empty where nobody wrote one. rating: 1 to 5. tags: by the alphabet. standing: of its checks, see
    `Asset.standing`. owner: account, empty for whoever sits at this machine. binned_at: None unless it is in the bin.
    """

    id: str
    kind: str
    width: int
    height: int
    num_frames: int
    frame_rate: Fraction
    model: str
    prompt: str
    caption: str
    rating: int | None
    tags: tuple[str, ...]
    standing: str
    created_at: datetime
    parent_id: str | None
    mime_type: str
    sha256: str
    size_bytes: int
    owner: str
    binned_at: datetime | None

    @property
    def duration_seconds(self) -> float:
        """How long it lasts; 0 for pictures, and for sound, which has no frames to tell by."""
        return float(self.num_frames / self.frame_rate) if self.kind in ("video", "animation") else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {
            **self.__dict__,
            "frame_rate": float(self.frame_rate),
            "duration_seconds": round(self.duration_seconds, 3),
            "tags": list(self.tags),
            "created_at": self.created_at.isoformat(),
            "binned_at": self.binned_at and self.binned_at.isoformat(),
        }


@dataclass(frozen=True, kw_only=True)
class AssetPage:
    """A part of what was found. total: of all that was found."""

    total: int
    items: tuple[AssetItem, ...]


@dataclass(frozen=True, kw_only=True)
class CollectionCount:
    """A collection, and how many assets are in it; those in the bin do not count."""

    id: str
    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Facets:
    """What there is to choose from, with counts of assets that are not in the bin: models and tags by the alphabet.

    ratings: how many have 1, 2 .. 5 stars, those that nobody has left out. binned: how many are in the bin.
    """

    total: int
    binned: int
    models: tuple[tuple[str, int], ...]
    tags: tuple[tuple[str, int], ...]
    collections: tuple[CollectionCount, ...]
    ratings: tuple[tuple[int, int], ...]


def read_page(session: Session, query: LibraryQuery, offset: int, limit: int) -> AssetPage:
    """Return a page in four statements, however long the library is. limit: up to MAX_PAGE."""
    if offset < 0 or not 1 <= limit <= MAX_PAGE:
        raise UnsupportedValue("no such page", field="limit", got=f"{limit} from {offset} on",
                               allowed=f"1 to {MAX_PAGE}, from 0 on")  # fmt: skip
    total = session.scalar(count(query)) or 0
    ids = list(session.scalars(_ids(query).offset(offset).limit(limit))) if total > offset else []
    return AssetPage(total=total, items=read_items(session, ids))


def read_ids(session: Session, query: LibraryQuery) -> list[str]:
    """Return the ids of all that is found, in order."""
    return list(session.scalars(_ids(query)))


def read_items(session: Session, ids: Sequence[str]) -> tuple[AssetItem, ...]:
    """Return light rows in the order of their ids, without those that are not there (any more)."""
    found: dict[str, AssetItem] = {}
    for part in in_parts(ids):
        rows = session.execute(_rows().where(AssetRow.id.in_(part))).all()
        tags = _tags(session, part)
        found |= {row.id: _item(row, tags.get(row.id, ())) for row in rows}
    return tuple(found[asset_id] for asset_id in ids if asset_id in found)


def read_facets(session: Session) -> Facets:
    """Count what there is by model, tag and collection."""
    of_model = sa.select(AssetRow.model, sa.func.count()).group_by(AssetRow.model)
    every, binned = _counts(session, of_model), _counts(session, of_model.where(in_bin()))
    models = {name: count - binned.get(name, 0) for name, count in every.items()}
    gone = sa.select(NoteRow.asset_id).where(NoteRow.binned_at.is_not(None))
    tags = sa.select(TagRow.tag, sa.func.count()).where(TagRow.asset_id.not_in(gone)).group_by(TagRow.tag)
    is_shown = (CollectedRow.collection_id == CollectionRow.id) & CollectedRow.asset_id.not_in(gone)
    collections = (
        sa.select(CollectionRow.id, CollectionRow.name, sa.func.count(CollectedRow.asset_id))
        .outerjoin(CollectedRow, is_shown)
        .group_by(CollectionRow.id, CollectionRow.name)
    )
    shown = NoteRow.rating.is_not(None) & NoteRow.binned_at.is_(None)
    ratings = sa.select(NoteRow.rating, sa.func.count()).where(shown).group_by(NoteRow.rating)
    named = [CollectionCount(id=row[0], name=row[1], count=row[2]) for row in session.execute(collections)]
    return Facets(
        total=sum(models.values()),
        binned=sum(binned.values()),
        models=tuple(sorted((name, count) for name, count in models.items() if count)),
        tags=tuple(sorted(_counts(session, tags).items())),
        collections=tuple(sorted(named, key=lambda item: (item.name.casefold(), item.id))),
        ratings=tuple(sorted((int(row[0] or 0), row[1]) for row in session.execute(ratings))),
    )


def _ids(query: LibraryQuery) -> sa.Select[str]:
    chosen = sa.select(AssetRow.id)
    if query.order is Order.BEST_RATED:
        chosen = chosen.outerjoin(NoteRow, NoteRow.asset_id == AssetRow.id)
    return chosen.where(*conditions(query)).order_by(*ordering(query.order))


def _rows() -> sa.Select[*tuple[Any, ...]]:
    rows = sa.select(*_COLUMNS, standing_column().label("standing"))
    rows = rows.outerjoin(NoteRow, NoteRow.asset_id == AssetRow.id)
    return rows.outerjoin(OwnerRow, OwnerRow.thing_id == AssetRow.id)


def _tags(session: Session, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    query = sa.select(TagRow.asset_id, TagRow.tag).where(TagRow.asset_id.in_(ids)).order_by(TagRow.tag)
    found: dict[str, tuple[str, ...]] = {}
    for asset_id, tag in session.execute(query):
        found[asset_id] = (*found.get(asset_id, ()), tag)
    return found


def _counts(session: Session, query: sa.Select[*tuple[Any, ...]]) -> dict[str, int]:
    rows: Iterable[Any] = session.execute(query)
    return {row[0]: row[1] for row in rows}


def _item(row: Any, tags: tuple[str, ...]) -> AssetItem:
    values = dict(row._mapping)
    account = values.pop("account")
    return AssetItem(
        **{
            **values,
            "kind": kind_of(row.mime_type, row.num_frames),
            "frame_rate": Fraction(row.frame_rate),
            "caption": row.caption or "",
            "tags": tags,
            "owner": account or "",
        }
    )
