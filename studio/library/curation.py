"""What people add to their clips: ratings, captions and tags; the bin; and looking through all of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.config import Settings
from studio.errors import RequestError, StudioError, UnsupportedValue
from studio.library.asset import Asset
from studio.library.browsing import AssetItem, AssetPage, Facets, read_facets, read_ids, read_items, read_page
from studio.library.bundle import Bundles
from studio.library.collecting import Collections, require_assets
from studio.library.curation_tables import NoteRow, TagRow
from studio.library.database import in_parts
from studio.library.lineage import Lineage, lineage_of
from studio.library.query import MAX_RATING, LibraryQuery
from studio.library.shelf import Shelf
from studio.library.store import Store, UnknownAsset
from studio.library.tables import AssetRow

MAX_CAPTION_CHARACTERS = 2000
MAX_TAG_CHARACTERS = 40
MAX_TAGS = 32


@dataclass(frozen=True, kw_only=True)
class Emptied:
    """What came of emptying the bin. removed: ids. failed: why others are still there, by id."""

    removed: tuple[str, ...]
    failed: dict[str, StudioError]


class Curation:
    """What people know about their assets, and do with many at once. Ids are whole ones, in any order.

    Every change holds for all assets that are named, or for none. All raise `UnknownAsset` for an id that the library
    does not have, and `UnsupportedValue` naming the field.
    """

    def __init__(
        self, store: Store, settings: Settings, erase: Callable[[str, Callable[[Session], bool]], Asset | None]
    ) -> None:
        """erase: deletes an asset for good if that is wanted; see `studio.erasing.Eraser`."""
        self._store = store
        self._erase = erase
        self.collections = Collections(store)
        self.bundles = Bundles(store, settings)

    # -- looking ------------------------------------------------------------------------------------------------

    def page(self, query: LibraryQuery, offset: int = 0, limit: int = 100) -> AssetPage:
        """Return a part of what is found. limit: 1 to 500."""
        with self._store.database.read() as session:
            return read_page(session, query, offset, limit)

    def ids(self, query: LibraryQuery) -> list[str]:
        """Return the ids of all that is found, in order."""
        with self._store.database.read() as session:
            return read_ids(session, query)

    def items(self, ids: Sequence[str]) -> tuple[AssetItem, ...]:
        """Return light rows in the order of their ids, in the bin or not; what is not there (any more) is left out."""
        with self._store.database.read() as session:
            return read_items(session, ids)

    def facets(self) -> Facets:
        """Return what there is to choose from, with counts."""
        with self._store.database.read() as session:
            return read_facets(session)

    def lineage(self, asset_id: str) -> Lineage:
        """Return what an asset was made from, and what was made from it."""
        return lineage_of(self._store, asset_id)

    # -- notes --------------------------------------------------------------------------------------------------

    def rate(self, ids: Iterable[str], rating: int | None) -> None:
        """Say how good assets are. rating: 1 to 5, None takes it back."""
        if rating is not None and not 1 <= rating <= MAX_RATING:
            raise UnsupportedValue("no such rating", field="rating", got=rating, allowed=f"1 to {MAX_RATING}, or none")
        self._note(ids, rating=rating)

    def caption(self, asset_id: str, caption: str) -> str:
        """Say in words what an asset shows; empty takes it back. Returns what was kept: without space around it."""
        words = _text(caption.replace("\r\n", "\n").strip(), "caption", MAX_CAPTION_CHARACTERS, allowed_controls="\n\t")
        self._note([asset_id], caption=words)
        return words

    def tag(self, ids: Iterable[str], add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Put tags on assets and take tags off them. A tag has up to 40 characters, an asset up to 32 tags."""
        added, removed = {tag_of(tag) for tag in add}, {tag_of(tag) for tag in remove}

        def work(session: Session) -> None:
            for part in in_parts(require_assets(session, ids)):
                of_part = TagRow.asset_id.in_(part)
                session.execute(sa.delete(TagRow).where(of_part, TagRow.tag.in_(removed)))
                kept: dict[str, set[str]] = {asset_id: set() for asset_id in part}
                for asset_id, tag in session.execute(sa.select(TagRow.asset_id, TagRow.tag).where(of_part)):
                    kept[asset_id].add(tag)
                _require_few(kept, added)
                session.add_all(
                    TagRow(asset_id=asset_id, tag=tag)
                    for asset_id, tags in kept.items()
                    for tag in sorted(added - tags)
                )
                session.flush()

        self._store.database.retrying(work)

    # -- the bin ------------------------------------------------------------------------------------------------

    def bin(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Put assets into the bin: no list shows them, their files are untouched. Returns those that were not there."""
        return self._move(ids, datetime.now(UTC))

    def restore(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Take assets out of the bin. Returns those that were there. Raises `RequestError` for one without its file."""
        return self._move(ids, None)

    def remove(self, asset_id: str) -> Asset:
        """Delete an asset for good, in the bin or not, and return what it was. Where that fails it is where it was.

        It goes by way of the bin: what a crash cuts short is found there by whoever empties the bin next.
        Raises `UnknownAsset`, OSError or another `StudioError`.
        """
        moved = self.bin([asset_id])
        try:
            asset = self._erase(asset_id, lambda _session: True)
        except BaseException:
            with suppress(StudioError):  # what has lost its file stays in the bin
                self.restore(moved)
            raise
        if asset is None:
            raise UnknownAsset("no such asset in the library", field="id", got=asset_id, fix="look at the list again")
        return asset

    def empty_bin(self, ids: Iterable[str] | None = None, *, older_than_days: float | None = None) -> Emptied:
        """Delete for good what is in the bin. What cannot be deleted stays there, and the others go all the same.

        ids: only these. older_than_days: only what has been there for so long.
        """
        binned = sa.select(NoteRow.asset_id).where(NoteRow.binned_at.is_not(None))
        if older_than_days is not None:
            binned = binned.where(NoteRow.binned_at <= datetime.now(UTC) - timedelta(days=older_than_days))
        removed, failed = [], {}
        for asset_id in self._found(binned, ids):
            is_this = binned.where(NoteRow.asset_id == asset_id)
            try:
                # Nothing is erased that somebody took out meanwhile, or erased before.
                if self._erase(asset_id, partial(_finds, is_this)) is not None:
                    removed.append(asset_id)
            except StudioError as error:
                failed[asset_id] = error
            except OSError as error:
                failed[asset_id] = StudioError(f"its file cannot be deleted ({error.strerror or error})", got=asset_id)
        return Emptied(removed=tuple(removed), failed=failed)

    def _found(self, query: sa.Select[str], ids: Iterable[str] | None) -> list[str]:
        with self._store.database.read() as session:
            if ids is None:
                return list(session.scalars(query.order_by(NoteRow.binned_at, NoteRow.asset_id)))
            parts = in_parts(list(dict.fromkeys(ids)))
            return [item for part in parts for item in session.scalars(query.where(NoteRow.asset_id.in_(part)))]

    def _move(self, ids: Iterable[str], binned_at: datetime | None) -> tuple[str, ...]:
        def work(session: Session) -> tuple[str, ...]:
            rows = _notes(session, require_assets(session, ids))
            moved = [row for row in rows if (row.binned_at is None) != (binned_at is None)]
            if binned_at is None:
                # Looked at while the rows are held: nobody erases a file between this look and the change.
                _require_files(session, self._store.shelf, [row.asset_id for row in moved])
            for row in moved:
                row.binned_at = binned_at
            return tuple(row.asset_id for row in moved)

        return self._store.database.retrying(work)

    def _note(self, ids: Iterable[str], **values: object) -> None:
        def work(session: Session) -> None:
            for row in _notes(session, require_assets(session, ids)):
                for name, value in values.items():
                    setattr(row, name, value)

        self._store.database.retrying(work)


def tag_of(text: str, field: str = "tag") -> str:
    """Return a tag, of an asset or of something else, as it is kept: lower case, single spaces, up to 40 characters.

    field: that is to blame. Raises `UnsupportedValue`; a comma is none of a tag, for lists of tags are typed with them.
    """
    words = _text(" ".join(text.lower().split()), field, MAX_TAG_CHARACTERS)
    if not words or "," in words:
        raise UnsupportedValue("this is no tag", field=field, got=repr(text), allowed="words without a comma")
    return words


def _text(text: str, field: str, most: int, allowed_controls: str = "") -> str:
    """Return a text in one spelling. Raises `UnsupportedValue` for one too long, or with control characters."""
    words = unicodedata.normalize("NFC", text)
    if len(words) > most:
        raise UnsupportedValue("too long", field=field, got=f"{len(words)} characters", allowed=f"up to {most}")
    strange = next((item for item in words if unicodedata.category(item) == "Cc" and item not in allowed_controls), "")
    if strange:
        raise UnsupportedValue("it holds a character that is not text", field=field, got=f"U+{ord(strange):04X}",
                               allowed="printable text")  # fmt: skip
    return words


def _require_few(kept: dict[str, set[str]], added: set[str]) -> None:
    most = max((len(tags | added) for tags in kept.values()), default=0)
    if added and most > MAX_TAGS:
        raise UnsupportedValue("too many tags on one asset", field="tag", got=most, allowed=f"up to {MAX_TAGS}")


def _finds(query: sa.Select[str], session: Session) -> bool:
    return session.scalars(query).first() is not None


def _require_files(session: Session, shelf: Shelf, ids: Sequence[str]) -> None:
    """Raise a `RequestError` for an asset that is no more than a row: whoever erased its file was cut short."""
    for part in in_parts(ids):
        for asset_id, name in session.execute(sa.select(AssetRow.id, AssetRow.path).where(AssetRow.id.in_(part))):
            if not shelf.has(name):
                fix = f"empty the bin, or `studio library remove {asset_id}`"
                raise RequestError("its file is gone: it cannot come back", field="asset", got=asset_id, fix=fix)


def _notes(session: Session, ids: Sequence[str]) -> list[NoteRow]:
    """Return the notes of assets, new ones where there were none."""
    rows: list[NoteRow] = []
    for part in in_parts(ids):
        known = {row.asset_id: row for row in session.scalars(sa.select(NoteRow).where(NoteRow.asset_id.in_(part)))}
        new = [NoteRow(asset_id=asset_id, caption="") for asset_id in part if asset_id not in known]
        session.add_all(new)
        rows += [*known.values(), *new]
    return rows
