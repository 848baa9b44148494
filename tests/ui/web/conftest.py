"""A page that is served, for each module of tests, without a browser."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.app import Studio
from tests.webpage import ServedPage, page_studio, serving_page, working


@pytest.fixture(scope="module")
def page_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The studio of a module's tests."""
    folder: Path = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDIO_HOME", str(folder / "home"))
        patch.delenv("STUDIO_DATABASE_URL", raising=False)
        studio = page_studio(folder / "home", folder / "rows")
        yield studio
        studio.store.close()


@pytest.fixture(scope="module")
def site(page_home: Studio) -> Iterator[ServedPage]:
    """A server for this machine alone, and a worker that takes jobs."""
    with working(page_home), serving_page(page_home) as served:
        yield served


@pytest.fixture(scope="module")
def idle_site(page_home: Studio) -> Iterator[ServedPage]:
    """A server without a worker: what is submitted waits."""
    with serving_page(page_home) as served:
        yield served


@pytest.fixture
def forgotten_files() -> Iterator[None]:
    """Files that are open and forgotten are closed before another test comes."""
    yield
    gc.collect()
