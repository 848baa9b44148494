"""Between what stands in a form and a request of the studio; nothing is rounded or corrected on the way."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from studio.batch.fields import read_label, read_policy, read_rate
from studio.catalog.schema import ModelSpec
from studio.errors import StudioError, UnsupportedValue
from studio.jobs.job import JobWish
from studio.request import Conditioning, GenerationRequest, ResolvedRequest
from studio.resolving.clip_length import seconds_of
from studio.revision import wish_of
from studio.spending.money import MONEY_WORDS, Money
from ui.api.lora_names import require_names
from ui.web.form.fields import AUTO, CUSTOM, OPTION, ROLES, Choice, Field, FieldValue, fields_of

Values = Mapping[str, Any]
"""What stands in a form, by the name of the field: text, numbers, true or false, paths of files; None where nothing."""

FORM_FIELDS = frozenset(
    {"prompt", "negative_prompt", "seed", "num_inference_steps", "guidance_scale", "generate_audio"}
)
_MOST_SHOWN = 80
# Browsers know no larger whole number exactly.
_MOST = 2**53
_SEED = re.compile(r"\d{1,19}", re.ASCII)
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
# What the studio calls otherwise than the form does.
_FIELDS = {
    "image": "first-frame",
    "last_image": "last-frame",
    "reference": "reference",
    "video": "source-video",
    "width x height": "size",
    "resolution": "size",
    "aspect_ratio": "size",
}


def request_of(spec: ModelSpec, values: Values) -> tuple[GenerationRequest, JobWish]:
    """Return what a form asks for, and how its job is to be run.

    A field that is empty, or not there, takes what the model's row says.
    Raises `UnsupportedValue`, naming the field of the form, for what is not of its kind, and for fields that the form
    does not have. Whether a number fits the row is `resolve`'s to say.
    """
    fields = {field.name: field for field in fields_of(spec)}
    unknown = next((name for name in values if name not in fields), None)
    if unknown is not None:
        raise UnsupportedValue(f"{spec.id} has no such field", field=str(unknown)[:_MOST_SHOWN], fix="leave it out")
    read = {name: read_value(field, values.get(name)) for name, field in fields.items() if _counts(field, values)}
    width, height = _size(read)
    request = GenerationRequest(
        model=spec.id,
        width=width,
        height=height,
        num_frames=_whole_of_choice(read.get("num_frames")),
        duration_seconds=None if read.get("duration_seconds") is None else Fraction(read["duration_seconds"]),
        frame_rate=rate_of(read.get("frame_rate")),
        conditionings=_conditionings(read),
        options=options_of(read),
        prompt=read.get("prompt") or "",
        negative_prompt=read.get("negative_prompt") or "",
        seed=seed_of(read.get("seed")),
        num_inference_steps=read.get("num_inference_steps"),
        guidance_scale=read.get("guidance_scale"),
        generate_audio=read.get("generate_audio"),
    )
    return request, job_wish_of(read)


def values_of(spec: ModelSpec, request: GenerationRequest | ResolvedRequest) -> dict[str, Any]:
    """Return what stands in the form of a request; its pictures are left out, nobody can put a file into a browser.

    What the form of this model does not have is left out too.
    """
    wish = wish_of(request) if isinstance(request, ResolvedRequest) else request
    fields = {field.name: field for field in fields_of(spec)}
    found: dict[str, Any] = {name: getattr(wish, name) for name in FORM_FIELDS & fields.keys()}
    found |= {f"{OPTION}{name}": value for name, value in wish.options.items() if f"{OPTION}{name}" in fields}
    if "seed" in found:
        found["seed"] = "" if wish.seed is None else str(wish.seed)
    if wish.frame_rate is not None and "frame_rate" in fields:
        found["frame_rate"] = rate_text(wish.frame_rate)
    found |= _length_values(spec, wish, fields) | _size_values(wish, fields)
    return {name: value for name, value in found.items() if value is not None}


def defaults_of(spec: ModelSpec) -> dict[str, FieldValue]:
    """Return what stands in an untouched form."""
    return {field.name: field.default for field in fields_of(spec)}


def field_named(spec: ModelSpec, name: str | None) -> str | None:
    """Return the field of the form that an error's field means; None where the form has none for it."""
    if name is None:
        return None
    name = _FIELDS.get(name, name)
    if name.startswith("option "):
        name = OPTION + name.removeprefix("option ")
    fields = {field.name for field in fields_of(spec)}
    if name not in fields and name in ("width", "height", "num_frames", "duration_seconds"):
        others = {"width": ("size",), "height": ("size",)}.get(name, ("duration_seconds", "num_frames"))
        return next((other for other in others if other in fields), None)
    return name if name in fields else None


def read_value(field: Field, value: Any) -> Any:
    """Return a field's value as its kind has it, None where nothing stands there. Raises `UnsupportedValue`."""
    if value is None or value == "" or value == []:
        return None
    match field.kind:
        case "lines" | "text":
            return _text(field, value)
        case "whole":
            return _whole(field, value)
        case "number":
            return _number(field, value)
        case "choice":
            return _choice(field, value)
        case "switch":
            if not isinstance(value, bool):
                raise _wrong(field, value, "yes or no")
            return value
        case _:
            return _paths(field, value)


def rate_of(text: str | None) -> Fraction | None:
    """Return frames per second as an exact fraction."""
    if text is None:
        return None
    try:
        return read_rate(text.strip())
    except StudioError as error:
        raise UnsupportedValue(error.message, field="frame_rate", got=text, allowed=error.allowed) from None


def rate_text(rate: Fraction) -> str:
    """Return frames per second as the form has them: a number where that says it exactly, else a fraction."""
    short = f"{float(rate):g}"
    return short if Fraction(short) == rate else str(rate)


