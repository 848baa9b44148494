"""Reads batch files in JSON: one object a line, or one document, of which every key's line is remembered."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from studio.batch.faults import FaultList
from studio.batch.source import MAX_DEPTH, MAX_ENTRIES, MAX_INTEGER_DIGITS, Source, Written
from studio.batch.wording import kind_of, nearest, shown
from studio.errors import UnsupportedValue

TOP_LEVEL = ("defaults", "variables", "jobs")
_SPACE = re.compile(r"[ \t\n\r]*")


def read_json_lines(text: str, faults: FaultList) -> Source:
    """Read one object a line; empty lines and lines that begin with # are skipped."""
    jobs: list[Written] = []
    for number, line in enumerate(text.split("\n"), 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        require_room_for(len(jobs))
        try:
            jobs.append(Written(place="", line=number, fields=_object_of_line(content)))
        except UnsupportedValue as error:
            faults.add(f"line {number}", error)
    return Source(jobs=tuple(jobs))


def read_json_document(text: str, faults: FaultList) -> Source:
    """Read a list of jobs, or an object with ``defaults``, ``variables`` and ``jobs``."""
    walk = _Walk(text)
    try:
        source = _top_of(walk, faults)
        if walk.peek():
            raise _Broken("something follows after the end of the document", walk.place, walk.near())
    except _Broken as error:
        faults.add(f"line {walk.line_of(error.place)}", error)
        return Source(jobs=())
    return source


def require_room_for(count: int) -> None:
    """Raise `UnsupportedValue` where one job more than `count` is more than a batch may have."""
    if count >= MAX_ENTRIES:
        raise UnsupportedValue("there are too many jobs", allowed=f"up to {MAX_ENTRIES:,}", fix="split the file")


def _object_of_line(line: str) -> dict[str, Any]:
    walk = _Walk(line)
    value = walk.value()
    if walk.peek():
        raise _Broken("something follows after the object", walk.place, walk.near(), "one object a line")
    if not isinstance(value, dict):
        raise UnsupportedValue("this is no object", got=shown(value), allowed='such as {"model": "…", "prompt": "…"}')
    check_tree(value)
    return value


def check_tree(value: object) -> None:
    """Refuse keys that are given twice, and data deeper than any job needs. Raises `UnsupportedValue`."""
    stack = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise UnsupportedValue("lists and objects are nested too deeply", allowed=f"up to {MAX_DEPTH} levels")
        if isinstance(item, _Doubled):
            raise doubled_key(item.key)
        if isinstance(item, dict | list):
            stack += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]


def doubled_key(key: str) -> UnsupportedValue:
    """Return the error for a key that is given twice."""
    return UnsupportedValue("this key is given twice", field=key[:60], fix="keep one of them")


def unknown_part(key: str) -> UnsupportedValue:
    """Return the error for a key beside ``jobs`` that means nothing."""
    near = nearest(key, TOP_LEVEL)
    return UnsupportedValue(
        "a batch has no such part", field=key[:60], allowed=", ".join(TOP_LEVEL),
        fix=f"did you mean {near}?" if near else "write the jobs as a list under jobs",
    )  # fmt: skip


def no_list(value: object) -> UnsupportedValue:
    """Return the error for jobs that are no list."""
    return UnsupportedValue("the jobs are no list", field="jobs", got=kind_of(value), allowed="a list of objects")


class _Doubled(dict[str, Any]):
    """An object in which one key stands twice."""

    key = ""


class _Broken(UnsupportedValue):
    """Text that is no JSON. place: offset in the text."""

    def __init__(self, message: str, place: int, got: str = "", allowed: str | None = None) -> None:
        super().__init__(message, got=got or None, allowed=allowed)
        self.place = place


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    keys = [key for key, _value in pairs]
    doubled = _Doubled(found)
    doubled.key = next(key for index, key in enumerate(keys) if key in keys[:index])
    return doubled


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else float(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer)


