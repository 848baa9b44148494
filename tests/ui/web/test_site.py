"""What a server holds between requests ends with it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from studio.app import Studio
from studio.errors import Canceled
from studio.people.visitor import LOCAL
from studio.request import GenerationRequest
from tests.webpage import page_studio
from ui.api.services import Services
from ui.web.backstage.pulling import Pulls, PullState
from ui.web.here import Site


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STUDIO_DATABASE_URL", raising=False)
    studio = page_studio(tmp_path / "home", tmp_path / "rows")
    yield studio
    studio.store.close()


def test_each_server_has_its_own(studio: Studio) -> None:
    one, other = Site.of(Services.of(studio)), Site.of(Services.of(studio))
    for name in ("bench", "seals", "inspections", "pulls", "surgery", "deals", "tickets"):
        assert getattr(one, name) is not getattr(other, name)


def test_files_are_gone_when_a_server_ends(studio: Studio) -> None:
    site = Site.of(Services.of(studio))
    spec = next(spec for spec in studio.registry.catalog if spec.id == "micro-svd")

    async def live() -> Path:
        async with site.lifespan(FastAPI()):
            await asyncio.to_thread(site.bench.estimator.ask, spec, GenerationRequest(model=spec.id), 30.0)
            picture: Path = site.bench.estimator._stand_in
            assert picture.is_file()
            return picture

    picture = asyncio.run(live())
    assert not picture.parent.exists()


def test_an_inspection_that_goes_on_ends_with_its_server(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    site, go = Site.of(Services.of(studio)), threading.Event()
    monkeypatch.setattr(Studio, "verify", lambda *_arguments, **_named: go.wait(60))

    async def live() -> Any:
        async with site.lifespan(FastAPI()), AsyncExitStack() as stack:
            folder = await stack.enter_async_context(site.services.folder.room())
            (folder / "clip.mp4").write_bytes(b"nothing of a video")
            inspection = site.inspections.begin(folder / "clip.mp4", "clip.mp4", LOCAL, stack.pop_all())
            await asyncio.sleep(0.1)
            go.set()
        return inspection, folder

    inspection, folder = asyncio.run(live())
    assert inspection.state == "canceled"
    assert not folder.exists()


def test_a_download_is_stopped_with_its_server() -> None:
    begun = threading.Event()

    def pull(_model: str, _progress: Any, is_canceled: Any) -> None:
        begun.set()
        while not is_canceled():
            time.sleep(0.01)
        raise Canceled

    pulls = Pulls(pull)
    pulls.start("a model")
    assert begun.wait(10)
    pulls.close()
    for _ in range(1000):
        if pulls.all()[0].state is PullState.CANCELED:
            return
        time.sleep(0.01)
    raise AssertionError("it went on")
