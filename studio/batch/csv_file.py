"""Reads batch files in CSV, as spreadsheets write them: a header row, then one job a row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from studio.batch.faults import FaultList
from studio.batch.json_file import doubled_key, require_room_for
from studio.batch.source import Source, Written
from studio.errors import UnsupportedValue

_DELIMITERS = (",", ";", "\t")


def read_csv(text: str, faults: FaultList) -> Source:
    """Read one job a row; an empty cell is a field that is not given. Rows are counted as spreadsheets do, from 1.

    A column whose header ends with ``*`` holds several values a cell, separated by ``|``.
    """
    rows = _rows(text, faults)
    header = next(rows, None)
    if header is None:
        return Source(jobs=())
    names, swept = _header(header[1], faults)
    jobs: list[Written] = []
    for number, cells in rows:
        if not any(cells):
            continue
        require_room_for(len(jobs))
        place = f"row {number}"
        given = {name: cell for name, cell in zip(names, cells, strict=False) if cell and name}
        _refuse_strays(names, cells, place, faults)
        jobs.append(Written(place=place, fields=given, is_text=True, swept=swept))
    return Source(jobs=tuple(jobs))


def _rows(text: str, faults: FaultList) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with its number; a row that is no CSV is a fault and ends the reading."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True, skipinitialspace=True)
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            if cells:
                yield number, [cell.strip() for cell in cells]
    except csv.Error as error:
        line = f", line {reader.line_num}" if reader.line_num != number + 1 else ""
        faults.add(f"row {number + 1}{line}", UnsupportedValue(
            f"this is no CSV ({error})", fix="quote cells that hold a separator, and double a quotation mark in them"
        ))  # fmt: skip


def _delimiter(text: str) -> str:
    """Return the separator that stands most often in the header row, in which no name needs one."""
    header = text.lstrip("\r\n").split("\n", 1)[0]
    return max(_DELIMITERS, key=header.count)


def _header(cells: Sequence[str], faults: FaultList) -> tuple[list[str], frozenset[str]]:
    names = [cell.removesuffix("*").rstrip() for cell in cells]
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        faults.add("row 1", doubled_key(name))
    swept = (name for name, cell in zip(names, cells, strict=True) if cell.endswith("*"))
    return names, frozenset(swept)


def _refuse_strays(names: Sequence[str], cells: Sequence[str], place: str, faults: FaultList) -> None:
    stray = next((cell for index, cell in enumerate(cells) if cell and (index >= len(names) or not names[index])), None)
    if stray is not None:
        faults.add(place, UnsupportedValue(
            "this cell has no name in the header row", got=stray, fix="name the column, or quote what holds a separator"
        ))  # fmt: skip
