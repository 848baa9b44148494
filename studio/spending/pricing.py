"""What a clip costs by a provider's list prices, as the model's row has them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Literal

from studio.catalog.remote import PriceRule, Surcharge
from studio.catalog.schema import ModelSpec
from studio.generator import Cost
from studio.request import OptionValue, ResolvedRequest, Role
from studio.resolving.clip_length import seconds_of
from studio.resolving.picture_size import names_of


def price_of(spec: ModelSpec, resolved: ResolvedRequest) -> Cost | None:
    """Return what a clip costs: the first rule that fits and what options and references add, at least the minimum.

    None where the row has no prices, or none for such a clip.
    """
    prices = None if spec.remote is None else spec.remote.prices
    if prices is None:
        return None
    seconds = seconds_of(spec, resolved.num_frames, resolved.frame_rate)
    resolution, _ = names_of(spec, resolved.width, resolved.height, resolved.task)
    rule = next((item for item in prices.rules if _fits(item, resolved, resolution, seconds)), None)
    if rule is None:
        return None
    amount = _amount(rule.amount, rule.per, seconds)
    amount += sum(_added(item, resolved, seconds) for item in prices.surcharges)
    return Cost(amount=round(float(max(amount, _exact(prices.minimum))), 6), currency=prices.currency)


def price_basis(spec: ModelSpec) -> str:
    """Return in one clause where `price_of` has its figures."""
    prices = None if spec.remote is None else spec.remote.prices
    if prices is None:
        return f"no list price of {spec.id} is known"
    return f"list price of {prices.as_of.isoformat()}, {prices.evidence}"


def _fits(rule: PriceRule, resolved: ResolvedRequest, resolution: str, seconds: Fraction) -> bool:
    return (
        (not rule.tasks or resolved.task in rule.tasks)
        and (not rule.resolutions or resolution.casefold() in {name.casefold() for name in rule.resolutions})
        and (not rule.seconds or any(_exact(item) == seconds for item in rule.seconds))
        and rule.with_audio in (None, resolved.generate_audio)
    )


def _added(item: Surcharge, resolved: ResolvedRequest, seconds: Fraction) -> Fraction:
    if item.per == "reference":
        references = sum(given.role is Role.REFERENCE for given in resolved.conditionings)
        return _exact(item.amount) * max(references - item.free, 0)
    value = resolved.options.get(item.option)
    is_asked = value is not None and _text(value) == item.value
    return _amount(item.amount, item.per, seconds) if is_asked else Fraction(0)


def _text(value: OptionValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _amount(amount: float, per: Literal["second", "clip"], seconds: Fraction) -> Fraction:
    return _exact(amount) * (seconds if per == "second" else 1)


def _exact(number: float) -> Fraction:
    """Return a number as it is written in the row: ten times 0.1 is 1."""
    return Fraction(Decimal(str(number)))
