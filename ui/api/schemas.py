"""What goes out over HTTP, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from studio.jobs.states import JobState


class ErrorParts(BaseModel):
    """What went wrong. field: what of the request is at fault. fix: what to do next."""

    code: str
    message: str
    field: str | None
    got: str | None
    allowed: str | None
    fix: str | None


class ErrorAnswer(BaseModel):
    """The one shape of every answer that is not what was asked for."""

    error: ErrorParts


class VideoError(BaseModel):
    """Why a video failed."""

    code: str
    message: str


class Video(BaseModel):
    """A job in the shape that engines and gateways for video speak."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: Literal["queued", "in_progress", "completed", "failed", "cancelled"]
    progress: Annotated[int, Field(ge=0, le=100)]
    created_at: int
    completed_at: int | None
    expires_at: None = None
    size: str
    seconds: str
    prompt: str
    remixed_from_video_id: None = None
    error: VideoError | None
    num_frames: int
    frame_rate: float
    seed: int


class Deleted(BaseModel):
    """That something is gone."""

    id: str
    object: str
    deleted: Literal[True] = True


class VideoList(BaseModel):
    """A page of videos. has_more: ask again with ``after`` = last_id."""

    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Progress(BaseModel):
    """Where a job is. done, total: steps of the stage; 0 of 0 where it has none."""

    stage: str
    done: int
    total: int
    eta_seconds: float | None
    detail: str = ""


class Attempt(BaseModel):
    """One time that a worker took a job up. timings: seconds by stage."""

    number: int
    worker: str
    host: str
    device: str
    started_at: str
    ended_at: str | None
    outcome: str | None
    error: dict[str, Any] | None
    timings: dict[str, float]


class Job(BaseModel):
    """A job of the queue. request: complete, as it is or will be run."""

    id: str
    object: Literal["job"] = "job"
    state: JobState
    status: str
    reason: str | None
    is_paused: bool
    asked: str | None
    model: str
    pool: str
    priority: int
    batch_id: str | None
    entry: int | None
    progress: Progress | None
    error: dict[str, Any] | None
    estimate: dict[str, Any] | None
    billed: dict[str, Any] | None
    worker: str | None
    asset_id: str | None
    attempts: list[Attempt]
    request: dict[str, Any]
    created_at: str
    started_at: str | None
    ended_at: str | None


class JobList(BaseModel):
    """A page of jobs, without their attempts."""

    object: Literal["list"] = "list"
    data: list[Job]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Queue(BaseModel):
    """The whole queue. counts: jobs by state."""

    object: Literal["queue"] = "queue"
    is_paused: bool
    counts: dict[str, int]


class Worker(BaseModel):
    """A process that takes jobs. pool, batch_id: the jobs it takes, null for any. model: whose weights it holds."""

    id: str
    object: Literal["worker"] = "worker"
    host: str
    pid: int
    pool: str | None
    device: str
    is_resident: bool
    batch_id: str | None
    model: str | None
    job_id: str | None
    is_alive: bool
    started_at: str


class WorkerList(BaseModel):
    """All workers on the roll."""

    object: Literal["list"] = "list"
    data: list[Worker]


class Asset(BaseModel):
    """A sealed file of the library. request: what it was made of; null for one that was made from another file.

    provider: who made it, null for this machine. attribution: words that must stand where it is shown.
    """

    id: str
    object: Literal["asset"] = "asset"
    kind: str
    parent_id: str | None
    sha256: str
    frames_sha256: str
    width: int
    height: int
    num_frames: int
    frame_rate: float
    seed: int
    model: str
    task: str
    prompt: str
    mime_type: str
    size_bytes: int
    checks_passed: bool | None
    checks: str
    ruling: dict[str, Any] | None
    watermark_id: str | None
    provider: str | None
    attribution: str | None
    created_at: str
    request: dict[str, Any]


class AssetList(BaseModel):
    """A page of assets, newest first."""

    object: Literal["list"] = "list"
    data: list[Asset]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Model(BaseModel):
    """A row of the catalog. ready: it would run here; reason: what is missing. parameters: the ranges of a request."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    name: str
    summary: str
    tasks: list[str]
    where: str
    status: str
    ready: bool
    reason: str | None
    licence: dict[str, Any]
    parameters: dict[str, Any]


class ModelList(BaseModel):
    """The catalog."""

    object: Literal["list"] = "list"
    data: list[Model]


class Cost(BaseModel):
    """Money; null where nobody knows."""

    amount: float | None
    currency: str | None


class Estimate(BaseModel):
    """What a request would take; null where nobody knows. request: as it would be run.

    plan: how a local model would use memory. shortage: why it would be refused here, with what would fit; null if not.
    """

    seconds: float | None
    vram_bytes: int | None
    ram_bytes: int | None
    disk_bytes: int | None
    cost: Cost
    basis: str
    plan: str | None
    fits: bool | None
    shortage: str | None
    request: dict[str, Any]


class VerificationReport(BaseModel):
    """What may be trusted about a file; c2pa.state is trusted, valid, invalid or absent."""

    conclusion: dict[str, Any]
    reason: str | None
    c2pa: dict[str, Any]
    watermark: dict[str, Any]
    asset: str | None
    library: dict[str, Any] | None
    media: dict[str, Any] | None
    checklist: list[dict[str, Any]]
    disclosures: list[dict[str, Any]]


class ConsistencyReport(BaseModel):
    """What the checks found. passed: false when one says no, null when none could tell."""

    model_config = ConfigDict(extra="allow")

    passed: bool | None
    checks: list[dict[str, Any]]


class Health(BaseModel):
    """That the server answers."""

    status: Literal["ok"] = "ok"
