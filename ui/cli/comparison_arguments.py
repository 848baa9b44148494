"""The arguments of `studio compare run`: models, values of parameters, and the contestants that they make together."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import UnsupportedValue
from studio.request import Conditioning, GenerationRequest, Role
from ui.cli import arguments as argument

if TYPE_CHECKING:
    from studio.comparing.wish import Variant

_PART = re.compile(r",(?=\s*[A-Za-z][\w.-]*\s*=)", re.ASCII)
_OPTION = "option."
_FIRST = ("models", "vary", "entry")  # what matters most comes first in the help
_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)


def takes_wish(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments of a request but for the model, and hand it the fields given as ``changes``."""
    inner = argument.takes_changes(command)
    kept = [
        item
        for item in inspect.signature(inner).parameters.values()
        if item.name not in ("model", "on_unsupported")  # each entry names its own; what it lacks is left out and told
    ]
    kept.sort(key=lambda item: item.name not in _FIRST)

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        inner(model=None, on_unsupported=None, **values)

    wrapper.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {item.name: item.annotation for item in kept}
    return wrapper


def base_of(fields: Mapping[str, Any]) -> GenerationRequest:
    """Return what all contestants are asked for."""
    return GenerationRequest(model="", **fields)


def variants_of(models: Sequence[str], variations: Sequence[str], entries: Sequence[str]) -> list[Variant]:
    """Return the contestants: each model with each variation, then the entries as they stand.

    variations: such as ``seed=1`` or ``steps=4,guidance-scale=6``. entries: such as ``micro-wan,steps=4``.
    """
    from studio.comparing.wish import Variant

    if variations and not models:
        raise UnsupportedValue("of which model", field="vary", got=variations[0], fix="add --model ID")
    sets = [parse_changes("vary", item) for item in variations] or [{}]
    found = [Variant(model=model, changes=changes) for model in models for changes in sets]
    for item in entries:
        model, comma, rest = item.partition(",")
        if not model.strip() or "=" in model:
            raise UnsupportedValue("it begins with a model", field="entry", got=item, allowed="MODEL,NAME=VALUE,...")
        found.append(Variant(model=model.strip(), changes=parse_changes("entry", rest) if comma else {}))
    return found


def parse_changes(field: str, text: str) -> dict[str, Any]:
    """Return fields of a request from ``name=value,name=value``. field: of the argument, for what is refused."""
    found: dict[str, Any] = {}
    for part in _PART.split(text):
        name, equals, value = part.partition("=")
        name = name.strip().lower().replace("-", "_")
        if not equals or not name:
            raise UnsupportedValue("not a pair", field=field, got=part, allowed="NAME=VALUE")
        if name.startswith(_OPTION):
            option = part.partition("=")[0].strip()[len(_OPTION) :]
            found.setdefault("options", {})[option] = value.strip()
            continue
        if name not in _FIELDS:
            allowed = ", ".join([*(key.replace("_", "-") for key in _FIELDS), "option.NAME"])
            raise UnsupportedValue("no such parameter", field=field, got=name, allowed=allowed)
        key, parse = _FIELDS[name]
        parsed = parse(name, value.strip())
        found[key] = (*found.get(key, ()), *parsed) if key == "conditionings" else parsed
    return found


def _whole(field: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise UnsupportedValue("not a whole number", field=field, got=text, allowed="such as 4")
    return int(text)


def _number(field: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UnsupportedValue("not a number", field=field, got=text, allowed="such as 4.5") from None


def _switch(field: str, text: str) -> bool:
    found = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(text.lower())
    if found is None:
        raise UnsupportedValue("neither yes nor no", field=field, got=text, allowed="true or false")
    return found


def _text(_field: str, text: str) -> str:
    return text


def _picture(role: Role) -> Callable[[str, str], tuple[Conditioning, ...]]:
    return lambda _field, text: (Conditioning(role=role, path=Path(text).expanduser()),)


# By the name of the argument of `studio generate`: the field of a request, and how its value is read.
_FIELDS: Mapping[str, tuple[str, Callable[[str, str], Any]]] = {
    "prompt": ("prompt", _text),
    "negative_prompt": ("negative_prompt", _text),
    "image": ("conditionings", _picture(Role.FIRST_FRAME)),
    "last_image": ("conditionings", _picture(Role.LAST_FRAME)),
    "seed": ("seed", _whole),
    "width": ("width", _whole),
    "height": ("height", _whole),
    "resolution": ("resolution", _text),
    "aspect_ratio": ("aspect_ratio", _text),
    "num_frames": ("num_frames", _whole),
    "duration": ("duration_seconds", lambda _field, text: argument.parse_duration(text)),
    "frame_rate": ("frame_rate", lambda _field, text: argument.parse_frame_rate(text)),
    "steps": ("num_inference_steps", _whole),
    "guidance_scale": ("guidance_scale", _number),
    "audio": ("generate_audio", _switch),
}
