"""What a reader of one file format hands on: the jobs as they were written, and where each part stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_FILE_BYTES = 64 * 2**20
MAX_ENTRIES = 100_000
MAX_DEPTH = 12
MAX_INTEGER_DIGITS = 20


@dataclass(frozen=True, kw_only=True)
class Written:
    """A mapping of the file: one job, the defaults, or the variables.

    place: such as ``row 3`` or ``jobs[4]``; empty where the line says it all.
    fields: what stands under each key. lines: the line of each key, from 1, where it is known.
    line: where the mapping begins, None where `place` says it all.
    is_text: every value is the text of a cell, to be parsed. swept: cells that hold several values.
    """

    place: str
    fields: Mapping[str, Any]
    line: int | None = None
    lines: Mapping[str, int] = field(default_factory=dict)
    is_text: bool = False
    swept: frozenset[str] = frozenset()

    @property
    def where(self) -> str:
        """Where the mapping stands, in words."""
        return self._at(self.line)

    def where_is(self, key: str) -> str:
        """Return where a key of it stands, in words."""
        return self._at(self.lines.get(key, self.line))

    def _at(self, line: int | None) -> str:
        return ", ".join(filter(None, (self.place, "" if line is None else f"line {line}")))


@dataclass(frozen=True, kw_only=True)
class Source:
    """All jobs of a file. defaults: fields of every job that does not give its own. variables: for every template."""

    jobs: tuple[Written, ...]
    defaults: Written | None = None
    variables: Written | None = None
