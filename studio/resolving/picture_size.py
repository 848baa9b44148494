"""From what a request says of the picture, in pixels or by names such as 720p and 16:9, to its width and height."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from studio.catalog.remote import Format
from studio.catalog.schema import IntegerRange, ModelSpec
from studio.errors import UnsupportedValue
from studio.request import GenerationRequest, Task

# 832x480 is called 16:9 although it is not quite.
_NEAR = 0.04


def size_of(
    spec: ModelSpec, request: GenerationRequest, task: Task, shape: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Return width and height in pixels. shape: width and height of the picture that the clip starts from.

    Where a model has formats and nothing was asked for, the one nearest to that picture's shape is taken.
    Raises `UnsupportedValue`.
    """
    wish = _Wish.of(request)
    if spec.parameters.formats:
        chosen = _format(spec, wish, task, shape)
        return chosen.width, chosen.height
    if wish.resolution is None and wish.aspect_ratio is None:
        return _pixels(spec, request)
    return _named(spec, wish)


def format_of(spec: ModelSpec, width: int, height: int, task: Task | None) -> Format | None:
    """Return the row's format with this size, for this task; None where the row has no such."""
    fitting = [item for item in spec.parameters.formats if (item.width, item.height) == (width, height)]
    return next((item for item in fitting if task is None or not item.tasks or task in item.tasks), None)


def names_of(spec: ModelSpec, width: int, height: int, task: Task | None) -> tuple[str, str]:
    """Return resolution and aspect ratio of a size: the row's names, or such as follow from the pixels."""
    found = format_of(spec, width, height, task) or _format_of_size(width, height)
    return found.resolution, found.aspect_ratio


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """What was asked for; None where nothing was."""

    width: int | None
    height: int | None
    resolution: str | None
    aspect_ratio: str | None

    @classmethod
    def of(cls, request: GenerationRequest) -> _Wish:
        return cls(
            width=request.width,
            height=request.height,
            resolution=request.resolution,
            aspect_ratio=request.aspect_ratio,
        )

    @property
    def asked(self) -> dict[str, int | str]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def fits(self, item: Format, *, is_exact: bool = True) -> bool:
        """Say whether a format is what was asked for. is_exact: its ratio must be the one by name."""
        return (
            self.width in (None, item.width)
            and self.height in (None, item.height)
            and (self.resolution is None or _same_name(self.resolution, item.resolution))
            and (self.aspect_ratio is None or _has_ratio(item, self.aspect_ratio, is_exact=is_exact))
        )

    def refusal(self, message: str, allowed: str, fix: str | None = None) -> UnsupportedValue:
        names = list(self.asked)
        is_pixels = set(names) == {"width", "height"}
        got = f"{self.width}x{self.height}" if is_pixels else " ".join(str(value) for value in self.asked.values())
        field = "width x height" if is_pixels else names[0] if len(names) == 1 else " and ".join(names)
        return UnsupportedValue(message, field=field, got=got, allowed=allowed, fix=fix)


def _format(spec: ModelSpec, wish: _Wish, task: Task, shape: tuple[int, int] | None) -> Format:
    formats = [item for item in spec.parameters.formats if not item.tasks or task in item.tasks]
    if not formats:
        raise UnsupportedValue(f"{spec.id} has no format for it", field="task", got=task.value, fix="choose another")
    if not wish.asked:
        return formats[0] if shape is None else _nearest(formats, shape)
    fitting = [item for item in formats if wish.fits(item)]
    if not fitting:
        allowed = ", ".join(f"{item.width}x{item.height} ({_label(item)})" for item in formats)
        raise wish.refusal(f"{spec.id} does not do this", allowed)
    return _most_like(fitting, formats[0])[0]


def _nearest(formats: list[Format], shape: tuple[int, int]) -> Format:
    """Return the format of the default's resolution whose shape is nearest to a picture's."""
    ratio = shape[0] / shape[1]
    same = [item for item in formats if _same_name(item.resolution, formats[0].resolution)]
    return min(same, key=lambda item: abs(math.log(item.width / item.height / ratio)))


def _named(spec: ModelSpec, wish: _Wish) -> tuple[int, int]:
    """Return the one of a row's plain sizes that a resolution and a ratio stand for."""
    rules = spec.parameters
    formats = [_format_of_size(width, height) for width, height in rules.sizes]
    if not formats:
        allowed = f"width: {rules.width.describe()}; height: {rules.height.describe()}"
        raise wish.refusal(f"{spec.id} takes any size and names none", allowed, "give width and height")
    default = _format_of_size(rules.width.default, rules.height.default)
    fitting = _most_like([item for item in formats if wish.fits(item, is_exact=False)], default, is_exact=False)
    if len(fitting) == 1:
        return fitting[0].width, fitting[0].height
    message = "this may be any of several sizes" if fitting else f"{spec.id} does not do this"
    allowed = ", ".join(f"{item.width}x{item.height}" for item in fitting or formats)
    raise wish.refusal(message, allowed, "give width and height")


def _most_like(formats: list[Format], default: Format, *, is_exact: bool = True) -> list[Format]:
    """Return those that have most in common with the default; what was not asked for stays as it is there."""

    def likeness(item: Format) -> tuple[int, int]:
        is_same_ratio = _has_ratio(item, default.aspect_ratio, is_exact=is_exact)
        names = _same_name(item.resolution, default.resolution) + is_same_ratio
        return names, (item.width == default.width) + (item.height == default.height)

    best = max((likeness(item) for item in formats), default=(0, 0))
    return [item for item in formats if likeness(item) == best]


def _format_of_size(width: int, height: int) -> Format:
    ratio = Fraction(width, height)
    return Format.model_construct(
        width=width,
        height=height,
        resolution=f"{min(width, height)}p",
        aspect_ratio=f"{ratio.numerator}:{ratio.denominator}",
    )


def _same_name(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _has_ratio(item: Format, wanted: str, *, is_exact: bool) -> bool:
    ratio, own = _ratio(wanted), _ratio(item.aspect_ratio)
    if ratio is None or own is None:
        return False
    return ratio == own or (not is_exact and abs(Fraction(item.width, item.height) / ratio - 1) < _NEAR)


def _ratio(text: str) -> Fraction | None:
    width, colon, height = (part.strip() for part in text.partition(":"))
    if not (colon and all(part.isascii() and part.isdigit() and len(part) < 6 for part in (width, height))):
        return None
    return Fraction(int(width), int(height)) if int(width) and int(height) else None


def _label(item: Format) -> str:
    return f"{item.resolution} {item.aspect_ratio}"


def _pixels(spec: ModelSpec, request: GenerationRequest) -> tuple[int, int]:
    rules = spec.parameters
    width = _side(spec, "width", rules.width, request.width)
    height = _side(spec, "height", rules.height, request.height)
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


def _side(spec: ModelSpec, field: str, rule: IntegerRange, value: int | None) -> int:
    if value is None:
        return rule.default
    if not rule.allows(value):
        raise not_in_range(spec, field, rule, value)
    return value


def not_in_range(spec: ModelSpec, field: str, rule: IntegerRange, value: int) -> UnsupportedValue:
    """Return the error for a whole number that a row does not allow, naming the nearest that it does."""
    nearest = " or ".join(str(number) for number in rule.nearest(value))
    return UnsupportedValue(
        f"{spec.id} does not do this", field=field, got=value, allowed=f"{rule.describe()}; nearest: {nearest}"
    )
