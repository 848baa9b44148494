"""Brings the database's tables up to date, one process at a time."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout

from studio.errors import StoreBusy, StoreFault

HEAD_REVISION = "0008"
_ADVISORY_LOCK = 0x5354_5544_494F  # any number that nobody else in the database uses


def migrate(engine: sa.Engine, path: Path | None, timeout_seconds: float) -> None:
    """Run the migrations that are missing. path: SQLite's file; None for PostgreSQL.

    Raises `StoreFault` for tables that a newer version wrote, and whatever the database raises.
    """
    if _revision(engine) == HEAD_REVISION:
        return
    if path is None:
        _upgrade(engine)
        return
    try:
        with FileLock(path.with_suffix(".migration.lock"), timeout=timeout_seconds):
            _upgrade(engine)
    except Timeout as error:
        raise StoreBusy(
            "another process has been changing the library's tables for too long", got=path, fix="end it, and retry"
        ) from error


def _revision(engine: sa.Engine) -> str | None:
    with engine.execution_options(mode="read").connect() as connection:
        return _revision_of(connection)


def _revision_of(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(engine: sa.Engine) -> None:
    """Look again once nobody else can change the tables, and change them in that same transaction."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))  # a large table may take its time
        revision = _revision_of(connection)
        if revision is not None and revision > HEAD_REVISION:
            raise StoreFault(
                "the library was written by a newer version of the studio",
                field="database",
                got=f"schema {revision}",
                allowed=f"up to {HEAD_REVISION}",
                fix="update the studio, or point STUDIO_HOME to another folder",
            )
        if revision != HEAD_REVISION:
            _run_migrations(connection)


def _run_migrations(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD_REVISION)
