"""/v1/videos: jobs and what they made, in the shape that engines and gateways for video speak."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from fractions import Fraction
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from studio.errors import RequestError, StudioError
from studio.jobs.job import Job, Progress, UnknownJob
from studio.jobs.states import JobState
from studio.library.asset import Asset
from studio.library.store import UnknownAsset
from ui.api import schemas
from ui.api.documented import WITH_BODY, answers, video_body
from ui.api.problems import Refusal, code_of, without_paths
from ui.api.receiving import Received, received
from ui.api.services import Here, Services
from ui.api.wishes import fingerprint_source, seconds_text, wish_of

router = APIRouter(prefix="/v1/videos", tags=["videos"])

VideoId = Annotated[str, Path(max_length=80, description="As POST /v1/videos returned it.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="The same key with the same request gives the same video, however often it is sent.",
    ),
]
_WORDS = {
    JobState.QUEUED: "queued",
    JobState.RUNNING: "in_progress",
    JobState.HELD: "failed",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELED: "cancelled",
}
# Where each stage begins and ends, in percent; sampling is nearly all of it.
_SPANS = {
    "loading": (0, 4),
    "encoding": (4, 6),
    "uploading": (4, 6),
    "ordering": (5, 6),
    "waiting": (6, 6),
    "sampling": (6, 85),
    "generating": (6, 85),
    "downloading": (85, 90),
    "decoding": (85, 90),
    "checking": (90, 93),
    "marking": (93, 96),
    "signing": (96, 98),
    "verifying": (98, 99),
}
_FOLLOWING = {
    "video_id": ("get_video", "get_video_content", "cancel_video", "delete_video"),
    "job_id": ("get_job", "change_job", "pause_job", "resume_job", "move_job", "cancel_job", "retry_job", "delete_job"),
    "asset_id": ("get_asset", "get_asset_content", "get_asset_report", "delete_asset"),
}
_LINKS = {
    operation: {"operationId": operation, "parameters": {name: "$response.body#/id"}}
    for name, operations in _FOLLOWING.items()
    for operation in operations
}
_CONTENT = {"description": "The file.", "content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}}


@router.post(
    "",
    response_model=schemas.Video,
    responses=answers(404, 409, 502, *WITH_BODY, s200={"links": _LINKS}),
    openapi_extra=video_body(),
)
async def create_video(request: Request, here: Here, key: IdempotencyKey = None) -> Any:
    """Put a clip into the queue; workers make it."""
    async with received(request, here) as wanted:
        return video_of(await run_in_threadpool(_submit, wanted, key, here), here)


def _submit(wanted: Received, key: str | None, here: Services) -> Job:
    """Return the new job, or the one that this key led to. Raises a `Refusal` for a key of another request."""
    request = wanted.request(here.studio.registry.catalog.get(wanted.asked.model))
    if key is None:
        return here.studio.desk.submit(request, wish_of(wanted.asked, None))
    beginning, client_key = _client_key(key, wanted)
    with here.keys:
        known = here.overview.keyed(beginning)
        if known is None:
            return here.studio.desk.submit(request, wish_of(wanted.asked, client_key))
    if known.client_key != client_key:
        raise Refusal(
            422,
            "this key was used for another request",
            code="idempotency_key_reused",
            field="Idempotency-Key",
            fix="choose a new key for each request",
        )
    return known


@router.get("", response_model=schemas.VideoList, responses=answers(404))
def list_videos(
    here: Here,
    after: Annotated[str | None, Query(max_length=80, description="The last id of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Any:
    """List videos by the time they were asked for."""
    if after is not None:
        here.job(after)
    jobs = here.overview.page(after=after, limit=limit + 1, oldest_first=order == "asc")
    data = [video_of(job, here) for job in jobs[:limit]]
    ids = [video.id for video in data]
    return schemas.VideoList(
        data=data, first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None, has_more=len(jobs) > limit
    )


@router.get("/{video_id}", response_model=schemas.Video, responses=answers(404))
def get_video(video_id: VideoId, here: Here) -> Any:
    """Say how far a video is."""
    return _video(video_id, here)


@router.get(
    "/{video_id}/content",
    response_class=Response,
    responses=answers(404, 409, 416, s200=_CONTENT, s206=_CONTENT, s304={"description": "Unchanged."}),
)
def get_video_content(video_id: VideoId, request: Request, here: Here) -> Response:
    """Return the finished clip, byte for byte as it was sealed; its ETag is its SHA-256."""
    return here.sealed_file(_clip(video_id, here), request.headers)


@router.delete("/{video_id}", response_model=schemas.Deleted, responses=answers(404, 409))
def delete_video(video_id: VideoId, here: Here) -> Any:
    """Delete a video and its clip. One that waits is canceled first; one that runs is refused."""
    try:
        job = here.job(video_id)
    except RequestError:
        here.studio.remove(_clip(video_id, here).id)
    else:
        if job.state == JobState.QUEUED:
            here.studio.desk.cancel(job.id)
        if job.asset_id is not None:
            with suppress(UnknownAsset):
                here.studio.remove(job.asset_id)
        with suppress(UnknownJob):  # it went with its clip
            here.studio.desk.remove(job.id)
    return schemas.Deleted(id=video_id, object="video.deleted")


@router.post("/{video_id}/cancel", response_model=schemas.Video, responses=answers(404, 409))
def cancel_video(video_id: VideoId, here: Here) -> Any:
    """Cancel a video: at once if it waits, at its next step if it is being made."""
    return video_of(here.studio.desk.cancel(here.job(video_id).id), here)


def video_of(job: Job, here: Services) -> schemas.Video:
    """Return a job in the shape of the public APIs."""
    request = job.request
    rate = Fraction(request["frame_rate"])
    spec = next((row for row in here.studio.registry.catalog if row.id == job.model), None)
    return schemas.Video(
        id=job.id,
        model=job.model,
        status=_WORDS[job.state],
        progress=_percent(job),
        created_at=int(job.created_at.timestamp()),
        completed_at=int(job.ended_at.timestamp()) if job.ended_at and job.state == JobState.SUCCEEDED else None,
        size=f"{request['width']}x{request['height']}",
        seconds=seconds_text(request["num_frames"], rate, spec),
        prompt=request["prompt"],
        error=_error(job, here),
        num_frames=request["num_frames"],
        frame_rate=float(rate),
        seed=request["seed"],
    )


def _video(video_id: str, here: Services) -> schemas.Video:
    try:
        return video_of(here.job(video_id), here)
    except RequestError as error:
        try:
            return _video_of_asset(_clip(video_id, here))
        except StudioError:
            raise error from None


def _video_of_asset(asset: Asset) -> schemas.Video:
    """Return a clip whose job was forgotten."""
    moment = int(asset.created_at.timestamp())
    return schemas.Video(
        id=asset.id,
        model=asset.model,
        status="completed",
        progress=100,
        created_at=moment,
        completed_at=moment,
        size=f"{asset.width}x{asset.height}",
        seconds=seconds_text(asset.num_frames, asset.frame_rate),
        prompt=asset.prompt,
        error=None,
        num_frames=asset.num_frames,
        frame_rate=float(asset.frame_rate),
        seed=asset.seed,
    )


def _clip(video_id: str, here: Services) -> Asset:
    """Return the clip of a job. Raises `UnknownAsset`, or `Refusal` with 409 where there is none yet."""
    with suppress(UnknownAsset):
        asset = here.asset(video_id)
        if asset.kind == "video" and asset.derivation is None:
            return asset
    job = here.job(video_id)
    raise Refusal(
        409,
        f"this video is {_WORDS[job.state]}",
        code="no_content",
        field="video",
        got=job.id,
        allowed="a video that is completed",
        fix=f"GET /v1/videos/{job.id} says how far it is",
    )


def _percent(job: Job) -> int:
    if job.state == JobState.SUCCEEDED:
        return 100
    progress: Progress | None = job.progress
    if job.state != JobState.RUNNING or progress is None:
        return 0
    start, end = _SPANS.get(progress.stage, (0, 0))
    return start + int((end - start) * min(progress.done / progress.total, 1.0)) if progress.total else start


def _error(job: Job, here: Services) -> schemas.VideoError | None:
    if job.state == JobState.HELD:
        text = "the clip failed a check and waits for a person to release or discard it"
        return schemas.VideoError(code="held_for_review", message=text)
    if job.state != JobState.FAILED:
        return None
    error = without_paths(job.error or {"type": "Interrupted", "message": "the process that made it ended"}, here.home)
    return schemas.VideoError(code=code_of(str(error.get("type"))), message=str(error.get("message")))


def _client_key(key: str, wanted: Received) -> tuple[str, str]:
    """Return what a job's key begins with for this key of a client, and the whole of it for this very request."""
    digests = {}
    for name, path in wanted.form.files.items():
        with open(path, "rb") as stream:
            digests[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    beginning = f"rest:{hashlib.sha256(key.encode()).hexdigest()[:48]}:"
    source = fingerprint_source(wanted.asked, digests, is_form=wanted.is_form)
    return beginning, beginning + hashlib.sha256(source).hexdigest()
