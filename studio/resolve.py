"""Turn a wish into something that can be run, or say exactly which field stands in the way."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from studio.catalog.schema import FloatRange, IntegerRange, ModelSpec, Option
from studio.errors import UnsupportedValue
from studio.request import ON_UNSUPPORTED, GenerationRequest, OptionValue, ResolvedRequest, Role, Task
from studio.resolving.clip_length import frame_rate_of, num_frames_of
from studio.resolving.material import Material, materials_of, task_of_roles
from studio.resolving.picture_size import not_in_range, size_of
from studio.resolving.remarks import Remarks
from studio.resolving.remote_rules import audio_of, fit_material, refuse_excluded, refuse_long_prompt

MAX_SEED = 2**63 - 1
MAX_PROMPT_CHARACTERS = 10_000
# Python also reads 1_000 and digits of other scripts; what was typed by mistake is not to be guessed at.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def resolve(spec: ModelSpec, request: GenerationRequest) -> ResolvedRequest:
    """Fill every field from the model's row and refuse what the row does not allow.

    Reads the conditioning images once, so that a broken one is refused before anything is loaded or paid for.
    Raises `RequestError` and its subclasses, naming field, value and what is allowed.
    """
    remarks = Remarks(is_dropping=_is_dropping(request))
    task = _task(spec, request)
    materials = materials_of(spec, request, task)
    rules = spec.parameters
    width, height = size_of(spec, request, task, _shape(materials))
    frame_rate = frame_rate_of(spec, request.frame_rate, remarks)
    resolved = ResolvedRequest(
        model=spec.id,
        task=task,
        prompt=_prompt(spec, request.prompt),
        negative_prompt=_negative_prompt(spec, request.negative_prompt, remarks),
        seed=_seed(spec, request.seed, remarks),
        width=width,
        height=height,
        num_frames=num_frames_of(spec, request, frame_rate, remarks),
        frame_rate=frame_rate,
        num_inference_steps=_steps(spec, rules.num_inference_steps, request.num_inference_steps, remarks),
        guidance_scale=_guidance(spec, rules.guidance_scale, request.guidance_scale, remarks),
        conditionings=tuple(item.conditioning for item in materials),
        generate_audio=audio_of(spec, request.generate_audio, remarks),
        options=_options(spec, request, remarks),
    )
    refuse_excluded(spec, resolved)
    for item in materials:
        fit_material(spec, item, width, height, remarks)
    return replace(resolved, warnings=tuple(remarks.texts))


def _is_dropping(request: GenerationRequest) -> bool:
    if request.on_unsupported not in ON_UNSUPPORTED:
        allowed = " or ".join(ON_UNSUPPORTED)
        raise UnsupportedValue("no such choice", field="on_unsupported", got=request.on_unsupported, allowed=allowed)
    return request.on_unsupported == "drop"


def _shape(materials: Sequence[Material]) -> tuple[int, int] | None:
    """Return width and height of the picture or video that the clip takes its shape from, if there is one."""
    found = next((item for item in materials if item.role in (Role.FIRST_FRAME, Role.SOURCE_VIDEO)), None)
    return None if found is None else (found.width, found.height)


def _task(spec: ModelSpec, request: GenerationRequest) -> Task:
    task = request.task or task_of_roles({item.role for item in request.conditionings})
    if task in spec.tasks:
        return task
    needs_image = task is Task.TEXT_TO_VIDEO and Task.IMAGE_TO_VIDEO in spec.tasks
    raise UnsupportedValue(
        f"{spec.id} needs a picture to start from" if needs_image else f"{spec.id} does not do this task",
        field="image" if needs_image else "task",
        got="no image" if needs_image else task.value,
        allowed=", ".join(item.value for item in spec.tasks),
        fix="add --image FILE" if needs_image else "`studio models --task TASK` lists who does",
    )


def _prompt(spec: ModelSpec, prompt: str) -> str:
    _refuse_unprintable("prompt", prompt)
    rule = spec.parameters.prompt
    if rule == "required" and not prompt.strip():
        raise UnsupportedValue(
            "this model needs a text prompt",
            field="prompt",
            got="an empty one" if prompt else "none",
            allowed=spec.parameters.prompt_grammar or "a description of the clip",
        )
    if rule == "unused" and prompt:
        raise UnsupportedValue(
            f"{spec.id} reads no text",
            field="prompt",
            got=prompt,
            fix="leave --prompt out, or choose a model with text from `studio models`",
        )
    refuse_long_prompt(spec, prompt)
    return prompt


def _negative_prompt(spec: ModelSpec, prompt: str, remarks: Remarks) -> str:
    _refuse_unprintable("negative_prompt", prompt)
    if prompt and not spec.parameters.negative_prompt:
        error = UnsupportedValue(f"{spec.id} has none", field="negative_prompt", got=prompt, fix="leave it out")
        remarks.lacking(error, is_private=True)
        return ""
    return prompt


def _refuse_unprintable(field: str, text: str) -> None:
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise UnsupportedValue(
            "too long", field=field, got=f"{len(text)} characters", allowed=f"up to {MAX_PROMPT_CHARACTERS}"
        )
    strange = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\r\t"), None)
    if strange is not None:
        raise UnsupportedValue(
            "holds a character that is not text", field=field, got=f"U+{ord(strange):04X}", allowed="printable text"
        )


def _seed(spec: ModelSpec, seed: int | None, remarks: Remarks) -> int:
    most = spec.remote.max_seed if spec.remote is not None else None
    if seed is not None and not spec.parameters.seed:
        remarks.lacking(UnsupportedValue(f"{spec.id} takes no seed", field="seed", got=seed, fix="leave it out"))
        seed = None
    most = MAX_SEED if most is None else most
    if seed is None:
        return secrets.randbelow(min(2**32, most + 1))
    if not 0 <= seed <= most:
        raise UnsupportedValue("out of range", field="seed", got=seed, allowed=f"0 to {most}")
    return seed


def _steps(spec: ModelSpec, rule: IntegerRange | None, value: int | None, remarks: Remarks) -> int | None:
    if rule is None:
        _lacking(spec, "num_inference_steps", value, remarks)
        return None
    if value is not None and not rule.allows(value):
        raise not_in_range(spec, "num_inference_steps", rule, value)
    return rule.default if value is None else value


def _guidance(spec: ModelSpec, rule: FloatRange | None, value: float | None, remarks: Remarks) -> float | None:
    if rule is None:
        _lacking(spec, "guidance_scale", value, remarks)
        return None
    if value is not None and not rule.allows(value):
        raise UnsupportedValue(
            f"{spec.id} does not do this", field="guidance_scale", got=f"{value:g}", allowed=rule.describe()
        )
    return rule.default if value is None else value


def _lacking(spec: ModelSpec, field: str, value: object, remarks: Remarks) -> None:
    if value is not None:
        remarks.lacking(
            UnsupportedValue(f"{spec.id} has no such parameter", field=field, got=value, fix="leave it out")
        )


def _options(spec: ModelSpec, request: GenerationRequest, remarks: Remarks) -> dict[str, OptionValue]:
    known = spec.parameters.options
    allowed = ", ".join(sorted(known)) or "none"
    for name in sorted(set(request.options) - set(known)):
        remarks.lacking(UnsupportedValue(f"{spec.id} has no such option", field="option", got=name, allowed=allowed))
    return {name: _option(name, rule, request.options.get(name, rule.default)) for name, rule in known.items()}


def _option(name: str, rule: Option, value: OptionValue) -> OptionValue:
    """Accept a value of the right type, or the text of one as it comes from a command line."""
    parsed = _parse(rule, str(value))
    if parsed is None or not rule.allows(parsed):
        raise UnsupportedValue("not allowed", field=f"option {name}", got=value, allowed=rule.describe())
    return parsed


def _parse(rule: Option, text: str) -> OptionValue | None:
    word = text.strip()
    try:
        match rule.type:
            case "boolean":
                return {"true": True, "false": False}.get(word.lower())
            case "integer" | "number" if not _NUMBER.fullmatch(word):
                return None
            case "integer":
                return int(word)
            case "number":
                return float(word)
            case "choice":
                return word
            case "text":
                return text
    except ValueError:
        return None
