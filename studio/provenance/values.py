"""What may be written into a record: values that every reader of C2PA's CBOR and JSON can take, of sane length."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

MAX_TEXT_CHARACTERS = 500
MAX_NAME_CHARACTERS = 100
MAX_ENTRIES = 200
MAX_DEPTH = 4
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**63 - 1


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` as text, numbers, lists and objects that a record can hold; None for what it cannot.

    Integers beyond 64 signed bits become text, as the SDK refuses them; numbers that are none (NaN, infinity) are left
    out, as JSON has no word for them. Text comes from users and providers and is cleaned by `text`.
    """
    match value:
        case None | bool():
            return value
        case int():
            return value if _LEAST_INTEGER <= value <= _MOST_INTEGER else str(value)
        case float():
            return value if math.isfinite(value) else None
        case str():
            return text(value)
        case Mapping() if depth < MAX_DEPTH:
            cleaned = {text(str(name), MAX_NAME_CHARACTERS): plain(item, depth + 1) for name, item in _first(value)}
            return {name: item for name, item in cleaned.items() if item is not None}
        case Sequence() if depth < MAX_DEPTH:
            cleaned_items = [plain(item, depth + 1) for item in value[:MAX_ENTRIES]]
            return [item for item in cleaned_items if item is not None]
    return text(str(value))


def text(value: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """Return one line without control characters or broken surrogates, cut at `limit` characters."""
    clean = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in value).strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def without_none(**facts: Any) -> dict[str, Any]:
    """Return what is known: the facts that are not None."""
    return {name: value for name, value in facts.items() if value is not None}


def _first(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return list(value.items())[:MAX_ENTRIES]
