"""/v1/jobs, /v1/queue and /v1/workers: everything that may be done with what waits, runs and has ended."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool

from studio.errors import UnsupportedValue
from studio.jobs.job import Job
from studio.jobs.states import JobState
from ui.api import asks, schemas
from ui.api.bodies import read_json, read_optional_json
from ui.api.documented import WITH_BODY, answers, json_body
from ui.api.lora_names import without_folders
from ui.api.problems import without_paths
from ui.api.services import Here, Services
from ui.api.wishes import changes_of

router = APIRouter(prefix="/v1", tags=["jobs"])

JobId = Annotated[str, Path(max_length=80, description="Id of the job.")]
OrderAgain = Annotated[
    bool, Query(description="Order anew from the provider, although the first order may be paid for.")
]
_NOT_SHOWN = frozenset({"client_key"})


@router.get("/jobs", response_model=schemas.JobList, responses=answers(404))
def list_jobs(
    here: Here,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    batch: Annotated[str | None, Query(max_length=80, description="Only jobs of this batch.")] = None,
    after: Annotated[str | None, Query(max_length=80, description="The last id of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Any:
    """List jobs, the newest first, without their attempts."""
    states = () if state is None else (state,)
    if after is not None:
        here.job(after)
    jobs = here.overview.page(*states, after=after, limit=limit + 1, batch_id=batch)
    data = [job_json(job, here) for job in jobs[:limit]]
    ids = [job["id"] for job in data]
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return {"data": data, "has_more": len(jobs) > limit, **ends}


@router.get("/jobs/{job_id}", response_model=schemas.Job, responses=answers(404))
def get_job(job_id: JobId, here: Here) -> Any:
    """Show a job with its attempts."""
    return job_json(here.job(job_id), here)


@router.patch(
    "/jobs/{job_id}",
    response_model=schemas.Job,
    responses=answers(404, 409, *WITH_BODY),
    openapi_extra=json_body(asks.JobPatch),
)
async def change_job(job_id: JobId, request: Request, here: Here) -> Any:
    """Change the priority of a job, or fields of its request while it waits; one that is null gets its default."""
    asked = await read_json(request, asks.JobPatch)

    def change() -> Job:
        job = here.job(job_id)
        changes = changes_of(asked)
        if changes:
            job = here.studio.desk.change(job.id, changes)
        if asked.priority is not None:
            job = here.studio.desk.prioritize(job.id, asked.priority)
        return job

    return job_json(await run_in_threadpool(change), here)


@router.delete("/jobs/{job_id}", response_model=schemas.Deleted, responses=answers(404, 409))
def delete_job(job_id: JobId, here: Here) -> Any:
    """Forget a job that has ended, and what is kept of it; the clip that it made stays in the library."""
    job = here.studio.desk.remove(here.job(job_id).id)
    return schemas.Deleted(id=job.id, object="job.deleted")


@router.post("/jobs/{job_id}/cancel", response_model=schemas.Job, responses=answers(404, 409))
def cancel_job(job_id: JobId, here: Here) -> Any:
    """Cancel this job alone: at once if it waits, at its next step if it runs."""
    return job_json(here.studio.desk.cancel(here.job(job_id).id), here)


@router.post("/jobs/{job_id}/pause", response_model=schemas.Job, responses=answers(404, 409))
def pause_job(job_id: JobId, here: Here) -> Any:
    """Keep a job from being taken up; one that runs goes back into the queue at its next step."""
    return job_json(here.studio.desk.pause(here.job(job_id).id), here)


@router.post("/jobs/{job_id}/resume", response_model=schemas.Job, responses=answers(404, 409))
def resume_job(job_id: JobId, here: Here) -> Any:
    """Let a paused job be taken up again."""
    return job_json(here.studio.desk.resume(here.job(job_id).id), here)


@router.post(
    "/jobs/{job_id}/retry",
    response_model=schemas.Job,
    responses=answers(404, 409, *WITH_BODY),
    openapi_extra=json_body(asks.JobChanges, required=False),
)
async def retry_job(job_id: JobId, request: Request, here: Here, order_again: OrderAgain = False) -> Any:
    """Put a job that failed or was canceled into the queue again, with or without changes to its request."""
    asked = await read_optional_json(request, asks.JobChanges)

    def retry() -> Job:
        changes = None if asked is None else changes_of(asked)
        return here.studio.desk.retry(here.job(job_id).id, changes or None, order_again=order_again)

    return job_json(await run_in_threadpool(retry), here)


@router.post(
    "/jobs/{job_id}/move",
    response_model=schemas.Job,
    responses=answers(404, 409, *WITH_BODY),
    openapi_extra=json_body(asks.Move),
)
async def move_job(job_id: JobId, request: Request, here: Here) -> Any:
    """Change a waiting job's place: to the first or the last, or before another one."""
    asked = await read_json(request, asks.Move)
    if len(asked.model_fields_set) != 1:
        got = ", ".join(sorted(asked.model_fields_set)) or "none"
        raise UnsupportedValue("one place must be named", field="to", got=got, allowed="either before or to")

    def move() -> Job:
        job = here.job(job_id)
        if "to" in asked.model_fields_set:
            return here.studio.desk.move(job.id, to=asked.to)
        return here.studio.desk.move(job.id, before=here.job(asked.before).id)

    return job_json(await run_in_threadpool(move), here)


@router.get("/queue", response_model=schemas.Queue, responses=answers())
def get_queue(here: Here) -> Any:
    """Say how many jobs there are in each state, and whether the queue is paused."""
    counts = {state.value: number for state, number in here.studio.desk.counts().items()}
    return schemas.Queue(is_paused=here.studio.desk.is_queue_paused(), counts=counts)


@router.post("/queue/pause", response_model=schemas.Queue, responses=answers())
def pause_queue(here: Here) -> Any:
    """Let no worker take up another job; what runs is not touched."""
    here.studio.desk.pause_queue()
    return get_queue(here)


@router.post("/queue/resume", response_model=schemas.Queue, responses=answers())
def resume_queue(here: Here) -> Any:
    """Let workers take up jobs again."""
    here.studio.desk.resume_queue()
    return get_queue(here)


@router.get("/workers", response_model=schemas.WorkerList, responses=answers())
def list_workers(here: Here) -> Any:
    """List the processes that take jobs."""
    views = here.studio.desk.workers()
    data = [{**view.__dict__, "started_at": view.started_at.isoformat()} for view in views]
    return schemas.WorkerList(data=[schemas.Worker(**item) for item in data])


def job_json(job: Job, here: Services) -> dict[str, Any]:
    """Return what is shown of a job: nothing of this machine's folders, and not the key it was submitted under."""
    data = {name: value for name, value in job.as_json().items() if name not in _NOT_SHOWN}
    data["error"] = None if job.error is None else without_paths(job.error, here.home)
    for attempt in data["attempts"]:
        attempt["error"] = None if attempt["error"] is None else without_paths(attempt["error"], here.home)
    data["request"] = request_json(job.request)
    return data


def request_json(request: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of a request: of pictures role and hash, of LoRAs name and hash, not where they lie."""
    items = [{name: item[name] for name in ("role", "sha256")} for item in request.get("conditionings", ())]
    return {**request, "conditionings": items, "options": without_folders(request.get("options", {}))}
