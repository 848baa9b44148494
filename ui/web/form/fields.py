"""What the form of a model asks for, described without gradio: every field follows from the model's row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from studio.catalog.option_sets import read_option_sets
from studio.catalog.schema import IntegerRange, ModelSpec, Option
from studio.consistency.policy import MAX_RETRIES
from studio.jobs.job import MAX_PRIORITY, MIN_PRIORITY
from studio.request import Role
from studio.resolve import MAX_PROMPT_CHARACTERS, MAX_SEED
from studio.resolving.material import ROLES_OF_TASK
from ui.web.words import say, words

Kind = Literal["lines", "text", "whole", "number", "choice", "switch", "picture", "pictures", "video"]
Group = Literal["prompt", "material", "clip", "own", "how", "job"]
FieldValue = str | int | float | bool | None

CUSTOM, AUTO = "custom", ""
OPTION = "option."
ROLES = {role.value: role for role in Role}
COMMON = ("prompt", "negative_prompt", "first-frame", "last-frame", "reference", "source-video")
"""Fields that keep what stands in them when another model is chosen."""
# Up to so many lengths are listed one by one, each in seconds and in frames.
MAX_LENGTHS = 64
_RATIOS = (Fraction(16, 9), Fraction(9, 16), Fraction(1), Fraction(4, 3), Fraction(3, 4))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several values, and what is shown of it."""

    value: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a form. name: what its value is kept under; options of the model begin with ``option.``.

    help: shown below it, with the row's own rule. unit: of a number. step: between two numbers.
    max_characters: of text. most: files that it takes. shown_if: another field and the value there that makes it count.
    """

    name: str
    kind: Kind
    group: Group
    label: str
    default: FieldValue = None
    help: str = ""
    unit: str = ""
    choices: tuple[Choice, ...] = ()
    step: float = 1
    max_characters: int = 0
    most: int = 1
    is_required: bool = False
    shown_if: tuple[str, str] | None = None


def fields_of(spec: ModelSpec) -> tuple[Field, ...]:
    """Return the fields of a model's form, in their order; nothing that the model does not have."""
    return (
        *_prompts(spec),
        *_material(spec),
        *_size(spec),
        *_time(spec),
        *_sampling(spec),
        *_options(spec),
        *_job(spec),
    )


def facts_of(spec: ModelSpec) -> tuple[str, ...]:
    """Return what the row leaves no choice about, in words, such as ``128 × 128 pixels``."""
    rules = spec.parameters
    told = []
    if len(_sizes(spec)) == 1:
        told.append(say("create.fact.size", width=rules.width.default, height=rules.height.default))
    if rules.durations is not None and rules.durations.min == rules.durations.max:
        told.append(say("create.fact.seconds", seconds=rules.durations.default))
    elif rules.num_frames.min == rules.num_frames.max:
        told.append(say("create.fact.frames", frames=rules.num_frames.default))
    if rules.frame_rate.min == rules.frame_rate.max:
        told.append(say("create.fact.rate", rate=f"{rules.frame_rate.default:g}"))
    sound = _sound(spec)
    told += [say("create.fact.sound")] if sound == "always" else []
    return tuple(told)


def length_label(num_frames: int, frame_rate: Fraction | float) -> str:
    """Return a length as it is shown: seconds first, then frames."""
    return say("create.length", seconds=f"{num_frames / float(frame_rate):.3g}", frames=num_frames)


def _field(name: str, kind: Kind, group: Group, **more: object) -> Field:
    """Return a field whose label and help are among the page's words."""
    told = words()
    help_text = more.pop("help", "") or told.get(f"create.help.{name}", "")
    label = told[f"create.label.{name}"]
    return Field(name=name, kind=kind, group=group, label=label, help=str(help_text), **more)  # type: ignore[arg-type]


# -- what the clip shows ----------------------------------------------------------------------------------------------


def _prompts(spec: ModelSpec) -> Iterator[Field]:
    rules = spec.parameters
    if rules.prompt == "unused":
        return
    grammar = " ".join(rules.prompt_grammar.split())
    limit = None if spec.remote is None else spec.remote.prompt_limit
    most = MAX_PROMPT_CHARACTERS if limit is None else min(limit.max, MAX_PROMPT_CHARACTERS)
    hint = say("create.grammar", grammar=grammar) if grammar else ""
    if limit is not None:
        hint = say("create.prompt_limit", most=limit.max, unit=say(f"create.unit.{limit.unit}"))
    is_required = rules.prompt == "required"
    yield _field("prompt", "lines", "prompt", default="", help=hint, max_characters=most, is_required=is_required)
    if rules.negative_prompt:
        yield _field("negative_prompt", "lines", "prompt", default="", max_characters=MAX_PROMPT_CHARACTERS)


