"""Many at once, in threads and in processes: everybody's writing is kept, and nobody hears of a lock."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.config import Settings
from studio.library.database import Database
from studio.library.tables import JobRow

ROOT = Path(__file__).parents[3]
HOLD_SECONDS = 3.0

PROGRAM = """
import sys
from pathlib import Path
from studio.config import Settings
from studio.library.database import Database
from tests.studio.library.test_crowd import count_up, wait_for

with Database(Settings()) as database:
    wait_for(Path(sys.argv[1]))
    for _ in range(25):
        count_up(database)
"""


@pytest.fixture
def database(database_settings: Settings) -> Iterator[Database]:
    """A database with one job, whose priority is counted up; SQLite, then PostgreSQL."""
    with Database(database_settings) as database:
        with database.write() as session:
            session.add(job_row("counter"))
        yield database


def job_row(job_id: str) -> JobRow:
    return JobRow(id=job_id, state="queued", model="m", request={}, created_at=datetime.now(UTC))


def counter(session: Session) -> JobRow:
    return session.get_one(JobRow, "counter", with_for_update=True)


def count_up(database: Database) -> None:
    """Read, then write what was read and one more: lost where two do so at once."""
    with database.write() as session:
        row = counter(session)
        row.priority += 1


def count(database: Database) -> int:
    with database.read() as session:
        return session.get_one(JobRow, "counter").priority


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)


def in_threads(number: int, work: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(number) as pool:
        list(pool.map(work, range(number)))


def test_threads_that_read_and_then_write_lose_nothing(database: Database) -> None:
    in_threads(8, lambda _: [count_up(database) for _ in range(25)])
    assert count(database) == 200


def test_processes_that_read_and_then_write_lose_nothing(database: Database, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "go")]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    (tmp_path / "go").touch()
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert said == [""] * 8
    assert [process.returncode for process in processes] == [0] * 8
    assert count(database) == 200


def test_processes_that_open_a_new_home_at_once_build_it_once(database_settings: Settings, tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib, tests.studio.library.test_crowd as crowd\n"
        "crowd.wait_for(pathlib.Path(sys.argv[1]))\n"
        "with crowd.Database(crowd.Settings()) as database, database.write() as session:\n"
        "    session.add(crowd.job_row(str(os.getpid())))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "go")]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    time.sleep(1.5)  # until all of them stand at the door
    (tmp_path / "go").touch()
    assert [process.communicate(timeout=120)[1] for process in processes] == [""] * 8
    with Database(database_settings) as database, database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(JobRow)) == 8


def test_a_writer_that_takes_its_time_delays_other_writers_and_nothing_else(database: Database) -> None:
    is_held, order = threading.Event(), list[str]()

    def hold() -> None:
        with database.write() as session:
            counter(session).priority += 1
            session.flush()
            is_held.set()
            time.sleep(HOLD_SECONDS)
            order.append("slow")

    def wait_in_line() -> None:
        count_up(database)
        order.append("next")

    slow, waiting = threading.Thread(target=hold), threading.Thread(target=wait_in_line)
    slow.start()
    assert is_held.wait(30)
    waiting.start()
    started, looks = time.monotonic(), 0
    while slow.is_alive():
        begun = time.monotonic()
        value = count(database)
        assert time.monotonic() - begun < 1
        assert value in ((0,) if "slow" not in order else (0, 1, 2))
        looks += 1
    slow.join()
    waiting.join()
    assert order == ["slow", "next"]
    assert time.monotonic() - started > HOLD_SECONDS * 0.9
    assert looks > 10
    assert count(database) == 2


def raise_one(session: Session, name: str) -> None:
    session.execute(sa.update(JobRow).where(JobRow.id == name).values(priority=JobRow.priority + 1))


def test_of_two_writers_that_wait_for_each_other_one_is_run_again(database: Database) -> None:
    with database.write() as session:
        session.add_all([job_row("a"), job_row("b")])
    runs = [0, 0]
    has_one = [threading.Event(), threading.Event()]

    def raise_both(number: int) -> None:
        def work(session: Session) -> None:
            runs[number] += 1
            raise_one(session, "ab"[number])
            has_one[number].set()
            has_one[1 - number].wait(1)  # on SQLite the other does not even begin
            raise_one(session, "ba"[number])

        database.retrying(work)

    in_threads(2, raise_both)
    with database.read() as session:
        assert list(session.scalars(sa.select(JobRow.priority).where(JobRow.id.in_(["a", "b"])))) == [2, 2]
    assert sum(runs) == (2 if database.dialect == "sqlite" else 3)


def test_writers_that_take_rows_in_any_order_all_come_through(database: Database) -> None:
    names = [f"row-{number}" for number in range(4)]
    with database.write() as session:
        session.add_all([job_row(name) for name in names])

    def raise_all(number: int) -> None:
        shuffled = random.Random(number)
        for _ in range(3):
            order = shuffled.sample(names, k=4)
            database.retrying(lambda session, order=order: [raise_one(session, name) for name in order])

    in_threads(4, raise_all)
    with database.read() as session:
        assert list(session.scalars(sa.select(JobRow.priority).where(JobRow.id.in_(names)))) == [12] * 4


def test_a_killed_writer_leaves_nothing_locked(database: Database, tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib, tests.studio.library.test_crowd as crowd\n"
        "with crowd.Database(crowd.Settings()) as database, database.write() as session:\n"
        "    crowd.counter(session).priority += 1\n"
        "    session.flush()\n"
        "    pathlib.Path(sys.argv[1]).touch()\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "held")], cwd=ROOT, env=os.environ)
    wait_for(tmp_path / "held")
    process.kill()
    process.wait()
    started = time.monotonic()
    count_up(database)
    assert time.monotonic() - started < 5
    assert count(database) == 1
