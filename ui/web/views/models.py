"""What is shown of a model, and of what a clip would take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.app import ModelEntry
from studio.catalog.schema import ModelSpec, Status
from studio.spending.money import Money
from ui.api.problems import without_home
from ui.web.backstage.estimating import Estimated
from ui.web.form.fields import facts_of
from ui.web.views.errors import error_view
from ui.web.words import say

FIRST_MODEL = "micro-wan"
"""What is chosen on a first visit, where it is ready: it ships with the studio and answers within seconds anywhere."""


def model_view(entry: ModelEntry, estimated: Estimated | None, home: Path) -> dict[str, Any]:
    """Return what a picker shows of a row. estimated: at the row's defaults; None where nobody asked."""
    spec, readiness = entry.spec, entry.readiness
    weights, remote, retirement = spec.weights, spec.remote, spec.retirement
    return {
        "id": spec.id,
        "name": spec.name,
        "summary": spec.summary,
        "family": spec.family,
        "aliases": list(spec.aliases),
        "where": spec.where,
        "provider": None if remote is None else remote.provider_name,
        "tasks": [task.value for task in spec.tasks],
        "status": spec.status.value,
        "replacement": None if retirement is None else retirement.replacement,
        "is_ready": readiness.ready,
        "lacks": "" if readiness.ready else readiness.word,
        "reason": without_home(readiness.reason, home),
        "command": _command(entry),
        "licence": {
            "id": spec.licence.id,
            "url": spec.licence.url,
            "commercial_use": spec.licence.commercial_use,
            "note": spec.licence.note,
        },
        "download_bytes": None if weights is None or weights.source == "embedded" else weights.size_bytes,
        "parameters_count": spec.parameters_count,
        "facts": list(facts_of(spec)),
        "restrictions": "" if remote is None else remote.restrictions,
        "checked_on": None if spec.checked_on is None else spec.checked_on.isoformat(),
        "estimate": None if estimated is None else estimate_view(estimated, spec, home),
    }


def in_order(entries: Sequence[ModelEntry]) -> list[ModelEntry]:
    """Return rows as they are offered: those that are ready first, then local ones, then remote, the retired last."""

    def place(entry: ModelEntry) -> tuple[bool, bool, bool, bool]:
        spec = entry.spec
        is_gone = spec.status is Status.RETIRED or spec.generator is None
        return is_gone, not entry.readiness.ready, spec.where == "remote", spec.status is Status.LEGACY

    return sorted(entries, key=place)


def estimate_view(estimated: Estimated, spec: ModelSpec, home: Path) -> dict[str, Any]:
    """Return what a request would take, as a line of figures; None stands for what nobody knows."""
    told: dict[str, Any] = {
        "key": estimated.key,
        "is_pending": estimated.is_pending,
        "where": spec.where,
        "error": None,
    }
    if estimated.error is not None:
        told["error"] = error_view(estimated.error, home)
    estimate, resolved = estimated.estimate, estimated.resolved
    if estimate is None or resolved is None:
        return told
    cost = estimate.cost
    return told | {
        "seconds": estimate.seconds,
        "vram_bytes": estimate.vram_bytes,
        "ram_bytes": estimate.ram_bytes,
        "disk_bytes": estimate.disk_bytes,
        "cost": None if cost is None else {"amount": cost.amount, "currency": cost.currency},
        "basis": estimate.basis,
        "plan": estimate.plan,
        "shortage": estimate.shortage,
        "fits": estimate.fits,
        "width": resolved.width,
        "height": resolved.height,
        "num_frames": resolved.num_frames,
        "frame_rate": float(resolved.frame_rate),
        "duration_seconds": float(resolved.num_frames / resolved.frame_rate),
        "warnings": list(resolved.warnings),
    }


def make_label(told: dict[str, Any]) -> str:
    """Return what the button says: for a model that costs, what the clip is expected to cost."""
    if told["where"] == "local" or told["is_pending"] or told["error"] is not None:
        return say("create.make")
    cost = told["cost"]
    if cost is None:
        return say("create.make_unpriced")
    if not cost["amount"]:
        return say("create.make")
    return say("create.make_for", price=Money(amount=cost["amount"], currency=cost["currency"]).rounded())


def _command(entry: ModelEntry) -> str | None:
    """Return the command that mends what is missing, where there is one."""
    return f"studio models pull {entry.spec.id}" if entry.readiness.word == "no weights" else None