def _material(spec: ModelSpec) -> Iterator[Field]:
    roles = {role for task in spec.tasks for role in ROLES_OF_TASK[task]}
    always = set.intersection(*(set(ROLES_OF_TASK[task]) for task in spec.tasks))
    for role in (Role.FIRST_FRAME, Role.LAST_FRAME, Role.REFERENCE, Role.SOURCE_VIDEO):
        if role not in roles:
            continue
        is_required = role in always
        help_text = say("create.needed") if is_required else say(f"create.help.{role.value}")
        if role is Role.REFERENCE:
            most = max(1, spec.remote.max_references) if spec.remote is not None else 1
            text = say("create.up_to", most=most, help=help_text)
            yield _field(role.value, "pictures", "material", help=text, most=most, is_required=is_required)
        else:
            kind: Kind = "video" if role is Role.SOURCE_VIDEO else "picture"
            yield _field(role.value, kind, "material", help=help_text, is_required=is_required)


# -- the clip itself --------------------------------------------------------------------------------------------------


def _size(spec: ModelSpec) -> Iterator[Field]:
    rules = spec.parameters
    sizes = _sizes(spec)
    if len(sizes) == 1:
        return
    if rules.formats or rules.sizes:
        default = rules.width.default, rules.height.default
        follows = say("create.auto_size", width=default[0], height=default[1])
        first = [Choice(value=AUTO, label=follows)] if rules.formats else []
        value = AUTO if rules.formats else _size_value(default)
        yield _field("size", "choice", "clip", default=value, choices=(*first, *sizes))
        return
    custom = Choice(value=CUSTOM, label=say("create.custom_size"))
    value = _size_value((rules.width.default, rules.height.default))
    most = "" if rules.max_pixels is None else say("create.max_pixels", most=rules.max_pixels)
    yield _field("size", "choice", "clip", default=value, choices=(*sizes, custom), help=most)
    for name, rule in (("width", rules.width), ("height", rules.height)):
        yield _field(name, "whole", "clip", default=rule.default, help=rule.describe(), unit=say("create.unit.pixels"),
                     step=rule.step, shown_if=("size", CUSTOM))  # fmt: skip


def _sizes(spec: ModelSpec) -> tuple[Choice, ...]:
    """Return the sizes that are offered: all that there are, or good ones where any within the ranges will do."""
    rules = spec.parameters
    if rules.formats:
        found: dict[str, Choice] = {}
        for item in rules.formats:
            label = f"{item.width} × {item.height} · {item.resolution} · {item.aspect_ratio}"
            value = _size_value((item.width, item.height))
            found.setdefault(value, Choice(value=value, label=label))
        return tuple(found.values())
    sizes: Sequence[tuple[int, int]] = rules.sizes or _shapes(spec)
    return tuple(Choice(value=_size_value(size), label=_size_label(size)) for size in sizes)


