"""From what a client asks for to a request of the studio; nothing is rounded or corrected on the way."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from studio.batch.fields import read_rate
from studio.catalog.schema import ModelSpec
from studio.consistency.policy import Policy
from studio.errors import StudioError, UnreadableMedia, UnsupportedValue
from studio.jobs.job import JobWish
from studio.request import Conditioning, GenerationRequest, Role
from studio.spending.money import Money
from ui.api.asks import ImageReference, JobChanges, Options, VideoRequest
from ui.api.bodies import refusal_of_errors
from ui.api.lora_names import require_names
from ui.api.uploads import Form

PICTURES = {"input_reference": Role.FIRST_FRAME, "last_frame": Role.LAST_FRAME}
# Parts of a form. Of the second kind there may be several.
FILES = {**PICTURES, "source_video": Role.SOURCE_VIDEO}
LISTS = {"references": Role.REFERENCE}
_SAME = (
    "prompt", "negative_prompt", "seed", "resolution", "aspect_ratio", "num_inference_steps", "guidance_scale",
    "generate_audio", "on_unsupported",
)  # fmt: skip
_OPTIONS: TypeAdapter[dict[str, Any]] = TypeAdapter(Options)
# Seconds are written with three decimals; what was rounded for that is still meant.
_HALF_STEP = Fraction(1, 2000)


def video_request_of_form(form: Form) -> VideoRequest:
    """Return the request that the fields of a form describe. Raises a `Refusal`."""
    fields = dict(form.fields)
    options = fields.pop("options", None)
    try:
        request = VideoRequest.model_validate_strings(fields)
        if options is None:
            return request
        return request.model_copy(update={"options": _OPTIONS.validate_json(options, strict=True)})
    except ValidationError as error:
        raise refusal_of_errors(error.errors(include_url=False)) from None


def generation_request(
    asked: VideoRequest, spec: ModelSpec, pictures: Mapping[str, Path], folder: Path
) -> GenerationRequest:
    """Return what the studio is to make. pictures: uploaded files by the name of their part. folder: for others.

    Raises a `RequestError` that names what is wrong.
    """
    require_names(asked.options)
    width, height = _size(asked)
    rate = _rate(asked)
    has_whole_seconds = spec.parameters.durations is not None
    return GenerationRequest(
        model=spec.id,
        task=asked.task,
        width=width,
        height=height,
        num_frames=asked.num_frames if has_whole_seconds else _num_frames(asked, spec, rate),
        duration_seconds=_duration(asked, is_exact=has_whole_seconds),
        frame_rate=rate,
        conditionings=_conditionings(asked, pictures, folder),
        options=asked.options,
        **{name: getattr(asked, name) for name in _SAME},
    )


def wish_of(asked: VideoRequest, client_key: str | None) -> JobWish:
    """Return how the job is to be run."""
    policy = None if asked.on_fail is None else Policy.parse(asked.on_fail)
    most = None if asked.max_cost is None else Money.parse(asked.max_cost)
    return JobWish(priority=asked.priority, client_key=client_key, on_fail=policy, label=asked.label, max_cost=most)


def changes_of(asked: JobChanges) -> dict[str, Any]:
    """Return the fields of a request that are to be different; one that is null goes back to the model's default.

    Raises a `RequestError` that names what is wrong.
    """
    changes = {name: getattr(asked, name) for name in JobChanges.model_fields if name in asked.model_fields_set}
    for name, empty in (("prompt", ""), ("negative_prompt", ""), ("options", {})):
        if name in changes and changes[name] is None:
            changes[name] = empty
    require_names(changes.get("options", {}))
    if changes.get("frame_rate") is not None:
        changes["frame_rate"] = _fraction("frame_rate", changes["frame_rate"])
    return changes


def fingerprint_source(asked: VideoRequest, digests: Mapping[str, str], *, is_form: bool) -> bytes:
    """Return bytes that are the same for the same request. digests: of its files, by the name of their part."""
    data = asked.model_dump(mode="json", exclude_unset=True) | {"files": dict(digests), "is_form": is_form}
    return json.dumps(data, sort_keys=True).encode()


def seconds_text(num_frames: int, rate: Fraction, spec: ModelSpec | None = None) -> str:
    """Return a clip's length as `seconds` understands it: whole, where it is so with or without the last frame."""
    rule = None if spec is None else spec.parameters.num_frames
    length, without_last = Fraction(num_frames) / rate, Fraction(num_frames - 1) / rate
    is_whole_without = length.denominator != 1 and without_last.denominator == 1 and without_last > 0
    if is_whole_without and rule is not None and not rule.allows(num_frames - 1):
        length = without_last
    return f"{float(length):.3f}".rstrip("0").rstrip(".")