def seed_of(text: str | None) -> int | None:
    """Return the seed that was typed, None where one is to be drawn."""
    word = (text or "").strip()
    if not word:
        return None
    if not _SEED.fullmatch(word):
        raise UnsupportedValue("this is no seed", field="seed", got=text, allowed="a whole number from 0, or nothing")
    return int(word)


def job_wish_of(read: Values) -> JobWish:
    """Return how a job is to be run. read: values that `read_value` returned."""
    policy, most = read.get("on_fail"), read.get("max_cost")
    if policy == "retry":
        policy = f"retry:{read.get('retries') or 3}"
    try:
        money = None if most is None else Money.parse(most)
    except ValueError:
        raise UnsupportedValue("not a sum of money", field="max_cost", got=most, allowed=MONEY_WORDS) from None
    try:
        on_fail = None if policy is None else read_policy(policy)
    except StudioError as error:
        raise UnsupportedValue(error.message, field="retries", got=policy, allowed=error.allowed) from None
    label = None if read.get("label") is None else read_label(read["label"])
    return JobWish(priority=read.get("priority") or 0, on_fail=on_fail, label=label, max_cost=money)


# -- reading ----------------------------------------------------------------------------------------------------------


def _counts(field: Field, values: Values) -> bool:
    return field.shown_if is None or values.get(field.shown_if[0]) == field.shown_if[1]


def _wrong(field: Field, value: object, allowed: str) -> UnsupportedValue:
    return UnsupportedValue("this cannot be read", field=field.name, got=value, allowed=allowed)


def _text(field: Field, value: Any) -> str | None:
    if not isinstance(value, str):
        raise _wrong(field, type(value).__name__, "text")
    if field.max_characters and len(value) > field.max_characters:
        got, allowed = f"{len(value)} characters", f"up to {field.max_characters}"
        raise UnsupportedValue("too long", field=field.name, got=got, allowed=allowed)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _wrong(field, f"U+{ord(value[error.start]):04X}", "printable text") from None
    return value if value.strip() or field.name.startswith(OPTION) else None


def _whole(field: Field, value: Any) -> int:
    number = _number(field, value, "a whole number")
    if not number.is_integer():
        raise UnsupportedValue(
            "this is no whole number", field=field.name, got=value, allowed=field.help or "0, 1, 2 …"
        )
    return int(number)


def _number(field: Field, value: Any, kind: str = "a number") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(field, value, kind)
    if abs(value) > _MOST or math.isnan(value):
        raise UnsupportedValue("this number is far from any that is meant", field=field.name, got=value, allowed=kind)
    return float(value)


def _choice(field: Field, value: Any) -> str:
    if not isinstance(value, str) or all(value != choice.value for choice in field.choices):
        allowed = ", ".join(choice.value for choice in field.choices if choice.value)
        raise UnsupportedValue("there is no such choice", field=field.name, got=value, allowed=allowed)
    return value


def _paths(field: Field, value: Any) -> tuple[Path, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, str | Path) and "\0" not in str(item) for item in items):
        raise _wrong(field, type(value).__name__, "a file")
    if len(items) > field.most:
        allowed = "one" if field.most == 1 else f"up to {field.most}"
        raise UnsupportedValue("too many files", field=field.name, got=len(items), allowed=allowed)
    return tuple(Path(item) for item in items)


def _whole_of_choice(value: Any) -> int | None:
    return None if value is None else int(value)


def _size(read: Values) -> tuple[int | None, int | None]:
    size = read.get("size")
    if size is None:
        return None, None
    if size == CUSTOM:
        return read.get("width"), read.get("height")
    found = _SIZE.fullmatch(size)
    assert found is not None  # noqa: S101 - it is one of the form's own choices
    return int(found[1]), int(found[2])


def _conditionings(read: Values) -> tuple[Conditioning, ...]:
    given = ((role, path) for name, role in ROLES.items() for path in read.get(name) or ())
    return tuple(Conditioning(role=role, path=path) for role, path in given)


def options_of(read: Values) -> dict[str, Any]:
    """Return the model's own parameters. read: values that `read_value` returned. Raises for folders of LoRAs."""
    given = {name.removeprefix(OPTION): value for name, value in read.items() if name.startswith(OPTION)}
    options = {name: value for name, value in given.items() if value is not None}
    require_names(options)
    return options


# -- filling ----------------------------------------------------------------------------------------------------------


def _length_values(spec: ModelSpec, wish: GenerationRequest, fields: Mapping[str, Field]) -> dict[str, Any]:
    rate = wish.frame_rate or Fraction(str(spec.parameters.frame_rate.default))
    if "duration_seconds" in fields:
        seconds = wish.duration_seconds
        if seconds is None and wish.num_frames is not None:
            seconds = seconds_of(spec, wish.num_frames, rate)
        return {} if seconds is None else _if_offered(fields["duration_seconds"], f"{float(seconds):g}")
    if "num_frames" not in fields or wish.num_frames is None:
        return {}
    field = fields["num_frames"]
    return {"num_frames": wish.num_frames} if field.kind == "whole" else _if_offered(field, str(wish.num_frames))


def _size_values(wish: GenerationRequest, fields: Mapping[str, Field]) -> dict[str, Any]:
    if "size" not in fields or wish.width is None or wish.height is None:
        return {}
    field = fields["size"]
    found = _if_offered(field, f"{wish.width}x{wish.height}")
    if found or "width" not in fields:
        return found
    return {"size": CUSTOM, "width": wish.width, "height": wish.height}


def _if_offered(field: Field, value: str) -> dict[str, Any]:
    return {field.name: value} if any(choice.value == value for choice in field.choices) else {}


__all__ = ["AUTO", "Choice", "Field", "Values", "defaults_of", "field_named", "fields_of", "request_of", "values_of"]
