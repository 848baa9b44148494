"""Turn a wish into something that can be run, or say exactly which field stands in the way."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction

from studio.catalog.schema import FloatRange, IntegerRange, ModelSpec, Option
from studio.errors import UnreadableMedia, UnsupportedValue
from studio.media import read_image
from studio.request import Conditioning, GenerationRequest, OptionValue, ResolvedRequest, Role, Task

MAX_SEED = 2**63 - 1
MAX_PROMPT_CHARACTERS = 10_000
MAX_RATE_DENOMINATOR = 1001
# Python also reads 1_000 and digits of other scripts; what was typed by mistake is not to be guessed at.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

# The roles a task cannot do without; a role no task of this table names is refused.
ROLES_OF_TASK: dict[Task, tuple[Role, ...]] = {
    Task.TEXT_TO_VIDEO: (),
    Task.IMAGE_TO_VIDEO: (Role.FIRST_FRAME,),
    Task.FIRST_LAST_FRAME_TO_VIDEO: (Role.FIRST_FRAME, Role.LAST_FRAME),
    Task.REFERENCE_TO_VIDEO: (Role.REFERENCE,),
    Task.VIDEO_TO_VIDEO: (Role.SOURCE_VIDEO,),
}
ARGUMENT_OF_ROLE = {Role.FIRST_FRAME: "image", Role.LAST_FRAME: "last_image", Role.SOURCE_VIDEO: "video"}


def resolve(spec: ModelSpec, request: GenerationRequest) -> ResolvedRequest:
    """Fill every field from the model's row and refuse what the row does not allow.

    Reads the conditioning images once, so that a broken one is refused before anything is loaded or paid for.
    Raises `RequestError` and its subclasses, naming field, value and what is allowed.
    """
    task = _task(spec, request)
    conditionings = _conditionings(request, task)
    rules = spec.parameters
    width, height = _size(spec, request)
    return ResolvedRequest(
        model=spec.id,
        task=task,
        prompt=_prompt(spec, request.prompt),
        negative_prompt=_negative_prompt(spec, request.negative_prompt),
        seed=_seed(spec, request.seed),
        width=width,
        height=height,
        num_frames=_integer(spec, "num_frames", rules.num_frames, request.num_frames),
        frame_rate=_frame_rate(spec, rules.frame_rate, request.frame_rate),
        num_inference_steps=_optional_integer(
            spec, "num_inference_steps", rules.num_inference_steps, request.num_inference_steps
        ),
        guidance_scale=_optional_number(spec, "guidance_scale", rules.guidance_scale, request.guidance_scale),
        conditionings=tuple(checked.conditioning for checked in conditionings),
        generate_audio=_audio(spec, request.generate_audio),
        options=_options(spec, request),
        warnings=tuple(text for checked in conditionings for text in _crop_warnings(checked, width, height)),
    )


def _task(spec: ModelSpec, request: GenerationRequest) -> Task:
    task = request.task or _task_of_roles({item.role for item in request.conditionings})
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


def _task_of_roles(roles: set[Role]) -> Task:
    if Role.SOURCE_VIDEO in roles:
        return Task.VIDEO_TO_VIDEO
    if {Role.FIRST_FRAME, Role.LAST_FRAME} <= roles:
        return Task.FIRST_LAST_FRAME_TO_VIDEO
    if Role.FIRST_FRAME in roles:
        return Task.IMAGE_TO_VIDEO
    return Task.REFERENCE_TO_VIDEO if Role.REFERENCE in roles else Task.TEXT_TO_VIDEO


@dataclass(frozen=True)
class _Checked:
    """A conditioning whose file was read. width, height: of a picture, in pixels; None for a video."""

    conditioning: Conditioning
    width: int | None = None
    height: int | None = None


_JUDGED: ContextVar[dict[Conditioning, _Checked | UnreadableMedia] | None] = ContextVar("judged", default=None)


def _conditionings(request: GenerationRequest, task: Task) -> tuple[_Checked, ...]:
    wanted, given = set(ROLES_OF_TASK[task]), {item.role for item in request.conditionings}
    for role in sorted(wanted - given):
        field = ARGUMENT_OF_ROLE.get(role, role.value)
        fix = "add --image FILE" if role is Role.FIRST_FRAME else None
        raise UnsupportedValue(f"{task.value} needs one", field=field, got="none", fix=fix)
    for role in sorted(given - wanted):
        field = ARGUMENT_OF_ROLE.get(role, role.value)
        raise UnsupportedValue(f"{task.value} does not use it", field=field, got=role.value, fix="leave it out")
    return tuple(_check(item) for item in request.conditionings)


@contextmanager
def reading_each_file_once() -> Iterator[None]:
    """While this lasts, a file that many requests start from is read and judged once, here and in this thread alone."""
    token = _JUDGED.set({})
    try:
        yield
    finally:
        _JUDGED.reset(token)


def _check(item: Conditioning) -> _Checked:
    judged = _JUDGED.get()
    if judged is None:
        return _read(item)
    if item not in judged:
        try:
            judged[item] = _read(item)
        except UnreadableMedia as error:
            judged[item] = error
    found = judged[item]
    if isinstance(found, UnreadableMedia):
        raise found.with_traceback(None)
    return found


def _read(item: Conditioning) -> _Checked:
    width = height = None
    if item.role is not Role.SOURCE_VIDEO:
        height, width = read_image(item.path, field=ARGUMENT_OF_ROLE.get(item.role, item.role.value)).shape[:2]
    digest = file_sha256(item)
    if item.sha256 is not None and item.sha256 != digest:
        raise UnreadableMedia(
            "the file has changed since the request was made",
            field=item.role.value,
            got=item.path,
            fix="submit it anew",
        )
    return _Checked(Conditioning(role=item.role, path=item.path.absolute(), sha256=digest), width, height)


def file_sha256(item: Conditioning) -> str:
    """Return the hex digest of a conditioning's file, or raise `UnreadableMedia`."""
    try:
        with open(item.path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableMedia(
            f"the file cannot be read ({error.strerror or error})", field=item.role.value, got=item.path
        ) from error


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
    return prompt


def _negative_prompt(spec: ModelSpec, prompt: str) -> str:
    _refuse_unprintable("negative_prompt", prompt)
    if prompt and not spec.parameters.negative_prompt:
        raise UnsupportedValue(f"{spec.id} has none", field="negative_prompt", got=prompt, fix="leave it out")
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


def _seed(spec: ModelSpec, seed: int | None) -> int:
    if seed is None:
        return secrets.randbelow(2**32)
    if not spec.parameters.seed:
        raise UnsupportedValue(f"{spec.id} takes no seed", field="seed", got=seed, fix="leave it out")
    if not 0 <= seed <= MAX_SEED:
        raise UnsupportedValue("out of range", field="seed", got=seed, allowed=f"0 to {MAX_SEED}")
    return seed


def _size(spec: ModelSpec, request: GenerationRequest) -> tuple[int, int]:
    rules = spec.parameters
    width = _integer(spec, "width", rules.width, request.width)
    height = _integer(spec, "height", rules.height, request.height)
    if rules.sizes and (width, height) not in rules.sizes:
        raise UnsupportedValue(
            f"{spec.id} does not do this size",
            field="width x height",
            got=f"{width}x{height}",
            allowed=", ".join(f"{w}x{h}" for w, h in rules.sizes),
        )
    if rules.max_pixels is not None and width * height > rules.max_pixels:
        raise UnsupportedValue(
            "too many pixels for this model",
            field="width x height",
            got=f"{width}x{height} = {width * height}",
            allowed=f"up to {rules.max_pixels}",
        )
    return width, height


def _crop_warnings(checked: _Checked, width: int, height: int) -> list[str]:
    if checked.width is None or checked.height is None:
        return []
    stretch = checked.width * height / (checked.height * width)
    if abs(stretch - 1) <= 0.01:
        return []
    size = f"{checked.width}x{checked.height}"
    return [f"{checked.conditioning.role.value}: {size} is scaled to cover {width}x{height} and cut at the centre"]


def _integer(spec: ModelSpec, field: str, rule: IntegerRange, value: int | None) -> int:
    if value is None:
        return rule.default
    if not rule.allows(value):
        nearest = " or ".join(str(number) for number in rule.nearest(value))
        raise UnsupportedValue(
            f"{spec.id} does not do this", field=field, got=value, allowed=f"{rule.describe()}; nearest: {nearest}"
        )
    return value


def _optional_integer(spec: ModelSpec, field: str, rule: IntegerRange | None, value: int | None) -> int | None:
    if rule is None:
        _refuse_unknown(spec, field, value)
        return None
    return _integer(spec, field, rule, value)


def _optional_number(spec: ModelSpec, field: str, rule: FloatRange | None, value: float | None) -> float | None:
    if rule is None:
        _refuse_unknown(spec, field, value)
        return None
    if value is None:
        return rule.default
    if not rule.allows(value):
        raise UnsupportedValue(f"{spec.id} does not do this", field=field, got=f"{value:g}", allowed=rule.describe())
    return value


def _refuse_unknown(spec: ModelSpec, field: str, value: object) -> None:
    if value is not None:
        raise UnsupportedValue(f"{spec.id} has no such parameter", field=field, got=value, fix="leave it out")


def _frame_rate(spec: ModelSpec, rule: FloatRange, value: Fraction | None) -> Fraction:
    if value is None:
        return Fraction(str(rule.default))
    if not rule.allows(float(value)):
        raise UnsupportedValue(
            f"{spec.id} does not do this", field="frame_rate", got=value, allowed=f"{rule.describe()} frames per second"
        )
    if value.denominator > MAX_RATE_DENOMINATOR:
        raise UnsupportedValue(
            "finer than any video format counts",
            field="frame_rate",
            got=float(value),
            allowed=f"a fraction with a denominator up to {MAX_RATE_DENOMINATOR}, such as 24000/1001",
        )
    return value


def _audio(spec: ModelSpec, wanted: bool) -> bool:
    if wanted and not spec.parameters.audio:
        raise UnsupportedValue(f"{spec.id} makes no sound", field="generate_audio", got="true", allowed="false")
    return wanted


def _options(spec: ModelSpec, request: GenerationRequest) -> dict[str, OptionValue]:
    known = spec.parameters.options
    unknown = sorted(set(request.options) - set(known))
    if unknown:
        raise UnsupportedValue(
            f"{spec.id} has no such option", field="option", got=unknown[0], allowed=", ".join(sorted(known)) or "none"
        )
    return {name: _option(name, rule, request.options.get(name, rule.default)) for name, rule in known.items()}


def _option(name: str, rule: Option, value: OptionValue) -> OptionValue:
    """Accept a value of the right type, or the text of one as it comes from a command line."""
    parsed = _parse(rule, str(value).strip())
    if parsed is None or not rule.allows(parsed):
        raise UnsupportedValue("not allowed", field=f"option {name}", got=value, allowed=rule.describe())
    return parsed


def _parse(rule: Option, text: str) -> OptionValue | None:
    try:
        match rule.type:
            case "boolean":
                return {"true": True, "false": False}.get(text.lower())
            case "integer" | "number" if not _NUMBER.fullmatch(text):
                return None
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "choice":
                return text
    except ValueError:
        return None
