"""Templates: ``{name}`` in a prompt, a name or an output stands for a variable or another field of the same job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from studio.batch.wording import nearest, shown
from studio.errors import UnsupportedValue
from studio.request import OptionValue

MAX_EXPANDED_CHARACTERS = 20_000
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


@dataclass(frozen=True)
class Template:
    """Text with placeholders. parts: in turn literal text, or the name of a placeholder and True."""

    parts: tuple[tuple[str, bool], ...]

    @property
    def names(self) -> frozenset[str]:
        """The placeholders in it."""
        return frozenset(word for word, is_name in self.parts if is_name)

    def expand(self, values: Mapping[str, str]) -> str:
        """Return the text with every placeholder replaced, once: what is put in is not read again.

        Raises `UnsupportedValue` where the result is longer than any prompt.
        """
        words = [values[word] if is_name else word for word, is_name in self.parts]
        length = sum(map(len, words))
        if length > MAX_EXPANDED_CHARACTERS:
            raise UnsupportedValue("it becomes too long when its placeholders are filled in",
                                   got=f"{length} characters", allowed=f"up to {MAX_EXPANDED_CHARACTERS}")  # fmt: skip
        return "".join(words)


def template_of(text: str) -> Template:
    """Read a template. ``{{`` and ``}}`` are braces. Raises `UnsupportedValue`."""
    parts = []
    for found in _PART.finditer(text):
        piece, name = found[0], found[1]
        if piece in ("{", "}"):
            raise UnsupportedValue("a brace stands alone", got=shown(text[found.start() : found.start() + 30]),
                                   fix=f"write {piece * 2} for a brace")  # fmt: skip
        if name is None:
            parts.append((piece[0] if piece in ("{{", "}}") else piece, False))
        elif name.strip().isidentifier():
            parts.append((name.strip(), True))
        else:
            raise UnsupportedValue("this is no placeholder", got=shown(piece), allowed="a name in braces, nothing else",
                                   fix="write {{ and }} for braces")  # fmt: skip
    return Template(tuple(parts))


def unknown_placeholder(name: str, known: list[str]) -> UnsupportedValue:
    """Return the error for a placeholder that stands for nothing, naming what there is."""
    near = nearest(name, known)
    return UnsupportedValue(
        "nothing has this name", got=f"{{{name}}}", allowed=", ".join(f"{{{item}}}" for item in known),
        fix=f"did you mean {{{near}}}?" if near else "add it to variables, or write {{ and }} for braces",
    )  # fmt: skip


def as_text(value: OptionValue | Fraction) -> str:
    """Return a value as it is put into a template."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)
