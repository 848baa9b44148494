"""What comes in from whoever sets up a comparison: one request, its pictures, and the contestants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import Request
from pydantic import Field, ValidationError

from studio.batch.fields import read_rate
from studio.comparing.wish import MAX_TAGS, MAX_VARIANTS, CompareWish, Variant
from studio.errors import StudioError, UnsupportedValue
from studio.library.asset import Asset
from studio.request import Conditioning, GenerationRequest, Role
from studio.resolving.material import file_sha256
from studio.spending.money import MONEY_WORDS, Money
from ui.api import asks
from ui.api.bodies import media_type, read_json, refusal_of_errors
from ui.api.lora_names import require_names
from ui.api.uploads import MAX_PICTURE_BYTES, Form, receive_form
from ui.web.here import Asked

FILES = {"image": Role.FIRST_FRAME, "last_image": Role.LAST_FRAME}
_NOT_ASKED = frozenset({"on_unsupported", "entries", "title", "tags", "max_cost", "pictures_of"})
_Text = Annotated[str, Field(max_length=1000)]


class EntryAsk(asks.Ask):
    """One contestant. changes: what is set otherwise for it alone; a field that is null is as everybody's."""

    model: Annotated[str, Field(min_length=1, max_length=80)]
    label: _Text = ""
    changes: asks.JobChanges = Field(default_factory=asks.JobChanges)


class CompareAsk(asks.RequestFields):
    """A comparison. pictures_of: id of a clip whose own pictures are taken. max_cost: such as ``5 USD``, of all."""

    entries: Annotated[list[EntryAsk], Field(max_length=MAX_VARIANTS)]
    title: _Text = ""
    tags: Annotated[list[_Text], Field(max_length=MAX_TAGS)] = Field(default_factory=list)
    max_cost: Annotated[str, Field(max_length=40)] | None = None
    pictures_of: Annotated[str, Field(max_length=40)] | None = None

    def wish(self, pictures: tuple[Conditioning, ...]) -> CompareWish:
        """Return what the studio is to compare. Raises a `RequestError` that names what is wrong."""
        given = {name: getattr(self, name) for name in self.model_fields_set - _NOT_ASKED}
        base = GenerationRequest(model="", conditionings=pictures, **_read(given))
        variants = [
            Variant(model=item.model, label=item.label, changes=_read(_changes(item.changes))) for item in self.entries
        ]
        return CompareWish(
            base=base, variants=variants, title=self.title, tags=self.tags, max_cost=_money(self.max_cost)
        )


@asynccontextmanager
async def received(request: Request, here: Asked) -> AsyncIterator[tuple[CompareAsk, Form]]:
    """Yield what was asked, JSON or a form with the parts `wish`, `image` and `last_image`; its files are there for as
    long as the context lasts. Raises a `Refusal`.
    """
    if media_type(request) == "application/json":
        yield await read_json(request, CompareAsk), Form()
        return
    async with here.services.folder.room() as folder:
        async with here.services.uploads.take():
            form = await receive_form(request, folder, files=frozenset(FILES), limit=MAX_PICTURE_BYTES)
        try:
            asked = CompareAsk.model_validate_json(form.fields.get("wish", ""), strict=True)
        except ValidationError as error:
            raise refusal_of_errors(error.errors(include_url=False)) from None
        yield asked, form


def pictures_of_form(form: Form) -> tuple[Conditioning, ...]:
    """Return the pictures that were sent."""
    return tuple(Conditioning(role=role, path=form.files[name]) for name, role in FILES.items() if name in form.files)


def kept_pictures(asset: Asset, known: Mapping[str, Path]) -> tuple[Conditioning, ...]:
    """Return the pictures that a clip was made from, as far as they can still be found.

    known: files of the library by their SHA-256. A file that its owner changed or moved since is not one of them.
    """
    found = []
    for item in asset.request.get("conditionings", ()):
        picture = Conditioning(role=Role(item["role"]), path=Path(item["path"]), sha256=item["sha256"])
        path = known.get(str(picture.sha256))
        if path is not None:
            found.append(replace(picture, path=path))
        elif _is_unchanged(picture):
            found.append(picture)
    return tuple(found)


def _is_unchanged(picture: Conditioning) -> bool:
    try:
        return picture.path.is_file() and file_sha256(picture) == picture.sha256
    except StudioError:
        return False


def _changes(asked: asks.JobChanges) -> dict[str, Any]:
    names = [name for name in asks.JobChanges.model_fields if name not in ("model", "on_unsupported")]
    return {name: value for name in names if (value := getattr(asked, name)) is not None}


def _read(given: dict[str, Any]) -> dict[str, Any]:
    require_names(given.get("options") or {})
    if given.get("frame_rate") is not None:
        try:
            given["frame_rate"] = read_rate(given["frame_rate"])
        except StudioError as error:
            raise UnsupportedValue(error.message, field="frame_rate", got=given["frame_rate"]) from None
    return given


def _money(text: str | None) -> Money | None:
    try:
        return None if text is None or not text.strip() else Money.parse(text)
    except ValueError:
        raise UnsupportedValue("not a sum of money", field="max_cost", got=text, allowed=MONEY_WORDS) from None
