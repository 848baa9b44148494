"""What is printed where: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from studio.errors import StudioError
from studio.redaction import redact

PIPE_WIDTH = 400


def print_json(data: dict[str, Any]) -> None:
    """Print one JSON object, all that goes to stdout under ``--json``; ASCII, so that any terminal takes it."""
    sys.stdout.write(json.dumps(data, allow_nan=False, indent=2, default=str) + "\n")


def print_json_line(data: dict[str, Any]) -> None:
    """Print one of many JSON objects on a line of its own, at once, for whoever reads along."""
    sys.stdout.write(json.dumps(data, allow_nan=False, default=str) + "\n")
    sys.stdout.flush()


def print_line(text: str) -> None:
    """Print a result for people."""
    sys.stdout.write(_safe(text, sys.stdout.encoding) + "\n")


def print_note(text: str) -> None:
    """Print a remark for people, to stderr; what a library or a provider said in it may hold a key."""
    sys.stderr.write(_safe(redact(text), sys.stderr.encoding) + "\n")


def print_error(error: StudioError) -> None:
    """Print an error's sentence."""
    print_note(f"studio: {error.sentence()}")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, is_cut: bool = False) -> None:
    """Print a table that fits the terminal. Cells are text, never markup. is_cut: a line a row, the last cell cut."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    # Whoever reads through a pipe wants whole lines, not those of an 80-column terminal.
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH, soft_wrap=True)
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=index == 0)  # the first is an id, to be copied whole
    for row in _cut(columns, rows, console.width) if is_cut else rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)


def _cut(columns: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> list[list[str]]:
    """Shorten the last cells so that no row is wider than so many characters."""
    cells = [list(row) for row in rows]
    taken = sum(2 + max(len(row[index]) for row in (columns, *cells)) for index in range(len(columns) - 1))
    room = max(width - taken, len(columns[-1]))
    return [[*row[:-1], row[-1] if len(row[-1]) <= room else f"{row[-1][: room - 3]}..."] for row in cells]


def _safe(text: str, encoding: str | None) -> str:
    """Keep what came from files and users from steering the terminal, or from failing to encode."""
    shown = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    return shown.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8")
