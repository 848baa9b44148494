"""Receives what a clip is to be made of: JSON, or a form with pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request

from studio.catalog.schema import ModelSpec
from studio.request import GenerationRequest
from ui.api.asks import VideoRequest
from ui.api.bodies import media_type, read_json, unsupported_type
from ui.api.services import Services
from ui.api.uploads import MAX_PICTURE_BYTES, Form, receive_form
from ui.api.wishes import FILES, LISTS, PICTURES, generation_request, video_request_of_form


@dataclass(frozen=True, kw_only=True)
class Received:
    """What was asked for. form: where its pictures came as files. folder: for pictures that came otherwise."""

    asked: VideoRequest
    folder: Path
    form: Form = field(default_factory=Form)
    is_form: bool = False

    def request(self, spec: ModelSpec) -> GenerationRequest:
        """Return what the studio is to make of it. Raises a `RequestError` that names what is wrong."""
        return generation_request(self.asked, spec, self.form.files, self.folder)


@asynccontextmanager
async def received(request: Request, here: Services) -> AsyncIterator[Received]:
    """Yield what the body asks for; its pictures are there for as long as the context lasts. Raises a `Refusal`."""
    kind = media_type(request)
    if kind == "application/json":
        asked = await read_json(request, VideoRequest)
        if not any(getattr(asked, name) for name in (*PICTURES, *LISTS)):
            yield Received(asked=asked, folder=here.home)
            return
        async with here.folder.room() as folder:
            yield Received(asked=asked, folder=folder)
    elif kind == "multipart/form-data":
        async with here.folder.room() as folder:
            async with here.uploads.take():
                form = await receive_form(
                    request, folder, files=frozenset(FILES), lists=frozenset(LISTS), limit=MAX_PICTURE_BYTES
                )
            yield Received(asked=video_request_of_form(form), folder=folder, form=form, is_form=True)
    else:
        raise unsupported_type(request, "application/json or multipart/form-data")
