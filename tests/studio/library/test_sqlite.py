"""SQLite's file: private, durable, and plain about who else holds it."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from studio.config import Settings
from studio.errors import StoreBusy, StoreFault
from studio.library import database as database_module
from studio.library.database import Database
from studio.library.store import Store


def test_home_and_database_are_private(settings: Settings) -> None:
    with Store(settings):
        assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700
        for path in settings.home.glob("studio.sqlite3*"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_database_runs_in_wal_mode_with_full_synchronisation(settings: Settings) -> None:
    with Store(settings) as store, store.transaction() as session:
        assert session.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert session.execute(sa.text("PRAGMA synchronous")).scalar() == 2
        assert session.execute(sa.text("PRAGMA foreign_keys")).scalar() == 1
        assert session.execute(sa.text("PRAGMA busy_timeout")).scalar() == 60_000


def test_a_file_that_is_no_database_is_named(settings: Settings) -> None:
    settings.create_home()
    settings.database_path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreFault, match=r"studio\.sqlite3"):
        Store(settings)


def test_a_home_that_was_removed_is_told_and_not_made_anew(settings: Settings) -> None:
    with Database(settings) as database:
        with database.read():
            shutil.rmtree(settings.home)
        for begin in (database.read, database.write):
            with pytest.raises(StoreFault, match="removed or replaced while the studio runs"), begin():
                pass
        database._engine.dispose()  # the next one connects anew
        with pytest.raises(StoreFault, match="removed or replaced"), database.read():
            pass
        with pytest.raises(StoreFault, match="removed or replaced"):
            database.retrying(lambda session: session.scalar(sa.text("SELECT 1")))
    assert not settings.home.exists()


def test_another_library_in_its_place_is_left_alone_until_the_first_is_back(settings: Settings) -> None:
    away = settings.home.with_name("away")
    with Database(settings) as database:
        settings.home.rename(away)
        with Database(settings), pytest.raises(StoreFault, match="removed or replaced"), database.write():
            pass
        shutil.rmtree(settings.home)
        away.rename(settings.home)
        assert database.version().startswith("SQLite")


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(StoreFault, match="STUDIO_HOME"):
        Store(Settings(home=tmp_path / "home"))


def test_a_database_that_stays_locked_is_said_to_be(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_SECONDS", 0.3)
    with Database(settings) as database, closing(sqlite3.connect(settings.database_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(StoreBusy, match=r"locked for 0\.3 seconds; got .*studio\.sqlite3; .*retry"),
            database.write(),
        ):
            pass
        assert database.version().startswith("SQLite")
        other.rollback()
        with database.write() as session:
            assert session.scalar(sa.text("SELECT 1")) == 1


def test_a_migration_that_somebody_else_never_ends_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_SECONDS", 0.3)
    settings.create_home()
    with FileLock(settings.database_path.with_suffix(".migration.lock")), pytest.raises(StoreBusy, match="tables"):
        Database(settings)


def test_more_threads_than_a_pool_holds_may_read_at_once(settings: Settings) -> None:
    together = threading.Barrier(40, timeout=30)
    versions = []
    with Database(settings) as database:

        def look() -> None:
            with database.read() as session:
                together.wait()
                versions.append(session.scalar(sa.text("SELECT sqlite_version()")))

        threads = [threading.Thread(target=look) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(versions) == 40
