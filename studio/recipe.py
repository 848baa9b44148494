"""Making a clip again: from what its sealed file tells, or from what this library remembers of it.

A file may come from anybody. What it says is read as a wish like one from the command line: it names a model of the
catalog and values that the model's row has to allow, never a file, a path or an address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from studio.catalog.schema import ModelSpec
from studio.errors import RequestError, UnreadableMedia, UnsupportedValue
from studio.library.asset import Asset
from studio.provenance.inspect import C2paReading
from studio.provenance.origin import Origin
from studio.provenance.shown import one_line
from studio.request import GenerationRequest, OptionValue, Role, Task
from studio.resolving.material import ARGUMENT_OF_ROLE, file_sha256
from studio.revision import revised

MAX_OPTIONS = 100
_WHOLE = re.compile(r"\d{1,19}", re.ASCII)
_RATE = re.compile(r"\d{1,9}(/\d{1,9})?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
# A file of another origin was made out of one of these; its numbers are not those of a generation.
_GENERATED = (Origin.TEXT_TO_VIDEO, Origin.CONDITIONED_VIDEO, Origin.VIDEO_EDIT, Origin.PROVIDER_OUTPUT,
              Origin.PROVIDER_OUTPUT_UNSIGNED)  # fmt: skip
_NO_PROMPT = "recipe: the file keeps its prompt to itself: pass --prompt"


@dataclass(frozen=True, kw_only=True)
class RecordedInput:
    """A picture or clip that a generation looked at. sha256: hex digest of its bytes."""

    role: Role
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a clip was made. request: without its pictures, which no file holds.

    weights_sha256: of the model as it was then, None where nobody wrote it down.
    keeps_prompt: the file does not tell its prompt, and the library does not know it. notes: sentences for the user.
    """

    request: GenerationRequest
    inputs: tuple[RecordedInput, ...] = ()
    weights_sha256: str | None = None
    keeps_prompt: bool = False
    notes: tuple[str, ...] = ()

    def with_changes(self, changes: Mapping[str, Any], spec: ModelSpec | None = None) -> GenerationRequest:
        """Return the request with fields that the user set otherwise. Options are merged, one by one.

        spec: the row of the recipe's model, None where there is none any more.
        """
        options = {**self.request.options, **changes.get("options", {})}
        task = changes.get("task", None if changes.get("conditionings") else self.request.task)
        return revised(self.request, {**changes, "options": options, "task": task}, spec)

    def remarks(self, changes: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what the user should know about making the clip again with these fields set otherwise.

        Reads the pictures that were given, to say which are missing or are not the recipe's.
        Raises `UnreadableMedia` for one that cannot be read.
        """
        given = {item.role: file_sha256(item) for item in changes.get("conditionings", ())}
        pictures = [note for item in self.inputs if (note := _note_on(item, given.get(item.role))) is not None]
        prompt = [_NO_PROMPT] if self.keeps_prompt and "prompt" not in changes else []
        return (*self.notes, *prompt, *pictures)


def recipe_of(reading: C2paReading, asset: Asset | None) -> Recipe:
    """Return how to make a file again.

    reading: of the file. asset: the library's own copy of it, found by its record or its mark; None if there is none.
    The record counts if it is intact and tells the prompt; else the library's memory; else what the record tells.

    Raises:
        UnreadableMedia: the file tells nothing that holds, and the library does not know it.
        UnsupportedValue: the record is intact and still makes no sense.
    """
    record = reading.generation if reading.state in ("trusted", "valid") else None
    if record is not None and _tells_prompt(record):
        return _from_record(record)
    if asset is not None:
        return _from_library(asset)
    if record is None:
        raise UnreadableMedia(
            "there is no recipe in it", field="recipe", got=reading.problem or "no record of a generation by a studio",
            allowed="an intact file that a studio sealed, or any copy of a clip in this library",
        )  # fmt: skip
    return replace(_from_record(record), keeps_prompt=True)


def _tells_prompt(record: Mapping[str, Any]) -> bool:
    said = record.get("prompt")
    return isinstance(said, Mapping) and said.get("policy") == "full"


def _from_library(asset: Asset) -> Recipe:
    known = asset.request
    if known.get("extension") is not None:
        raise _joined(asset)
    if asset.derivation is not None:
        whole = f"asset {asset.parent_id}, which" if asset.parent_id else "the clip that"
        raise _derived(asset.id, f"use {whole} it was made from")
    fields = {name: known[name] for name in ("model", "prompt", "negative_prompt", "num_frames", "guidance_scale")}
    return Recipe(
        request=GenerationRequest(
            **fields,
            task=Task(known["task"]),
            seed=known["seed"],
            width=known["width"],
            height=known["height"],
            frame_rate=Fraction(known["frame_rate"]),
            num_inference_steps=known["num_inference_steps"],
            generate_audio=known["generate_audio"],
            options=known["options"],
        ),
        inputs=tuple(RecordedInput(role=Role(item["role"]), sha256=item["sha256"]) for item in known["conditionings"]),
        notes=(f"recipe: taken from asset {asset.id} of this library",),
    )


def _from_record(record: Mapping[str, Any]) -> Recipe:
    """Read a record as a stranger's: every value is checked for its kind here, for its range by the model's row."""
    if record.get("origin") not in _GENERATED:
        raise _derived(_shown(record.get("origin")), "use the clip that it was made from")
    model = record.get("model")
    facts: Mapping[str, Any] = model if isinstance(model, Mapping) else {}
    said = record.get("prompt")
    prompts: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    seed, rate = _matching(record, "seed", _WHOLE), _matching(record, "frame_rate", _RATE)
    return Recipe(
        request=GenerationRequest(
            model=_required(_text(facts, "id"), "model"),
            task=_task(record),
            prompt=_text(prompts, "prompt") or "",
            negative_prompt=_text(prompts, "negative_prompt") or "",
            seed=None if seed is None else int(seed),
            width=_whole(record, "width"),
            height=_whole(record, "height"),
            num_frames=_whole(record, "num_frames"),
            frame_rate=_fraction(rate),
            num_inference_steps=_whole(record, "num_inference_steps"),
            guidance_scale=_number(record, "guidance_scale"),
            generate_audio=record.get("generate_audio") is True,
            options=_options(record),
        ),
        inputs=_inputs(record),
        weights_sha256=_matching(facts, "weights_sha256", _SHA256),
    )


def _task(record: Mapping[str, Any]) -> Task:
    try:
        return Task(_required(_text(record, "task"), "task"))
    except ValueError:
        raise _senseless("task", record.get("task")) from None


def _options(record: Mapping[str, Any]) -> dict[str, OptionValue]:
    options = record.get("options") or {}
    if not isinstance(options, Mapping) or len(options) > MAX_OPTIONS:
        raise _senseless("options", options)
    for name, value in options.items():
        if not isinstance(value, str | int | float | bool):
            raise _senseless(f"option {name}", value)
    return dict(options)


def _inputs(record: Mapping[str, Any]) -> tuple[RecordedInput, ...]:
    found = record.get("inputs") or ()
    items = found if isinstance(found, Sequence) and not isinstance(found, str) else ()
    known = {role.value for role in Role}
    return tuple(
        RecordedInput(role=Role(item["role"]), sha256=digest)
        for item in items
        if isinstance(item, Mapping)
        and item.get("role") in known
        and (digest := _matching(item, "sha256", _SHA256)) is not None
    )


def _text(facts: Mapping[str, Any], name: str) -> str | None:
    value = facts.get(name)
    if value is not None and not isinstance(value, str):
        raise _senseless(name, value)
    return value


def _matching(facts: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str | None:
    value = _text(facts, name)
    if value is not None and not pattern.fullmatch(value):
        raise _senseless(name, value)
    return value


def _whole(facts: Mapping[str, Any], name: str) -> int | None:
    value = facts.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise _senseless(name, value)


def _number(facts: Mapping[str, Any], name: str) -> float | None:
    value = facts.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _senseless(name, value)
    return float(value)


def _fraction(rate: str | None) -> Fraction | None:
    try:
        return None if rate is None else Fraction(rate)
    except ZeroDivisionError:
        raise _senseless("frame_rate", rate) from None


def _required(value: str | None, name: str) -> str:
    if not value:
        raise _senseless(name, "none")
    return value


def _joined(asset: Asset) -> RequestError:
    parent = asset.request["extension"]["parent"]["id"]
    return RequestError(
        "this file was made out of another one by making it longer, and has no recipe of its own", field="recipe",
        got=asset.id, allowed="a generated clip", fix=f"`studio extend {parent or 'CLIP'}` makes one longer again",
    )  # fmt: skip


def _derived(got: str, fix: str) -> RequestError:
    return RequestError(
        "this file was made out of another one", field="recipe", got=got, allowed="a generated clip", fix=fix
    )


def _senseless(name: str, value: object) -> UnsupportedValue:
    return UnsupportedValue(
        "the file's record makes no sense here", field=f"recipe {one_line(name, 40)}", got=_shown(value),
        fix="make the clip from its parameters, without --recipe",
    )  # fmt: skip


def _shown(value: object) -> str:
    return one_line(value, 80)


def _note_on(item: RecordedInput, given: str | None) -> str | None:
    argument = f"--{ARGUMENT_OF_ROLE[item.role].replace('_', '-')}"
    if given is None:
        return f"recipe: the {item.role.value} is not in the file (sha256 {item.sha256[:12]}…): pass {argument}"
    if given != item.sha256:
        return f"recipe: the {item.role.value} is another file than the recipe's (sha256 {item.sha256[:12]}…)"
    return None
