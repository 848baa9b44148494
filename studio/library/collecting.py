"""Collections: named sets of assets. An asset may be in many."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.errors import NotFound, UnsupportedValue
from studio.library.curation_tables import CollectedRow, CollectionRow
from studio.library.database import in_parts
from studio.library.store import Store, UnknownAsset, new_id
from studio.library.tables import AssetRow

MAX_NAME_CHARACTERS = 80
# Unicode categories of what shows nothing by itself: formats, separators, marks on other letters.
_INVISIBLE = frozenset(("Cf", "Zs", "Zl", "Zp", "Mn", "Me", "Cs"))
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class UnknownCollection(NotFound):
    """There is no such collection."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A named set of assets."""

    id: str
    name: str
    created_at: datetime


class Collections:
    """Makes, renames, fills and deletes collections; the assets themselves stay as they are."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, id_or_name: str) -> Collection:
        """Return the collection with this id, or this name whatever its case. Raises `UnknownCollection`."""
        with self._store.database.read() as session:
            row = session.get(CollectionRow, id_or_name) or _named(session, id_or_name)
            names = sorted(session.scalars(sa.select(CollectionRow.name)), key=str.casefold) if row is None else []
            if row is None:
                raise _unknown(id_or_name, names)
            return Collection(id=row.id, name=row.name, created_at=row.created_at)

    def create(self, name: str) -> Collection:
        """Make an empty collection. name: up to 80 characters, that no other has, whatever its case."""
        words = _name(name)

        def work(session: Session) -> Collection:
            _require_free(session, words)
            row = CollectionRow(id=new_id(), name=words, created_at=datetime.now(UTC))
            session.add(row)
            return Collection(id=row.id, name=row.name, created_at=row.created_at)

        return self._store.database.retrying(work)

    def rename(self, collection_id: str, name: str) -> None:
        """Give a collection another name."""
        words = _name(name)

        def work(session: Session) -> None:
            row = _row(session, collection_id)
            _require_free(session, words, but=row.id)
            row.name = words

        self._store.database.retrying(work)

    def delete(self, collection_id: str) -> None:
        """Delete a collection; what was in it stays in the library."""

        def work(session: Session) -> None:
            session.delete(_row(session, collection_id))

        self._store.database.retrying(work)

    def add(self, collection_id: str, ids: Iterable[str]) -> None:
        """Put assets into a collection; those that are in it already stay where they are."""

        def work(session: Session) -> None:
            now, row = datetime.now(UTC), _row(session, collection_id)
            for part in in_parts(require_assets(session, ids)):
                of_part = (CollectedRow.collection_id == row.id) & CollectedRow.asset_id.in_(part)
                known = set(session.scalars(sa.select(CollectedRow.asset_id).where(of_part)))
                session.add_all(
                    CollectedRow(collection_id=row.id, asset_id=asset_id, added_at=now)
                    for asset_id in part
                    if asset_id not in known
                )

        self._store.database.retrying(work)

    def remove(self, collection_id: str, ids: Iterable[str]) -> None:
        """Take assets out of a collection."""

        def work(session: Session) -> None:
            row = _row(session, collection_id)
            for part in in_parts(list(ids)):
                of_part = (CollectedRow.collection_id == row.id) & CollectedRow.asset_id.in_(part)
                session.execute(sa.delete(CollectedRow).where(of_part))

        self._store.database.retrying(work)

    def of(self, asset_id: str) -> tuple[Collection, ...]:
        """Return the collections that an asset is in, by the alphabet."""
        query = sa.select(CollectionRow).join(CollectedRow, CollectedRow.collection_id == CollectionRow.id)
        with self._store.database.read() as session:
            rows = session.scalars(query.where(CollectedRow.asset_id == asset_id))
            found = [Collection(id=row.id, name=row.name, created_at=row.created_at) for row in rows]
        return tuple(sorted(found, key=lambda item: item.name.casefold()))


def require_assets(session: Session, ids: Iterable[str]) -> list[str]:
    """Return ids once each, in an order that all writers share, and hold their rows. Raises `UnknownAsset`."""
    wanted = sorted(set(ids))
    known: set[str] = set()
    for part in in_parts(wanted):
        query = sa.select(AssetRow.id).where(AssetRow.id.in_(part)).order_by(AssetRow.id)
        known |= set(session.scalars(query.with_for_update()))
    missing = next((item for item in wanted if item not in known), None)
    if missing is not None:
        raise UnknownAsset("no such asset in the library", field="id", got=missing, fix="look at the list again")
    return wanted


def _name(text: str) -> str:
    words = unicodedata.normalize("NFC", " ".join(text.split()))
    kinds = {unicodedata.category(item) for item in words}
    # A control of direction would turn round what a page writes after the name.
    if "Cc" in kinds or kinds <= _INVISIBLE or not _BIDI_CONTROLS.isdisjoint(words):
        raise UnsupportedValue("this is no name", field="name", got=repr(text), allowed="printable text")
    if len(words) > MAX_NAME_CHARACTERS:
        raise UnsupportedValue("too long", field="name", got=f"{len(words)} characters",
                               allowed=f"up to {MAX_NAME_CHARACTERS}")  # fmt: skip
    return words


def _named(session: Session, name: str, but: str | None = None) -> CollectionRow | None:
    wanted = unicodedata.normalize("NFC", " ".join(name.split())).casefold()
    rows = session.scalars(sa.select(CollectionRow))
    return next((row for row in rows if row.name.casefold() == wanted and row.id != but), None)


def _require_free(session: Session, name: str, but: str | None = None) -> None:
    if (other := _named(session, name, but)) is not None:
        raise UnsupportedValue("a collection has this name already", field="name", got=other.name, fix="choose another")


def _row(session: Session, collection_id: str) -> CollectionRow:
    row = session.get(CollectionRow, collection_id, with_for_update=True)
    if row is None:
        names = sorted(session.scalars(sa.select(CollectionRow.name)), key=str.casefold)
        raise _unknown(collection_id, names)
    return row


def _unknown(got: str, names: list[str]) -> UnknownCollection:
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return UnknownCollection("no such collection", field="collection", got=got, allowed=shown or "there is none yet")
