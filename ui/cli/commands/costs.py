"""`studio costs`: what clips cost, and from when on a machine of one's own costs less."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from studio.errors import UnsupportedValue
from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from studio.spending.money import Money
    from studio.spending.report import BudgetLine, CostReport, OrderLine, WorkLine

app = typer.Typer(help="What clips cost: at providers, and on this machine.", invoke_without_command=True)

_ORDER_COLUMNS = ("orders of", "orders", "output", "charged", "open or unknown", "a minute")
_WORK_COLUMNS = ("this machine", "pieces", "output", "work", "energy", "electricity", "a minute")


@app.callback()
def costs(
    context: typer.Context,
    by: Annotated[str, typer.Option("--by", help="provider, model, month or day.", metavar="WHAT")] = "provider",
    since: Annotated[str | None, typer.Option("--since", help="First day, UTC.", metavar="YYYY-MM-DD")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Last day, UTC.", metavar="YYYY-MM-DD")] = None,
    as_json: argument.Json = False,
) -> None:
    """Show what orders at providers cost, what this machine worked, and what is left of the budgets."""
    if context.invoked_subcommand is not None:
        return
    from studio.app import Studio
    from studio.spending.report import GROUPS, cost_report

    group = next((item for item in GROUPS if item == by), None)
    if group is None:
        raise UnsupportedValue("nothing to group costs by", field="by", got=by, allowed=", ".join(GROUPS))
    first, last = _day(since, "since"), _day(until, "until")
    studio = Studio()
    report = cost_report(studio.store, studio.settings, group, first, last)
    if as_json:
        print_json(report.as_json())
    else:
        _show(report)


@app.command("break-even")
def break_even(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A remote model to compare; repeatable.", metavar="ID"),
    ] = None,
    as_json: argument.Json = False,
) -> None:
    """Say from how many minutes of output a month this machine costs less than a provider."""
    from studio.app import Studio
    from studio.spending.break_even import break_even as compared

    studio = Studio()
    found = compared(studio.store, studio.settings, studio.registry, model or ())
    if as_json:
        print_json({"comparisons": [item.as_json() for item in found]})
        return
    for item in found:
        print_line(f"{item.subject}: {item.told}" if model else item.told)


def _day(text: str | None, field: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UnsupportedValue("not a day", field=field, got=text, allowed="such as 2026-01-31") from None


def _show(report: CostReport) -> None:
    if report.orders:
        print_table("", _ORDER_COLUMNS, [_order_row(line) for line in report.orders])
        print_line(f"in all: {_totals(report.orders)}")
    if report.work:
        print_table("", _WORK_COLUMNS, [_work_row(line) for line in report.work])
    if not report.orders and not report.work:
        print_line("nothing was made yet, as far as the ledger goes")
    if report.hardware is not None:
        print_line(f"hardware: {report.hardware} a month")
    for budget in report.budgets:
        print_line(_budget(budget))
    if report.work and report.missing:
        print_note(f"note: to see what this machine costs, set {', '.join(report.missing)}")


def _order_row(line: OrderLine) -> tuple[str, ...]:
    known = line.currency
    each = None if line.per_minute is None else _amount(round(line.per_minute, 2), known)
    unpriced = "nothing" if line.free == line.orders else "not known"
    charged = unpriced if known is None else _amount(line.charged, known)
    unsettled = "-" if not line.unsettled else _amount(line.unsettled, known)
    return line.key, str(line.orders), f"{line.clip_seconds:.1f} s", charged, unsettled, each or "-"


def _work_row(line: WorkLine) -> tuple[str, ...]:
    return (
        line.key,
        str(line.pieces),
        f"{line.clip_seconds:.1f} s",
        f"{line.work_seconds / 3600:.2f} h",
        "-" if line.kwh is None else f"{line.kwh:.3f} kWh",
        _money(line.electricity),
        _money(None if line.per_minute is None else line.per_minute.rounded()),
    )


def _totals(lines: Iterable[OrderLine]) -> str:
    sums: dict[str, float] = {}
    for line in lines:
        if line.currency is not None:
            sums[line.currency] = sums.get(line.currency, 0.0) + line.charged + line.unsettled
    return ", ".join(_amount(amount, currency) for currency, amount in sums.items()) or "not known"


def _budget(line: BudgetLine) -> str:
    return f"budget {line.name} ({line.setting}): {line.spent} of {line.money} spent, {line.left} left"


def _amount(amount: float, currency: str | None) -> str:
    from studio.spending.money import Money

    return str(Money(amount=amount, currency=currency or ""))


def _money(money: Money | None) -> str:
    return "-" if money is None else str(money)
