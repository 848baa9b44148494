"""The library's database: opening, migrating, jobs and assets."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from studio.config import Settings
from studio.errors import NotFound
from studio.jobs.states import JobState
from studio.library.asset import Asset, asset_of_row
from studio.library.database import Database
from studio.library.query import MAX_SEARCH_CHARACTERS, MAX_WORDS, holding, in_bin
from studio.library.schema import HEAD_REVISION
from studio.library.shelf import library_shelf
from studio.library.tables import AssetRow, JobRow

# Manifest stores are tens of kilobytes each and wanted by nobody who lists assets.
_WITHOUT_MANIFEST = sa.select(AssetRow).options(defer(AssetRow.manifest_store))


class UnknownAsset(NotFound):
    """The library holds nothing by this id."""


def new_id() -> str:
    """Return an id that sorts by time: ``YYYYMMDD-HHMMSS-xxxxxxxx``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


class Store:
    """Jobs and assets, one transaction for every change of state. Opening creates and migrates the database."""

    def __init__(self, settings: Settings) -> None:
        self.database = Database(settings)
        self.shelf = library_shelf(settings)

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session that commits on success and rolls back on any error."""
        with self.database.write() as session:
            yield session

    # -- jobs ---------------------------------------------------------------------------------------------------

    def add_job(self, job_id: str, request: dict[str, Any]) -> None:
        """Write a job that no worker takes: of a clip that is made and sealed here and now."""
        with self.transaction() as session:
            session.add(
                JobRow(
                    id=job_id,
                    state=JobState.QUEUED,
                    model=request["model"],
                    request=request,
                    is_attended=True,
                    created_at=datetime.now(UTC),
                )
            )

    def jobs(self, *states: JobState) -> list[JobRow]:
        """Return jobs, newest first; all of them when no state is named."""
        query = sa.select(JobRow).order_by(JobRow.created_at.desc(), JobRow.id.desc())
        if states:
            query = query.where(JobRow.state.in_(states))
        with self.database.read() as session:
            rows = list(session.scalars(query))
            session.expunge_all()
        return rows

    def job(self, job_id: str) -> JobRow | None:
        """Return one job, or None."""
        with self.database.read() as session:
            row = session.get(JobRow, job_id)
            session.expunge_all()
        return row

    # -- assets -------------------------------------------------------------------------------------------------

    def assets(
        self,
        *,
        text: str = "",
        model: str | None = None,
        flagged: bool = False,
        limit: int = 100,
        after: str | None = None,
        with_bin: bool = False,
    ) -> list[Asset]:
        """Return assets, newest first. text: words that must all occur in prompt, caption, tags, model or id.

        flagged: only those that failed a check. after: only those that follow the asset with this id.
        with_bin: also those in the bin.
        """
        query = _WITHOUT_MANIFEST.order_by(AssetRow.created_at.desc(), AssetRow.id.desc()).limit(limit)
        if model:
            query = query.where(AssetRow.model == model)
        if flagged:
            query = query.where(AssetRow.checks_passed.is_(False))
        if after is not None:
            last = self.asset(after)
            is_same_time = AssetRow.created_at == last.created_at
            query = query.where((AssetRow.created_at < last.created_at) | (is_same_time & (AssetRow.id < last.id)))
        if not with_bin:
            query = query.where(sa.not_(in_bin()))
        return self._assets(query.where(*holding(text)))

    def asset(self, asset_id: str) -> Asset:
        """Return the asset with this id or unambiguous beginning of one, or raise `UnknownAsset`."""
        query = _WITHOUT_MANIFEST.where(AssetRow.id.startswith(asset_id, autoescape=True)).limit(2)
        with self.database.read() as session:
            rows = [asset_of_row(row, self.shelf) for row in session.scalars(query)] if asset_id else []
        if len(rows) != 1:
            raise UnknownAsset(
                "several assets begin like this" if rows else "no such asset in the library",
                field="id",
                got=asset_id or "an empty id",
                fix="`studio library list` shows the ids",
            )
        return rows[0]

    def asset_with_watermark(self, watermark_id: str) -> Asset | None:
        """Return the clip that this mark was made for, or None. Files derived from it carry the same mark."""
        return next(iter(self.assets_with_watermark(watermark_id)), None)

    def watermark_ids(self, digits: int) -> list[str]:
        """Return all marks of this length that assets carry, in hex digits, the latest last."""
        is_long_enough = sa.func.length(AssetRow.watermark_id) == digits
        query = sa.select(AssetRow.watermark_id).where(is_long_enough).group_by(AssetRow.watermark_id)
        query = query.order_by(sa.func.min(AssetRow.created_at))
        with self.database.read() as session:
            return [item for item in session.scalars(query) if item]

    def marked_sizes(self) -> list[tuple[int, int]]:
        """Return the sizes, (height, width) in pixels, of the assets that carry a mark."""
        query = sa.select(AssetRow.height, AssetRow.width).where(AssetRow.watermark_id.is_not(None)).distinct()
        with self.database.read() as session:
            return [(row[0], row[1]) for row in session.execute(query)]

    def assets_with_watermark(self, watermark_id: str) -> list[Asset]:
        """Return all files that carry this mark: the clip it was made for, then those derived from it, oldest first."""
        is_derived = AssetRow.derivation.is_not(None)
        query = _WITHOUT_MANIFEST.where(AssetRow.watermark_id == watermark_id)
        return self._assets(query.order_by(is_derived, AssetRow.created_at, AssetRow.id))

    def asset_of_job(self, job_id: str) -> Asset | None:
        """Return what a job made, or None. Derived files have a job of their own in their credentials: their own id."""
        return self._first_asset((AssetRow.job_id == job_id) | (AssetRow.id == job_id))

    def children(self, asset_id: str) -> list[Asset]:
        """Return the files that were derived from this one, oldest first."""
        query = _WITHOUT_MANIFEST.where(AssetRow.parent_id == asset_id)
        return self._assets(query.order_by(AssetRow.created_at, AssetRow.id))

    def has_asset(self, asset_id: str) -> bool:
        """Say whether an asset with exactly this id is in the library."""
        return self._first_asset(AssetRow.id == asset_id) is not None

    def has_file(self, asset_id: str, name: str) -> bool:
        """Say whether the library's asset with this id is the file of this name."""
        return self._first_asset((AssetRow.id == asset_id) & (AssetRow.path == name)) is not None

    def forget_asset(self, asset_id: str) -> None:
        """Delete the row of an asset whose file is already gone."""
        with self.transaction() as session:
            session.execute(sa.delete(AssetRow).where(AssetRow.id == asset_id))

    def timings(self, model: str, limit: int = 20) -> list[tuple[dict[str, Any], float]]:
        """Return (request, seconds) of this model's latest runs on this machine, newest first."""
        query = (
            sa.select(AssetRow.request, AssetRow.generation_seconds)
            .where(AssetRow.model == model, AssetRow.derivation.is_(None))
            .order_by(AssetRow.created_at.desc())
            .limit(limit)
        )
        with self.database.read() as session:
            return [(row[0], row[1]) for row in session.execute(query)]

    def _assets(self, query: sa.Select[AssetRow]) -> list[Asset]:
        with self.database.read() as session:
            return [asset_of_row(row, self.shelf) for row in session.scalars(query)]

    def _first_asset(self, condition: sa.ColumnElement[bool]) -> Asset | None:
        query = _WITHOUT_MANIFEST.where(condition).order_by(AssetRow.created_at.desc()).limit(1)
        with self.database.read() as session:
            row = session.scalars(query).first()
            return None if row is None else asset_of_row(row, self.shelf)


__all__ = ["HEAD_REVISION", "MAX_SEARCH_CHARACTERS", "MAX_WORDS", "Store", "UnknownAsset", "new_id"]
