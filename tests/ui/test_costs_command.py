"""`studio costs` and `--max-cost` on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from studio.config import Settings
from studio.library.store import Store
from studio.library.tables import LedgerRow
from tests.ui.conftest import Terminal


def enter(settings: Settings, **fields: Any) -> None:
    """Enter an order of 60 seconds for 3 USD, or something else."""
    row = {
        "pool": "remote", "provider": "acme", "model": "acme-1", "task": "text-to-video", "state": "charged",
        "ordered_at": datetime(2026, 1, 31, 12, tzinfo=UTC), "amount": 3.0, "currency": "USD", "clip_seconds": 60.0,
    }  # fmt: skip
    with Store(settings) as store, store.transaction() as session:
        session.add(LedgerRow(**{**row, **fields}))


def test_costs_of_nothing_are_said_to_be_none(terminal: Terminal) -> None:
    assert terminal.run("costs") == 0
    assert "nothing was made yet" in terminal.stdout
    assert terminal.json("costs")["orders"] == []


def test_costs_are_shown_with_what_is_left(
    terminal: Terminal, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_MONTHLY_BUDGET", "20 USD")
    enter(settings)
    enter(settings, state="open", amount=0.5, clip_seconds=None, ordered_at=datetime.now(UTC))
    enter(settings, pool="local", provider="local", model="own", amount=None, currency=None, work_seconds=7200.0)
    assert terminal.run("costs", "--by", "model") == 0
    (row,) = (line.split() for line in terminal.stdout.splitlines() if line.startswith("acme-1"))
    assert row == ["acme-1", "2", "60.0", "s", "3.00", "USD", "0.50", "USD", "3.00", "USD"]
    assert "in all: 3.50 USD" in terminal.stdout
    assert "2.00 h" in terminal.stdout
    assert "0.50 USD of 20.00 USD spent, 19.50 USD left" in terminal.stdout
    assert "STUDIO_POWER_WATTS" in terminal.stderr
    days = terminal.json("costs", "--by", "day", "--since", "2026-01-31", "--until", "2026-01-31")
    assert [line["key"] for line in days["orders"]] == ["2026-01-31"]


@pytest.mark.parametrize("words", [("--by", "colour"), ("--since", "31.1.2026"), ("--until", "soon")], ids=str)
def test_what_makes_no_sense_is_refused(terminal: Terminal, words: tuple[str, str]) -> None:
    assert terminal.run("costs", *words) == 2
    assert words[1] in terminal.stderr


def test_the_break_even_is_told_or_what_is_missing_for_it(
    terminal: Terminal, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    enter(settings, ordered_at=now)
    enter(settings, ordered_at=now, pool="local", provider="local", amount=None, currency=None, work_seconds=3600.0)
    assert terminal.run("costs", "break-even") == 0
    assert "No answer without STUDIO_POWER_WATTS" in terminal.stdout
    monkeypatch.setenv("STUDIO_POWER_WATTS", "500")
    monkeypatch.setenv("STUDIO_ELECTRICITY_PRICE", "1 USD")
    monkeypatch.setenv("STUDIO_HARDWARE_PRICE", "6000 USD")
    assert terminal.run("costs", "break-even") == 0
    assert "From 100.0 minutes of output a month on" in terminal.stdout
    (found,) = terminal.json("costs", "break-even")["comparisons"]
    assert (found["minutes"], found["cheaper"]) == (pytest.approx(100.0), "remote")
    assert terminal.run("costs", "break-even", "--model", "nobody-knows-it") == 2


def test_a_clip_may_be_given_a_price_that_it_must_not_exceed(terminal: Terminal) -> None:
    for command in (("generate",), ("queue", "submit")):
        assert terminal.run(*command, "--model", "scripted-moving", "--max-cost", "much") == 2
        assert "an amount and a currency" in terminal.stderr
    data = terminal.json("queue", "submit", "--model", "scripted-moving", "--max-cost", "1 USD")
    assert data["jobs"][0]["estimate"] == {"amount": 0.0, "currency": "USD"}


def test_what_a_refused_order_cost_is_known(terminal: Terminal, settings: Settings) -> None:
    enter(settings, state="free", amount=None, currency=None, clip_seconds=None)
    enter(settings, provider="zephyr", amount=1.0, clip_seconds=33.0)
    assert terminal.run("costs") == 0
    refused, paid = (line.split() for line in terminal.stdout.splitlines()[1:3])
    assert refused == ["acme", "1", "0.0", "s", "nothing", "-", "-"]
    assert paid[-2:] == ["1.82", "USD"]
