"""The library's own tests make its tables as a user's first start does: by all the migrations."""

from __future__ import annotations

import pytest

from studio.library import schema
from tests.once import migrate_in_full


@pytest.fixture(autouse=True)
def tables_are_made_by_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_run_migrations", migrate_in_full)
