"""A clip is erased whole, once, and by whoever meant to: beside others who restore or erase it, and through crashes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.config import Settings
from studio.erasing import Eraser
from studio.errors import RequestError
from studio.library.asset import Asset
from studio.library.curation import Curation, Emptied
from studio.library.curation_tables import NoteRow
from studio.library.query import LibraryQuery
from studio.library.shelf import HomeShelf
from studio.library.store import Store, UnknownAsset
from studio.library.tables import AssetRow, JobRow
from studio.people.ownership import Ownership
from studio.people.people import People
from studio.provenance.stamp_queue import StampQueue
from tests.studio.library.shelf_of_rows import fill, put_files, row

ROOT = Path(__file__).parents[3]
A, B = "a00000", "a00001"
# Begins to erase, and is killed by the system just before or just after the file goes.
DOOMED = """
import os, signal, sys
from studio.app import Studio
from studio.library.asset import Asset

delete, when, how = Asset.delete_file, *sys.argv[1:]

def delete_and_die(asset):
    if when == "after":
        delete(asset)
    os.kill(os.getpid(), signal.SIGKILL)

Asset.delete_file = delete_and_die
studio = Studio()
studio.curation.empty_bin() if how == "emptying" else studio.remove("a00000")
"""


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


@pytest.fixture
def eraser(settings: Settings, store: Store) -> Eraser:
    return Eraser(settings, store)


@pytest.fixture
def curation(store: Store, settings: Settings, eraser: Eraser) -> Curation:
    return Curation(store, settings, eraser.erase)


@pytest.fixture
def files(store: Store) -> list[Path]:
    """The files of twenty assets."""
    rows = [row(number) for number in range(20)]
    fill(store, rows)
    return put_files(store, rows)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def binned(curation: Curation) -> list[str]:
    return curation.ids(LibraryQuery(in_bin=True))


def before_the_file_goes(monkeypatch: pytest.MonkeyPatch, work: Callable[[Asset], object]) -> None:
    """Have something happen in between: the row is held, the file is still there."""
    delete_file = Asset.delete_file

    def late(asset: Asset) -> None:
        work(asset)
        delete_file(asset)

    monkeypatch.setattr(Asset, "delete_file", late)


# -- beside others ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["restore", "rate", "tag", "caption"])
def test_what_is_being_erased_is_refused_to_all_others(
    curation: Curation, files: list[Path], pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    changes: dict[str, Callable[[], object]] = {
        "restore": lambda: curation.restore([A]),
        "rate": lambda: curation.rate([A], 5),
        "tag": lambda: curation.tag([A], add=["x"]),
        "caption": lambda: curation.caption(A, "x"),
    }
    others: list[Future[object]] = []

    def ask(_asset: Asset) -> None:
        others.append(pool.submit(changes[change]))
        with pytest.raises(TimeoutError):
            others[0].result(timeout=0.3)  # nobody is told anything before it is decided

    curation.bin([A])
    before_the_file_goes(monkeypatch, ask)
    assert curation.empty_bin().removed == (A,)
    with pytest.raises(UnknownAsset, match="no such asset"):
        others[0].result(timeout=60)
    assert not files[0].exists()
    assert curation.items([A]) == ()


def test_what_somebody_takes_out_before_its_turn_comes_is_theirs(
    store: Store, settings: Settings, eraser: Eraser, files: list[Path]
) -> None:
    def erase(asset_id: str, is_wanted: Callable[[Session], bool]) -> Asset | None:
        if asset_id == A:
            assert curation.restore([A]) == (A,)
        return eraser.erase(asset_id, is_wanted)

    curation = Curation(store, settings, erase)
    curation.bin([A, B])
    assert curation.empty_bin() == Emptied(removed=(B,), failed={})
    assert files[0].is_file()
    assert binned(curation) == []
    assert [item.id for item in curation.items([A, B])] == [A]


def test_many_who_empty_and_restore_at_once_agree_on_what_came_of_each_clip(
    settings: Settings, curation: Curation, files: list[Path], pool: ThreadPoolExecutor
) -> None:
    """Every clip is erased once, or restored with its file; each of them has a store of its own, like a process."""
    ids = [f"a{number:05}" for number in range(len(files))]
    start = threading.Barrier(4)

    def empty() -> tuple[str, ...]:
        with Store(settings) as store:
            start.wait()
            emptied = Curation(store, settings, Eraser(settings, store).erase).empty_bin()
            assert emptied.failed == {}
            return emptied.removed

    def restore() -> tuple[str, ...]:
        restored: list[str] = []
        with Store(settings) as store:
            theirs = Curation(store, settings, Eraser(settings, store).erase)
            start.wait()
            for asset_id in reversed(ids):
                try:
                    restored += theirs.restore([asset_id])
                except UnknownAsset:
                    break
        return tuple(restored)

    curation.bin(ids)
    done = [pool.submit(work) for work in (empty, empty, restore, restore)]
    told = [asset_id for future in done for asset_id in future.result(timeout=120)]
    assert sorted(told) == ids
    erased = {*done[0].result(), *done[1].result()}
    assert [path.exists() for path in files] == [asset_id not in erased for asset_id in ids]
    assert sorted(curation.ids(LibraryQuery())) == [asset_id for asset_id in ids if asset_id not in erased]


def test_a_clip_that_two_delete_at_once_is_deleted_by_one_and_unknown_to_the_other(
    curation: Curation, files: list[Path], pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[Future[Asset]] = []
    before_the_file_goes(monkeypatch, lambda asset: others.append(pool.submit(curation.remove, asset.id)))
    assert curation.remove(A).id == A
    with pytest.raises(UnknownAsset):
        others[0].result(timeout=60)
    assert (len(others), files[0].exists()) == (1, False)


def test_what_is_known_of_a_clip_goes_with_it(
    settings: Settings, store: Store, curation: Curation, files: list[Path]
) -> None:
    People(store).add("anna", "a long enough password")
    with store.transaction() as session:
        session.add(JobRow(id=A, state="succeeded", model="m", request={}, created_at=datetime.now(UTC)))
        session.flush()
        session.execute(sa.update(AssetRow).where(AssetRow.id == A).values(job_id=A))
    Ownership(store).own(A, "anna")
    StampQueue(settings).add(A, "nobody answers")
    assert curation.remove(A).id == A
    assert not files[0].exists()
    assert (store.job(A), Ownership(store).owner(A), StampQueue(settings).get(A)) == (None, None, None)


# -- through failures and crashes -------------------------------------------------------------------------------------


def refuse_to_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(_shelf: HomeShelf, _name: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(HomeShelf, "remove", remove)


def test_a_file_that_cannot_be_deleted_leaves_its_clip_in_the_bin_from_where_it_comes_back(
    curation: Curation, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    curation.rate([A], 4)
    curation.bin([A])
    since = curation.items([A])[0].binned_at
    refuse_to_delete(monkeypatch)
    emptied = curation.empty_bin()
    assert emptied.removed == ()
    assert "Permission denied" in emptied.failed[A].sentence()
    assert curation.items([A])[0].binned_at == since
    assert curation.restore([A]) == (A,)
    assert files[0].is_file()
    assert curation.items([A])[0].rating == 4


@pytest.mark.parametrize("was_binned", [False, True])
def test_a_clip_that_cannot_be_deleted_stays_where_it_was(
    curation: Curation, files: list[Path], monkeypatch: pytest.MonkeyPatch, was_binned: bool
) -> None:
    if was_binned:
        curation.bin([A])
    refuse_to_delete(monkeypatch)
    with pytest.raises(PermissionError):
        curation.remove(A)
    assert files[0].is_file()
    assert binned(curation) == ([A] if was_binned else [])


def kill(when: str, how: str) -> None:
    command = [sys.executable, "-c", DOOMED, when, how]
    died = subprocess.run(command, cwd=ROOT, env=os.environ, stderr=subprocess.PIPE, text=True, check=False)
    assert (died.returncode, died.stderr) == (-signal.SIGKILL, "")


@pytest.mark.parametrize("how", ["emptying", "removing"])
def test_a_kill_before_the_file_went_leaves_the_clip_whole_in_the_bin(
    curation: Curation, files: list[Path], how: str
) -> None:
    if how == "emptying":
        curation.bin([A])
    kill("before", how)
    assert binned(curation) == [A]
    assert curation.restore([A]) == (A,)
    assert files[0].is_file()


@pytest.mark.parametrize("how", ["emptying", "removing"])
def test_a_kill_after_the_file_went_leaves_what_cannot_come_back_and_goes_with_the_next_emptying(
    store: Store, curation: Curation, files: list[Path], how: str
) -> None:
    curation.bin([A, B] if how == "emptying" else [B])
    kill("after", how)
    assert not files[0].exists()
    with pytest.raises(RequestError, match=r"its file is gone.*empty the bin"):
        curation.restore([A, B])
    assert binned(curation) == [B, A]  # all or none
    assert curation.restore([B]) == (B,)
    assert curation.empty_bin() == Emptied(removed=(A,), failed={})
    with store.database.read() as session:
        assert session.get(AssetRow, A) is None
        assert session.get(NoteRow, A) is None


def test_a_failure_after_the_file_went_is_told_and_ended_by_the_next_emptying(
    curation: Curation, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    curation.bin([A])

    def fail(_queue: StampQueue, _asset_id: str) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(StampQueue, "done", fail)
        assert "Input/output error" in curation.empty_bin().failed[A].sentence()
    assert not files[0].exists()
    assert binned(curation) == [A]
    assert curation.empty_bin().removed == (A,)
