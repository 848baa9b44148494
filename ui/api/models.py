"""/v1/models and /v1/estimate: what can make clips here, and what a clip would take."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool

from studio.app import ModelEntry
from studio.generator import Estimate
from studio.request import ResolvedRequest, Task
from ui.api import schemas
from ui.api.documented import WITH_BODY, answers, video_body
from ui.api.jobs import request_json
from ui.api.receiving import received
from ui.api.services import Here

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models", response_model=schemas.ModelList, responses=answers())
def list_models(here: Here, task: Annotated[Task | None, Query(description="Only models that do this.")] = None) -> Any:
    """List the catalog, and say which of its models would run here."""
    return schemas.ModelList(data=[_model(entry) for entry in here.studio.models(task)])


@router.get("/models/{model_id}", response_model=schemas.Model, responses=answers(404))
def get_model(model_id: Annotated[str, Path(max_length=200)], here: Here) -> Any:
    """Show a model and the ranges of its parameters."""
    spec = here.studio.registry.catalog.get(model_id)
    return _model(ModelEntry(spec=spec, readiness=here.studio.registry.readiness(spec)))


@router.post(
    "/estimate",
    response_model=schemas.Estimate,
    responses=answers(404, 409, 502, *WITH_BODY),
    openapi_extra=video_body(),
)
async def estimate(request: Request, here: Here) -> Any:
    """Say what a request would take, before anything runs."""
    async with received(request, here) as wanted:

        def work() -> tuple[ResolvedRequest, Estimate]:
            return here.studio.estimate(wanted.request(here.studio.registry.catalog.get(wanted.asked.model)))

        resolved, figures = await run_in_threadpool(work)
    cost = figures.cost
    return schemas.Estimate(
        seconds=figures.seconds,
        vram_bytes=figures.vram_bytes,
        ram_bytes=figures.ram_bytes,
        disk_bytes=figures.disk_bytes,
        cost=schemas.Cost(amount=cost.amount if cost else None, currency=cost.currency if cost else None),
        basis=figures.basis,
        plan=figures.plan,
        fits=figures.fits,
        shortage=figures.shortage or None,
        request=request_json(resolved.as_json()),
    )


def _model(entry: ModelEntry) -> schemas.Model:
    spec = entry.spec
    day = spec.checked_on
    return schemas.Model(
        id=spec.id,
        created=0 if day is None else int(datetime.combine(day, time(), UTC).timestamp()),
        owned_by=spec.family,
        name=spec.name,
        summary=spec.summary,
        tasks=[task.value for task in spec.tasks],
        where=spec.where,
        status=spec.status.value,
        ready=entry.readiness.ready,
        reason=entry.readiness.reason or None,
        licence=spec.licence.model_dump(),
        parameters=spec.parameters.model_dump(mode="json"),
    )
