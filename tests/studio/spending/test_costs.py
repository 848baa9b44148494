"""What the ledger adds up to, and from when on a machine of one's own costs less than a provider."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from studio.app import Studio
from studio.config import Settings
from studio.errors import EnvironmentFault, UnknownModel, UnsupportedValue
from studio.library.tables import LedgerRow
from studio.spending.break_even import BreakEven, break_even
from studio.spending.money import Money
from studio.spending.report import Group, OrderLine, cost_report
from tests.fakes import write_scripted_row, write_scripted_rows

NOW = datetime.now(UTC)
# A minute of output takes an hour of work: at 500 W and 1 USD per kWh that is half a dollar.
OWN = {
    "STUDIO_POWER_WATTS": "500",
    "STUDIO_ELECTRICITY_PRICE": "1 USD",
    "STUDIO_HARDWARE_PRICE": "6000 USD",
    "STUDIO_HARDWARE_MONTHS": "24",
}


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    catalog = write_scripted_rows(settings.home / "catalog")
    write_scripted_row(catalog, "priced", "price = 0.45")
    write_scripted_row(catalog, "unpriced", 'price = "unknown"')
    studio = Studio(settings)
    yield studio
    studio.store.close()


def order(studio: Studio, amount: float | None = None, seconds: float | None = None, **fields: Any) -> None:
    """Enter an order at a provider."""
    currency = None if amount is None else "USD"
    with studio.store.transaction() as session:
        session.add(LedgerRow(**{
            "pool": "remote", "provider": "acme", "model": "acme-1", "task": "text-to-video", "state": "charged",
            "ordered_at": NOW, "amount": amount, "currency": currency, "clip_seconds": seconds, **fields,
        }))  # fmt: skip


def work(studio: Studio, work_seconds: float, seconds: float | None, **fields: Any) -> None:
    """Enter a piece of work of this machine."""
    own = {"pool": "local", "provider": "local", "model": "own", "state": "free"}
    order(studio, None, seconds, work_seconds=work_seconds, **{**own, **fields})


def lines(studio: Studio, by: Group = "provider", **span: Any) -> tuple[OrderLine, ...]:
    return cost_report(studio.store, studio.settings, by, **span).orders


def with_own_machine(monkeypatch: pytest.MonkeyPatch, **others: str) -> Settings:
    for name, value in {**OWN, **others}.items():
        monkeypatch.setenv(name, value)
    return Settings.read()


def compared(studio: Studio, settings: Settings, *models: str) -> BreakEven:
    (result,) = break_even(studio.store, settings, studio.registry, models)
    return result


def test_what_is_charged_and_what_is_not_settled_stand_apart(studio: Studio) -> None:
    order(studio, 3.0, 60.0)
    order(studio, 1.0, None, state="unknown")
    order(studio, 0.5, None, state="open")
    order(studio, 0.0, None, state="free")
    (line,) = lines(studio)
    assert (line.key, line.currency, line.orders, line.clip_seconds) == ("acme", "USD", 4, 60.0)
    assert (line.charged, line.unsettled) == (3.0, 1.5)
    assert line.per_minute == pytest.approx(4.0)  # what may have been paid for nothing is part of the price


def test_currencies_are_never_added_up(studio: Studio) -> None:
    order(studio, 3.0, 60.0)
    order(studio, 2.0, 60.0, currency="EUR")
    order(studio, None, 60.0)
    found = {line.currency: (line.charged, line.per_minute) for line in lines(studio)}
    assert found == {"USD": (3.0, 3.0), "EUR": (2.0, 2.0), None: (0.0, None)}


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("provider", ["acme", "other"]),
        ("model", ["a", "b", "c"]),
        ("month", ["2026-01", "2026-02"]),
        ("day", ["2026-01-30", "2026-01-31", "2026-02-01"]),
    ],
)
def test_orders_are_told_by(studio: Studio, by: Group, keys: list[str]) -> None:
    order(studio, 1.0, model="a", ordered_at=datetime(2026, 1, 30, tzinfo=UTC))
    order(studio, 1.0, model="b", ordered_at=datetime(2026, 1, 31, 23, 59, tzinfo=UTC))
    order(studio, 1.0, model="c", provider="other", ordered_at=datetime(2026, 2, 1, tzinfo=UTC))
    assert [line.key for line in lines(studio, by)] == keys


def test_the_first_and_the_last_day_belong_to_the_time_that_is_asked_for(studio: Studio) -> None:
    for day in (30, 31):
        order(studio, 1.0, ordered_at=datetime(2026, 1, day, 12, tzinfo=UTC))
    day = date(2026, 1, 31)
    assert [line.orders for line in lines(studio, since=day, until=day)] == [1]
    assert [line.orders for line in lines(studio, until=day)] == [2]
    assert [line.orders for line in lines(studio, since=day)] == [1]
    with pytest.raises(UnsupportedValue, match="before the beginning"):
        lines(studio, since=day, until=date(2026, 1, 30))


def test_work_of_this_machine_has_hours_energy_and_a_price(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    work(studio, 2700.0, 60.0)
    work(studio, 900.0, None)  # it failed, and drew current all the same
    bare = cost_report(studio.store, studio.settings)
    assert [(line.kwh, line.electricity) for line in bare.work] == [(None, None)]
    assert set(bare.missing) == {"STUDIO_POWER_WATTS", "STUDIO_ELECTRICITY_PRICE", "STUDIO_HARDWARE_PRICE"}
    report = cost_report(studio.store, with_own_machine(monkeypatch))
    (line,) = report.work
    assert (line.pieces, line.work_seconds, line.kwh) == (2, 3600.0, 0.5)
    assert line.electricity == line.per_minute == Money(amount=0.5, currency="USD")
    assert (report.hardware, report.missing) == (Money(amount=250.0, currency="USD"), ())
    assert report.orders == ()


def test_budgets_say_what_is_left_of_them(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    order(studio, 3.0)
    order(studio, 4.0, state="open")
    order(studio, 9.0, ordered_at=NOW - timedelta(days=40))
    order(studio, 9.0, state="free")
    monkeypatch.setenv("STUDIO_DAILY_BUDGET", "5 USD")
    monkeypatch.setenv("STUDIO_MONTHLY_BUDGET", "20 USD")
    budgets = cost_report(studio.store, Settings()).budgets
    found = [(line.setting, line.spent.amount, line.left.amount) for line in budgets]
    assert found == [("STUDIO_DAILY_BUDGET", 7.0, 0.0), ("STUDIO_MONTHLY_BUDGET", 7.0, 13.0)]


def test_a_report_is_json(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_DAILY_BUDGET", "5 USD")
    order(studio, 3.0, 60.0)
    work(studio, 3600.0, 60.0)
    data = cost_report(studio.store, with_own_machine(monkeypatch)).as_json()
    assert data["orders"][0]["per_minute"] == 3.0
    assert data["work"][0]["electricity"] == {"amount": 0.5, "currency": "USD"}
    assert data["budgets"][0]["left"] == {"amount": 2.0, "currency": "USD"}
    assert data["hardware_per_month"] == {"amount": 250.0, "currency": "USD"}


# -- break-even -----------------------------------------------------------------------------------------------------


def test_three_dollars_against_half_a_dollar_and_250_a_month_break_even_at_100_minutes(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(studio, 3.0, 60.0)
    work(studio, 3600.0, 60.0)
    result = compared(studio, with_own_machine(monkeypatch))
    assert result.remote == Money(amount=3.0, currency="USD")
    assert result.local == Money(amount=0.5, currency="USD")
    assert result.hardware == Money(amount=250.0, currency="USD")
    assert result.minutes == pytest.approx(100.0)
    assert result.volume == pytest.approx(2.0)
    assert result.remote_month == Money(amount=6.0, currency="USD")
    assert result.local_month == Money(amount=251.0, currency="USD")
    assert (result.cheaper, result.source) == ("remote", "ledger")
    assert "From 100.0 minutes" in result.told
    assert "remote is cheaper" in result.told


def test_beyond_that_volume_this_machine_is_cheaper(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    order(studio, 300.0, 6000.0)
    work(studio, 3600.0, 60.0)
    result = compared(studio, with_own_machine(monkeypatch))
    assert result.minutes == pytest.approx(100.0)
    assert result.cheaper == "local"


def test_prices_are_weighted_by_output_and_old_ones_do_not_count(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(studio, 2.0, 30.0)
    order(studio, 1.0, 30.0, provider="other", model="other-1")
    order(studio, 1.0, None, state="unknown", provider="failing")
    order(studio, 900.0, 60.0, ordered_at=NOW - timedelta(days=91))
    order(studio, None, 600.0)  # of unknown price: neither its money nor its minutes say anything
    work(studio, 3600.0, 60.0)
    own = with_own_machine(monkeypatch)
    assert compared(studio, own).remote == Money(amount=4.0, currency="USD")


def test_a_model_of_which_nothing_was_ordered_is_compared_by_its_list_price(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(studio, 3600.0, 60.0)
    own = with_own_machine(monkeypatch)
    result = compared(studio, own, "priced")  # 0.45 for 9 frames at 8 a second
    assert result.source == "list price"
    assert "24.00 USD remote (list price)" in result.told
    assert result.remote == Money(amount=pytest.approx(24.0), currency="USD")
    order(studio, 3.0, 60.0, model="priced")
    again = compared(studio, own, "priced")
    assert (again.source, again.remote) == ("ledger", Money(amount=3.0, currency="USD"))
    with pytest.raises(UnknownModel):
        compared(studio, own, "nobody-knows-it")


def test_a_machine_that_costs_more_to_run_never_pays(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    order(studio, 0.25, 60.0)
    work(studio, 3600.0, 60.0)
    result = compared(studio, with_own_machine(monkeypatch))
    assert (result.minutes, result.cheaper) == (None, "remote")
    assert "never pays" in result.told


@pytest.mark.parametrize("name", ["STUDIO_POWER_WATTS", "STUDIO_ELECTRICITY_PRICE", "STUDIO_HARDWARE_PRICE"])
def test_a_missing_setting_is_named(studio: Studio, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    order(studio, 3.0, 60.0)
    work(studio, 3600.0, 60.0)
    result = compared(studio, with_own_machine(monkeypatch, **{name: ""}))
    assert name in result.told
    assert (result.minutes, result.cheaper) == (None, None)


def test_a_missing_figure_is_named(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    own = with_own_machine(monkeypatch)
    assert "this machine made no clip" in compared(studio, own).told
    work(studio, 3600.0, 60.0)
    assert "--model" in compared(studio, own).told
    assert "nothing is known of what unpriced costs" in compared(studio, own, "unpriced").told


def test_prices_in_different_currencies_are_not_compared(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    order(studio, 3.0, 60.0)
    work(studio, 3600.0, 60.0)
    euros = with_own_machine(monkeypatch, STUDIO_HARDWARE_PRICE="6000 EUR", STUDIO_ELECTRICITY_PRICE="1 EUR")
    told = compared(studio, euros).told
    assert "the remote clips in USD" in told
    mixed = with_own_machine(monkeypatch, STUDIO_HARDWARE_PRICE="6000 USD", STUDIO_ELECTRICITY_PRICE="1 EUR")
    assert "electricity in EUR" in compared(studio, mixed).told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STUDIO_DAILY_BUDGET", "many"),
        ("STUDIO_POWER_WATTS", "0"),
        ("STUDIO_ELECTRICITY_PRICE", "30 cents"),
        ("STUDIO_HARDWARE_PRICE", "-5 USD"),
        ("STUDIO_HARDWARE_MONTHS", "0"),
    ],
)
def test_a_setting_that_is_no_price_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentFault, match=name):
        Settings.read()


def test_an_order_that_cost_nothing_is_not_one_of_unknown_cost(studio: Studio) -> None:
    order(studio, None, None, state="free")
    (line,) = lines(studio)
    assert (line.currency, line.orders, line.free) == (None, 1, 1)


def test_a_model_of_this_machine_is_not_compared_with_it(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedValue, match="runs here"):
        compared(studio, with_own_machine(monkeypatch), "micro-wan")


def test_sums_are_told_in_cents_and_small_ones_exactly(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    order(studio, 1.0, 33.0)
    work(studio, 36.0, 60.0)
    told = compared(studio, with_own_machine(monkeypatch)).told
    assert "1.82 USD remote, 0.0050 USD here" in told
