"""A studio of its own for every test: nothing touches the user's home."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read before torch is imported: its threads otherwise spin and starve each other on few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.redaction import HELD
from studio.registry import Registry
from tests.fakes import write_scripted_rows
from tests.once import done_once
from tests.postgres import database_settings, postgres, postgres_settings

__all__ = ["database_settings", "postgres", "postgres_settings"]  # fixtures of every test

CLIPS = Path(__file__).parent.parent.parent / "shared" / "clips"


@pytest.fixture(autouse=True, scope="session")
def what_is_the_same_is_done_once() -> Iterator[None]:
    """See `tests.once`. The library's own tests go without."""
    with done_once():
        yield


@pytest.fixture(autouse=True)
def log_handlers_of_one_test_alone() -> Iterator[None]:
    """The command line installs one that writes to the stream of its test, which is closed afterwards."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in root.handlers[:]:
        if handler not in before:
            root.removeHandler(handler)


@pytest.fixture(autouse=True)
def secrets_of_one_test_alone() -> Iterator[None]:
    """What one test called a key may be an ordinary word in another."""
    before = HELD._words
    yield
    HELD._words = before


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings over a home folder that is not there yet."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STUDIO_DATABASE_URL", raising=False)
    return Settings()


@pytest.fixture
def studio(settings: Settings, tmp_path: Path) -> Iterator[Studio]:
    """A studio that also knows the scripted models of `tests.fakes`, as a plug-in's rows."""
    studio = Studio(settings)
    rows = write_scripted_rows(tmp_path / "rows")
    studio.__dict__["registry"] = Registry(load_catalog((rows,)), settings)
    yield studio
    if "store" in studio.__dict__:
        studio.store.close()


@pytest.fixture
def clips() -> Path:
    """Real footage that lies beside some checkouts; tests that need it are skipped elsewhere."""
    if not CLIPS.is_dir():
        pytest.skip("no shared clips beside this checkout")
    return CLIPS
