"""PostgreSQL's part of the library's database: connecting, beginning, and what its errors mean."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from studio.errors import DiskFull, EnvironmentFault, MissingPackage, StoreBusy, StoreFault, StoreGone, StoreTaken
from studio.library.address import PostgresAddress

# A client that stands still must not keep its locks for ever, and one whose machine is gone not for longer than this.
_IDLE_SECONDS = 600
_KEEPALIVE = {"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "4"}

BEGIN_READING = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",)
BEGIN_WRITING = ("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",)
# Writers that are run again stand in one line, so that they do not meet in the same way for ever.
WAIT_IN_LINE = "SELECT pg_advisory_xact_lock(91625968981)"

_CONFLICT = {"40001", "40P01"}  # serialization failure, deadlock: the transaction may be run again, whole
_BUSY = {"55P03", "57014", "53300", *_CONFLICT}  # lock not available, statement timeout, too many connections
_REFUSED = ("28", "3D", "42501")  # wrong password, no such database, no right
_TAKEN = "23505"  # a unique value that is there already
_GOES_DOWN = "57P"  # shut down, crashed, or not up yet
_WRITES_WHILE_READING = "25006"
_NO_ROOM = "53100"


def open_engine(address: PostgresAddress, *, timeout_seconds: float, **options: Any) -> sa.Engine:
    """Return an engine over a small pool. timeout_seconds: how long a statement may wait for locks or run."""
    try:
        from studio.library.postgres_line import connect
    except ImportError as error:
        raise MissingPackage(
            "PostgreSQL needs an optional package",
            field="STUDIO_DATABASE_URL",
            got=address,
            fix="pip install 'local-video-studio[postgres]', or unset STUDIO_DATABASE_URL to use SQLite",
        ) from error
    engine = sa.create_engine(
        "postgresql+pg8000://",
        creator=lambda: connect(address, timeout_seconds),  # so that the password is nowhere in the engine
        pool_size=2,
        max_overflow=8,
        pool_timeout=timeout_seconds,
        pool_pre_ping=True,
        **options,
    )
    sa.event.listen(engine, "connect", _configure(timeout_seconds))
    return engine


def _configure(timeout_seconds: float) -> Any:
    limit, idle = f"{timeout_seconds * 1000:.0f}ms", f"{_IDLE_SECONDS}s"
    limits = {"statement_timeout": limit, "lock_timeout": limit, "idle_in_transaction_session_timeout": idle}
    settings = {"TimeZone": "UTC", **limits, **_KEEPALIVE}
    statement = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())

    def configure(connection: Any, _record: object) -> None:
        # The driver would begin a plain transaction before ours.
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.close()

    return configure


def sql_state(error: DBAPIError) -> str | None:
    """Return the five characters by which PostgreSQL names an error; None where the connection itself failed."""
    details = _details(error)
    return None if details is None else str(details.get("C"))


def is_conflict(error: DBAPIError) -> bool:
    """Say whether transactions stood in each other's way, so that this one may be run again."""
    return sql_state(error) in _CONFLICT


def is_write_while_reading(error: DBAPIError) -> bool:
    """Say whether something was written in a transaction that only reads."""
    return sql_state(error) == _WRITES_WHILE_READING


def fault_of(error: DBAPIError, address: PostgresAddress) -> EnvironmentFault:
    """Say in a sentence what went wrong, without values and without the password."""
    details, state = _details(error), sql_state(error)
    if details is None or state is None:
        return StoreGone(
            "the connection to the library's database was lost",
            got=address,
            fix="`studio doctor` says whether it answers again; then retry",
        )
    text = str(details.get("M", state))
    if state == _NO_ROOM:
        return DiskFull("no room left for the library's database", got=address, fix="free some space on its server")
    if state == _TAKEN:
        return StoreTaken("somebody else wrote the same to the library's database", got=address, fix="retry")
    if state.startswith(_GOES_DOWN):
        return StoreGone(f"the library's database goes down ({text})", got=address, fix="retry when it is back")
    if state in _BUSY:
        return StoreBusy(f"the library's database is busy ({text})", got=address, fix="retry in a while")
    if state.startswith(_REFUSED):
        return StoreFault(
            f"the library's database refuses us ({text})",
            got=address,
            fix="correct STUDIO_DATABASE_URL, or the rights of its user",
        )
    return StoreFault(f"the library's database cannot be used ({text})", got=address, fix="`studio doctor` looks at it")


def _details(error: DBAPIError) -> dict[str, Any] | None:
    arguments = error.orig.args if error.orig is not None else ()
    return arguments[0] if arguments and isinstance(arguments[0], dict) else None
