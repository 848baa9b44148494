"""The keys that a job of a batch file may have, and how the value of each is read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from studio.batch.wording import kind_of, shown
from studio.config import VisibleLabel
from studio.consistency.policy import POLICY_WORDS, Policy
from studio.errors import UnsupportedValue
from studio.request import ON_UNSUPPORTED, OnUnsupported, OptionValue, Task

MIN_PRIORITY, MAX_PRIORITY = -100, 100
MAX_REPEAT = 100_000
MAX_NAME_CHARACTERS = 200
MAX_PATH_CHARACTERS = 4096
OPTION, VARIABLE = "option.", "variable."

_INTEGER = re.compile(r"[-+]?\d{1,20}", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_RATE = re.compile(r"\d{1,6}(\.\d{1,6})?|\d{1,9}/\d{1,9}", re.ASCII)
_LABELS: tuple[VisibleLabel, ...] = ("none", "text", "icon")


@dataclass(frozen=True, kw_only=True)
class Field:
    """How one key is read. read: from JSON or YAML. parse: from the text of a cell.

    is_integer: ranges such as ``1..8`` are meant as such. is_template: may hold placeholders.
    """

    read: Callable[[Any], Any]
    parse: Callable[[str], Any]
    is_integer: bool = False
    is_template: bool = False


def read_text(value: Any) -> str:
    """Return text as it is."""
    if not isinstance(value, str):
        fix = "put it in quotes" if isinstance(value, int | float) and not isinstance(value, bool) else None
        raise _wrong_kind(value, "text", fix)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnsupportedValue("holds half a character", got=f"U+{ord(value[error.start]):04X}") from None
    return value


def read_integer(value: Any) -> int:
    """Return a whole number; true, 3.0 and "3" are none."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UnsupportedValue("this is far from any whole number that is meant", allowed="a whole number")
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_kind(value, "a whole number")
    return value


def parse_integer(text: str) -> int:
    """Return the whole number that a text is."""
    if not _INTEGER.fullmatch(text):
        raise UnsupportedValue("this is no whole number", got=shown(text), allowed="such as 832")
    return int(text)


def read_number(value: Any) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_kind(value, "a number")
    if not math.isfinite(value):
        raise UnsupportedValue("this number is not finite", got=shown(value), allowed="a number")
    return float(value)


def parse_number(text: str) -> float:
    """Return the number that a text is."""
    if not _NUMBER.fullmatch(text):
        fix = "write a point, not a comma" if re.fullmatch(r"\d+,\d+", text) else None
        raise UnsupportedValue("this is no number", got=shown(text), allowed="such as 3.5", fix=fix)
    return read_number(float(text))


def parse_rate(text: str) -> Fraction:
    """Return frames per second as an exact fraction."""
    try:
        rate = Fraction(text) if _RATE.fullmatch(text) else Fraction(0)
    except ZeroDivisionError:
        rate = Fraction(0)
    if rate <= 0:
        raise UnsupportedValue("this is no frame rate", got=shown(text), allowed="such as 24, 23.976 or 30000/1001")
    return rate


def read_rate(value: Any) -> Fraction:
    """Return frames per second, given as a number or as the text of a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _wrong_kind(value, "a number, or text such as 30000/1001")
    return parse_rate(str(value))


def read_boolean(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise _wrong_kind(value, "true or false")
    return value


def parse_boolean(text: str) -> bool:
    """Return what true or false, in any case, mean."""
    found = {"true": True, "false": False}.get(text.lower())
    if found is None:
        raise UnsupportedValue("this is no truth value", got=shown(text), allowed="true or false")
    return found


def read_path(value: Any) -> str:
    """Return the text of a path. Whether anything is there is asked when the batch is validated."""
    text = read_text(value)
    if not text or not text.isprintable() or len(text) > MAX_PATH_CHARACTERS:
        got = shown(text) if text.isprintable() else "characters that no path needs"
        raise UnsupportedValue("this is no path", got=got, allowed="a file, relative to the batch file's folder")
    return text


def read_paths(value: Any) -> tuple[str, ...]:
    """Return the paths of a list, or the one that stands alone."""
    if isinstance(value, str):
        return (read_path(value),)
    if not isinstance(value, list) or not value:
        raise _wrong_kind(value, "a list of paths")
    return tuple(read_path(item) for item in value)


def parse_paths(text: str) -> tuple[str, ...]:
    """Return the paths in a cell, separated by ``|``."""
    return tuple(read_path(part.strip()) for part in text.split("|"))


def read_task(value: Any) -> Task:
    """Return the task of this id."""
    text = read_text(value)
    try:
        return Task(text)
    except ValueError:
        allowed = ", ".join(task.value for task in Task)
        raise UnsupportedValue("there is no such task", got=shown(text), allowed=allowed) from None


def read_policy(value: Any) -> Policy:
    """Return what happens to a clip that fails a check."""
    text = read_text(value)
    try:
        return Policy.parse(text)
    except ValueError:
        raise UnsupportedValue("there is no such policy", got=shown(text), allowed=POLICY_WORDS) from None


def read_label(value: Any) -> VisibleLabel:
    """Return the kind of label that is drawn into the picture."""
    text = read_text(value)
    for label in _LABELS:
        if text == label:
            return label
    raise UnsupportedValue("there is no such label", got=shown(text), allowed="text, icon or none")


def read_on_unsupported(value: Any) -> OnUnsupported:
    """Return what is to become of what the model lacks."""
    text = read_text(value)
    for choice in ON_UNSUPPORTED:
        if text == choice:
            return choice
    raise UnsupportedValue("there is no such choice", got=shown(text), allowed=" or ".join(ON_UNSUPPORTED))


def read_option(value: Any) -> OptionValue:
    """Return the value of a model's own parameter, or of a variable."""
    if isinstance(value, str):
        return read_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UnsupportedValue("this number is not finite", got=shown(value), allowed="a number")
    if not isinstance(value, int | float):
        fix = 'to try several values write {"sweep": […]}' if isinstance(value, list) else None
        raise _wrong_kind(value, "text, a number, true or false", fix)
    return value


