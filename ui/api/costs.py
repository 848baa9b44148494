"""/v1/costs: what orders at providers cost, and what our own machines worked."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator

from studio.spending.report import Group, cost_report
from ui.api.documented import answers
from ui.api.services import Here

router = APIRouter(prefix="/v1", tags=["costs"])

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Sum(BaseModel):
    """Money."""

    amount: float
    currency: str


class OrderCosts(BaseModel):
    """Orders of one group in one currency; null for those of which nobody knows what they cost.

    unsettled: what open orders and those of unknown cost count with. per_minute: of output.
    """

    key: str
    currency: str | None
    orders: int
    clip_seconds: float
    charged: float
    unsettled: float
    per_minute: float | None


class WorkCosts(BaseModel):
    """Work of our own machines in one group; null while a setting is missing."""

    key: str
    pieces: int
    clip_seconds: float
    work_seconds: float
    kwh: float | None
    electricity: Sum | None
    per_minute: Sum | None


class BudgetLeft(BaseModel):
    """A budget, and how it stands. setting: the variable that sets it."""

    name: str
    setting: str
    money: Sum
    spent: Sum
    left: Sum


def _written_out(value: object) -> object:
    """Refuse what is no day as the schema has it: seconds since 1970 would be taken for one too."""
    if isinstance(value, str) and _DAY.fullmatch(value) is None:
        raise ValueError("not a day such as 2026-11-23")
    return value


Day = Annotated[date, BeforeValidator(_written_out)]


class Costs(BaseModel):
    """What everything cost. by: what the keys are. since, until: from and before."""

    by: Group
    since: str | None
    until: str | None
    orders: list[OrderCosts]
    work: list[WorkCosts]
    hardware_per_month: Sum | None
    budgets: list[BudgetLeft]
    missing_settings: list[str]


@router.get("/costs", response_model=Costs, responses=answers())
def get_costs(
    here: Here,
    by: Annotated[Group, Query(description="What is added up.")] = "provider",
    since: Annotated[Day | None, Query(description="First day, UTC.")] = None,
    until: Annotated[Day | None, Query(description="Last day, UTC.")] = None,
) -> Any:
    """Add up the ledger."""
    return cost_report(here.studio.store, here.studio.settings, by, since, until).as_json()