def _shapes(spec: ModelSpec) -> list[tuple[int, int]]:
    """Return the default size, the same area in other shapes, and a quarter of it to try things out."""
    rules = spec.parameters
    width, height = rules.width.default, rules.height.default
    shapes: list[tuple[float, float]] = [(width, height), (height, width)]
    shapes += [(math.sqrt(width * height * ratio), math.sqrt(width * height / ratio)) for ratio in _RATIOS]
    shapes.append((width // 2, height // 2))
    fitting = [(rules.width.nearest(int(w))[0], rules.height.nearest(int(h))[0]) for w, h in shapes]
    most = rules.max_pixels or math.inf
    seen: list[tuple[int, int]] = []
    for size, shape in zip(fitting, shapes, strict=True):
        is_meant = _is_near(size, shape, 0.15) and size[0] * size[1] <= most
        if is_meant and not any(_is_near(size, other, 0.1) and size[0] > other[0] * 0.8 for other in seen):
            seen.append(size)
    return seen


def _is_near(one: tuple[float, float], other: tuple[float, float], share: float) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) < share


def _size_value(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _size_label(size: tuple[int, int]) -> str:
    width, height = size
    ratio = width / height
    near = next((r for r in (*_RATIOS, Fraction(3, 2), Fraction(2, 3)) if abs(ratio / float(r) - 1) < 0.06), None)
    shape = say("create.about", ratio=f"{near.numerator}:{near.denominator}") if near is not None else f"{ratio:.2f}:1"
    return f"{width} × {height} · {shape}"


def _time(spec: ModelSpec) -> Iterator[Field]:
    rules = spec.parameters
    if rules.durations is not None:
        if rules.durations.min < rules.durations.max:
            numbers = _numbers(rules.durations)
            choices = tuple(Choice(value=str(n), label=say("create.seconds", seconds=n)) for n in numbers)
            default = str(rules.durations.default)
            yield _field("duration_seconds", "choice", "clip", default=default, choices=choices)
    elif rules.num_frames.min < rules.num_frames.max:
        yield _length(rules.num_frames, rules.frame_rate.default)
    if rules.frame_rates:
        rates = tuple(Choice(value=f"{r:g}", label=say("create.rate", rate=f"{r:g}")) for r in rules.frame_rates)
        yield _field("frame_rate", "choice", "clip", default=f"{rules.frame_rate.default:g}", choices=rates)
    elif rules.frame_rate.min < rules.frame_rate.max:
        yield _field("frame_rate", "text", "clip", default=f"{rules.frame_rate.default:g}", max_characters=20,
                     help=rules.frame_rate.describe(), unit=say("create.unit.rate"))  # fmt: skip


def _length(rule: IntegerRange, rate: float) -> Field:
    numbers = _numbers(rule)
    if len(numbers) > MAX_LENGTHS:
        return _field("num_frames", "whole", "clip", default=rule.default, help=rule.describe(), step=rule.step,
                      unit=say("create.unit.frames"))  # fmt: skip
    choices = tuple(Choice(value=str(n), label=length_label(n, rate)) for n in numbers)
    return _field("num_frames", "choice", "clip", default=str(rule.default), choices=choices, help=rule.describe())


def _numbers(rule: IntegerRange) -> range:
    return range(rule.min, rule.max + 1, rule.step)


def _sampling(spec: ModelSpec) -> Iterator[Field]:
    rules = spec.parameters
    steps, guidance = rules.num_inference_steps, rules.guidance_scale
    if steps is not None and steps.min < steps.max:
        text = say("create.help_rule", help=say("create.help.num_inference_steps"), rule=steps.describe())
        yield _field("num_inference_steps", "whole", "clip", default=steps.default, help=text, step=steps.step)
    if guidance is not None and guidance.min < guidance.max:
        text = say("create.help_rule", help=say("create.help.guidance_scale"), rule=guidance.describe())
        yield _field("guidance_scale", "number", "clip", default=guidance.default, help=text, step=0.1)
    if _sound(spec) == "optional":
        yield _field("generate_audio", "switch", "clip", default=False)
    if rules.seed:
        most = MAX_SEED if spec.remote is None or spec.remote.max_seed is None else spec.remote.max_seed
        rule = "" if most == MAX_SEED else say("create.up_to_number", most=most)
        text = " ".join(filter(None, (say("create.help.seed"), rule)))
        yield _field("seed", "text", "clip", default="", help=text, max_characters=20)


def _sound(spec: ModelSpec) -> str:
    return spec.remote.audio if spec.remote is not None else "optional" if spec.parameters.audio else "none"


# -- the model's own parameters, and how the job is run ---------------------------------------------------------------


def _options(spec: ModelSpec) -> Iterator[Field]:
    sets = read_option_sets()
    shared = {name for key in spec.parameters.option_sets for name in sets.get(key, ())}
    own = [item for item in spec.parameters.options.items() if item[0] not in shared]
    for name, option in own:
        yield _option(name, option, "own")
    for name, option in spec.parameters.options.items():
        if name in shared:
            yield _option(name, option, "how")


def _option(name: str, option: Option, group: Group) -> Field:
    kinds: dict[str, Kind] = {
        "integer": "whole",
        "number": "number",
        "boolean": "switch",
        "choice": "choice",
        "text": "text",
    }
    is_number = option.type in ("integer", "number")
    bounds = say("create.help_rule", help=option.help, rule=option.describe()) if is_number else option.help
    return Field(
        name=f"{OPTION}{name}",
        kind=kinds[option.type],
        group=group,
        label=words().get(f"create.option.{name}", name.replace("_", " ").capitalize()),
        default=option.default,
        help=bounds,
        unit=option.unit,
        choices=tuple(Choice(value=item, label=item) for item in option.choices),
        step=1 if option.type == "integer" else 0.01,
        max_characters=option.max_characters if option.type == "text" else 0,
    )


def _job(spec: ModelSpec) -> Iterator[Field]:
    policies = tuple(
        Choice(value=name, label=say(f"create.policy.{name}")) for name in ("flag", "hold", "refuse", "retry")
    )
    usual = Choice(value=AUTO, label=say("create.as_settings"))
    yield _field("on_fail", "choice", "job", default=AUTO, choices=(usual, *policies))
    yield _field("retries", "whole", "job", default=3, help=f"1 to {MAX_RETRIES}", shown_if=("on_fail", "retry"))
    labels = tuple(Choice(value=name, label=say(f"create.visible.{name}")) for name in ("none", "text", "icon"))
    yield _field("label", "choice", "job", default=AUTO, choices=(usual, *labels))
    yield _field(
        "priority", "whole", "job", default=0, help=say("create.help.priority", least=MIN_PRIORITY, most=MAX_PRIORITY)
    )
    if spec.where == "remote":
        yield _field("max_cost", "text", "job", default="", max_characters=20)
