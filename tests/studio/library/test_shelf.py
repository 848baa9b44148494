"""A library whose files lie in a folder that several machines share, mounted here or not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import PIL.Image
import pytest

from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.errors import EnvironmentFault, MissingPackage, StoreFault, VerificationFailed
from studio.jobs import reclaim as reclaim_module
from studio.jobs.job import Job
from studio.jobs.roll import WorkerCard
from studio.jobs.worker import Tally, Worker
from studio.library.asset import Asset, file_sha256
from studio.library.shelf import SharedShelf, ShareFault, library_shelf, shared_shelf
from studio.registry import Registry
from studio.request import Conditioning, GenerationRequest, Role
from tests.fakes import write_scripted_rows

Open = Callable[[str], Studio]


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the shared folder is: a folder that is mounted, or a file system that only its own programs can read."""
    if request.param == "file":
        yield (tmp_path / "share").as_uri()
        return
    yield "memory://share"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def open_studio(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open studios with homes of their own, over one database (SQLite lets one process do that) and one share."""
    opened: list[Studio] = []
    rows = write_scripted_rows(tmp_path / "rows")
    monkeypatch.setenv("STUDIO_ASSETS_URL", url)
    monkeypatch.setenv("STUDIO_IDENTITY_FOLDER", str(tmp_path / "identity"))
    monkeypatch.delenv("STUDIO_DATABASE_URL", raising=False)

    def open_one(name: str) -> Studio:
        home = tmp_path / name
        home.mkdir()
        if name != "first":
            (home / "studio.sqlite3").symlink_to(tmp_path / "first" / "studio.sqlite3")
        studio = Studio(Settings(home=home))
        studio.__dict__["registry"] = Registry(load_catalog((rows,)), studio.settings)
        opened.append(studio)
        return studio

    yield open_one
    for studio in opened:
        if "store" in studio.__dict__:
            studio.store.close()


def on_share(url: str) -> list[str]:
    system, root = fsspec.core.url_to_fs(url)
    return sorted(str(path).removeprefix(root).lstrip("/") for path in system.find(root))


def make(studio: Studio, **fields: object) -> Asset:
    return studio.generate(GenerationRequest(model="scripted-moving", **{"seed": 3, **fields})).asset  # type: ignore[arg-type]


def drain(studio: Studio) -> Tally:
    return Worker(studio.workshop, WorkerCard(device="cpu")).run(threading.Event(), drain=True)


def submit_with_picture(studio: Studio, path: Path) -> Job:
    PIL.Image.fromarray(np.full((128, 160, 3), 90, np.uint8)).save(path)
    picture = Conditioning(role=Role.FIRST_FRAME, path=path)
    return studio.desk.submit(GenerationRequest(model="scripted-moving", seed=3, conditionings=(picture,)))


def test_a_clip_goes_to_the_share_and_nothing_of_it_stays_at_home(open_studio: Open, url: str) -> None:
    studio = open_studio("first")
    asset = make(studio)
    assert on_share(url) == [f"library/{asset.name}"]
    assert asset.name.endswith(f"/{asset.id}.mp4")
    assert list(studio.settings.library_folder.rglob("*.mp4")) == []
    assert studio.verify(asset.path).c2pa.state == "trusted"
    assert file_sha256(asset.path) == asset.sha256


def test_another_machine_reads_verifies_and_exports_it(open_studio: Open, tmp_path: Path) -> None:
    asset = make(open_studio("first"))
    other = open_studio("second")
    (found,) = other.store.assets()
    assert found == asset
    assert other.verify(found.path).c2pa.state == "trusted"
    other.export(asset.id, tmp_path / "copy.mp4")
    assert file_sha256(tmp_path / "copy.mp4") == asset.sha256


def test_listing_fetches_nothing(open_studio: Open) -> None:
    make(open_studio("first"))
    other = open_studio("second")
    assert [asset.as_json()["path"] for asset in other.store.assets()]
    assert next(check for check in other.doctor() if check.id == "library").ok
    assert not list((other.settings.home / "cache").rglob("*"))


def test_what_is_shown_of_a_clip_says_where_it_is(open_studio: Open, url: str) -> None:
    shown = make(open_studio("first")).as_json()
    path = shown["path"]
    assert path.startswith("/" if url.startswith("file") else "memory://share/library/")
    assert shown["sidecar"] is None


def test_credentials_beside_a_file_come_along(open_studio: Open, tmp_path: Path, url: str) -> None:
    studio = open_studio("first")
    clip = make(studio)
    studio.export(clip.id, tmp_path / "clip.webm")
    (derived,) = studio.store.children(clip.id)
    assert {Path(name).suffix for name in on_share(url)} == {".mp4", ".webm", ".c2pa"}
    other = open_studio("second")
    found = other.store.asset(derived.id)
    assert other.verify(found.path).c2pa.state == "trusted"
    assert found.sidecar is not None
    assert found.sidecar.read_bytes() == (tmp_path / "clip.c2pa").read_bytes()
    other.remove(derived.id)
    assert {Path(name).suffix for name in on_share(url)} == {".mp4"}


def test_a_removed_clip_is_gone_from_the_share(open_studio: Open, url: str) -> None:
    studio = open_studio("first")
    asset = make(studio)
    assert asset.is_there
    studio.remove(asset.id)
    assert on_share(url) == []
    assert not asset.is_there


def test_a_clip_that_the_database_refuses_leaves_nothing_on_the_share(
    open_studio: Open, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio("first")

    def refuse(*_: object) -> None:
        raise StoreFault("not today")

    monkeypatch.setattr(studio.workshop.queue, "succeed", refuse)
    with pytest.raises(StoreFault, match="not today"):
        make(studio)
    assert studio.store.assets() == []
    assert on_share(url) == []
    assert len(studio.quarantine.waiting()) == 1


def test_a_worker_that_comes_back_late_harms_nothing_that_another_made(open_studio: Open, url: str) -> None:
    """Two machines seal the same job; each file has a place of its own, and the row tells of one of them."""
    studio = open_studio("first")
    asset = make(studio)
    shelf = studio.store.shelf
    late = shelf.offer({asset.name: asset.path})
    assert late.name != asset.name
    assert len(on_share(url)) == 2
    late.withdraw()
    assert on_share(url) == [f"library/{asset.name}"]
    assert file_sha256(asset.path) == asset.sha256


def test_pictures_of_jobs_reach_the_machine_that_runs_them(open_studio: Open, tmp_path: Path, url: str) -> None:
    first, second = open_studio("first"), open_studio("second")
    job = submit_with_picture(first, tmp_path / "picture.png")
    sha256 = job.request["conditionings"][0]["sha256"]
    assert on_share(url) == [f"inputs/{sha256}.png"]
    (tmp_path / "picture.png").unlink()
    assert drain(second) == Tally(succeeded=1)
    assert second.store.asset(job.id).request["conditionings"][0]["sha256"] == sha256


def test_a_picture_that_was_changed_on_the_share_is_refused(open_studio: Open, tmp_path: Path, url: str) -> None:
    first, second = open_studio("first"), open_studio("second")
    job = submit_with_picture(first, tmp_path / "picture.png")
    (tmp_path / "picture.png").unlink()
    system, root = fsspec.core.url_to_fs(url)
    system.pipe_file(f"{root}/{on_share(url)[0]}", b"another")
    assert drain(second) == Tally(failed=1)
    assert "not the one that was put there" in (second.desk.job(job.id).error or {})["message"]


def test_a_clip_that_was_changed_on_the_share_does_not_pass(open_studio: Open, url: str, tmp_path: Path) -> None:
    asset = make(open_studio("first"))
    system, root = fsspec.core.url_to_fs(url)
    system.pipe_file(f"{root}/library/{asset.name}", b"another")
    other = open_studio("second")
    with pytest.raises(VerificationFailed):
        other.export(asset.id, tmp_path / "copy.mp4")
    assert not (tmp_path / "copy.mp4").exists()


def test_what_nobody_needs_is_swept_up(
    open_studio: Open, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio("first")
    kept = make(studio)
    lost = studio.store.shelf.offer({kept.name: kept.path}).name  # of a worker that died before the row was written
    other = open_studio("second")
    assert other.verify(other.store.asset(kept.id).path).c2pa.state == "trusted"
    job = submit_with_picture(other, tmp_path / "picture.png")
    assert drain(other) == Tally(succeeded=1)
    assert f"library/{lost}" not in other.desk.gc().removed  # somebody may be about to write the row that tells of it
    monkeypatch.setattr(reclaim_module, "GRACE_SECONDS", -5.0)
    removed = other.desk.gc().removed
    assert f"library/{lost}" in removed
    assert f"inputs/{job.request['conditionings'][0]['sha256']}.png" in removed
    names = {asset.name for asset in other.store.assets()}
    assert on_share(url) == sorted(f"library/{name}" for name in names)
    assert other.store.asset(kept.id).path.is_file()


def test_inputs_that_a_job_waits_for_are_not_swept_up(
    open_studio: Open, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = open_studio("first"), open_studio("second")
    submit_with_picture(first, tmp_path / "picture.png")
    monkeypatch.setattr(reclaim_module, "GRACE_SECONDS", -5.0)
    second.desk.gc()
    first.desk.gc()
    assert len(on_share(url)) == 1


def test_a_share_that_cannot_be_reached_fails_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "share").write_text("no folder")
    shelf = SharedShelf((tmp_path / "share" / "below").as_uri(), "library", tmp_path / "cache")
    (tmp_path / "clip.mp4").write_bytes(b"clip")
    with pytest.raises(ShareFault, match="STUDIO_ASSETS_URL"):
        shelf.offer({"2026-01/clip.mp4": tmp_path / "clip.mp4"})
    with pytest.raises(ShareFault, match="mount it"):
        shelf.has("2026-01/clip.mp4")


def test_a_file_system_without_its_package_is_named(tmp_path: Path) -> None:
    shelf = SharedShelf("s3://bucket/folder", "library", tmp_path)
    with pytest.raises(MissingPackage, match="s3fs"):
        shelf.has("clip.mp4")
    with pytest.raises(EnvironmentFault, match="STUDIO_ASSETS_URL"):
        SharedShelf("nosuch://bucket/folder", "library", tmp_path).has("clip.mp4")


@pytest.mark.parametrize("words", ["share", "/mnt/share", "simplecache::s3://a/b", "s3://", "sftp://me:word@host/a"])
def test_an_address_that_will_not_do_is_refused_at_once(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_ASSETS_URL", words)
    with pytest.raises(EnvironmentFault, match="STUDIO_ASSETS_URL") as refused:
        Settings.read()
    assert "word@" not in str(refused.value)


def test_without_the_setting_files_stay_in_the_home(settings: Settings) -> None:
    assert shared_shelf(settings, "library") is None
    assert library_shelf(settings).shown("2026-01/a.mp4") == str(settings.library_folder / "2026-01" / "a.mp4")


def test_the_identity_may_lie_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STUDIO_IDENTITY_FOLDER", str(tmp_path / "keys"))
    settings = Settings.read()
    assert settings.identity_folder == tmp_path / "keys"
    Studio(settings).identity.show()
    assert (tmp_path / "keys" / "current" / "key.pem").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("STUDIO_IDENTITY_FOLDER", "")
    with pytest.raises(EnvironmentFault, match="STUDIO_IDENTITY_FOLDER"):
        Settings.read()
