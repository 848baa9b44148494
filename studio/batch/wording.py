"""How a value of a batch file is shown to people, and which of the allowed words a wrong one may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (list, "a list"),
    (tuple, "a list"),
    (dict, "an object"),
)
_MAX_SHOWN = 60


def shown(value: object) -> str:
    """Return a value as it is told in an error; of what holds others only the kind, however deep or long it is."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return f"a list of {len(value)}"
        case dict():
            return "an object" + (f" with {', '.join(str(key)[:40] for key in list(value)[:3])}" if value else "")
        case str():
            return f'"{value}"' if len(value) <= _MAX_SHOWN else f'"{value[: _MAX_SHOWN - 1]}…"'
    return str(value)[:_MAX_SHOWN]


def kind_of(value: object) -> str:
    """Return what kind of value this is, in words."""
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "nothing")


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that looks most like this one, None where none does."""
    found = difflib.get_close_matches(word.lower()[:80], list(allowed), n=1, cutoff=0.55)
    return found[0] if found else None
