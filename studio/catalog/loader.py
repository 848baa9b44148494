"""Reads the catalog's rows from TOML files and answers questions about them."""

from __future__ import annotations

import difflib
import importlib.resources
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studio.catalog.option_sets import OptionSets, UnknownOptionSet, read_option_sets, with_option_sets
from studio.catalog.schema import ModelSpec, Status
from studio.errors import EnvironmentFault, UnknownModel
from studio.request import Task

Folder = Path | Traversable

_TIED_TO_BYTES = ("revision", "sha256", "size_bytes")


@dataclass(frozen=True)
class Catalog:
    """The rows, those that can run out of the box first.

    faults: one sentence for each plug-in whose rows could not be read.
    """

    models: tuple[ModelSpec, ...]
    faults: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[ModelSpec]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def get(self, model_id: str) -> ModelSpec:
        """Return the row with this id, else the one that has it as an alias.

        Raises `UnknownModel` naming the closest ones.
        """
        found = next((spec for spec in self.models if spec.id == model_id), None)
        found = found or next((spec for spec in self.models if model_id in spec.aliases), None)
        if found is not None:
            return found
        raise UnknownModel(
            "no such model",
            field="model",
            got=model_id,
            allowed=", ".join(self._closest(model_id)),
            fix="see them all with `studio models`",
        )

    def for_task(self, task: Task) -> tuple[ModelSpec, ...]:
        """Return the rows that serve this task, in the catalog's order."""
        return tuple(spec for spec in self.models if task in spec.tasks)

    def _closest(self, model_id: str) -> list[str]:
        ids = [spec.id for spec in self.models]
        return difflib.get_close_matches(model_id.lower(), ids, n=4, cutoff=0.5) or ids[:4]


@dataclass(frozen=True)
class _RawRow:
    """A `[[models]]` table before validation. origin: the file it came from."""

    origin: str
    table: Mapping[str, Any]


def load_catalog(extra_folders: Iterable[Folder] = ()) -> Catalog:
    """Read the studio's own rows and those of `extra_folders` (each holding ``*.toml`` files).

    Raises `EnvironmentFault` that names the file and the field of the first broken row.
    """
    own = importlib.resources.files("studio.catalog") / "models"
    rows: dict[str, _RawRow] = {}
    for folder in (own, *extra_folders):
        for row in _read_folder(folder):
            model_id = row.table["id"]
            if model_id in rows:
                raise _broken(row.origin, model_id, f"this id is already taken by a row in {rows[model_id].origin}")
            rows[model_id] = row
    sets = read_option_sets()
    specs = [_validate(model_id, row.origin, _whole(model_id, rows, sets)) for model_id, row in rows.items()]
    _check_replacements(specs, rows)
    _check_aliases(specs, rows)
    return Catalog(models=tuple(sorted(specs, key=_precedence)))


def _read_folder(folder: Folder) -> Iterator[_RawRow]:
    try:
        files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    except OSError as error:
        raise _broken(str(folder), "", f"the folder cannot be read ({error.strerror or error})") from error
    for file in files:
        yield from _read_file(file)


def _read_file(file: Folder) -> Iterator[_RawRow]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise _broken(file.name, "", f"not readable as TOML ({error})") from error
    if unknown := sorted(content.keys() - {"models"}):
        raise _broken(file.name, unknown[0], "only [[models]] tables may stand at the top of a catalog file")
    tables = content.get("models", [])
    if not isinstance(tables, list):
        raise _broken(file.name, "models", "write [[models]] with two brackets")
    for position, table in enumerate(tables):
        if not isinstance(table, dict) or not isinstance(table.get("id"), str):
            raise _broken(file.name, f"models[{position}].id", "every row needs an id")
        yield _RawRow(origin=file.name, table=table)


def _flatten(model_id: str, rows: Mapping[str, _RawRow], children: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a row's table with everything it inherits through `extends`."""
    row = rows[model_id]
    parent_id = row.table.get("extends")
    if parent_id is None:
        return dict(row.table)
    chain = (*children, model_id)
    if parent_id in chain:
        raise _broken(row.origin, f"{model_id}.extends", f"rows extend each other: {' -> '.join((*chain, parent_id))}")
    if parent_id not in rows:
        raise _broken(row.origin, f"{model_id}.extends", f"there is no row {parent_id!r}")
    parent = _heritage(_flatten(parent_id, rows, chain), row.table)
    child = {key: value for key, value in row.table.items() if key != "extends"}
    return _merge(parent, child)


def _whole(model_id: str, rows: Mapping[str, _RawRow], sets: OptionSets) -> dict[str, Any]:
    table = _flatten(model_id, rows)
    try:
        return with_option_sets(table, sets)
    except UnknownOptionSet as error:
        raise _broken(
            rows[model_id].origin, f"{model_id}.parameters.option_sets", "there is no such set of options", error
        ) from error


def _heritage(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a child may inherit: never facts about another's bytes, another licence, other names or a death."""
    dropped = {"retirement", "aliases"}
    if "not_ready" in child:
        dropped.add("generator")
    if "generator" in child:
        dropped.add("not_ready")
    if "id" in child.get("licence", {}):
        dropped.add("licence")
    kept = {key: value for key, value in parent.items() if key not in dropped}
    if "repository" in child.get("weights", {}):
        kept.pop("parameters_count", None)
        kept["weights"] = {key: value for key, value in kept.get("weights", {}).items() if key not in _TIED_TO_BYTES}
    return kept


def _merge(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parent with the child laid over it, table by table; lists and values are replaced whole."""
    merged = dict(parent)
    for key, value in child.items():
        inherited = merged.get(key)
        both_tables = isinstance(inherited, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(inherited, value) if both_tables else value  # type: ignore[arg-type]
    return merged


def _validate(model_id: str, origin: str, table: Mapping[str, Any]) -> ModelSpec:
    try:
        return ModelSpec.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in (model_id, *first["loc"]))
        got = first["input"] if isinstance(first["input"], str | int | float | bool) else None
        raise _broken(origin, field, first["msg"].removeprefix("Value error, "), got) from error


def _check_replacements(specs: Iterable[ModelSpec], rows: Mapping[str, _RawRow]) -> None:
    for spec in specs:
        replacement = spec.retirement and spec.retirement.replacement
        if replacement and replacement not in rows:
            origin = rows[spec.id].origin
            raise _broken(origin, f"{spec.id}.retirement.replacement", "no row has this id", replacement)


def _check_aliases(specs: Iterable[ModelSpec], rows: Mapping[str, _RawRow]) -> None:
    owners = {model_id: model_id for model_id in rows}
    for spec in specs:
        for alias in spec.aliases:
            if alias in owners:
                field = f"{spec.id}.aliases"
                raise _broken(rows[spec.id].origin, field, f"{owners[alias]} has this name already", alias)
            owners[alias] = spec.id


def _precedence(spec: ModelSpec) -> tuple[bool, bool, bool, bool]:
    """Order rows: served before unserved, live before retired, shipped before downloaded, local before remote."""
    is_embedded = spec.weights is not None and spec.weights.source == "embedded"
    return spec.generator is None, spec.status is Status.RETIRED, not is_embedded, spec.where == "remote"


def _broken(origin: str, field: str, message: str, got: object = None) -> EnvironmentFault:
    return EnvironmentFault(
        f"a catalog row is broken: {message}",
        field=f"{origin}: {field}" if field else origin,
        got=got,
        fix="correct the file, or remove the plug-in it came with",
    )
