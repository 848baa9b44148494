"""Whatever an earlier version left in the database is taken over, and a migration that was used is never edited."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.config import Settings
from studio.library import migrations, schema
from studio.library.database import Database
from studio.library.store import Store
from studio.spending.ledger import Ledger

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
    with monkeypatch.context() as patch:
        patch.setattr(schema, "HEAD_REVISION", "0005")
        with Database(settings) as database, database.read() as session:
            inspector = sa.inspect(session.connection())
            assert "is_booked" in {column["name"] for column in inspector.get_columns("attempts")}
            assert "number" in {column["name"] for column in inspector.get_columns("batches")}
            assert "ix_batches_number" in {index["name"] for index in inspector.get_indexes("batches")}
            assert inspector.has_table("spending")
    with Store(settings) as store:
        assert store.jobs() == []


def test_what_was_spent_before_there_was_a_ledger_is_carried_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a job that is forgotten, and of those that were begun; not of those that nobody began, or paid."""
    begun = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "HEAD_REVISION", "0005")
        with Database(settings) as database, database.write() as session:
            session.execute(_SPENDING.insert().values(batch_id="b", amount=2.5, currency="USD", started_at=begun))
            _add_job(session, "billed", state="succeeded", billed={"amount": 0.25, "currency": "EUR"})
            _add_job(session, "retried", state="succeeded", policy="retry:2")
            _add_job(session, "failed", state="failed")
            _add_job(session, "running", state="running", outcome=None)
            _add_job(session, "waiting", state="queued", outcome="unpaid")
            _add_job(session, "ordered anew", state="queued", is_booked=True)
            _add_job(session, "own", state="succeeded", pool="local")
    with Store(settings) as store:
        entries = {entry.job_id: entry for entry in Ledger(store).entries()}
        waiting = store.job("retried")
        assert waiting is not None
        assert waiting.estimate == {"amount": 1.0, "currency": "USD"}  # of one clip
    assert set(entries) == {None, "billed", "retried", "failed", "running"}
    found = {job_id: (str(entry.state), str(entry.money), entry.source) for job_id, entry in entries.items()}
    assert found == {
        None: ("unknown", "2.50 USD", None),
        "billed": ("charged", "0.25 EUR", "provider"),
        "retried": ("charged", "3.00 USD", "list price"),
        "failed": ("unknown", "3.00 USD", "list price"),
        "running": ("open", "3.00 USD", "list price"),
    }
    assert {entry.ordered_at for entry in entries.values()} == {begun}
    assert (entries["billed"].model, entries["billed"].task) == ("some-model", "text-to-video")
    assert (entries["billed"].clip_seconds, entries["failed"].clip_seconds) == (2.0, None)


_TIME = sa.DateTime(timezone=True)
_SPENDING = sa.table("spending", *(sa.column(name) for name in ("batch_id", "amount", "currency")),
                     sa.column("started_at", _TIME))  # fmt: skip
_JOBS = sa.table(
    "jobs",
    *(sa.column(name) for name in ("id", "state", "model", "pool", "priority", "position", "token", "deaths")),
    *(sa.column(name, sa.Boolean) for name in ("is_paused", "is_attended")),
    *(sa.column(name, sa.JSON(none_as_null=True)) for name in ("request", "terms", "estimate", "billed")),
    sa.column("created_at", _TIME),
)
_ATTEMPTS = sa.table("attempts", *(sa.column(name) for name in ("job_id", "number", "worker", "host", "device",
                     "outcome")), sa.column("is_booked", sa.Boolean), sa.column("started_at", _TIME))  # fmt: skip


def _add_job(
    session: Session,
    job_id: str,
    *,
    state: str,
    pool: str = "remote",
    policy: str = "flag",
    billed: dict[str, Any] | None = None,
    outcome: str | None = "succeeded",
    is_booked: bool = False,
) -> None:
    """Write a job as revision 0005 had it, and one attempt at it."""
    begun = datetime(2026, 3, 1, 12, tzinfo=UTC)
    request = {"task": "text-to-video", "num_frames": 48, "frame_rate": "24", "prompt": "a moon"}
    job = {"id": job_id, "state": state, "model": "some-model", "pool": pool, "priority": 0, "position": 0.0,
           "token": 1, "deaths": 0, "is_paused": False, "is_attended": False, "request": request,
           "terms": {"policy": policy}, "estimate": {"amount": 3.0, "currency": "USD"}, "billed": billed,
           "created_at": begun}  # fmt: skip
    attempt = {"job_id": job_id, "number": 1, "worker": "w", "host": "h", "device": "cpu", "outcome": outcome,
               "is_booked": is_booked, "started_at": begun}  # fmt: skip
    session.execute(_JOBS.insert().values(**job))
    session.execute(_ATTEMPTS.insert().values(**attempt))


def test_no_migration_is_edited_once_it_was_released() -> None:
    """Databases have it behind them, and would never see the change: write another migration instead.

    Whoever adds a migration adds its digest in the commit that releases it.
    """
    released = json.loads(RELEASED.read_text())
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VERSIONS.glob("r*.py")}
    assert there == released