def _size(asked: VideoRequest) -> tuple[int | None, int | None]:
    if asked.size is None:
        return asked.width, asked.height
    width, height = (int(part) for part in asked.size.split("x"))
    if asked.width not in (None, width) or asked.height not in (None, height):
        got = f"{asked.size} and {asked.width or '?'}x{asked.height or '?'}"
        raise UnsupportedValue("two sizes are asked for", field="size", got=got, fix="leave one out")
    return width, height


def _rate(asked: VideoRequest) -> Fraction | None:
    rates = {
        name: _fraction(name, value) for name in ("frame_rate", "fps") if (value := getattr(asked, name)) is not None
    }
    if len(set(rates.values())) > 1:
        raise UnsupportedValue("two frame rates are asked for", field="fps", got=asked.fps, fix="leave one out")
    return next(iter(rates.values()), None)


def _fraction(name: str, value: float | str) -> Fraction:
    try:
        return read_rate(value)
    except StudioError as error:
        raise UnsupportedValue(error.message, field=name, got=value, allowed=error.allowed) from None


def _duration(asked: VideoRequest, *, is_exact: bool) -> Fraction | None:
    """Return the length in seconds. is_exact: `seconds` are such, and stand for no number of frames."""
    given = {"duration_seconds": asked.duration_seconds, "seconds": asked.seconds if is_exact else None}
    found = {name: Fraction(str(value)) for name, value in given.items() if value is not None}
    if len(set(found.values())) > 1:
        got = f"{asked.seconds} and {asked.duration_seconds}"
        raise UnsupportedValue("two lengths are asked for", field="seconds", got=got, fix="leave one out")
    return next(iter(found.values()), None)


def _num_frames(asked: VideoRequest, spec: ModelSpec, rate: Fraction | None) -> int | None:
    if asked.seconds is None:
        return asked.num_frames
    rate = rate or Fraction(str(spec.parameters.frame_rate.default))
    seconds = Fraction(str(asked.seconds))
    rule = spec.parameters.num_frames
    exact = round(seconds * rate)
    if abs(Fraction(exact) / rate - seconds) <= _HALF_STEP:
        for number in (exact, exact + 1):
            if rule.allows(number) and asked.num_frames in (None, number):
                return number
    if asked.num_frames is not None:
        got = f"{asked.seconds} s and {asked.num_frames} frames"
        raise UnsupportedValue("these are two different lengths", field="seconds", got=got, fix="leave one out")
    near = " or ".join(f"{seconds_text(number, rate, spec)} ({number} frames)" for number in rule.nearest(exact))
    raise UnsupportedValue(
        f"{spec.id} does not do this length",
        field="seconds",
        got=asked.seconds,
        allowed=f"{rule.describe()} frames at {rate} per second; nearest: {near}",
        fix="or give num_frames instead",
    )


def _conditionings(asked: VideoRequest, pictures: Mapping[str, Path], folder: Path) -> tuple[Conditioning, ...]:
    written = {
        name: _written(name, reference, folder) for name in PICTURES if (reference := getattr(asked, name)) is not None
    }
    written |= {f"references.{n}": _written("references", item, folder, n) for n, item in enumerate(asked.references)}
    found = []
    for name, path in {**written, **pictures}.items():
        role = FILES.get(name) or LISTS[name.partition(".")[0]]
        found.append(Conditioning(role=role, path=path))
    return tuple(found)


def _written(name: str, reference: ImageReference, folder: Path, number: int = 0) -> Path:
    try:
        content = base64.b64decode(reference.image_url.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableMedia("this is not base64", field=name, allowed="data:image/png;base64,...") from None
    path = folder / f"{name}-{number}.image"
    path.write_bytes(content)
    return path
