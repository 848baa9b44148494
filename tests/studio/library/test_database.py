"""The database reads, writes and complains the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from studio.config import Settings
from studio.errors import StoreFault, UnsupportedValue
from studio.jobs.states import JobState
from studio.library.database import Database
from studio.library.store import Store
from studio.library.tables import AssetRow, JobRow

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


def asset_row(asset_id: str, **changes: object) -> AssetRow:
    columns: dict[str, object] = {
        "id": asset_id, "path": f"2026-01/{asset_id}.mp4", "mime_type": "video/mp4", "sha256": "0" * 64,
        "frames_sha256": "0" * 64, "size_bytes": 1, "width": 2, "height": 2, "num_frames": 1,
        "frame_rate": "24000/1001", "model": "m", "task": "text-to-video", "prompt": "", "seed": "1",
        "request": {}, "report": {}, "manifest_store": b"x", "generation_seconds": 2.0, "created_at": MOMENT,
    }  # fmt: skip
    return AssetRow(**(columns | changes))


def job_row(job_id: str, **changes: object) -> JobRow:
    columns = {"id": job_id, "state": JobState.QUEUED, "model": "m", "request": {}, "created_at": MOMENT}
    return JobRow(**(columns | changes))


def test_it_says_what_it_is(settings: Settings) -> None:
    with Database(settings) as database:
        wanted = {"sqlite": "SQLite 3.", "postgresql": "PostgreSQL 1"}
        assert database.version().startswith(wanted[database.dialect])


def test_what_is_written_is_read_again_whole(settings: Settings) -> None:
    written = {
        "size_bytes": 2**62, "generation_seconds": 0.1 + 0.2, "checks_passed": False, "seed": str(2**63 - 1),
        "manifest_store": bytes(range(256)) * 300, "prompt": "Ein Stern\n☄ 漢字 'quoted' \\ %_ \U0001f600",
        "request": {"seed": 2**63 - 1, "words": ["a\u0000b", "ü"], "nothing": None, "number": 1e-300},
        "derivation": None,
    }  # fmt: skip
    with Database(settings) as database:
        with database.write() as session:
            session.add(asset_row("a", **written))
        with database.read() as session:
            row = session.get_one(AssetRow, "a")
            assert {name: getattr(row, name) for name in written} == written
            assert session.scalar(sa.select(AssetRow.id).where(AssetRow.derivation.is_(None))) == "a"
            assert session.scalar(sa.select(AssetRow.id).where(AssetRow.checks_passed.is_(False))) == "a"


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-9, minutes=-30)), timezone(timedelta(hours=14))])
def test_moments_come_back_in_universal_time(settings: Settings, zone: timezone) -> None:
    with Database(settings) as database:
        with database.write() as session:
            session.add(job_row("a", created_at=MOMENT.astimezone(zone)))
        with database.read() as session:
            found = session.scalar(sa.select(JobRow.created_at))
    assert found == MOMENT
    assert found.utcoffset() == timedelta(0)


def test_what_is_no_number_becomes_null_in_json(settings: Settings) -> None:
    with Database(settings) as database:
        with database.write() as session:
            session.add(job_row("a", request={"eta": [float("inf"), {"x": float("nan")}], "two": 2.5}))
        with database.read() as session:
            assert session.scalar(sa.select(JobRow.request)) == {"eta": [None, {"x": None}], "two": 2.5}


@pytest.mark.parametrize(("text", "name"), [("half a \0 text", "U[+]0000"), ("half a \ud83d pair", "U[+]D83D")])
def test_what_is_no_text_is_refused_in_a_sentence(settings: Settings, text: str, name: str) -> None:
    with Store(settings) as store:
        with pytest.raises(UnsupportedValue, match=name), store.transaction() as session:
            session.add(job_row("a", model=text))
        with pytest.raises(UnsupportedValue, match=name):
            store.assets(text=text)
        assert store.jobs() == []


@pytest.mark.parametrize("words", ["GRÜNER stern", "grüner", "ÜNER", "STERN", "100%", "a_b"])
def test_search_ignores_the_case_of_every_letter_and_takes_signs_as_they_are(settings: Settings, words: str) -> None:
    with Store(settings) as store:
        with store.transaction() as session:
            session.add(asset_row("a", prompt="Ein Grüner Stern, 100% a_b"))
            session.add(asset_row("b", prompt="Ein grauer Stein, 100 axb"))
        assert [asset.id for asset in store.assets(text=words)] == ["a"]


def test_the_beginning_of_an_id_is_taken_as_it_is_written(settings: Settings) -> None:
    with Database(settings) as database:
        with database.write() as session:
            session.add_all([asset_row("ab-1"), asset_row("AB-2"), asset_row("a_-3")])
        with database.read() as session:
            for beginning, wanted in (("ab", ["ab-1"]), ("AB", ["AB-2"]), ("a_", ["a_-3"])):
                query = sa.select(AssetRow.id).where(AssetRow.id.startswith(beginning, autoescape=True))
                assert list(session.scalars(query)) == wanted


def test_a_foreign_key_is_kept(settings: Settings) -> None:
    with Database(settings) as database:
        with pytest.raises(StoreFault), database.write() as session:
            session.add(asset_row("a", job_id="nobody"))
        with database.write() as session:
            session.add(job_row("j"))
            session.flush()
            session.add(asset_row("a", job_id="j"))
        with database.write() as session:
            session.execute(sa.delete(JobRow))
        with database.read() as session:
            assert session.get_one(AssetRow, "a").job_id is None


def test_a_failing_block_leaves_nothing_behind(settings: Settings) -> None:
    with Database(settings) as database:
        with pytest.raises(StoreFault), database.write() as session:
            session.add_all([job_row("a"), asset_row("a"), asset_row("b", path="2026-01/a.mp4")])
        with database.read() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(JobRow)) == 0


def test_whoever_only_reads_cannot_write(settings: Settings) -> None:
    with Database(settings) as database:
        with pytest.raises(RuntimeError, match=r"Database\.write"), database.read() as session:
            session.add(job_row("a"))
        with database.write() as session:
            session.add(job_row("a"))
        with database.read() as session:
            assert session.scalars(sa.select(JobRow.id)).all() == ["a"]


def test_a_reader_sees_one_state_from_beginning_to_end(settings: Settings) -> None:
    count = sa.select(sa.func.count()).select_from(JobRow)
    with Database(settings) as database:
        with database.read() as reading:
            assert reading.scalar(count) == 0
            with database.write() as session:
                session.add(job_row("a"))
            assert reading.scalar(count) == 0
        with database.read() as reading:
            assert reading.scalar(count) == 1


def test_a_thread_that_would_wait_for_itself_is_told_at_once(settings: Settings) -> None:
    with Database(settings) as database:
        with database.write(), pytest.raises(RuntimeError, match="already"), database.write():
            pass
        with database.write(), pytest.raises(RuntimeError, match="already"):
            database.retrying(lambda session: session.add(job_row("a")))
        assert database.retrying(lambda session: session.scalar(sa.select(sa.literal(7)))) == 7
