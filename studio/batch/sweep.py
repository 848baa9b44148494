"""Sweeps: what a job's field may be, one value or many, and one job for each combination."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from studio.batch.fields import Field, read_integer
from studio.batch.source import MAX_ENTRIES
from studio.batch.wording import shown
from studio.errors import UnsupportedValue

_RANGE = re.compile(r"\s*([-+]?\d{1,20})\s*\.\.\s*([-+]?\d{1,20})\s*(?:\.\.\s*([-+]?\d{1,20})\s*)?", re.ASCII)

Alternatives = Sequence[Any]


def alternatives(value: Any, field: Field, *, has_lists: bool = False) -> Alternatives:
    """Return the values that a field of a JSON or YAML job takes, one after another; ``(None,)`` for null.

    has_lists: a list is one value, so that several need ``{"sweep": [...]}``. Raises `UnsupportedValue`.
    """
    if value is None:
        return (None,)
    if isinstance(value, dict):
        return _of_object(value, field)
    if isinstance(value, list) and not has_lists:
        return _each(value, field)
    if field.is_integer and isinstance(value, str) and (found := parse_range(value)) is not None:
        return _checked(found, field)
    return (field.read(value),)


def alternatives_in_cell(text: str, field: Field, *, is_swept: bool) -> Alternatives:
    """Return the values of a cell. is_swept: the column's name ends with ``*``, and ``|`` separates values."""
    if is_swept:
        parts = [part.strip() for part in text.split("|")]
        if not all(parts):
            raise UnsupportedValue("a value is empty", got=shown(text), allowed="values separated by |")
        return tuple(itertools.chain.from_iterable(alternatives_in_cell(part, field, is_swept=False) for part in parts))
    if field.is_integer and (found := parse_range(text)) is not None:
        return _checked(found, field)
    return (field.parse(text),)


def parse_range(text: str) -> range | None:
    """Return what ``1..8`` or, with a step, ``1..9..2`` stands for, both ends included; None for other text.

    Raises `UnsupportedValue` for a range that never arrives.
    """
    found = _RANGE.fullmatch(text)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    return _range(first, last, int(found[3]) if found[3] is not None else 1, text)


def combinations(axes: Mapping[str, Alternatives]) -> Iterator[dict[str, Any]]:
    """Yield one mapping for each combination, the last key changing fastest."""
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def count(axes: Mapping[str, Alternatives]) -> int:
    """Return how many combinations there are, without making them."""
    return math.prod(len(values) for values in axes.values())


def _of_object(value: Mapping[str, Any], field: Field) -> Alternatives:
    match value:
        case {"sweep": list() as items} if len(value) == 1:
            return _each(items, field)
        case {"range": list() as ends} if len(value) == 1 and len(ends) in (2, 3):
            first, last, step = (*(read_integer(end) for end in ends), 1)[:3]
            return _checked(_range(first, last, step, str(ends)), field)
    allowed = 'a value, a list of values, {"sweep": […]} or {"range": [first, last]}'
    raise UnsupportedValue("this is no value", got=shown(value), allowed=allowed)


def _each(items: Sequence[Any], field: Field) -> Alternatives:
    if not items:
        raise UnsupportedValue("this list is empty", got="[]", allowed="at least one value")
    if any(item is None for item in items):
        raise UnsupportedValue("null stands in a list", got="null", allowed="values", fix="leave it out")
    return tuple(field.read(item) for item in items)


def _range(first: int, last: int, step: int, text: str) -> range:
    if step <= 0 or last < first:
        raise UnsupportedValue("this range holds nothing", got=shown(text), allowed="such as 1..8, or 1..9..2 by twos")
    return range(first, last + 1, step)


def _checked(numbers: range, field: Field) -> Alternatives:
    """Return a range whose ends the field takes, and with them all between."""
    if (numbers[-1] - numbers[0]) // numbers.step >= MAX_ENTRIES:  # len() itself fails above 2**63
        raise UnsupportedValue("this range is too long", got=f"{numbers[0]}..{numbers[-1]}",
                               allowed=f"up to {MAX_ENTRIES:,} values")  # fmt: skip
    for end in (numbers[0], numbers[-1]):
        field.read(end)
    return numbers
