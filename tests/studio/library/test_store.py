"""The store migrates, survives being opened at once, and says plainly when it cannot be used."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from studio.config import Settings
from studio.errors import StoreFault
from studio.jobs.states import FailureReason, JobState
from studio.library.asset import Asset
from studio.library.store import HEAD_REVISION, Store, UnknownAsset, new_id
from studio.library.tables import Base


def test_the_migrations_build_exactly_the_tables(settings: Settings) -> None:
    with Store(settings):
        pass
    engine = sa.create_engine(f"sqlite:///{settings.database_path}")
    inspector = sa.inspect(engine)
    for table in Base.metadata.sorted_tables:
        built = {column["name"]: column for column in inspector.get_columns(table.name)}
        assert set(built) == set(table.columns.keys())
        assert {name for name, column in built.items() if column["nullable"]} == {
            column.name for column in table.columns if column.nullable
        }
        assert {index["name"] for index in inspector.get_indexes(table.name)} == {i.name for i in table.indexes}


def test_home_and_database_are_private(settings: Settings) -> None:
    with Store(settings):
        pass
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.database_path.stat().st_mode) == 0o600


def test_the_database_runs_in_wal_mode_with_full_synchronisation(settings: Settings) -> None:
    with Store(settings) as store, store.transaction() as session:
        assert session.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert session.execute(sa.text("PRAGMA synchronous")).scalar() == 2


def test_many_processes_may_open_a_new_home_at_once(settings: Settings) -> None:
    code = (
        "from studio.config import Settings; from studio.library.store import Store; "
        "import os; Store(Settings()).add_job(str(os.getpid()), {'model': 'x'})"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    with Store(settings) as store:
        assert len(store.jobs(JobState.QUEUED)) == 4


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
    with Store(settings):
        pass
    with sqlite3.connect(settings.database_path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreFault, match=f"up to {HEAD_REVISION}"):
        Store(settings)


def test_a_file_that_is_no_database_is_named(settings: Settings) -> None:
    settings.create_home()
    settings.database_path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreFault, match=r"studio\.sqlite3"):
        Store(settings)


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(StoreFault, match="STUDIO_HOME"):
        Store(Settings(home=tmp_path / "home"))


def test_a_job_goes_through_its_states(settings: Settings) -> None:
    with Store(settings) as store:
        job_id = new_id()
        store.add_job(job_id, {"model": "m", "seed": 1})
        store.start_job(job_id)
        store.save_operation(job_id, {"id": "remote-1"})
        store.end_job(job_id, JobState.FAILED, reason=FailureReason.GENERATION, error={"message": "no"})
        row = store.job(job_id)
    assert row is not None
    assert (row.state, row.reason, row.operation) == ("failed", "generation", {"id": "remote-1"})
    assert row.started_at is not None
    assert row.ended_at is not None
    assert row.created_at <= row.started_at <= row.ended_at


def test_a_final_state_must_be_final(settings: Settings) -> None:
    with Store(settings) as store, pytest.raises(ValueError, match="not a final state"):
        store.end_job("x", JobState.RUNNING)


@pytest.mark.parametrize("asset_id", ["", "nope", "%", "_"])
def test_an_unknown_asset_is_named(settings: Settings, asset_id: str) -> None:
    with Store(settings) as store, pytest.raises(UnknownAsset, match="library list"):
        store.asset(asset_id)


def test_an_asset_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match="gate"):
        Asset(object(), id="x")
