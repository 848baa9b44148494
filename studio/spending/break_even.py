"""From how many minutes of output a month a machine of one's own costs less than a provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Literal

from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.errors import UnsupportedValue
from studio.library.store import Store
from studio.registry import Registry
from studio.request import ResolvedRequest
from studio.spending.ledger import LOCAL, REMOTE, Entry, EntryState, Ledger
from studio.spending.money import Money
from studio.spending.report import missing_settings, work_line

DAYS = 90


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """A comparison. remote, local: money for a minute of output. hardware: what the machine costs in a month.

    subject: whose prices are compared, a model or all of them. source: of the remote price, ``ledger`` or
    ``list price``. minutes: of output a month from which the machine costs less; None where it never does, or where
    something is missing. volume: minutes of output in this month until now. remote_month, local_month: what that many
    minutes cost in a month. told: the whole in sentences.
    """

    subject: str
    source: Literal["ledger", "list price"] | None
    remote: Money | None
    local: Money | None
    hardware: Money | None
    volume: float
    minutes: float | None = None
    remote_month: Money | None = None
    local_month: Money | None = None
    told: str = ""

    @property
    def cheaper(self) -> Literal["local", "remote"] | None:
        """Which of the two costs less at this month's volume; None where that is not known."""
        if self.remote_month is None or self.local_month is None:
            return None
        return "local" if self.local_month.amount < self.remote_month.amount else "remote"

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        money = ("remote", "local", "hardware", "remote_month", "local_month")
        sums = {name: None if (item := getattr(self, name)) is None else item.as_json() for name in money}
        return self.__dict__ | sums | {"cheaper": self.cheaper}


def break_even(store: Store, settings: Settings, registry: Registry, models: Sequence[str] = ()) -> list[BreakEven]:
    """Compare this machine with all that was ordered in the last 90 days, or with each of these models.

    A model of which nothing was ordered is compared by its list price, for a clip as it is by default.
    Raises `UnknownModel`, `UnsupportedValue` for a model of this machine.
    """
    specs: list[ModelSpec | None] = [_remote_spec(registry, model) for model in models]
    now = datetime.now(UTC)
    entries = Ledger(store).entries(now - timedelta(days=DAYS))
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    volume = sum(entry.clip_seconds or 0.0 for entry in entries if entry.ordered_at >= month) / 60
    work = work_line([entry for entry in entries if entry.pool == LOCAL], settings)
    remote = [entry for entry in entries if entry.pool == REMOTE]
    found = []
    for spec in specs or [None]:
        asked = [entry for entry in remote if spec is None or entry.model == spec.id]
        prices, source = _ledger_prices(asked), "ledger"
        if not prices and spec is not None:
            prices, source = _list_price(registry, spec), "list price"
        found.append(
            _compared(
                subject="all remote models" if spec is None else spec.id,
                source="ledger" if source == "ledger" else "list price",
                prices=prices,
                local=work.per_minute,
                settings=settings,
                volume=volume,
            )
        )
    return found


def _remote_spec(registry: Registry, model: str) -> ModelSpec:
    spec = registry.catalog.get(model)
    if spec.where != REMOTE:
        raise UnsupportedValue("this model runs here; it is what is compared", field="model", got=model,
                               allowed="a model of a provider", fix="`studio models` lists them")  # fmt: skip
    return spec


def _ledger_prices(entries: Sequence[Entry]) -> list[Money]:
    """Return what a minute of output cost, in each currency: all that was charged, or may have been, by all output."""
    costs: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for entry in entries:
        if entry.money is not None and entry.state != EntryState.OPEN:
            currency = entry.money.currency
            costs[currency] = costs.get(currency, 0.0) + entry.money.amount
            seconds[currency] = seconds.get(currency, 0.0) + (entry.clip_seconds or 0.0)
    return [
        Money(amount=cost / (seconds[currency] / 60), currency=currency)
        for currency, cost in costs.items()
        if seconds[currency] > 0
    ]


