"""What becomes of a job whose request or terms somebody changes, worked out and checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.jobs.budget import require_within_wish
from studio.jobs.job import Job
from studio.jobs.queue import NewJob
from studio.jobs.refusals import require_fitting
from studio.jobs.workshop import Workshop
from studio.request import ResolvedRequest
from studio.revision import revised, wish_of
from studio.spending.ledger import REMOTE


def changed(shop: Workshop, job: Job, old: ResolvedRequest, changes: Mapping[str, Any]) -> ResolvedRequest:
    """Return a job's request with some fields changed, and checked anew. old: what it was. Raises a `RequestError`."""
    kept = wish_of(shop.inputs.of(job.id, old))
    is_other_model = changes.get("model", old.model) != old.model
    more: dict[str, Any] = {}
    if is_other_model or "conditionings" in changes:
        more["task"] = changes.get("task")  # what can be done follows from the model and the pictures
    more["options"] = {**({} if is_other_model else old.options), **changes.get("options", {})}
    spec = next((row for row in shop.registry.catalog if row.id == old.model), None)
    request = revised(kept, {**changes, **more}, spec)
    return shop.registry.generator(request.model).resolve(request)


def terms_of(job: Job, fresh: NewJob) -> dict[str, Any]:
    """Return the columns that follow from another wish. fresh: the job as it would be entered now, with that wish.

    Raises `UnsupportedValue`, or `OverBudget` where it may cost more than is wished.
    """
    require_fitting(fresh.wish)
    if fresh.pool == REMOTE:
        require_within_wish(fresh)
    terms = fresh.terms if job.terms is None else job.terms.renewed(fresh.terms)
    return {"priority": fresh.wish.priority, "terms": terms.as_json()}
