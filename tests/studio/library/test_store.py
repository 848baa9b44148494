"""The store migrates, survives being opened at once, and says plainly when it cannot be used."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from studio.config import Settings
from studio.errors import StoreFault
from studio.library.asset import Asset
from studio.library.store import HEAD_REVISION, Store, UnknownAsset
from studio.library.tables import Base


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


def test_the_migrations_build_exactly_the_tables(settings: Settings) -> None:
    with Store(settings) as store, store.database.read() as session:
        inspector = sa.inspect(session.connection())
        for table in Base.metadata.sorted_tables:
            built = {column["name"]: column for column in inspector.get_columns(table.name)}
            assert set(built) == set(table.columns.keys())
            assert {name for name, column in built.items() if column["nullable"]} == {
                column.name for column in table.columns if column.nullable
            }
            assert _kinds(built) == {column.name: _kind(column.type) for column in table.columns}
            # PostgreSQL also lists the index behind a constraint.
            indexes = [item for item in inspector.get_indexes(table.name) if "duplicates_constraint" not in item]
            assert {item["name"]: bool(item["unique"]) for item in indexes} == {
                item.name: item.unique for item in table.indexes
            }


def _kinds(columns: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: _kind(column["type"]) for name, column in columns.items()}


def _kind(column_type: Any) -> tuple[Any, ...]:
    """Return what matters of a type on any database: what Python gets from it, and its length."""
    plain = (column_type.impl if isinstance(column_type, sa.TypeDecorator) else column_type).as_generic()
    return sa.Float if isinstance(plain, sa.Float) else type(plain), getattr(plain, "length", None)


def test_a_crash_in_the_middle_of_a_migration_leaves_nothing_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    real = op.create_table

    def full_disk(name: str, *columns: object) -> None:
        if name == "assets":
            raise KeyboardInterrupt
        real(name, *columns)

    monkeypatch.setattr(op, "create_table", full_disk)
    with pytest.raises(KeyboardInterrupt):
        Store(settings)
    monkeypatch.undo()
    with Store(settings) as store:
        assert store.jobs() == []


def test_a_newer_schema_is_left_alone(settings: Settings) -> None:
    with Store(settings) as store, store.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreFault, match=f"up to {HEAD_REVISION}"):
        Store(settings)


@pytest.mark.parametrize("asset_id", ["", "nope", "%", "_"])
def test_an_unknown_asset_is_named(settings: Settings, asset_id: str) -> None:
    with Store(settings) as store, pytest.raises(UnknownAsset, match="library list"):
        store.asset(asset_id)


def test_an_asset_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match="gate"):
        Asset(object(), id="x")
