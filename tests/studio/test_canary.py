"""The search for a secret finds it, wherever and however it is hidden; a search that finds nothing proves nothing."""

from __future__ import annotations

import base64
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.canary import assert_nowhere

CANARY = "canary-0123/456789+abc=def"


@pytest.mark.parametrize("shift", ["", "x", "xy"])
def test_a_secret_in_base64_is_found_at_every_offset(shift: str, tmp_path: Path) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        with pytest.raises(AssertionError, match="text 1"):
            assert_nowhere(CANARY, tmp_path, encode(f"{shift}{CANARY}; and more".encode()).decode())


@pytest.mark.parametrize(
    "form", [CANARY, CANARY.encode().hex(), "canary-0123%2F456789%2Babc%3Ddef"], ids=["plain", "hex", "percent"]
)
def test_a_secret_is_found_in_files_in_their_names_and_in_texts(form: str, tmp_path: Path) -> None:
    assert_nowhere(CANARY, tmp_path, "nothing here")
    with pytest.raises(AssertionError, match="text 2"):
        assert_nowhere(CANARY, tmp_path, "nothing here", f"but <{form}>")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.bin").write_bytes(b"\0\1" + form.encode() + b"\xff")
    with pytest.raises(AssertionError, match=r"file\.bin"):
        assert_nowhere(CANARY, tmp_path)


def test_a_secret_is_found_in_a_files_name(tmp_path: Path) -> None:
    (tmp_path / "canary-in-a-name.txt").touch()
    with pytest.raises(AssertionError, match="the name of"):
        assert_nowhere("canary-in-a-name", tmp_path)


def test_a_secret_is_found_in_a_database_that_is_open_and_spread_over_its_pages(tmp_path: Path) -> None:
    canary = "canary-" + "0123456789" * 1000  # no page holds it whole
    with closing(sqlite3.connect(tmp_path / "studio.sqlite")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE jobs (id INTEGER, error TEXT)")
        database.commit()
        assert_nowhere(canary, tmp_path)
        database.execute("INSERT INTO jobs VALUES (1, ?)", (f"it said {canary}",))
        database.commit()
        with pytest.raises(AssertionError, match=r"studio\.sqlite: jobs"):
            assert_nowhere(canary, tmp_path)
