"""Options that many rows share, kept once: a row takes a set of them by name."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Mapping
from typing import Any

OptionSets = Mapping[str, Mapping[str, Mapping[str, Any]]]


class UnknownOptionSet(Exception):
    """A row names a set of options that is not there."""


def read_option_sets() -> OptionSets:
    """Return the sets of ``option_sets.toml``, each a table of options by name."""
    return tomllib.loads((importlib.resources.files("studio.catalog") / "option_sets.toml").read_text("utf-8"))


def with_option_sets(table: dict[str, Any], sets: OptionSets) -> dict[str, Any]:
    """Return a row's table with the options of the sets it names; its own options go before.

    The speed profiles that a row describes in ``settings.profiles`` are choices of the option speed. What is miswritten
    stays as it is, for the schema to refuse. Raises `UnknownOptionSet`.
    """
    parameters = _table(table.get("parameters"))
    named, own = parameters.get("option_sets", ()), parameters.get("options", {})
    if not isinstance(named, list | tuple) or not isinstance(own, Mapping):
        return table
    shared: dict[str, Any] = {}
    for name in named:
        if not isinstance(name, str) or name not in sets:
            raise UnknownOptionSet(name)
        shared |= sets[name]
    if not shared:
        return table
    profiles = _table(_table(table.get("settings")).get("profiles"))
    if "speed" in shared:
        choices = [*shared["speed"]["choices"], *profiles]
        shared = shared | {"speed": shared["speed"] | {"choices": choices}}
    merged = {name: _merged(shared.get(name, {}), own.get(name, {})) for name in {**own, **shared}}
    return table | {"parameters": {**parameters, "options": merged}}


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _merged(shared: Mapping[str, Any], own: Any) -> Any:
    return {**shared, **own} if isinstance(own, Mapping) else own
