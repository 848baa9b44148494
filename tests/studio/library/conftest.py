"""The library's own tests make its tables as a user's first start does: by all the migrations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from studio.config import Settings
from studio.library import schema
from studio.library.store import Store
from tests.once import migrate_in_full


@pytest.fixture(autouse=True)
def tables_are_made_by_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_run_migrations", migrate_in_full)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An open library; on which database, the module's settings say."""
    with Store(settings) as store:
        yield store
