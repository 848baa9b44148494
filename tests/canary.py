"""Looks for a secret everywhere it must not be: in files, in the database, in what was printed."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

_SQLITE = b"SQLite format 3\0"


def assert_nowhere(canary: str, folder: Path, *texts: str) -> None:
    """Fail if a secret can be found in any file below a folder or in any of the texts, plain or encoded.

    Databases are opened too, with what is still in their write-ahead log. canary: at least 12 characters.
    """
    forms = forms_of(canary)
    places = [f"text {number}" for number, text in enumerate(texts, 1) if _holds(text.encode(), forms)]
    for path in sorted(folder.rglob("*")):
        if _holds(str(path.relative_to(folder)).encode(), forms):
            places.append(f"the name of {path}")
        if path.is_file() and _holds(path.read_bytes(), forms):
            places.append(str(path))
        if path.is_file() and path.read_bytes()[: len(_SQLITE)] == _SQLITE:
            places += [f"{path}: {table}" for table, value in _values(path) if _holds(value, forms)]
    assert places == [], f"the secret was found in: {', '.join(places)}"


def forms_of(canary: str) -> list[bytes]:
    """Return what a secret may look like: as it is, in UTF-16, JSON, an address, hex, and base64 at every offset."""
    assert len(canary) >= 12, "too short to be found in base64"
    plain = canary.encode()
    forms = [plain, canary.encode("utf-16-le"), json.dumps(canary)[1:-1].encode(), quote(canary, safe="").encode()]
    forms += [plain.hex().encode(), plain.hex().upper().encode(), plain[::-1]]
    for shift in range(3):
        # What stands before and after changes the characters at both ends; those between are the same anywhere.
        head = -(-8 * shift // 6)
        length = 8 * (shift + len(plain)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.append(encode(bytes(shift) + plain)[head:length])
    return forms


def _holds(content: bytes, forms: list[bytes]) -> bool:
    return any(form in content for form in forms)


def _values(path: Path) -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as room:
        for suffix in ("", "-wal", "-shm"):
            if (source := Path(f"{path}{suffix}")).exists():
                shutil.copy(source, Path(room) / f"copy{suffix}")
        with closing(sqlite3.connect(Path(room) / "copy")) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                for row in database.execute(f'SELECT * FROM "{table}"'):
                    for value in row:
                        if isinstance(value, str | bytes):
                            yield table, value.encode() if isinstance(value, str) else value
