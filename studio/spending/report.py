"""What clips cost: orders at providers, and the work of this machine in kilowatt hours and money."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from studio.config import Settings
from studio.errors import UnsupportedValue
from studio.jobs.budget import left_of, standing_budgets
from studio.library.store import Store
from studio.spending.ledger import LOCAL, Entry, EntryState, Ledger
from studio.spending.money import Money

Group = Literal["provider", "model", "month", "day"]
GROUPS: tuple[Group, ...] = ("provider", "model", "month", "day")
_WATT_SECONDS = 3_600_000.0  # of a kilowatt hour


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    """Orders of one group in one currency. currency: None for those of which nobody knows what they cost.

    clip_seconds: of output. charged, unsettled: amounts; unsettled is what open orders and those of unknown cost count
    with. per_minute: of output, what was charged or may have been; None without output. free: orders that cost nothing.
    """

    key: str
    currency: str | None
    orders: int
    clip_seconds: float
    charged: float
    unsettled: float
    per_minute: float | None
    free: int = 0


@dataclass(frozen=True, kw_only=True)
class WorkLine:
    """Work of our own machines in one group. kwh, electricity, per_minute: None while a setting is missing."""

    key: str
    pieces: int
    clip_seconds: float
    work_seconds: float
    kwh: float | None
    electricity: Money | None
    per_minute: Money | None


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """A budget of this machine, and how it stands."""

    name: str
    setting: str
    money: Money
    spent: Money
    left: Money


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """What everything cost. by: what the lines stand for. hardware: what this machine costs in a month.

    missing: settings without which some figures are None.
    """

    by: Group
    since: datetime | None
    until: datetime | None
    orders: tuple[OrderLine, ...]
    work: tuple[WorkLine, ...]
    hardware: Money | None
    budgets: tuple[BudgetLine, ...]
    missing: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "by": self.by,
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            "orders": [line.__dict__ for line in self.orders],
            "work": [
                line.__dict__ | {"electricity": _json(line.electricity), "per_minute": _json(line.per_minute)}
                for line in self.work
            ],
            "hardware_per_month": _json(self.hardware),
            "budgets": [
                line.__dict__ | {name: _json(getattr(line, name)) for name in ("money", "spent", "left")}
                for line in self.budgets
            ],
            "missing_settings": list(self.missing),
        }


def cost_report(
    store: Store, settings: Settings, by: Group = "provider", since: date | None = None, until: date | None = None
) -> CostReport:
    """Add up the ledger. since, until: days (UTC), both included; None for all. Raises `UnsupportedValue`."""
    if since is not None and until is not None and until < since:
        raise UnsupportedValue("the end lies before the beginning", field="until", got=until, allowed=f"from {since}")
    start = None if since is None else datetime.combine(since, time(), UTC)
    end = None if until in (None, date.max) else datetime.combine(until + timedelta(days=1), time(), UTC)
    entries = Ledger(store).entries(start, end)
    with store.database.read() as session:
        limits = [(budget, *left_of(session, budget)) for budget in standing_budgets(settings)]
    return CostReport(
        by=by,
        since=start,
        until=end,
        orders=tuple(order_lines([entry for entry in entries if entry.pool != LOCAL], by)),
        work=tuple(work_lines([entry for entry in entries if entry.pool == LOCAL], by, settings)),
        hardware=settings.hardware_money,
        budgets=tuple(
            BudgetLine(name=budget.name, setting=budget.setting, money=budget.money, spent=gone, left=left)
            for budget, gone, left in limits
        ),
        missing=missing_settings(settings),
    )


def order_lines(entries: Iterable[Entry], by: Group) -> list[OrderLine]:
    """Add up orders by group and currency, in the order of the groups' names."""
    groups: dict[tuple[str, str | None], list[Entry]] = {}
    for entry in entries:
        currency = None if entry.money is None else entry.money.currency
        groups.setdefault((_key(entry, by), currency), []).append(entry)
    ordered = sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    return [_order_line(key, currency, found) for (key, currency), found in ordered]


def work_lines(entries: Iterable[Entry], by: Group, settings: Settings) -> list[WorkLine]:
    """Add up the work of our own machines by group."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_key(entry, by), []).append(entry)
    return [_work_line(key, found, settings) for key, found in sorted(groups.items())]


def work_line(entries: Sequence[Entry], settings: Settings) -> WorkLine:
    """Add up all work of our own machines in one line."""
    return _work_line(LOCAL, entries, settings)


def missing_settings(settings: Settings) -> tuple[str, ...]:
    """Return the variables without which work of our own has no price."""
    names = {
        "STUDIO_POWER_WATTS": settings.power_watts,
        "STUDIO_ELECTRICITY_PRICE": settings.electricity_price,
        "STUDIO_HARDWARE_PRICE": settings.hardware_price,
    }
    return tuple(name for name, value in names.items() if value is None)


def _key(entry: Entry, by: Group) -> str:
    match by:
        case "provider":
            return entry.provider
        case "model":
            return entry.model
        case "month":
            return f"{entry.ordered_at.astimezone(UTC):%Y-%m}"
        case "day":
            return f"{entry.ordered_at.astimezone(UTC):%Y-%m-%d}"


def _order_line(key: str, currency: str | None, entries: Sequence[Entry]) -> OrderLine:
    charged = _total(entries, EntryState.CHARGED)
    unknown = _total(entries, EntryState.UNKNOWN)
    seconds = sum(entry.clip_seconds or 0.0 for entry in entries)
    is_known = currency is not None and seconds > 0
    return OrderLine(
        key=key,
        currency=currency,
        orders=len(entries),
        clip_seconds=round(seconds, 3),
        charged=charged,
        unsettled=round(unknown + _total(entries, EntryState.OPEN), 6),
        per_minute=round((charged + unknown) / (seconds / 60), 6) if is_known else None,
        free=sum(entry.state is EntryState.FREE for entry in entries),
    )


def _total(entries: Iterable[Entry], state: EntryState) -> float:
    return round(sum(entry.money.amount for entry in entries if entry.money is not None and entry.state is state), 6)


def _work_line(key: str, entries: Sequence[Entry], settings: Settings) -> WorkLine:
    work = sum(entry.work_seconds or 0.0 for entry in entries)
    seconds = sum(entry.clip_seconds or 0.0 for entry in entries)
    kwh = None if settings.power_watts is None else work * settings.power_watts / _WATT_SECONDS
    price = settings.electricity_money
    electricity = None if kwh is None or price is None else replace(price, amount=kwh * price.amount)
    each = None
    if electricity is not None and seconds > 0:
        each = replace(electricity, amount=electricity.amount / (seconds / 60))
    return WorkLine(
        key=key,
        pieces=len(entries),
        clip_seconds=round(seconds, 3),
        work_seconds=round(work, 3),
        kwh=kwh,
        electricity=electricity,
        per_minute=each,
    )


def _json(money: Money | None) -> dict[str, Any] | None:
    return None if money is None else money.as_json()