def between(least: int, most: int, read: Callable[[Any], int]) -> Callable[[Any], int]:
    """Return a reader of whole numbers from `least` to `most`."""

    def read_within(value: Any) -> int:
        number = read(value)
        if not least <= number <= most:
            raise UnsupportedValue("out of range", got=number, allowed=f"{least} to {most}")
        return number

    return read_within


def _wrong_kind(value: object, allowed: str, fix: str | None = None) -> UnsupportedValue:
    return UnsupportedValue(f"this is {kind_of(value)}", got=shown(value), allowed=allowed, fix=fix)


def _same(read: Callable[[Any], Any], *, is_template: bool = False) -> Field:
    return Field(read=read, parse=read, is_template=is_template)


_WHOLE = Field(read=read_integer, parse=parse_integer, is_integer=True)

FIELDS = MappingProxyType(
    {
        "model": _same(read_text),
        "task": _same(read_task),
        "prompt": _same(read_text, is_template=True),
        "negative_prompt": _same(read_text, is_template=True),
        "seed": _WHOLE,
        "width": _WHOLE,
        "height": _WHOLE,
        "resolution": _same(read_text),
        "aspect_ratio": _same(read_text),
        "num_frames": _WHOLE,
        "duration_seconds": Field(read=read_number, parse=parse_number),
        "frame_rate": Field(read=read_rate, parse=parse_rate),
        "num_inference_steps": _WHOLE,
        "guidance_scale": Field(read=read_number, parse=parse_number),
        "generate_audio": Field(read=read_boolean, parse=parse_boolean),
        "image": _same(read_path),
        "last_frame": _same(read_path),
        "references": Field(read=read_paths, parse=parse_paths),
        "source_video": _same(read_path),
        "on_unsupported": _same(read_on_unsupported),
        "name": _same(read_text, is_template=True),
        "priority": Field(
            read=between(MIN_PRIORITY, MAX_PRIORITY, read_integer),
            parse=between(MIN_PRIORITY, MAX_PRIORITY, parse_integer),
            is_integer=True,
        ),
        "on_fail": _same(read_policy),
        "label": _same(read_label),
        "output": _same(read_path, is_template=True),
        "repeat": Field(read=between(1, MAX_REPEAT, read_integer), parse=between(1, MAX_REPEAT, parse_integer)),
    }
)
ANY_VALUE = _same(read_option)
ALIASES = MappingProxyType(
    {
        "steps": "num_inference_steps",
        "duration": "duration_seconds",
        "first_frame": "image",
        "last_image": "last_frame",
        "reference": "references",
        "video": "source_video",
        "audio": "generate_audio",
    }
)
PARTS = ("options", "variables")


def allowed_keys(*, is_table: bool) -> Sequence[str]:
    """Return every key that a job may have. is_table: as columns."""
    parts = (f"{OPTION}NAME", f"{VARIABLE}NAME") if is_table else PARTS
    return (*FIELDS, *parts, "steps")


def field_of(key: str) -> Field:
    """Return how a key of a flattened job is read: one of `FIELDS`, an option or a variable."""
    return FIELDS.get(key, ANY_VALUE)
