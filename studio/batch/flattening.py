"""Turns what is written about a job into one list of values for each of its keys, and notes what is wrong there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from studio.batch.faults import FaultList
from studio.batch.fields import ALIASES, FIELDS, OPTION, PARTS, VARIABLE, allowed_keys, field_of
from studio.batch.source import Written
from studio.batch.sweep import Alternatives, alternatives, alternatives_in_cell
from studio.batch.wording import nearest, shown
from studio.errors import UnsupportedValue

# The fields of a job that any of its templates may name. {index} is its number; {take} counts its repetitions.
PLACEHOLDERS = (
    "model", "task", "seed", "width", "height", "resolution", "aspect_ratio", "num_frames", "duration_seconds",
    "frame_rate", "num_inference_steps", "guidance_scale", "index", "take",
)  # fmt: skip
_PREFIXES = {"options": OPTION, "variables": VARIABLE}
_TEMPLATES = frozenset(name for name, field in FIELDS.items() if field.is_template)


@dataclass(frozen=True)
class Axis:
    """The values of one key, and where they stand."""

    values: Alternatives
    where: str


Axes = dict[str, Axis]


def flatten(written: Written, faults: FaultList) -> Axes | None:
    """Return the axes of a job in the file's key order; ``option.NAME`` and ``variable.NAME`` stand for the parts.

    None where anything is wrong.
    """
    return _collected(written, _items(written, faults), faults)


def flatten_variables(written: Written, faults: FaultList) -> Axes | None:
    """Return the axes of the variables that a whole file shares; None where anything is wrong."""
    items = ((f"{VARIABLE}{name}", name, value) for name, value in written.fields.items())
    return _collected(written, items, faults)


def _collected(written: Written, items: Iterator[tuple[str, str, Any]], faults: FaultList) -> Axes | None:
    before, axes = len(faults), Axes()
    for key, name, value in items:
        where = written.where_is(name)
        shown_key = key.removeprefix(VARIABLE) if key.startswith(VARIABLE) else key
        try:
            if key in axes:
                raise UnsupportedValue("this is given twice", fix="keep one of them")
            _check_variable(key)
            axes[key] = Axis(_alternatives(written, key, name, value), where)
        except UnsupportedValue as error:
            faults.add(where, error, shown_key.replace(OPTION, "option "))
    return axes if len(faults) == before else None


def _items(written: Written, faults: FaultList) -> Iterator[tuple[str, str, Any]]:
    """Yield the full key, the key as written, and the value of each field; unknown keys are noted."""
    for name, value in written.fields.items():
        key = name.strip().replace("-", "_")
        key = ALIASES.get(key, key)
        if key in FIELDS:
            yield key, name, value
        elif written.is_text and _is_part_of(name):
            yield name.strip(), name, value
        elif key in PARTS and not written.is_text:
            yield from _members(key, name, value, written, faults)
        else:
            faults.add(written.where_is(name), _unknown(name, is_table=written.is_text))


def _members(
    key: str, name: str, value: Any, written: Written, faults: FaultList
) -> Iterator[tuple[str, str, Any]]:  # fmt: skip
    if value is None:
        return
    if not isinstance(value, dict):
        error = UnsupportedValue("this is no object", got=shown(value), allowed="values by name")
        faults.add(written.where_is(name), error, key)
        return
    for member, inner in value.items():
        yield f"{_PREFIXES[key]}{member}", name, inner


def _is_part_of(name: str) -> bool:
    prefix, dot, member = name.strip().partition(".")
    return f"{prefix}{dot}" in (OPTION, VARIABLE) and bool(member)


def _unknown(name: str, *, is_table: bool) -> UnsupportedValue:
    allowed = allowed_keys(is_table=is_table)
    near = nearest(name.replace("-", "_"), allowed)
    return UnsupportedValue(
        "no job has this field", field=name[:60] or "an empty name", allowed=", ".join(allowed),
        fix=f"did you mean {near}?" if near else "leave it out; a model's own parameters go under options",
    )  # fmt: skip


def _alternatives(written: Written, key: str, name: str, value: Any) -> Alternatives:
    field = field_of(key)
    if written.is_text:
        return alternatives_in_cell(value, field, is_swept=name in written.swept)
    if key == "repeat":
        return (1,) if value is None else (field.read(value),)
    return alternatives(value, field, has_lists=key == "references" or key.startswith(OPTION))


def _check_variable(key: str) -> None:
    if not key.startswith(VARIABLE):
        return
    name = key.removeprefix(VARIABLE)
    if not name.isidentifier():
        raise UnsupportedValue("this is no name for a variable", got=shown(name), allowed="letters, digits and _")
    if name in PLACEHOLDERS or name in _TEMPLATES:
        raise UnsupportedValue("a field of every job has this name already", got=name, fix="choose another name")


def templates_in(axes: Mapping[str, Axis]) -> Iterator[tuple[str, str, str]]:
    """Yield the key, the place and the text of every template of a job."""
    for key, axis in axes.items():
        if key in _TEMPLATES:
            yield from ((key, axis.where, text) for text in axis.values if text is not None)
