"""Batch files over HTTP: looked at before anything starts, handed in all or none, and looked after as a whole."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from studio.batch.reading import SUFFIXES
from studio.jobs.batches import Batch, BatchRows, UnknownBatch
from studio.jobs.states import JobState
from studio.people.visitor import Action
from ui.api.problems import Refusal
from ui.api.uploads import Form, receive_form
from ui.web.batch.templates import template
from ui.web.batch.upload import Upload, hand_in, look_at, plain_name
from ui.web.here import Asked, Here
from ui.web.routes.jobs import act_on_all, unless_known
from ui.web.views.batches import batch_view, check_view, handed_in_view, jobs_view

router = APIRouter(prefix="/studio")

MAX_FORM_BYTES = 512 * 2**20
MAX_NAME_CHARACTERS = 120
MAX_LISTED = 30
_ID = re.compile(r"[0-9A-Za-z-]{1,40}", re.ASCII)
_STATES = {
    "cancel": (JobState.QUEUED, JobState.RUNNING),
    "pause": (JobState.QUEUED, JobState.RUNNING),
    "resume": (JobState.QUEUED, JobState.RUNNING),
    "retry": (JobState.FAILED,),
}


@router.get("/batches")
def list_batches(request: Request, here: Here) -> Response:
    """Return the latest batches, newest first, and how far each is; 304 where nothing changed."""
    rows = BatchRows(here.studio.store)
    found = rows.all(MAX_LISTED)
    ids = [batch.id for batch in found]
    counts, owners = rows.counts(ids), here.site.people.owners(ids)
    told = [
        batch_view(batch, counts[batch.id], owner=owners.get(batch.id), is_mine=here.visitor.owns(owners.get(batch.id)))
        for batch in found
        if counts[batch.id]
    ]
    return unless_known({"batches": told}, request)


@router.get("/batches/template/{ending}")
def show_template(ending: str, here: Here) -> Response:
    """Return a batch file to begin with, in the format of this ending, for a model that runs here."""
    content = template(ending, here.studio.registry)
    if content is None:
        raise Refusal(404, "there is no template of this format", got=ending, allowed="jsonl, csv, yaml")
    headers = {"content-disposition": f'attachment; filename="batch.{ending}"', "cache-control": "no-cache"}
    return Response(content, media_type="text/plain; charset=utf-8", headers=headers)


@router.post("/batches/check")
async def check(request: Request, here: Here) -> dict[str, Any]:
    """Look at a whole batch file, and at the pictures that came along, and start nothing."""
    here.require(Action.MAKE)
    async with _received(request, here) as (upload, _form), here.services.inspections.take():
        looked = await run_in_threadpool(look_at, here.studio, upload)
        return check_view(looked, here.services.home, name=upload.name, names=here.model_names)


@router.post("/batches")
async def submit(request: Request, here: Here) -> dict[str, Any]:
    """Hand a batch in: all of its clips, or none. The same file again leads to the same jobs, unless ``again`` is 1."""
    here.require(Action.MAKE)
    async with _received(request, here) as (upload, form), here.services.inspections.take():
        again = form.fields.get("again") == "1"

        def work() -> dict[str, Any]:
            looked = look_at(here.studio, upload)
            return handed_in_view(hand_in(here.studio, looked, here.visitor.name, again=again))

        return await run_in_threadpool(work)


@router.get("/batches/{batch_id}")
def show_batch(batch_id: str, request: Request, here: Here) -> Response:
    """Return the jobs of a batch, in the order of its file, with the clips that they made; or 304."""
    rows = BatchRows(here.studio.store)
    batch = _batch(batch_id, rows)
    return unless_known({"id": batch.id, "name": batch.path.name, "jobs": jobs_view(rows.glances(batch.id))}, request)


@router.post("/batches/{batch_id}/{what}")
def act(batch_id: str, what: Literal["cancel", "pause", "resume", "retry"], here: Here) -> dict[str, Any]:
    """Cancel, pause, resume or retry all jobs of a batch that this can be done with, and that are the visitor's."""
    rows = BatchRows(here.studio.store)
    batch = _batch(batch_id, rows)
    here.require(Action.CHANGE, batch.id)
    jobs = [job for job in rows.glances(batch.id) if job.state in _STATES[what]]
    if what == "resume":
        jobs = [job for job in jobs if job.is_paused]
    return act_on_all([job.id for job in jobs], what, here)


@asynccontextmanager
async def _received(request: Request, here: Asked) -> AsyncIterator[tuple[Upload, Form]]:
    """Yield what came: the batch file as ``batch``, others as ``files``, in ``names`` what their owner calls them."""
    async with here.services.folder.room() as folder:
        async with here.services.uploads.take():
            form = await receive_form(
                request, folder, files=frozenset({"batch"}), lists=frozenset({"files"}), limit=MAX_FORM_BYTES
            )
        yield _upload(form, here.visitor.name), form


def _upload(form: Form, owner: str | None) -> Upload:
    """Return the upload that a form holds. Raises a `Refusal` where parts and names do not fit together."""
    path = form.files.get("batch")
    if path is None:
        raise Refusal(422, "no batch file came", field="batch", allowed=", ".join(SUFFIXES))
    own, others = _names(form)
    count = sum(name.startswith("files.") for name in form.files)
    if len(others) != count:
        raise Refusal(422, "files and their names do not fit together", field="names", allowed=f"{count} names")
    plain = [plain_name(name) for name in others]
    doubled = next((name for name in plain if plain.count(name) > 1 or not name), None)
    if doubled is not None:
        raise Refusal(422, "two of the files have the same name", field="files", got=doubled, fix="rename one of them")
    files = {name: form.files[f"files.{number}"] for number, name in enumerate(plain)}
    name = "".join(character for character in plain_name(own) if character.isprintable())[:MAX_NAME_CHARACTERS]
    return Upload(path=path, name=name.strip(". ") or path.name, files=files, owner=owner)


def _names(form: Form) -> tuple[str, list[str]]:
    try:
        told = json.loads(form.fields.get("names", "{}"))
        own, others = told.get("batch", ""), told.get("files", [])
        is_sound = isinstance(own, str) and isinstance(others, list) and all(isinstance(item, str) for item in others)
    except (ValueError, AttributeError, RecursionError):
        is_sound = False
    if not is_sound:
        raise Refusal(422, "the names of the files cannot be read", field="names",
                      allowed='{"batch": "name.yaml", "files": ["picture.png"]}')  # fmt: skip
    return own, others


def _batch(batch_id: str, rows: BatchRows) -> Batch:
    with suppress(UnknownBatch):
        if _ID.fullmatch(batch_id) and (batch := rows.find(batch_id)).id == batch_id:
            return batch
    raise Refusal(404, "no such batch", field="batch", got=batch_id)
