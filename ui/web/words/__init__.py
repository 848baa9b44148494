"""Everything that the page says, from one folder: `en/*.toml`, one file a part of the page.

Another language is another folder of the same files.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

LANGUAGE = "en"


@cache
def words(language: str = LANGUAGE) -> dict[str, str]:
    """Return all sentences by name, such as ``library.empty``; names in braces are filled in by whoever shows one."""
    found: dict[str, str] = {}
    for file in sorted(resources.files(__name__).joinpath(language).iterdir(), key=lambda item: item.name):
        if file.name.endswith(".toml"):
            part = file.name.removesuffix(".toml")
            found |= _flat(part, tomllib.loads(file.read_text(encoding="utf-8")))
    return found


def say(name: str, **values: object) -> str:
    """Return one sentence with its gaps filled. Raises KeyError for a name or a gap that is not known."""
    sentence = words()[name]
    return sentence.format_map(values) if values else sentence


def _flat(prefix: str, table: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in table.items():
        key = f"{prefix}.{name}"
        found |= _flat(key, value) if isinstance(value, dict) else {key: str(value)}
    return found
