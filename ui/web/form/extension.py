"""The form for making a clip longer: what of a model's form still counts, and how far the clip is to go on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from studio.catalog.schema import ModelSpec
from studio.errors import UnsupportedValue
from studio.extending.part import part_rule
from studio.extending.wish import ExtendWish
from studio.request import Task
from ui.web.form.fields import AUTO, OPTION, Choice, Field, fields_of
from ui.web.form.forms import Values, job_wish_of, options_of, read_value, seed_of
from ui.web.words import say, words

_KEPT = ("prompt", "negative_prompt", "num_frames", "num_inference_steps", "guidance_scale", "generate_audio", "seed",
         "on_fail", "retries", "label", "max_cost")  # fmt: skip
_SECONDS = re.compile(r"\d{1,5}(\.\d{1,6})?", re.ASCII)


def can_extend(spec: ModelSpec) -> bool:
    """Say whether a model goes on from the end of a clip."""
    return Task.IMAGE_TO_VIDEO in spec.tasks or part_rule(spec) is not None


def extension_fields(spec: ModelSpec) -> tuple[Field, ...]:
    """Return the fields of the form. The clip's own size, rate and prompt stay; an empty prompt takes the clip's."""
    rule = part_rule(spec)
    taken = None if rule is None or rule.option is None else OPTION + rule.option
    rest = (field for field in fields_of(spec) if field.name in _KEPT or field.name.startswith(OPTION))
    own = tuple(_as_window(field) for field in rest if field.name != taken)
    prompts = tuple(field for field in own if field.group == "prompt")
    return (*prompts, *_reach(), *(field for field in own if field.group != "prompt"))


def extension_wish(spec: ModelSpec, asset_id: str, values: Values) -> ExtendWish:
    """Return what the form asks for. Raises `UnsupportedValue`, naming the field of the form."""
    fields = {field.name: field for field in extension_fields(spec)}
    unknown = next((name for name in values if name not in fields), None)
    if unknown is not None:
        raise UnsupportedValue(f"{spec.id} has no such field", field=str(unknown)[:80], fix="leave it out")
    read = {name: read_value(field, values.get(name)) for name, field in fields.items()}
    wish = job_wish_of(read)
    frames = read.get("num_frames")
    figures: Mapping[str, Any] = {
        name: read.get(name) for name in ("num_inference_steps", "guidance_scale", "generate_audio")
    }
    return ExtendWish(
        clip=asset_id,
        model=spec.id,
        prompt=read.get("prompt"),
        negative_prompt=read.get("negative_prompt") or "",
        windows=read["windows"],
        duration_seconds=_seconds(read["add_seconds"]),
        overlap=read["overlap"],
        num_frames=None if frames is None else int(frames),
        seed=seed_of(read.get("seed")),
        options=options_of(read),
        keeps_windows=bool(read["keeps_windows"]),
        label=wish.label,
        on_fail=wish.on_fail,
        max_cost=wish.max_cost,
        **figures,
    )


def _reach() -> tuple[Field, ...]:
    told = words()

    def made(name: str, kind: Any, default: Any = None, **more: Any) -> Field:
        label, text = told[f"create.label.{name}"], told[f"create.help.{name}"]
        return Field(name=name, kind=kind, group="clip", label=label, help=text, default=default, **more)

    return (
        made("add_seconds", "text", "", max_characters=12, unit=say("create.unit.seconds")),
        made("windows", "whole"),
        made("overlap", "whole", unit=say("create.unit.frames")),
        made("keeps_windows", "switch", False),
    )


def _as_window(field: Field) -> Field:
    """Return a field of a clip's form as it is meant of one window."""
    if field.name == "num_frames":
        usual = Choice(value=AUTO, label=say("create.extension.usual"))
        is_choice = field.kind == "choice"
        choices = (usual, *field.choices) if is_choice else ()
        return replace(
            field, label=say("create.extension.window"), default=AUTO if is_choice else None, choices=choices
        )
    if field.name == "prompt":
        return replace(field, is_required=False, help=say("create.extension.prompt"))
    return field


def _seconds(text: str | None) -> Fraction | None:
    if text is None:
        return None
    word = text.strip()
    if not _SECONDS.fullmatch(word) or not Fraction(word):
        raise UnsupportedValue("not a length", field="add_seconds", got=text, allowed="seconds, such as 5 or 2.5")
    return Fraction(word)
