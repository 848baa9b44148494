"""Whatever an earlier version left in the database is taken over, and a migration that was used is never edited."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from studio.config import Settings
from studio.library import migrations, schema
from studio.library.database import Database
from studio.library.store import Store

VERSIONS = Path(migrations.__file__).parent / "versions"
RELEASED = Path(__file__).with_name("released_migrations.json")


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


@pytest.mark.parametrize("has_batch_numbers", [False, True])
def test_a_queue_of_the_first_days_is_taken_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, has_batch_numbers: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "HEAD_REVISION", "0004")
        with Database(settings) as database, database.write() as session:
            session.execute(sa.text("ALTER TABLE attempts DROP COLUMN is_booked"))
            if not has_batch_numbers:
                session.execute(sa.text("DROP INDEX ix_batches_number"))
                session.execute(sa.text("ALTER TABLE batches DROP COLUMN number"))
                session.execute(sa.text("DROP TABLE spending"))
    with Store(settings) as store, store.database.read() as session:
        inspector = sa.inspect(session.connection())
        assert "is_booked" in {column["name"] for column in inspector.get_columns("attempts")}
        assert "number" in {column["name"] for column in inspector.get_columns("batches")}
        assert "ix_batches_number" in {index["name"] for index in inspector.get_indexes("batches")}
        assert inspector.has_table("spending")


def test_no_migration_is_edited_once_it_was_released() -> None:
    """Databases have it behind them, and would never see the change: write another migration instead.

    Whoever adds a migration adds its digest in the commit that releases it.
    """
    released = json.loads(RELEASED.read_text())
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VERSIONS.glob("r*.py")}
    assert there == released
