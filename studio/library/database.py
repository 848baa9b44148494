"""The library's database, SQLite or PostgreSQL: transactions that read, that write, and errors told in sentences."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from studio.config import Settings
from studio.errors import StoreBusy, UnsupportedValue
from studio.library import postgres, schema, sqlite
from studio.library.address import PostgresAddress

BUSY_TIMEOUT_SECONDS = 60.0
MAX_NAMED = 500

_Mode = Literal["read", "write"]
T = TypeVar("T")


def in_parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield items in parts that a query can name: databases limit the number of parameters."""
    for start in range(0, len(items), MAX_NAMED):
        yield items[start : start + MAX_NAMED]


class Database:
    """Transactions over the library's tables. Opening creates and migrates them.

    SQLite runs in WAL mode with full synchronisation, so that a committed state survives a power cut and readers never
    wait; writers queue up one after the other. PostgreSQL runs at read committed: a row that was read and is to be
    changed must be read ``with_for_update()``, which SQLite does not need and ignores.

    dialect: "sqlite" or "postgresql". name: where the database is, for people; never with a password.
    Every method raises `StoreFault`, `StoreBusy` after BUSY_TIMEOUT_SECONDS behind others, or `DiskFull`.
    """

    def __init__(self, settings: Settings) -> None:
        settings.create_home()
        url = settings.database_url
        self._path = settings.database_path
        self._address = None if url is None else PostgresAddress.parse(url.get_secret_value())
        self.dialect: Literal["sqlite", "postgresql"] = "sqlite" if self._address is None else "postgresql"
        self.name = str(self._address or self._path)
        self._timeout = BUSY_TIMEOUT_SECONDS
        self._here = threading.local()
        self._engine = self._open()
        try:
            with self._faults():
                schema.migrate(self._engine, self._path if self._address is None else None, self._timeout)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a session that commits on success and rolls back on any error. One at a time in a thread."""
        with self._faults(), self._alone_in_thread(), self._session("write") as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session that sees one unchanging state of the database and cannot write."""
        with self._faults("read"), self._session("read") as session:
            yield session

    def retrying(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a writing transaction of its own and return what it returns.

        Where PostgreSQL ends the transaction because it and another stood in each other's way, `work` is run again,
        whole: it must do nothing that a rollback does not undo.
        """
        deadline = time.monotonic() + self._timeout
        is_again = False
        with self._faults(), self._alone_in_thread():
            while True:
                try:
                    with self._session("write") as session:
                        if is_again:
                            session.execute(sa.text(postgres.WAIT_IN_LINE))
                        return work(session)
                except DBAPIError as error:
                    if not postgres.is_conflict(error) or time.monotonic() > deadline:
                        raise
                is_again = True

    def version(self) -> str:
        """Ask the database what it is, such as "SQLite 3.46.1" or "PostgreSQL 15.13": proof that it answers."""
        with self.read() as session:
            if self.dialect == "sqlite":
                return f"SQLite {session.scalar(sa.text('SELECT sqlite_version()'))}"
            version = str(session.scalar(sa.text("SELECT current_setting('server_version')")))
            return f"PostgreSQL {version.partition(' ')[0]}"

    @contextmanager
    def _session(self, mode: _Mode) -> Iterator[Session]:
        with Session(self._engine.execution_options(mode=mode)) as session, session.begin():
            session.connection()  # begins now and not with the first statement
            yield session

    @contextmanager
    def _alone_in_thread(self) -> Iterator[None]:
        if getattr(self._here, "is_writing", False):
            raise RuntimeError("this thread is writing already: a second transaction would wait for its end for ever")
        self._here.is_writing = True
        try:
            yield
        finally:
            self._here.is_writing = False

    def _open(self) -> sa.Engine:
        if self._address is None:
            engine = sqlite.open_engine(self._path, timeout_seconds=self._timeout, json_serializer=_as_json)
        else:
            engine = postgres.open_engine(self._address, timeout_seconds=self._timeout, json_serializer=_as_json)
        sa.event.listen(engine, "begin", _begin)
        sa.event.listen(engine, "before_cursor_execute", _refuse_what_is_no_text)
        return engine

    @contextmanager
    def _faults(self, mode: _Mode = "write") -> Iterator[None]:
        """Turn errors of the database into sentences."""
        try:
            yield
        except PoolTimeout as error:
            raise StoreBusy(
                "too many at once in this process want the library's database", got=self.name, fix="retry in a while"
            ) from error
        except DBAPIError as error:
            if mode == "read" and (postgres.is_write_while_reading(error) or sqlite.is_write_while_reading(error)):
                raise RuntimeError("written in a transaction that only reads; use Database.write()") from error
            if self._address is not None:
                raise postgres.fault_of(error, self._address) from error
            raise sqlite.fault_of(error, self._path, timeout_seconds=self._timeout) from error


def _begin(connection: sa.Connection) -> None:
    is_reading = connection.get_execution_options().get("mode") == "read"
    dialect = postgres if connection.dialect.name == "postgresql" else sqlite
    for statement in dialect.BEGIN_READING if is_reading else dialect.BEGIN_WRITING:
        connection.exec_driver_sql(statement)


def _refuse_what_is_no_text(
    _connection: object, _cursor: object, _statement: str, parameters: Any, _context: object, _is_many: bool
) -> None:
    """PostgreSQL keeps no NUL in a text, SQLite loses what follows it in places, and neither takes half a character."""
    for value in _values(parameters):
        if isinstance(value, str) and (strange := _strange(value)) is not None:
            raise UnsupportedValue(
                "a text for the library holds a character that is not text",
                got=f"U+{ord(strange):04X}",
                allowed="printable text",
            )


def _values(parameters: Any) -> Iterator[Any]:
    """Yield the values of one statement, or of many of the same."""
    if isinstance(parameters, list | tuple | dict):
        for item in parameters.values() if isinstance(parameters, dict) else parameters:
            yield from _values(item)
    else:
        yield parameters


def _strange(text: str) -> str | None:
    if "\0" in text:
        return "\0"
    return None if text.isascii() else next((item for item in text if "\ud800" <= item <= "\udfff"), None)


def _as_json(value: Any) -> str:
    """Return JSON that both databases take: what is not a number (NaN, infinity) becomes null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
