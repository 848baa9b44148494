"""What a comparison would make: each contestant resolved by its own model, before anything is queued."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from studio.comparing.differences import Difference, Made, differences_between, differences_of
from studio.comparing.fitting import resolve_fitted
from studio.comparing.wish import CompareWish, TooFewEntries, Variant
from studio.errors import EnvironmentFault, RequestError, StudioError, UnsupportedValue
from studio.generator import cost_of
from studio.jobs.budget import OverBudget, times
from studio.jobs.workshop import Workshop
from studio.request import GenerationRequest, ResolvedRequest
from studio.resolving.material import reading_each_file_once
from studio.spending.ledger import REMOTE
from studio.spending.money import Money

_MAX_DRAWN_SEED = 2**32 - 1
_MAX_SIDE = 100_000


@dataclass(frozen=True, kw_only=True)
class PlannedEntry:
    """One contestant before it is made. number: from 1. request: what is asked of its model.

    resolved: what will run, None where it cannot be made; error says why. differences: what it does otherwise than was
    asked, or than the others where nothing was asked. cost: of one clip, None where nobody knows. seconds: of a remote
    model as it says itself; None of a local one, whose estimate takes a while: `Studio.estimate` has it.
    """

    number: int
    label: str
    model: str
    where: str
    changes: Mapping[str, Any]
    request: GenerationRequest
    resolved: ResolvedRequest | None
    differences: tuple[Difference, ...]
    error: StudioError | None
    cost: Money | None
    seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {
            "number": self.number,
            "label": self.label,
            "model": self.model,
            "where": self.where,
            "changes": dict(self.changes),
            "request": None if self.resolved is None else self.resolved.as_json(),
            "differences": [item.as_json() for item in self.differences],
            "error": None if self.error is None else self.error.as_json(),
            "estimate": None if self.cost is None else self.cost.as_json(),
            "seconds": self.seconds,
        }


def plan_entries(shop: Workshop, wish: CompareWish) -> list[PlannedEntry]:
    """Return what would become of each contestant, in their order. Queues nothing.

    Raises a `RequestError` where the wish makes no sense, or a model is unknown. What a single model does not take is
    its entry's error.
    """
    wish.require_sense()
    _require_sensible_figures(wish.base)
    specs = [shop.registry.catalog.get(variant.model) for variant in wish.variants]
    base = wish.base if wish.base.seed is not None else replace(wish.base, seed=_drawn_seed(specs))
    with reading_each_file_once():
        planned = [_planned(shop, base, variant, number) for number, variant in enumerate(wish.variants, 1)]
    made = {
        item.number: Made(shop.registry.generator(item.model).spec, item.request, item.resolved)
        for item in planned
        if item.resolved is not None
    }
    between = differences_between(made)
    return [replace(item, differences=(*item.differences, *between.get(item.number, ()))) for item in planned]


def require_enough(planned: Sequence[PlannedEntry]) -> None:
    """Raise unless at least two contestants can be made: the environment's fault where it keeps one of them back."""
    refused = [(item, item.error) for item in planned if item.error is not None]
    if len(planned) - len(refused) >= 2:
        return
    told = "; ".join(f"{item.number} {item.label}: {error.sentence()}" for item, error in refused)
    message = f"fewer than two of {len(planned)} contestants can be made: {told}"
    fault = next((error for _, error in refused if isinstance(error, EnvironmentFault)), None)
    if fault is not None:
        raise EnvironmentFault(message, field="model", fix=fault.fix)
    fix = next((error.fix for _, error in refused if error.fix), None) or "name other models"
    raise TooFewEntries(message, field="model", fix=fix)


def require_money(shop: Workshop, wish: CompareWish, planned: Sequence[PlannedEntry]) -> None:
    """Raise `OverBudget` where all remote clips together may cost more than was wished, or nobody knows what."""
    most = wish.max_cost
    if most is None:
        return
    clips = (wish.on_fail or shop.settings.check_policy).retries + 1
    remote = [item for item in planned if item.resolved is not None and item.where == REMOTE]
    costs = [times(item.cost, clips) for item in remote]
    if any(cost is None or cost.currency != most.currency for cost in costs):
        raise OverBudget("nobody knows what the comparison would cost in this currency", field="max_cost", got=most,
                         fix="leave --max-cost out to have it made all the same")  # fmt: skip
    total = sum(cost.amount for cost in costs if cost is not None)
    if total > most.amount + 1e-6:
        wanted = Money(amount=total, currency=most.currency)
        raise OverBudget("the comparison may cost more", field="max_cost", got=most, allowed=f"{wanted} or more")


def _planned(shop: Workshop, base: GenerationRequest, variant: Variant, number: int) -> PlannedEntry:
    spec = shop.registry.catalog.get(variant.model)
    request = variant.request(base)
    nothing = PlannedEntry(
        number=number,
        label=variant.shown_as(),
        model=spec.id,
        where=spec.where,
        changes=variant.changes_as_json(),
        request=request,
        resolved=None,
        differences=(),
        error=None,
        cost=None,
        seconds=None,
    )
    try:
        shop.require_ready(spec.id)
        generator = shop.registry.generator(spec.id)
        resolved = resolve_fitted(generator, request)
        cost = cost_of(generator, resolved)
        seconds = generator.estimate(resolved).seconds if spec.where == REMOTE else None
    except (RequestError, EnvironmentFault) as error:
        return replace(nothing, error=error)
    return replace(
        nothing,
        resolved=resolved,
        differences=tuple(differences_of(Made(generator.spec, request, resolved))),
        cost=None if cost is None else Money(amount=cost.amount, currency=cost.currency.upper()),
        seconds=seconds,
    )


def _drawn_seed(specs: Sequence[Any]) -> int:
    """Draw one seed that every model takes which takes any."""
    limits = [spec.remote.max_seed for spec in specs if spec.remote is not None and spec.parameters.seed]
    return secrets.randbelow(min([_MAX_DRAWN_SEED, *(limit for limit in limits if limit is not None)]) + 1)


def _require_sensible_figures(base: GenerationRequest) -> None:
    """Raise for what no model could mean: the nearest that one makes would be no answer to it."""
    figures = {
        "width": (base.width, 1, _MAX_SIDE),
        "height": (base.height, 1, _MAX_SIDE),
        "num_frames": (base.num_frames, 1, _MAX_SIDE),
        "duration_seconds": (base.duration_seconds, 0.01, 86_400),
        "frame_rate": (base.frame_rate, 0.01, 1000),
        "num_inference_steps": (base.num_inference_steps, 1, 10_000),
        "guidance_scale": (base.guidance_scale, 0, 1000),
        "seed": (base.seed, 0, 2**63 - 1),
    }
    for field, (value, least, most) in figures.items():
        if value is not None and not least <= value <= most:  # not a number never is
            raise UnsupportedValue("out of range", field=field, got=value, allowed=f"{least} to {most}")
