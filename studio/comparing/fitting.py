"""Fits a request to a model that was not asked for it alone: the nearest that its row allows, and nothing it lacks.

What becomes of a request is never told from here: `studio.comparing.differences` compares what was asked for with what
will be made, so that nothing can be changed and not be said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from studio.catalog.schema import IntegerRange, ModelSpec
from studio.errors import UnsupportedValue
from studio.generator import Generator
from studio.request import GenerationRequest, ResolvedRequest, Role, Task
from studio.resolving.clip_length import frame_rate_of, num_frames_of
from studio.resolving.material import task_of_roles
from studio.resolving.picture_size import size_of
from studio.resolving.remarks import Remarks

_SIZE_FIELDS = ("width", "height", "resolution", "aspect_ratio")
_LENGTH_FIELDS = ("num_frames", "duration_seconds")
_PLAIN_FIELDS = ("frame_rate", "num_inference_steps", "guidance_scale", "generate_audio")
_MOST_ROUNDS = 12
# A picture of another shape is another picture; one of another size is the same one, sharper or not.
_SHAPE_WEIGHT = 3.0
_RATIO = re.compile(r"\s*(\d{1,5})\s*:\s*(\d{1,5})\s*", re.ASCII)
_LINES = re.compile(r"\s*(\d{2,5})p?\s*", re.ASCII)
_KILOS = {"2k": 1440, "4k": 2160}


def resolve_fitted(generator: Generator, request: GenerationRequest) -> ResolvedRequest:
    """Return what this model makes of a request: the nearest it allows, without what it lacks.

    Raises any `RequestError` where it cannot be made at all: the model does not take the picture, or needs one, or the
    prompt is too long, or a file cannot be read.
    """
    request = fitted(generator.spec, request)
    for _ in range(_MOST_ROUNDS):
        try:
            return generator.resolve(request)
        except UnsupportedValue as error:
            without = _without(request, error.field or "")
            if without == request:
                raise
            request = without
    return generator.resolve(request)


def fitted(spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
    """Return a request whose figures the row allows, as far as the row tells."""
    steps: tuple[Callable[[ModelSpec, GenerationRequest], GenerationRequest], ...] = (
        _fit_ends, _fit_prompt, _fit_size, _fit_rate, _fit_length, _fit_steps, _fit_guidance, _fit_seed,
    )  # fmt: skip
    for step in steps:
        request = step(spec, request)
    return replace(request, on_unsupported="drop")


def wanted_size(spec: ModelSpec, request: GenerationRequest) -> tuple[float, float]:
    """Return width and height in pixels that a request comes nearest to asking for; what it leaves open is the row's.

    A resolution such as 720p is the shorter side.
    """
    rules = spec.parameters
    default = (float(rules.width.default), float(rules.height.default))
    if request.width is not None or request.height is not None:
        return float(request.width or default[0]), float(request.height or default[1])
    ratio = ratio_of(request.aspect_ratio) or default[0] / default[1]
    side = lines_of(request.resolution) or min(default)
    return (side * ratio, side) if ratio >= 1 else (side, side / ratio)


def ratio_of(text: str | None) -> float | None:
    """Return width by height of a name such as ``16:9``, None where it is no such."""
    found = _RATIO.fullmatch(text or "")
    return int(found[1]) / int(found[2]) if found and int(found[1]) and int(found[2]) else None


def lines_of(text: str | None) -> float | None:
    """Return the shorter side of a resolution such as ``720p`` or ``4k`` in pixels, None where it is no such."""
    found = _LINES.fullmatch(text or "")
    lines = int(found[1]) if found else _KILOS.get((text or "").strip().lower(), 0)
    return float(lines) if lines else None


def _fit_ends(spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
    """Leave out a last frame where the model starts from a picture and cannot end with one."""
    roles = {item.role for item in request.conditionings}
    both_ends = {Role.FIRST_FRAME, Role.LAST_FRAME}
    if not both_ends <= roles or Task.FIRST_LAST_FRAME_TO_VIDEO in spec.tasks or Task.IMAGE_TO_VIDEO not in spec.tasks:
        return request
    kept = tuple(item for item in request.conditionings if item.role is not Role.LAST_FRAME)
    return replace(request, conditionings=kept, task=None)


def _fit_prompt(spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
    return replace(request, prompt="") if spec.parameters.prompt == "unused" else request


def _fit_size(spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
    if all(getattr(request, name) is None for name in _SIZE_FIELDS):
        return request
    task = request.task or task_of_roles({item.role for item in request.conditionings})
    try:
        size_of(spec, request, task)
    except UnsupportedValue:
        wanted = wanted_size(spec, request)
        width, height = min(_sizes(spec, task, wanted), key=lambda size: _farness(size, wanted), default=(None, None))
        return replace(request, width=width, height=height, resolution=None, aspect_ratio=None)
    return request


def _sizes(spec: ModelSpec, task: Task, wanted: tuple[float, float]) -> Iterable[tuple[int, int]]:
    """Return the sizes that a row allows, or those near what is wanted where it allows any within bounds."""
    rules = spec.parameters
    if rules.formats:
        return [(item.width, item.height) for item in rules.formats if not item.tasks or task in item.tasks]
    if rules.sizes:
        return rules.sizes
    most = rules.max_pixels or math.inf
    scale = min(1.0, math.sqrt(most / (wanted[0] * wanted[1])))
    widths, heights = _near(rules.width, wanted[0] * scale), _near(rules.height, wanted[1] * scale)
    return [(width, height) for width in widths for height in heights if width * height <= most]


def _near(rule: IntegerRange, value: float) -> list[int]:
    """Return allowed numbers around a value, some of them smaller: both sides may have to give way to a bound."""
    nearest = rule.nearest(round(value))
    smaller = [nearest[0] - rule.step * number for number in (1, 2)]
    return [*nearest, *(number for number in smaller if rule.allows(number))]


def _farness(size: tuple[int, int], wanted: tuple[float, float]) -> float:
    shape = abs(math.log(size[0] / size[1] * wanted[1] / wanted[0]))
    area = abs(math.log(size[0] * size[1] / (wanted[0] * wanted[1])))
    return _SHAPE_WEIGHT * shape + area


def _fit_rate(spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
    wanted = request.frame_rate
    if wanted is None:
        return request
    try:
        frame_rate_of(spec, wanted, Remarks())
    except UnsupportedValue:
        rules = spec.parameters
        rates = [Fraction(str(rate)) for rate in rules.frame_rates]
        low, high = Fraction(str(rules.frame_rate.min)), Fraction(str(rules.frame_rate.max))
        nearest = min(rates, key=lambda rate: abs(rate - wanted)) if rates else min(max(wanted, low), high)
        return replace(request, frame_rate=nearest)
    return request


def _fit_length(spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
    if request.num_frames is None and request.duration_seconds is None:
        return request
    try:
        rate = frame_rate_of(spec, request.frame_rate, Remarks(is_dropping=True))
        num_frames_of(spec, request, rate, Remarks())
    except UnsupportedValue:
        return _nearest_length(spec, request)
    return request


def _nearest_length(spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
    """Return a request for the nearest length that the row allows. Where seconds and frames disagree, seconds count."""
    rules = spec.parameters
    rate = request.frame_rate or Fraction(str(rules.frame_rate.default))
    seconds = None if request.duration_seconds is None else Fraction(str(request.duration_seconds))
    frames = Fraction(request.num_frames or 0) if seconds is None else seconds * rate
    if rules.durations is None:
        return replace(request, num_frames=_nearest(rules.num_frames, frames), duration_seconds=None)
    whole = _nearest(rules.durations, frames / rate if seconds is None else seconds)
    return replace(request, num_frames=None, duration_seconds=Fraction(whole))


def _nearest(rule: IntegerRange, value: Fraction) -> int:
    found = {*rule.nearest(math.floor(value)), *rule.nearest(math.ceil(value))}
    return min(sorted(found, reverse=True), key=lambda number: abs(number - value))


def _fit_steps(spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
    rule, value = spec.parameters.num_inference_steps, request.num_inference_steps
    if rule is None or value is None or rule.allows(value):
        return request
    return replace(request, num_inference_steps=_nearest(rule, Fraction(value)))


def _fit_guidance(spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
    rule, value = spec.parameters.guidance_scale, request.guidance_scale
    if rule is None or value is None or rule.allows(value):
        return request
    return replace(request, guidance_scale=min(max(value, rule.min), rule.max))


def _fit_seed(spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
    most = None if spec.remote is None else spec.remote.max_seed
    if most is None or request.seed is None or request.seed <= most:
        return request
    return replace(request, seed=request.seed % (most + 1))


def _without(request: GenerationRequest, field: str) -> GenerationRequest:
    """Return a request without what an error names, where a model can do without it; else the same request."""
    names = {word for word in re.split(r"\W+", field) if word}
    if field.startswith("option "):
        name = field.removeprefix("option ")
        return replace(request, options={key: value for key, value in request.options.items() if key != name})
    if names & set(_SIZE_FIELDS):
        return replace(request, width=None, height=None, resolution=None, aspect_ratio=None)
    if names & set(_LENGTH_FIELDS):
        return replace(request, num_frames=None, duration_seconds=None)
    plain: dict[str, Any] = dict.fromkeys(name for name in _PLAIN_FIELDS if name in names)
    return replace(request, **plain)
