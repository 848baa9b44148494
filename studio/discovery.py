"""Writes a catalog row for each model that a provider lists, in a file of the user's own folder of rows."""

from __future__ import annotations

import json
import re
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from studio.catalog.loader import load_catalog
from studio.catalog.schema import ModelSpec, Status
from studio.disk import write_durably
from studio.errors import EnvironmentFault, ProtocolError, StoreFault, StudioError, UnsupportedValue
from studio.registry import Registry

Table = Mapping[str, Any]
_MARK = "# Written by `studio models refresh"


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A model that got no row. name: as the provider calls it. reason: one clause."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a provider lists, as rows of the catalog that are yet to be checked."""

    rows: tuple[Table, ...]
    left_out: tuple[LeftOut, ...] = ()


@runtime_checkable
class ListsModels(Protocol):
    """A generator whose provider publishes what its models can do."""

    def list_models(self) -> Listing:
        """Ask the provider. Raises `StudioError`."""


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What a refresh came to. models: ids of the rows in the file.

    kept: of those, rows that the provider does not list any more, but a row of the user extends.
    """

    provider: str
    path: Path
    models: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    kept: tuple[str, ...]


def refresh(provider: str, registry: Registry, folder: Path) -> Refreshed:
    """Ask a provider for its models and write ``<provider>.toml`` into a folder of rows, whole or not at all.

    A row that the catalog would not take is left out and named. On any error the file is as it was. Raises
    `UnsupportedValue` for a provider without a list, `ProtocolError` for a list in which nothing can be used.
    """
    lister = _lister(provider, registry)
    path = folder / f"{provider}.toml"
    before = _rows_in(path)
    _require_ours(path)
    listing = lister.list_models()
    taken = {spec.id for spec in registry.catalog} - before.keys() | _other_ids(folder, path)
    rows, left_out = _usable(listing.rows, taken)
    if not rows:
        raise ProtocolError(
            f"the list of {provider} names no model that can be used; the rows are as they were",
            got=f"{len(listing.rows) + len(listing.left_out)} entries",
        )
    kept = [name for name in _extended(folder, path) if name in before and name not in {row["id"] for row in rows}]
    rows += [before[name] for name in kept]
    text = _file_of(provider, rows)
    _require_peace(folder, path, text)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_durably(path, lambda stream: stream.write(text.encode()))
    except OSError as error:
        raise StoreFault(f"the rows cannot be written ({error.strerror or error})", got=path) from error
    return Refreshed(
        provider=provider,
        path=path,
        models=tuple(row["id"] for row in rows),
        left_out=(*listing.left_out, *left_out),
        kept=tuple(kept),
    )


def toml_of(row: Table) -> str:
    """Return a row as a ``[[models]]`` table. Values are texts, numbers, dates, lists and tables; None is left out."""
    return "\n".join(["[[models]]", *(f"{_key(key)} = {_value(row[key])}" for key in row if row[key] is not None)])


def _lister(provider: str, registry: Registry) -> ListsModels:
    found: dict[str, ListsModels] = {}
    for spec in registry.catalog:
        if spec.remote is not None and _is_general(spec) and spec.remote.provider not in found:
            with suppress(StudioError):
                generator = registry.generator(spec.id)
                if isinstance(generator, ListsModels):
                    found[spec.remote.provider] = generator
    if provider not in found:
        raise UnsupportedValue(
            "no list of models can be asked of it", field="provider", got=provider, allowed=", ".join(sorted(found))
        )
    return found[provider]


def _is_general(spec: ModelSpec) -> bool:
    """Say whether a row stands for all models of its provider."""
    return spec.remote is not None and not spec.remote.model and spec.status is not Status.RETIRED


def _usable(tables: Iterable[Table], taken: set[str]) -> tuple[list[Table], list[LeftOut]]:
    """Return the rows that the catalog takes, and those that it does not."""
    rows: list[Table] = []
    left_out: list[LeftOut] = []
    seen = set(taken)
    for table in tables:
        if table["id"] in seen:
            left_out.append(LeftOut(name=table["id"], reason="another row has this id"))
            continue
        seen.add(table["id"])
        rows.append(table)
    if not _fault(rows):
        return rows, left_out
    faults = {str(row["id"]): _fault([row]) for row in rows}
    left_out += [LeftOut(name=name, reason=fault) for name, fault in faults.items() if fault]
    return [row for row in rows if not faults[str(row["id"])]], left_out


def _fault(rows: Iterable[Table]) -> str:
    """Return why the catalog does not take rows; an empty text where it does."""
    try:
        text = "\n\n".join(toml_of(row) for row in rows)
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "rows.toml").write_text(text, encoding="utf-8")
            load_catalog((Path(name),))
    except StudioError as error:
        return error.message
    except (TypeError, ValueError) as error:
        return str(error)[:100]
    return ""


def _require_ours(path: Path) -> None:
    """Refuse to write over a file that somebody wrote by hand."""
    try:
        is_ours = not path.exists() or path.read_text(encoding="utf-8", errors="replace").startswith(_MARK)
    except OSError as error:
        raise StoreFault(f"the file cannot be read ({error.strerror or error})", got=path) from error
    if not is_ours:
        raise EnvironmentFault("this file was not written by a refresh", got=path, fix="give it another name")


def _require_peace(folder: Path, path: Path, text: str) -> None:
    """Refuse rows with which the user's other files cannot be read, where they can be now."""
    others = {file.name: file.read_bytes() for file in _files(folder) if file != path}
    if not others:
        return
    with tempfile.TemporaryDirectory() as name:
        staged = Path(name)
        for file, content in others.items():
            (staged / file).write_bytes(content)
        (staged / path.name).write_text(text, encoding="utf-8")
        fault = _unreadable(staged)
    if fault and not _unreadable(folder):
        raise EnvironmentFault("the new rows do not go together with your own; they were not written", got=fault)


def _unreadable(folder: Path) -> str:
    """Return why the catalog cannot be read with the rows of a folder; an empty text where it can."""
    try:
        load_catalog((folder,))
    except StudioError as error:
        return error.sentence()
    return ""


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml")) if folder.is_dir() else []


def _rows_in(path: Path) -> dict[str, dict[str, Any]]:
    """Return a file's rows by id, as they are written; none where it cannot be read."""
    with suppress(OSError, ValueError):
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("models", [])
        return {table["id"]: table for table in tables if isinstance(table, dict) and isinstance(table.get("id"), str)}
    return {}


def _other_ids(folder: Path, path: Path) -> set[str]:
    return {name for file in _files(folder) if file != path for name in _rows_in(file)}


def _extended(folder: Path, path: Path) -> list[str]:
    """Return the ids that rows of the user's other files extend."""
    rows = (row for file in _files(folder) if file != path for row in _rows_in(file).values())
    return sorted({str(row["extends"]) for row in rows if "extends" in row})


def _file_of(provider: str, rows: Iterable[Table]) -> str:
    head = f"{_MARK} {provider}` on {datetime.now(UTC):%Y-%m-%d}, and written anew by the next one."
    return "\n\n".join([head, *(toml_of(row) for row in rows)]) + "\n"


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case dict():
            inside = (f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None)
            return "{ " + ", ".join(inside) + " }"
        case list() | tuple():
            return "[" + ", ".join(_value(item) for item in value) + "]"
    return str(value)  # numbers, and dates, which write themselves as TOML wants them


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _text(text: str) -> str:
    """Return a text in quotation marks: JSON's, and TOML allows no unescaped DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