def _list_price(registry: Registry, spec: ModelSpec) -> list[Money]:
    """Return what a minute costs by the estimate for a clip as the model makes it by default; empty if unknown."""
    if spec.where != REMOTE or spec.generator is None:
        return []
    rules = spec.parameters
    clip = ResolvedRequest(
        model=spec.id,
        task=spec.tasks[0],
        prompt="",
        negative_prompt="",
        seed=0,
        width=rules.width.default,
        height=rules.height.default,
        num_frames=rules.num_frames.default,
        frame_rate=Fraction(str(rules.frame_rate.default)),
        num_inference_steps=None if rules.num_inference_steps is None else rules.num_inference_steps.default,
        guidance_scale=None if rules.guidance_scale is None else rules.guidance_scale.default,
        conditionings=(),
        generate_audio=spec.remote is not None and spec.remote.audio == "always",
        options={name: option.default for name, option in rules.options.items()},
    )
    cost = registry.generator(spec.id).estimate(clip).cost
    if cost is None:
        return []
    minutes = float(clip.num_frames / clip.frame_rate) / 60
    return [Money(amount=cost.amount / minutes, currency=cost.currency.upper())]


def _compared(
    *,
    subject: str,
    source: Literal["ledger", "list price"],
    prices: Sequence[Money],
    local: Money | None,
    settings: Settings,
    volume: float,
) -> BreakEven:
    hardware = settings.hardware_money
    currency = None if hardware is None else hardware.currency
    remote = next((price for price in prices if price.currency == currency), prices[0] if prices else None)
    result = BreakEven(
        subject=subject,
        source=None if remote is None else source,
        remote=remote,
        local=local,
        hardware=hardware,
        volume=volume,
    )
    problem = _what_is_missing(result, settings)
    if problem or remote is None or local is None or hardware is None:
        return replace(result, told=problem)
    gain = remote.amount - local.amount
    minutes = hardware.amount / gain if gain > 0 else None
    remote_month = Money(amount=volume * remote.amount, currency=remote.currency)
    local_month = Money(amount=hardware.amount + volume * local.amount, currency=remote.currency)
    result = replace(result, minutes=minutes, remote_month=remote_month, local_month=local_month)
    return replace(result, told=_told(result))


def _what_is_missing(result: BreakEven, settings: Settings) -> str:
    """Return why there is no answer, in a sentence; empty if there is one."""
    missing = missing_settings(settings)
    if missing:
        return f"No answer without {', '.join(missing)}: set what is missing, see the README's settings."
    if result.local is None:
        return f"No answer: this machine made no clip in the last {DAYS} days, so that nobody knows how long one takes."
    if result.remote is None:
        if result.subject == "all remote models":
            return (
                f"No answer: no clip of a remote model was paid for in the last {DAYS} days; name one with --model to "
                "compare its list price."
            )
        return f"No answer: nothing is known of what {result.subject} costs."
    sums = {"the hardware": result.hardware, "electricity": result.local, "the remote clips": result.remote}
    currencies = {name: money.currency for name, money in sums.items() if money is not None}
    if len(set(currencies.values())) > 1:
        told = ", ".join(f"{name} in {currency}" for name, currency in currencies.items())
        return f"No answer: prices in different currencies are not compared ({told})."
    return ""


def _told(result: BreakEven) -> str:
    source = " (list price)" if result.source == "list price" else ""
    sums = (result.remote, result.local, result.hardware, result.remote_month, result.local_month)
    remote, local, hardware, there, here = (None if money is None else money.rounded() for money in sums)
    minute = f"{remote} remote{source}, {local} here"
    pair = f"{minute}, for a minute of output; {hardware} a month besides"
    if result.minutes is None:
        begin = f"This machine never pays: {pair}."
    else:
        begin = f"From {result.minutes:.1f} minutes of output a month on, this machine costs less: {pair}."
    costs = f"{there} remote, {here} here: {result.cheaper} is cheaper"
    return f"{begin} This month so far: {result.volume:.1f} minutes, which cost {costs}."
