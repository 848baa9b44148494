"""The price of a clip follows from the row's list, the first rule that fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from studio.catalog.remote import Surcharge
from studio.generator import Cost
from studio.request import Conditioning, Role
from studio.spending.pricing import price_basis, price_of
from tests.studio.resolving.rows import local_row, remote_row, resolved

FREE_OF_RULES: dict[str, Any] = {"currency": "USD", "as_of": "2026-11-20", "evidence": "cloud.example/prices"}
LIST = FREE_OF_RULES | {
    "minimum": 0.5,
    "rules": [
        {"amount": 3.0, "per": "clip", "resolutions": ["1080p"], "seconds": [8]},
        {"amount": 0.2, "resolutions": ["1080P"], "with_audio": True},
        {"amount": 0.3, "tasks": ["text-to-video"], "with_audio": False},
    ],
    "surcharges": [
        {"option": "master", "value": "true", "amount": 0.05},
        {"option": "speed", "value": "2", "amount": 1.0, "per": "clip"},
    ],
}
OPTIONS = {
    "master": {"type": "boolean", "default": False, "help": "nothing"},
    "speed": {"type": "number", "default": 1.0, "help": "nothing"},
}


def price(prices: dict[str, Any] = LIST, **fields: Any) -> Cost | None:
    spec = remote_row({"options": OPTIONS}, audio="optional", prices=prices)
    return price_of(spec, resolved(spec, **fields))


@pytest.mark.parametrize(
    ("fields", "amount"),
    [
        ({}, 1.8),
        ({"duration_seconds": 4}, 1.2),
        ({"resolution": "1080p", "duration_seconds": 8}, 3.0),
        ({"resolution": "1080p", "generate_audio": True}, 1.2),
        ({"options": {"master": True}}, 2.1),
        ({"options": {"speed": "2"}}, 2.8),
        ({"options": {"speed": "2", "master": "true"}}, 3.1),
    ],
    ids=str,
)
def test_the_first_rule_that_fits_counts(fields: dict[str, Any], amount: float) -> None:
    assert price(**fields) == Cost(amount=amount, currency="USD")


@pytest.mark.parametrize(("number", "amount"), [(1, 1.2), (2, 1.2), (3, 1.25), (4, 1.3)])
def test_references_beyond_those_that_are_free_cost_more(tmp_path: Path, number: int, amount: float) -> None:
    extra = {"per": "reference", "free": 2, "amount": 0.05}
    prices = FREE_OF_RULES | {"rules": [{"amount": 0.2}], "surcharges": [extra]}
    spec = remote_row(prices=prices)
    picture = Conditioning(role=Role.REFERENCE, path=tmp_path / "any.png")
    clip = replace(resolved(spec), conditionings=(picture,) * number)
    assert price_of(spec, clip) == Cost(amount=amount, currency="USD")


@pytest.mark.parametrize(
    "extra",
    [{"amount": 1}, {"amount": 1, "per": "reference", "option": "x"}, {"amount": 1, "option": "x", "free": 2}],
    ids=["of nothing", "of both", "free options"],
)
def test_a_surcharge_says_what_costs(extra: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"surcharge|free"):
        Surcharge.model_validate(extra)


def test_nothing_costs_less_than_the_minimum() -> None:
    cheap = LIST | {"rules": [{"amount": 0.01}]}
    assert price(cheap) == Cost(amount=0.5, currency="USD")


def test_a_clip_without_a_rule_has_no_price() -> None:
    assert price(generate_audio=True) is None


def test_a_row_without_prices_has_none() -> None:
    for spec in (local_row(), remote_row()):
        assert price_of(spec, resolved(spec)) is None
        assert price_basis(spec) == f"no list price of {spec.id} is known"


def test_tenths_add_up_exactly() -> None:
    tenth = FREE_OF_RULES | {"rules": [{"amount": 0.1}]}
    assert price(tenth) == Cost(amount=0.6, currency="USD")


def test_it_is_said_when_and_where_the_price_was_read() -> None:
    assert price_basis(remote_row(prices=LIST)) == "list price of 2026-11-20, cloud.example/prices"
