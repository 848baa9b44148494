"""The queue as the page shows it, re-read from the database at each look, and what people do with jobs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from studio.errors import StudioError
from studio.jobs.glimpse import glimpse, glimpse_numbers
from studio.jobs.job import Job
from studio.jobs.overview import JobOverview
from studio.jobs.states import FailureReason, JobState
from studio.people.visitor import Action
from ui.api.problems import Refusal, refusal_of
from ui.web.here import Asked, Here
from ui.web.views.jobs import detail_view, job_view, summary_view, worker_view

router = APIRouter(prefix="/studio")

JobId = Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,40}$")]
MAX_AT_ONCE = 500


class Place(BaseModel):
    """Where a waiting job is to stand: at an end of the queue, or before another job."""

    model_config = ConfigDict(extra="forbid")

    to: Literal["first", "last"] | None = None
    before: str | None = None


class Urgency(BaseModel):
    """How urgent a job is."""

    model_config = ConfigDict(extra="forbid")

    priority: int


class Again(BaseModel):
    """How a job is to be taken up again. order_again: order anew, although the first order may be paid for."""

    model_config = ConfigDict(extra="forbid")

    order_again: bool = False


class Many(BaseModel):
    """Something that is to be done with several jobs."""

    model_config = ConfigDict(extra="forbid")

    ids: list[JobId] = Field(min_length=1, max_length=MAX_AT_ONCE)
    what: Literal["cancel", "pause", "resume", "retry", "remove"]


@router.get("/jobs")
def list_jobs(request: Request, here: Here) -> Response:
    """Return what runs, waits and is held, in the queue's order, and what ended last; 304 where nothing changed."""
    visitor = here.visitor
    told = {
        "jobs": views(JobOverview(here.studio.store).board(visitor.name), here),
        "summary": _summary(here),
        "visitor": {"name": visitor.name, "is_admin": visitor.is_admin, "may_make": visitor.may(Action.MAKE)},
    }
    return unless_known(told, request)


@router.get("/jobs/{job_id}")
def show_job(job_id: str, here: Here) -> dict[str, Any]:
    """Return one job, with its attempts."""
    job = here.services.job(job_id)
    quarantine = here.studio.quarantine
    is_judged = job.state is JobState.HELD or job.reason is FailureReason.REFUSED
    reports = [quarantine.report(name) for name in quarantine.attempts(job.id)] if is_judged else []
    found = [report for report in reports if report is not None]
    return views([job], here)[0] | detail_view(job, here.services.home, found)


@router.get("/jobs/{job_id}/glimpse")
def show_glimpse(job_id: str, here: Here) -> Response:
    """Return the latest cheap picture of a clip in the making."""
    found = glimpse(here.studio.store, job_id)
    if found is None:
        raise Refusal(404, "there is no picture of this job", got=job_id)
    return Response(found.content, media_type=found.mime_type, headers={"cache-control": "private, no-store"})


@router.get("/queue/summary")
def summary(request: Request, here: Here) -> Response:
    """Return how many jobs there are in each state."""
    return unless_known(_summary(here), request)


@router.get("/workers")
def list_workers(request: Request, here: Here) -> Response:
    """Return who takes jobs now."""
    names = here.model_names
    living = [worker_view(worker, names) for worker in here.studio.desk.workers() if worker.is_alive]
    return unless_known({"workers": living}, request)


@router.post("/queue/{what}")
def switch_queue(what: Literal["pause", "resume"], here: Here) -> dict[str, Any]:
    """Let workers take up no more jobs, or take them up again. For all, so only an admin may."""
    here.require(Action.ADMINISTER)
    (here.studio.desk.pause_queue if what == "pause" else here.studio.desk.resume_queue)()
    return _summary(here)


@router.post("/jobs/{job_id}/move")
def move(job_id: str, place: Place, here: Here) -> dict[str, Any]:
    """Change a waiting job's place."""
    job = _own(job_id, here)
    if (place.to is None) == (place.before is None):
        raise Refusal(422, "one place must be named", field="to", allowed="either before or to")
    if place.before is not None:
        return views([here.studio.desk.move(job.id, before=here.services.job(place.before).id)], here)[0]
    return views([here.studio.desk.move(job.id, to=place.to)], here)[0]


@router.post("/jobs/{job_id}/priority")
def prioritize(job_id: str, wish: Urgency, here: Here) -> dict[str, Any]:
    """Change a job's priority, -100 .. 100, higher first."""
    return views([here.studio.desk.prioritize(_own(job_id, here).id, wish.priority)], here)[0]


@router.post("/jobs/{job_id}/retry")
def retry(job_id: str, here: Here, wish: Again | None = None) -> dict[str, Any]:
    """Put a job into the queue again. What was ordered is asked for again, and ordered anew only if that is wished."""
    job = here.studio.desk.retry(_own(job_id, here).id, order_again=wish is not None and wish.order_again)
    return views([job], here)[0]


@router.post("/jobs")
def act_on_many(many: Many, here: Here) -> dict[str, Any]:
    """Do the same with several jobs; those that it cannot be done with, or that are not the visitor's, are told."""
    return act_on_all(many.ids, many.what, here)


@router.post("/jobs/{job_id}/{what}")
def act(job_id: str, what: str, here: Here) -> dict[str, Any]:
    """Cancel, pause, resume, release, discard or remove a job; only its owner or an admin may."""
    job = _own(job_id, here)
    acts = _acts(here)
    if what not in acts:
        raise Refusal(404, "nothing of the kind can be done with a job", got=what, allowed=", ".join(acts))
    acts[what](job.id)
    if what in ("discard", "remove"):
        return {"id": job.id, "removed": True}
    return views([here.studio.desk.job(job.id)], here)[0]


def views(jobs: list[Job], here: Asked) -> list[dict[str, Any]]:
    """Return what the page shows of jobs."""
    owners = here.site.people.owners([job.id for job in jobs])
    pictures = glimpse_numbers(here.studio.store, [job.id for job in jobs if job.state is JobState.RUNNING])
    names = here.model_names
    return [
        job_view(
            job,
            here.visitor,
            here.services.home,
            owner=owners.get(job.id),
            glimpse=pictures.get(job.id),
            name=names.get(job.model, ""),
        )
        for job in jobs
    ]


def act_on_all(job_ids: Sequence[str], what: str, here: Asked) -> dict[str, Any]:
    """Do the same with several jobs, each on its own. Returns how many it was done with, and why not with others."""
    done, failed = 0, []
    for job_id in job_ids:
        try:
            _acts(here)[what](_own(job_id, here).id)
            done += 1
        except StudioError as error:
            told = refusal_of(error, here.services.home)
            failed.append({"id": job_id, "message": told.message})
    return {"done": done, "failed": failed}


def unless_known(told: dict[str, Any], request: Request) -> Response:
    """Return JSON, or that the page has it already."""
    content = json.dumps(told, allow_nan=False).encode()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)


def _own(job_id: str, here: Asked) -> Job:
    job = here.services.job(job_id)
    here.require(Action.CHANGE, job.id)
    return job


def _acts(here: Asked) -> dict[str, Callable[[str], object]]:
    desk, studio = here.studio.desk, here.studio
    return {
        "cancel": desk.cancel,
        "pause": desk.pause,
        "resume": desk.resume,
        "retry": desk.retry,
        "release": studio.release,
        "discard": studio.discard,
        "remove": desk.remove,
    }


def _summary(here: Asked) -> dict[str, Any]:
    desk = here.studio.desk
    return summary_view(desk.counts(), is_paused=desk.is_queue_paused())
