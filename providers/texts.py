"""Texts from elsewhere that become part of an address or an order, checked before they do."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from studio.catalog.schema import ModelSpec
from studio.errors import ProtocolError, UnsupportedValue
from studio.request import ResolvedRequest

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_MODERATION = re.compile(r"moderat|flagged|content.?(polic|filter)|safety|sensitive", re.IGNORECASE)
_MAX_PARTS = 200  # objects and lists; nobody needs more, and what is endlessly nested cannot be walked through


def job_id(value: object) -> str:
    """Return what a provider calls a job, which can stand in an address. Raises `ProtocolError` for anything else."""
    if not isinstance(value, str) or not _JOB_ID.fullmatch(value):
        raise ProtocolError("the answer names no job", got=str(value)[:60])
    return value


def keepable(handle: dict[str, Any]) -> dict[str, Any]:
    """Return what a job is found by, if it can be written down. Raises ValueError for half a character."""
    json.dumps(handle, ensure_ascii=False).encode()
    return handle


def tells_of_moderation(text: str) -> bool:
    """Say whether a failure's words, where a provider has no codes, speak of its rules for content."""
    return _MODERATION.search(text) is not None


def addresses_in(output: object) -> list[str]:
    """Return the addresses in an output: a text, an object with an ``url``, or a list of such."""
    items = output if isinstance(output, list) else [output]
    found = [item.get("url") if isinstance(item, dict) else item for item in items]
    return [item for item in found if isinstance(item, str) and item]


def with_warning(spec: ModelSpec, resolved: ResolvedRequest) -> ResolvedRequest:
    """Return a request with a warning where its user names a model of which no row tells what it can do."""
    rule, name = spec.parameters.options.get("model"), str(resolved.options.get("model", "")).strip()
    if rule is None or rule.type != "text" or not name:
        return resolved
    words = f"option model: no row describes {name!r}, so what it can do and what it costs are not known beforehand"
    return replace(resolved, warnings=(*resolved.warnings, words))


def json_option(request: ResolvedRequest, name: str) -> dict[str, Any]:
    """Return the JSON object that the user wrote into an option; empty where there is none.

    Raises `UnsupportedValue` for what is no JSON object.
    """
    text = str(request.options.get(name, "")).strip()
    if not text:
        return {}
    try:
        found = json.loads(text) if text.count("{") + text.count("[") <= _MAX_PARTS else None
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # NaN and half a character cannot be sent
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnsupportedValue(
            "not a JSON object", field=f"option {name}", got=text[:60], allowed='such as {"name": "value"}'
        )
    return found


def merged(table: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return a table with another laid over it, and without what that says is null (JSON merge patch, RFC 7396)."""
    found = dict(table)
    for name, value in more.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, dict):
            inside = found.get(name)
            found[name] = merged(inside if isinstance(inside, dict) else {}, value)
        else:
            found[name] = value
    return found
