"""From what a request says of a clip's length, in frames or in seconds, to its frames and their rate."""

from __future__ import annotations

import math
from fractions import Fraction

from studio.catalog.schema import IntegerRange, ModelSpec
from studio.errors import UnsupportedValue
from studio.request import GenerationRequest
from studio.resolving.picture_size import not_in_range
from studio.resolving.remarks import Remarks

MAX_RATE_DENOMINATOR = 1001
MAX_SECONDS = 86_400
_FEW = 5
# 23.976 in a row means 24000/1001 as well.
_SAME_RATE = Fraction(1, 1000)


def frame_rate_of(spec: ModelSpec, wanted: Fraction | None, remarks: Remarks) -> Fraction:
    """Return the frames per second. Raises `UnsupportedValue`, unless what the model lacks is left out."""
    rules = spec.parameters
    default = Fraction(str(rules.frame_rate.default))
    if wanted is None:
        return default
    rates = [Fraction(str(rate)) for rate in rules.frame_rates]
    is_allowed = (
        any(abs(wanted - rate) < _SAME_RATE for rate in rates) if rates else rules.frame_rate.allows(float(wanted))
    )
    if not is_allowed:
        words = ", ".join(f"{rate:g}" for rate in rules.frame_rates) or f"{rules.frame_rate.describe()}, in"
        remarks.lacking(
            UnsupportedValue(
                f"{spec.id} does not do this", field="frame_rate", got=wanted, allowed=f"{words} frames per second"
            )
        )
        return default
    if wanted.denominator > MAX_RATE_DENOMINATOR:
        raise UnsupportedValue(
            "finer than any video format counts",
            field="frame_rate",
            got=float(wanted),
            allowed=f"a fraction with a denominator up to {MAX_RATE_DENOMINATOR}, such as 24000/1001",
        )
    return wanted


def num_frames_of(spec: ModelSpec, request: GenerationRequest, rate: Fraction, remarks: Remarks) -> int:
    """Return the number of frames. rate: frames per second.

    Raises `UnsupportedValue` where the model makes no such clip, or where frames and seconds disagree.
    """
    seconds = _duration(request)
    rule = spec.parameters.durations
    if seconds is None:
        return _by_frames(spec, rule, request.num_frames, rate)
    found = _local_frames(spec, seconds, rate) if rule is None else _whole_seconds(spec, rule, seconds, rate)
    if request.num_frames not in (None, found):
        raise UnsupportedValue(
            "seconds and frames are two different lengths",
            field="duration_seconds",
            got=f"{_number(seconds)} s and {request.num_frames} frames",
            allowed=f"{found} frames at {_number(rate)} frames per second",
            fix="leave one out",
        )
    if rule is None and found != seconds * rate:
        asked = f"{_number(seconds)} s at {_number(rate)} frames per second is {_number(seconds * rate)} frames"
        remarks.add(f"duration_seconds: {asked}; this model makes {found}")
    return found


def seconds_of(spec: ModelSpec, num_frames: int, frame_rate: Fraction) -> Fraction:
    """Return how long a clip lasts: the whole seconds that a provider is asked for, where the row counts in such."""
    rule = spec.parameters.durations
    whole = None if rule is None else _seconds_of_frames(rule, num_frames, frame_rate)
    return Fraction(num_frames) / frame_rate if whole is None else Fraction(whole)


def _duration(request: GenerationRequest) -> Fraction | None:
    value = request.duration_seconds
    if value is None:
        return None
    if not 0 < value <= MAX_SECONDS:  # not a number never is
        allowed = f"seconds, more than 0 and up to {MAX_SECONDS}"
        raise UnsupportedValue("this is no length of a clip", field="duration_seconds", got=value, allowed=allowed)
    return Fraction(str(value))


def _by_frames(spec: ModelSpec, rule: IntegerRange | None, wanted: int | None, rate: Fraction) -> int:
    frames = spec.parameters.num_frames
    if rule is None:
        if wanted is not None and not frames.allows(wanted):
            raise not_in_range(spec, "num_frames", frames, wanted)
        return frames.default if wanted is None else wanted
    if wanted is None:
        return round(rule.default * rate)
    if _seconds_of_frames(rule, wanted, rate) is None:
        near = _near(rule, Fraction(wanted) / rate)
        nearest = " or ".join(f"{round(number * rate)} ({number} s)" for number in near)
        raise UnsupportedValue(
            f"{spec.id} makes whole seconds",
            field="num_frames",
            got=wanted,
            allowed=f"{_in_words(rule)} at {_number(rate)} frames per second; nearest: {nearest}",
        )
    return wanted


def _whole_seconds(spec: ModelSpec, rule: IntegerRange, seconds: Fraction, rate: Fraction) -> int:
    if seconds.denominator != 1 or not rule.allows(int(seconds)):
        nearest = " or ".join(str(number) for number in _near(rule, seconds))
        raise UnsupportedValue(
            f"{spec.id} does not do this",
            field="duration_seconds",
            got=_number(seconds),
            allowed=f"{_in_words(rule)}; nearest: {nearest}",
        )
    return round(seconds * rate)


def _local_frames(spec: ModelSpec, seconds: Fraction, rate: Fraction) -> int:
    """Return the allowed number of frames nearest to a length, which may lie a step beyond the ends, no more."""
    rule, wanted = spec.parameters.num_frames, seconds * rate
    if not rule.min - rule.step <= wanted <= rule.max + rule.step:
        ends = f"{_number(rule.min / rate)} to {_number(rule.max / rate)} seconds"
        raise UnsupportedValue(
            f"{spec.id} does not do this",
            field="duration_seconds",
            got=_number(seconds),
            allowed=f"{ends} at {_number(rate)} frames per second",
        )
    return min(_near(rule, wanted), key=lambda number: (abs(number - wanted), -number))


def _seconds_of_frames(rule: IntegerRange, num_frames: int, rate: Fraction) -> int | None:
    """Return the allowed seconds that make so many frames, None where none do."""
    seconds = round(num_frames / rate)
    return seconds if rule.allows(seconds) and round(seconds * rate) == num_frames else None


def _near(rule: IntegerRange, value: Fraction) -> list[int]:
    """Return the allowed numbers next to a value, on either side: one where it is one of them, or lies beyond."""
    found = {*rule.nearest(math.floor(value)), *rule.nearest(math.ceil(value))}
    below, above = [n for n in found if n <= value], [n for n in found if n >= value]
    return sorted({*([max(below)] if below else []), *([min(above)] if above else [])})


def _in_words(rule: IntegerRange) -> str:
    """Return the seconds of a row, one by one where they are few."""
    numbers = [str(number) for number in range(rule.min, rule.max + 1, rule.step)]
    if len(numbers) > _FEW:
        return f"{rule.describe()}, in seconds"
    return f"{' or '.join([', '.join(numbers[:-1]), numbers[-1]] if numbers[1:] else numbers)} seconds"


def _number(value: Fraction | float) -> str:
    return f"{float(value):.6g}"
