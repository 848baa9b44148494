"""Reads batch files in YAML: plain data alone, from the parser's events, so that nothing deep or endless is built.

Words mean what they do in YAML 1.2: only true and false are truth values, and numbers are decimal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from studio.batch.faults import FaultList
from studio.batch.json_file import TOP_LEVEL, doubled_key, no_list, require_room_for, unknown_part
from studio.batch.source import MAX_DEPTH, MAX_INTEGER_DIGITS, Source, Written
from studio.batch.wording import shown
from studio.errors import UnsupportedValue

# What all aliases of a document may unfold to, counted in values.
MAX_VALUES = 5_000_000
_INTEGER = re.compile(r"[-+]?\d+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def read_yaml(text: str, faults: FaultList) -> Source:
    """Read a list of jobs, or a mapping with ``defaults``, ``variables`` and ``jobs``."""
    try:
        top = _document(text)
        if isinstance(top, _Mapping):
            return _parts(top, faults)
        return Source(jobs=_jobs(top, faults))
    except _Broken as error:
        faults.add(f"line {error.line}", error)
    return Source(jobs=())


@dataclass(frozen=True)
class _Value:
    """A scalar. line: from 1. size: how many values it holds, those of aliases included."""

    data: Any
    line: int
    size: int = 1


@dataclass(frozen=True)
class _List:
    items: tuple[_Node, ...]
    line: int
    size: int


@dataclass(frozen=True)
class _Mapping:
    """members: value and line of each key."""

    members: Mapping[str, tuple[_Node, int]]
    line: int
    size: int
    doubled: tuple[tuple[str, int], ...] = ()


_Node = _Value | _List | _Mapping


class _Broken(UnsupportedValue):
    """Text that is no YAML, or none that a batch file may hold. line: from 1."""

    def __init__(self, message: str, line: int, **parts: str | None) -> None:
        super().__init__(message, **parts)
        self.line = line


def _document(text: str) -> _Node:
    """Return the one document of a file. Raises `_Broken`."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(yaml.parse(text, Loader=loader)).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise _Broken(f"this is no YAML ({what})", mark.line + 1 if mark else 1) from None


class _Builder:
    """Builds the data from the parser's events, without recursion into what could be a bomb."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, _Node] = {}

    def document(self) -> _Node:
        found: _Node | None = None
        for event in self._events:
            if not isinstance(event, yaml.NodeEvent):
                continue
            if found is not None:
                raise _Broken("a second document begins here", event.start_mark.line + 1, fix="use one file for each")
            found = self._node(event, 1)
        return found or _List(items=(), line=1, size=1)

    def _node(self, event: Any, depth: int) -> _Node:
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            raise _Broken("lists and mappings are nested too deeply", line, allowed=f"up to {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, line)
        if event.tag not in (None, "!"):
            raise _Broken("tags are not read", line, got=event.tag, allowed="plain values", fix="leave the tag out")
        node: _Node
        if isinstance(event, yaml.ScalarEvent):
            node = _Value(_scalar(event.value) if event.implicit[0] else event.value, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(line, depth)
        else:
            node = self._mapping(line, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, name: str, line: int) -> _Node:
        if name not in self._anchors:
            raise _Broken("this alias stands for nothing that came before it", line, got=f"*{name}")
        return self._anchors[name]

    def _list(self, line: int, depth: int) -> _List:
        items = []
        size = 1
        for event in self._until(yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
            size += self._affordable(size, items[-1])
        return _List(items=tuple(items), line=line, size=size)

    def _mapping(self, line: int, depth: int) -> _Mapping:
        members: dict[str, tuple[_Node, int]] = {}
        merged: dict[str, tuple[_Node, int]] = {}
        doubled = []
        size = 1
        for event in self._until(yaml.MappingEndEvent):
            here = event.start_mark.line + 1
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            size += self._affordable(size, value)
            name = _key(key, here)
            if name == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                merged = {**_merged(value, here), **merged}
                continue
            doubled += [(name, here)] if name in members else []
            members[name] = (value, here)
        whole = {**{name: member for name, member in merged.items() if name not in members}, **members}
        return _Mapping(members=whole, line=line, size=size, doubled=tuple(doubled))

    def _until(self, end: type) -> Iterator[Any]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    @staticmethod
    def _affordable(size: int, node: _Node) -> int:
        if size + node.size > MAX_VALUES:
            raise _Broken("its aliases unfold to far too much", node.line, allowed=f"up to {MAX_VALUES:,} values")
        return node.size


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= MAX_INTEGER_DIGITS else float(text)
    if _FLOAT.fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").replace(".nan", "nan")
                     .replace(".NaN", "nan").replace(".NAN", "nan"))  # fmt: skip
    return text


def _key(node: _Node, line: int) -> str:
    if not isinstance(node, _Value) or isinstance(node.data, float | bool) or node.data is None:
        raise _Broken("this is no name for a field", line, got=shown(_plain(node)), allowed="text")
    return str(node.data)


def _merged(node: _Node, line: int) -> Mapping[str, tuple[_Node, int]]:
    """Return what a merge key (``<<``) brings in; of several mappings the first one counts."""
    parts = node.items if isinstance(node, _List) else (node,)
    found: dict[str, tuple[_Node, int]] = {}
    for part in parts:
        if not isinstance(part, _Mapping):
            raise _Broken("only a mapping can be merged", line, got=shown(_plain(part)))
        found = {**part.members, **found}
    return found


def _plain(node: _Node) -> Any:
    """Return a node as plain data."""
    match node:
        case _Value():
            return node.data
        case _List():
            return [_plain(item) for item in node.items]
        case _Mapping():
            return {name: _plain(value) for name, (value, _line) in node.members.items()}


def _parts(top: _Mapping, faults: FaultList) -> Source:
    parts: dict[str, Any] = {"jobs": ()}
    for key, line in top.doubled:
        faults.add(f"line {line}", doubled_key(key))
    for key, (node, line) in top.members.items():
        if key == "jobs":
            parts[key] = _jobs(node, faults)
        elif key in TOP_LEVEL:
            parts[key] = None if node == _Value(None, node.line) else _written(node, key, faults)
        else:
            faults.add(f"line {line}", unknown_part(key))
    return Source(**parts)


def _jobs(node: _Node, faults: FaultList) -> tuple[Written, ...]:
    if not isinstance(node, _List):
        faults.add(f"line {node.line}", no_list(_plain(node)))
        return ()
    require_room_for(len(node.items) - 1)
    found = (_written(item, f"jobs[{number}]", faults) for number, item in enumerate(node.items))
    return tuple(job for job in found if job is not None)


def _written(node: _Node, place: str, faults: FaultList) -> Written | None:
    if not isinstance(node, _Mapping):
        faults.add(f"{place}, line {node.line}", UnsupportedValue("this is no mapping", got=shown(_plain(node))))
        return None
    _tell_doubled(node, place, faults)
    lines = {name: line for name, (_value, line) in node.members.items()}
    return Written(place=place, line=node.line, fields=_plain(node), lines=lines)


def _tell_doubled(node: _Node, place: str, faults: FaultList) -> None:
    """Note the keys that stand twice in a job or in one of its objects."""
    if isinstance(node, _Mapping):
        for key, line in node.doubled:
            faults.add(f"{place}, line {line}", doubled_key(key))
        for value, _line in node.members.values():
            _tell_doubled(value, place, faults)
    elif isinstance(node, _List):
        for item in node.items:
            _tell_doubled(item, place, faults)
