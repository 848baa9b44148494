"""/v1/verify and /v1/check: what may be trusted about an uploaded file, and how steady it is."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.checking import Checked, CheckWish, Profile, check_many
from studio.errors import GenerationFailed, UnsupportedValue
from ui.api import asks, schemas
from ui.api.bodies import refusal_of_errors
from ui.api.documented import WITH_BODY, answers, file_part, form_body
from ui.api.problems import without_home
from ui.api.services import Here
from ui.api.uploads import MAX_VIDEO_BYTES, Form, receive_form

F = TypeVar("F", bound=BaseModel)

router = APIRouter(prefix="/v1", tags=["verification"])

_VIDEO = "A video, a picture or a sound, of up to 4 GiB."


class _VerifyFields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    search: asks.Flag = True


class _CheckFields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    profile: Profile = "gate"
    prompt: str | None = Field(default=None, max_length=10_000)


@router.post(
    "/verify",
    response_model=schemas.VerificationReport,
    responses=answers(*WITH_BODY),
    openapi_extra=form_body(
        {
            "file": file_part(_VIDEO),
            "sidecar": file_part("Content Credentials that are kept beside the file (.c2pa)."),
            "search": {"type": "boolean", "description": "Look for a mark in a changed picture; takes seconds."},
        },
        ["file"],
    ),
)
async def verify(request: Request, here: Here) -> Any:
    """Inspect any file from anywhere: credentials, watermark, library record. Nothing in it is believed."""
    async with here.folder.room() as folder:
        async with here.uploads.take():
            form = await receive_form(request, folder, files=frozenset({"file", "sidecar"}), limit=MAX_VIDEO_BYTES)
        fields = _fields(_VerifyFields, form)
        path = _file(form)
        if "sidecar" in form.files:
            form.files["sidecar"].rename(path.with_name(path.name + ".c2pa"))
        async with here.inspections.take():
            verification = await run_in_threadpool(here.studio.verify, path, search=fields.search)
    data = verification.as_json()
    data.pop("path")
    return without_home(data, here.home)


@router.post(
    "/check",
    response_model=schemas.ConsistencyReport,
    responses=answers(*WITH_BODY),
    openapi_extra=form_body(
        {
            "file": file_part("A video of up to 4 GiB."),
            "input_image": file_part("The picture that the clip was made from."),
            "profile": {"type": "string", "enum": ["gate", "deep"]},
            "prompt": {"type": "string", "maxLength": 10_000, "description": "What was asked for."},
        },
        ["file"],
    ),
)
async def check(request: Request, here: Here) -> Any:
    """Run the consistency checks on any video."""
    async with here.folder.room() as folder:
        async with here.uploads.take():
            form = await receive_form(request, folder, files=frozenset({"file", "input_image"}), limit=MAX_VIDEO_BYTES)
        fields = _fields(_CheckFields, form)
        path = _file(form)
        wish = CheckWish(profile=fields.profile, prompt=fields.prompt, input_image=form.files.get("input_image"))

        def work() -> Checked:
            # In a process of its own: a decoder that crashes takes nothing else with it.
            with closing(check_many([path], here.studio.settings, wish, jobs=1)) as results:
                return next(results)

        async with here.inspections.take():
            checked = await run_in_threadpool(work)
    if checked.report is None:
        raise checked.error or GenerationFailed("nothing came of the check")
    return without_home(checked.report.as_json(), here.home)


def _fields(model: type[F], form: Form) -> F:
    try:
        return model.model_validate_strings(form.fields)
    except ValidationError as error:
        raise refusal_of_errors(error.errors(include_url=False)) from None


def _file(form: Form) -> Path:
    if "file" not in form.files:
        raise UnsupportedValue("a file is needed", field="file", got="none", fix="send it as the part `file`")
    return form.files["file"]
