"""SQLite's part of the library's database: connecting, beginning, and what its errors mean."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from studio.disk import is_full
from studio.errors import DiskFull, EnvironmentFault, StoreBusy, StoreFault, StoreTaken

# Whoever reads first and then writes would be turned away at once by a plain BEGIN, however long the timeout.
BEGIN_WRITING = ("PRAGMA query_only=OFF", "BEGIN IMMEDIATE")
BEGIN_READING = ("PRAGMA query_only=ON", "BEGIN")

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "case_sensitive_like=ON")
_ROOM_BYTES = 2**17  # what SQLite needs to begin at all
_TAKEN = (1555, 2067)  # SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE
_BUSY, _LOCKED, _READONLY, _IOERR, _FULL = 5, 6, 8, 10, 13


def open_engine(path: Path, *, timeout_seconds: float, **options: Any) -> sa.Engine:
    """Return an engine over a file. timeout_seconds: how long a writer waits for another.

    It stays with that file: once another is in its place, or none, connecting and beginning raise `StoreFault`.
    """
    with suppress(OSError):  # SQLite says it better
        path.touch(mode=0o600)  # which the files beside it inherit
    opened = _identity(path)

    def require_same(*_: object) -> None:
        # SQLite would go on in a file that nobody finds again, or make an empty one in its place.
        if opened is not None and _identity(path) != opened:
            raise StoreFault(
                "the library's folder was removed or replaced while the studio runs",
                got=path,
                fix="put it back if it was moved, and start the studio again",
            )

    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": timeout_seconds},
        max_overflow=-1,  # a connection is a file handle; whoever waits, waits for the writer and not for one of these
        **options,
    )
    sa.event.listen(engine, "do_connect", require_same)
    sa.event.listen(engine, "connect", _configure)
    sa.event.listen(engine, "begin", require_same)
    return engine


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others, whatever its name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _configure(connection: Any, _record: object) -> None:
    # Python's driver would commit before a change of the schema; transactions are begun by the database's events alone.
    connection.isolation_level = None
    # SQLite's own knows the letters of ASCII only, and its LIKE would ignore their case where PostgreSQL's does not.
    connection.create_function("lower", 1, _lower, deterministic=True)
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def is_write_while_reading(error: DBAPIError) -> bool:
    """Say whether the database refused to be written to."""
    return _code(error) == _READONLY


def fault_of(error: DBAPIError, path: Path, *, timeout_seconds: float) -> EnvironmentFault:
    """Say in a sentence what went wrong."""
    if getattr(error.orig, "sqlite_errorcode", 0) in _TAKEN:
        return StoreTaken("somebody else wrote the same to the library's database", got=path, fix="retry")
    code = _code(error)
    # SQLite speaks of an I/O error where it cannot create the files beside the database.
    if code == _FULL or (code == _IOERR and _has_no_room(path.parent)):
        return DiskFull("no room left for the library's database", got=path, fix="free some space and retry")
    if code in (_BUSY, _LOCKED):
        return StoreBusy(
            f"the library's database stayed locked for {timeout_seconds:g} seconds",
            got=path,
            fix="see what holds it open, such as a backup or a database browser, and retry",
        )
    return StoreFault(
        f"the library's database cannot be used ({error.orig})",
        got=path,
        fix="check the folder's rights, or restore the file from a backup and keep the broken one",
    )


def _code(error: DBAPIError) -> int:
    return int(getattr(error.orig, "sqlite_errorcode", 0)) & 0xFF


def _has_no_room(folder: Path) -> bool:
    """Say whether not even a small file can be written, be it for a full disk, a quota or a limit of the shell."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_ROOM_BYTES))
            probe.flush()
    except OSError as error:
        return is_full(error)
    return False
