"""Text and data from strangers' records, made safe to show: nothing steers a terminal or reorders a line."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

MAX_LINE_CHARACTERS = 200
MAX_TEXT_CHARACTERS = 10_000
MAX_ENTRIES = 200
MAX_TOTAL_CHARACTERS = 50_000
MAX_DEPTH = 8
# Controls, surrogates, unassigned and private characters, separators of lines: they steer, or show as anything.
_REFUSED = ("Cc", "Cs", "Cn", "Co", "Zl", "Zp")
_JOINERS = "\u200c\u200d"  # the only invisible characters that spelling needs


def one_line(value: object, limit: int = MAX_LINE_CHARACTERS) -> str:
    """Return `value` as one line of at most `limit` characters; what does not belong into a line becomes a space."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    clean = " ".join("".join(letter if _is_plain(letter) else " " for letter in text[: limit * 4]).split())
    return clean if len(clean) <= limit and len(text) <= limit * 4 else clean[: limit - 1] + "…"


def line_or_none(value: object, limit: int = MAX_LINE_CHARACTERS) -> str | None:
    """Return `value` as one line, None where nothing is left of it or it is neither text nor a number."""
    return (one_line(value, limit) or None) if isinstance(value, str | int | float) else None


def paragraph(value: str) -> str:
    """Return a text of several lines, such as a prompt, of at most 10,000 characters."""
    cut = value[:MAX_TEXT_CHARACTERS]
    return "".join(letter if letter == "\n" or _is_plain(letter) else " " for letter in cut)


class Plain:
    """Turns one record into data that JSON holds, within a budget of characters for the whole of it."""

    def __init__(self, total: int = MAX_TOTAL_CHARACTERS) -> None:
        self._left = total

    def data(self, value: object, depth: int = 0) -> Any:
        """Return lists, objects, text, numbers and None; what is too deep, too long or no data is left out."""
        if self._left <= 0 or depth > MAX_DEPTH:
            return None
        match value:
            case bool() | None:
                return value
            case int() if -(2**63) <= value < 2**63:
                return value
            case float():
                return value if math.isfinite(value) else None
            case str():
                return self._text(value)
            case Mapping():
                return {
                    self._text(str(name)[:MAX_LINE_CHARACTERS]): self.data(item, depth + 1)
                    for name, item in list(value.items())[:MAX_ENTRIES]
                }
            case list() | tuple():
                return [self.data(item, depth + 1) for item in value[:MAX_ENTRIES]]
        return one_line(value)

    def _text(self, value: str) -> str:
        text = paragraph(value)[: max(self._left, 0)]
        self._left -= len(text) + 1
        return text


def _is_plain(letter: str) -> bool:
    kind = unicodedata.category(letter)
    return kind not in _REFUSED and (kind != "Cf" or letter in _JOINERS)