class _Walk:
    """Goes through a document part by part, so that the place of each is known."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self.place = 0

    def line_of(self, place: int) -> int:
        """Return the line of an offset, from 1."""
        return bisect_left(self._ends, place) + 1

    def near(self) -> str:
        """Return the text at the current place, for an error."""
        return self._text[self.place : self.place + 20].split("\n")[0]

    def peek(self) -> str:
        """Go to the next character that is no space and return it, empty at the end."""
        found = _SPACE.match(self._text, self.place)
        self.place = found.end() if found else self.place
        return self._text[self.place : self.place + 1]

    def value(self) -> Any:
        """Return the value that begins here and go to its end."""
        self.peek()
        try:
            value, self.place = _DECODER.raw_decode(self._text, self.place)
        except json.JSONDecodeError as error:
            self.place = error.pos
            raise _Broken(f"this is no JSON ({error.msg[:1].lower()}{error.msg[1:]})", error.pos, self.near()) from None
        except RecursionError:
            raise _Broken("lists and objects are nested too deeply", self.place) from None
        return value

    def members(self) -> Iterator[str]:
        """Yield the keys of the object that begins here; the value of each must be taken before the next one."""
        self._take("{")
        if self._ends_with("}"):
            return
        while True:
            if self.peek() != '"':
                raise _Broken("this is no JSON (expecting a key in double quotes)", self.place, self.near())
            key = self.value()
            self._take(":")
            yield key
            if self._ends_with("}"):
                return
            self._take(",")

    def items(self) -> Iterator[int]:
        """Yield the number of each item of the list that begins here, from 0; each must be taken before the next."""
        self._take("[")
        if self._ends_with("]"):
            return
        number = 0
        while True:
            yield number
            if self._ends_with("]"):
                return
            self._take(",")
            number += 1

    def _take(self, sign: str) -> None:
        if self.peek() != sign:
            raise _Broken(f"this is no JSON (expecting {sign!r})", self.place, self.near())
        self.place += 1

    def _ends_with(self, sign: str) -> bool:
        if self.peek() != sign:
            return False
        self.place += 1
        return True


def _top_of(walk: _Walk, faults: FaultList) -> Source:
    if walk.peek() != "{":
        return Source(jobs=_jobs(walk, faults))
    parts: dict[str, Any] = {"jobs": ()}
    seen: set[str] = set()
    for key in walk.members():
        where = f"line {walk.line_of(walk.place)}"
        if key in seen:
            faults.add(where, doubled_key(key))
        seen.add(key)
        if key == "jobs":
            parts[key] = _jobs(walk, faults)
        elif key in TOP_LEVEL:
            parts[key] = _mapping(walk, key, faults)
        else:
            faults.add(where, unknown_part(key))
            walk.value()
    return Source(**parts)


def _jobs(walk: _Walk, faults: FaultList) -> tuple[Written, ...]:
    if walk.peek() != "[":
        place, value = walk.place, walk.value()
        faults.add(f"line {walk.line_of(place)}", no_list(value))
        return ()
    jobs: list[Written] = []
    for number in walk.items():
        require_room_for(number)
        job = _mapping(walk, f"jobs[{number}]", faults)
        jobs += [] if job is None else [job]
    return tuple(jobs)


def _mapping(walk: _Walk, place: str, faults: FaultList) -> Written | None:
    """Read an object with the line of each of its keys."""
    is_object = walk.peek() == "{"
    line = walk.line_of(walk.place)
    if not is_object:
        value = walk.value()
        faults.add(f"{place}, line {line}", UnsupportedValue("this is no object", got=shown(value)))
        return None
    fields: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key in walk.members():
        here = walk.line_of(walk.place)
        value = walk.value()
        try:
            if key in fields:
                raise doubled_key(key)
            check_tree(value)
        except UnsupportedValue as error:
            faults.add(f"{place}, line {here}", error)
        fields[key], lines[key] = value, here
    return Written(place=place, line=line, fields=fields, lines=lines)
