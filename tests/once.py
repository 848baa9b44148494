"""What thousands of tests would do again, and comes out the same each time, is done once in a process."""

from __future__ import annotations

import pickle
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from studio.catalog import loader
from studio.library import schema

migrate_in_full = schema._run_migrations
_statements: dict[str, list[str]] = {}  # by the revision that they lead to


@contextmanager
def done_once() -> Iterator[None]:
    """Parse a catalog's text once; make an empty library's tables by its migrations once, and then as they came out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "tomllib", SimpleNamespace(loads=_parse, TOMLDecodeError=tomllib.TOMLDecodeError))
        patch.setattr(schema, "_run_migrations", _make_tables)
        yield


def _parse(text: str) -> dict[str, Any]:
    tables: dict[str, Any] = pickle.loads(_pickled(text))  # a copy: who reads it may change it
    return tables


@cache
def _pickled(text: str) -> bytes:
    return pickle.dumps(tomllib.loads(text))


def _make_tables(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite" or sa.inspect(connection).get_table_names():
        migrate_in_full(connection)
    elif made := _statements.get(schema.HEAD_REVISION):
        for statement in made:
            connection.exec_driver_sql(statement)
    else:
        migrate_in_full(connection)
        dumped = connection.connection.driver_connection.iterdump()  # type: ignore[union-attr]
        _statements[schema.HEAD_REVISION] = [line for line in dumped if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
