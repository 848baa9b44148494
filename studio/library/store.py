"""The library's database: opening, migrating, jobs and assets."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session, defer

from studio.config import Settings
from studio.disk import is_full
from studio.errors import DiskFull, RequestError, StoreFault, UnsupportedValue
from studio.jobs.states import FINAL, FailureReason, JobState
from studio.library.asset import Asset, asset_of_row
from studio.library.tables import AssetRow, JobRow

HEAD_REVISION = "0003"
BUSY_TIMEOUT_SECONDS = 30
_ROOM_BYTES = 2**17  # what SQLite needs to begin at all
MAX_WORDS = 32
MAX_SEARCH_CHARACTERS = 1000
# Manifest stores are tens of kilobytes each and wanted by nobody who lists assets.
_WITHOUT_MANIFEST = sa.select(AssetRow).options(defer(AssetRow.manifest_store))


class UnknownAsset(RequestError):
    """The library holds nothing by this id."""


def new_id() -> str:
    """Return an id that sorts by time: ``YYYYMMDD-HHMMSS-xxxxxxxx``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


class Store:
    """Jobs and assets, one transaction for every change of state.

    Opening creates and migrates the database. SQLite runs in WAL mode with full synchronisation,
    so that a committed state survives a power cut.
    """

    def __init__(self, settings: Settings) -> None:
        settings.create_home()
        self.folder = settings.library_folder
        self._path = settings.database_path
        url = sa.URL.create("sqlite", database=str(self._path))
        self._engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
        sa.event.listen(self._engine, "connect", _configure_connection)
        sa.event.listen(self._engine, "begin", _begin)
        with _store_faults(self._path):
            self._migrate()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session that commits on success and rolls back on any error."""
        with _store_faults(self._path), Session(self._engine) as session, session.begin():
            yield session

    # -- jobs ---------------------------------------------------------------------------------------------------

    def add_job(self, job_id: str, request: dict[str, Any]) -> None:
        """Write a queued job."""
        with self.transaction() as session:
            session.add(
                JobRow(
                    id=job_id,
                    state=JobState.QUEUED,
                    model=request["model"],
                    request=request,
                    created_at=datetime.now(UTC),
                )
            )

    def start_job(self, job_id: str) -> None:
        """Mark a job as running in this process."""
        self._change_job(job_id, state=JobState.RUNNING, process=str(os.getpid()), started_at=datetime.now(UTC))

    def save_operation(self, job_id: str, operation: dict[str, Any]) -> None:
        """Keep a remote operation, so that a restart polls it instead of paying again."""
        self._change_job(job_id, operation=operation)

    def end_job(
        self,
        job_id: str,
        state: JobState,
        *,
        reason: FailureReason | None = None,
        error: dict[str, Any] | None = None,
    ) -> None:
        """Write a final state."""
        if state not in FINAL:
            raise ValueError(f"{state} is not a final state")
        self._change_job(job_id, state=state, reason=reason, error=error, ended_at=datetime.now(UTC))

    def jobs(self, *states: JobState) -> list[JobRow]:
        """Return jobs, newest first; all of them when no state is named."""
        query = sa.select(JobRow).order_by(JobRow.created_at.desc(), JobRow.id.desc())
        if states:
            query = query.where(JobRow.state.in_(states))
        with self.transaction() as session:
            rows = list(session.scalars(query))
            session.expunge_all()
        return rows

    def job(self, job_id: str) -> JobRow | None:
        """Return one job, or None."""
        with self.transaction() as session:
            row = session.get(JobRow, job_id)
            session.expunge_all()
        return row

    def _change_job(self, job_id: str, **changes: Any) -> None:
        with self.transaction() as session:
            session.execute(sa.update(JobRow).where(JobRow.id == job_id).values(**changes))

    # -- assets -------------------------------------------------------------------------------------------------

    def assets(
        self, *, text: str = "", model: str | None = None, flagged: bool = False, limit: int = 100
    ) -> list[Asset]:
        """Return assets, newest first. text: words that must all occur in prompt, model or id.

        flagged: only those that failed a check.
        """
        query = _WITHOUT_MANIFEST.order_by(AssetRow.created_at.desc(), AssetRow.id.desc()).limit(limit)
        if model:
            query = query.where(AssetRow.model == model)
        if flagged:
            query = query.where(AssetRow.checks_passed.is_(False))
        words = text.split()
        if len(words) > MAX_WORDS or len(text) > MAX_SEARCH_CHARACTERS:
            limit_text = f"up to {MAX_WORDS} words and {MAX_SEARCH_CHARACTERS} characters"
            raise UnsupportedValue(
                "too much to search for", field="words", got=f"{len(words)} words", allowed=limit_text
            )
        for word in words:
            columns = (AssetRow.prompt, AssetRow.model, AssetRow.id)
            query = query.where(sa.or_(*(column.icontains(word, autoescape=True) for column in columns)))
        return self._assets(query)

    def asset(self, asset_id: str) -> Asset:
        """Return the asset with this id or unambiguous beginning of one, or raise `UnknownAsset`."""
        query = _WITHOUT_MANIFEST.where(AssetRow.id.startswith(asset_id, autoescape=True)).limit(2)
        with self.transaction() as session:
            rows = [asset_of_row(row, self.folder) for row in session.scalars(query)] if asset_id else []
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
        with self.transaction() as session:
            return [item for item in session.scalars(query) if item]

    def marked_sizes(self) -> list[tuple[int, int]]:
        """Return the sizes, (height, width) in pixels, of the assets that carry a mark."""
        query = sa.select(AssetRow.height, AssetRow.width).where(AssetRow.watermark_id.is_not(None)).distinct()
        with self.transaction() as session:
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

    def forget_asset(self, asset_id: str) -> None:
        """Delete the row of an asset whose file is already gone."""
        with self.transaction() as session:
            session.execute(sa.delete(AssetRow).where(AssetRow.id == asset_id))

    def forget_job(self, job_id: str) -> None:
        """Delete a job's row and with it the prompt and the paths in its request."""
        with self.transaction() as session:
            session.execute(sa.delete(JobRow).where(JobRow.id == job_id))

    def timings(self, model: str, limit: int = 20) -> list[tuple[dict[str, Any], float]]:
        """Return (request, seconds) of this model's latest runs on this machine, newest first."""
        query = (
            sa.select(AssetRow.request, AssetRow.generation_seconds)
            .where(AssetRow.model == model, AssetRow.derivation.is_(None))
            .order_by(AssetRow.created_at.desc())
            .limit(limit)
        )
        with self.transaction() as session:
            return [(row[0], row[1]) for row in session.execute(query)]

    def _assets(self, query: sa.Select[AssetRow]) -> list[Asset]:
        with self.transaction() as session:
            return [asset_of_row(row, self.folder) for row in session.scalars(query)]

    def _first_asset(self, condition: sa.ColumnElement[bool]) -> Asset | None:
        query = _WITHOUT_MANIFEST.where(condition).order_by(AssetRow.created_at.desc()).limit(1)
        with self.transaction() as session:
            row = session.scalars(query).first()
            return None if row is None else asset_of_row(row, self.folder)

    # -- schema -------------------------------------------------------------------------------------------------

    def _migrate(self) -> None:
        if self._revision() == HEAD_REVISION:
            return
        with FileLock(self._path.with_suffix(".migration.lock"), timeout=BUSY_TIMEOUT_SECONDS):
            revision = self._revision()
            if revision is not None and revision > HEAD_REVISION:
                raise StoreFault(
                    "the library was written by a newer version of the studio",
                    field="database",
                    got=f"schema {revision}",
                    allowed=f"up to {HEAD_REVISION}",
                    fix="update the studio, or point STUDIO_HOME to another folder",
                )
            if revision != HEAD_REVISION:
                self._upgrade()
        os.chmod(self._path, 0o600)

    def _revision(self) -> str | None:
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def _upgrade(self) -> None:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        with self._engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _configure_connection(connection: Any, _record: object) -> None:
    # Python's driver would commit before a change of the schema; transactions are begun by `_begin` alone.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _has_no_room(folder: Path) -> bool:
    """Say whether not even a small file can be written, be it for a full disk, a quota or a limit of the shell."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_ROOM_BYTES))
            probe.flush()
    except OSError as error:
        return is_full(error)
    return False


@contextmanager
def _store_faults(path: Path) -> Iterator[None]:
    """Turn database errors into sentences."""
    try:
        yield
    except DatabaseError as error:
        text = str(error.orig)
        # SQLite says "disk I/O error" where it cannot create the files beside the database.
        if "full" in text or ("I/O" in text and _has_no_room(path.parent)):
            raise DiskFull(
                "no room left for the library's database", got=path, fix="free some space and retry"
            ) from error
        raise StoreFault(
            f"the library's database cannot be used ({text})",
            got=path,
            fix="check the folder's rights, or restore the file from a backup and keep the broken one",
        ) from error
