"""The files that went into a file: added with the Content Credentials they carry, as far as those may be passed on."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from studio.config import PromptPolicy
from studio.errors import SealFailed, UnreadableMedia
from studio.media import sniff_mime_type
from studio.provenance.manifest import Ingredient, ingredient_label
from studio.provenance.redaction import (
    LEFT_OUT_NOTE,
    policy_of,
    records,
    taken_out,
    to_redact,
    with_note,
    with_redactions,
)
from studio.provenance.sidecar import record_beside
from studio.provenance.trust import TrustList, offline_settings

_PLAIN_BYTES = "application/octet-stream"
_RECORD_ALONE = "application/c2pa"
_BARE_DESCRIPTION = "Its Content Credentials were left out: they told more of a prompt than may be told here."


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What is to be signed. bare: places of the ingredients that go in without the credentials they carry."""

    definition: dict[str, Any]
    bare: frozenset[int] = frozenset()

    @property
    def redacts(self) -> bool:
        """Whether something is taken out of an ingredient's credentials."""
        return "redactions" in self.definition


def prepare(definition: dict[str, Any], ingredients: Sequence[Ingredient]) -> Preparation:
    """Have everything taken out of the ingredients' credentials that the definition's prompt policy keeps back.

    Where one ingredient brings a record along that was taken out of another, the SDK would mix the two up: the first
    goes in without credentials then.
    """
    stores = [_read_file(item) for item in ingredients]
    gone = {uri for store in stores for uri in taken_out(store or {})}
    bare = frozenset(index for index, store in enumerate(stores) if gone & set(records(store or {})))
    if bare:
        definition = with_note(definition, LEFT_OUT_NOTE)
    kept = [store or {} for index, store in enumerate(stores) if index not in bare]
    policy = policy_of(definition)
    return Preparation(
        definition=with_redactions(definition, [uri for store in kept for uri in to_redact(store, policy)]), bare=bare
    )


def prepare_bare(definition: dict[str, Any], ingredients: Sequence[Ingredient]) -> Preparation:
    """Leave out the credentials that tell too much as a whole, for a case in which parts cannot be taken out.

    Credentials that cannot be read before they are added might tell too much as well, so they are left out too.
    """
    policy = policy_of(definition)
    stores = [_read_file(item) for item in ingredients]
    bare = frozenset(index for index, store in enumerate(stores) if store is None or to_redact(store, policy))
    return Preparation(definition=with_note(definition, LEFT_OUT_NOTE), bare=bare)


def is_discreet(record: bytes, policy: PromptPolicy) -> bool:
    """Say whether a finished manifest store keeps to the policy, with all that came along from ingredients."""
    store = _read(_RECORD_ALONE, io.BytesIO(record))
    return store is not None and not to_redact(store, policy)


def add_ingredients(
    builder: Any, ingredients: Sequence[Ingredient], bare: frozenset[int], lists: Sequence[TrustList]
) -> None:
    """Add all files to a builder of the SDK, in order.

    One that the SDK cannot parse goes in as plain bytes: it was good enough to make a clip from, so it must not stop
    the clip from being sealed. lists: by which credentials kept beside a file are judged; the builder has its own.
    Raises `SealFailed` for a file that is gone.
    """
    for index, ingredient in enumerate(ingredients):
        found = _mime_type(ingredient)
        if index in bare:
            _add(builder, index, ingredient, found, read_as=_PLAIN_BYTES, description=_BARE_DESCRIPTION)
            continue
        try:
            if (record := record_beside(ingredient.path, found)) is not None:
                _add_with_sidecar(builder, index, ingredient, found, record, lists)
            else:
                _add(builder, index, ingredient, found)
        except Exception:  # whatever the SDK makes of a broken file
            _add(builder, index, ingredient, _PLAIN_BYTES)


def _add_with_sidecar(
    builder: Any, index: int, ingredient: Ingredient, mime_type: str, record: bytes, lists: Sequence[TrustList]
) -> None:
    """Add a file and the record beside it, with what a check of the two together says; the SDK would not look there."""
    with ingredient.path.open("rb") as file:
        store = _read(mime_type, file, record, lists)
    if not store:
        raise ValueError("the record beside the file cannot be read")
    place = f"{ingredient_label(index)}.c2pa"
    builder.add_resource(place, io.BytesIO(record))
    checked = {
        "manifest_data": {"format": _RECORD_ALONE, "identifier": place},
        "active_manifest": store["active_manifest"],
        "validation_results": store["validation_results"],
    }
    _add(builder, index, ingredient, mime_type, read_as=_PLAIN_BYTES, **checked)


def _add(
    builder: Any,
    index: int,
    ingredient: Ingredient,
    mime_type: str,
    *,
    read_as: str | None = None,
    **more: Any,
) -> None:
    facts = {
        "title": ingredient.title,
        "format": mime_type,
        "relationship": ingredient.relationship,
        "label": ingredient_label(index),
    }
    with ingredient.path.open("rb") as file:
        builder.add_ingredient(json.dumps(facts | more), read_as or mime_type, file)


def _mime_type(ingredient: Ingredient) -> str:
    try:
        return sniff_mime_type(ingredient.path) or ingredient.mime_type
    except UnreadableMedia as error:
        words = " ".join(str(error).split())
        raise SealFailed(
            f"the ingredient {ingredient.title} cannot be read", got=words, fix="put that file back"
        ) from error


def _read_file(ingredient: Ingredient) -> Mapping[str, Any] | None:
    mime_type = _mime_type(ingredient)
    with ingredient.path.open("rb") as file:
        return _read(mime_type, file, record_beside(ingredient.path, mime_type))


def _read(
    mime_type: str, file: BinaryIO, record: bytes | None = None, lists: Sequence[TrustList] | None = None
) -> Mapping[str, Any] | None:
    """Return a manifest store as JSON; empty where there is none, None where it cannot be read.

    record: the store, where it is kept beside the file. lists: check it by them; None tells what it says, true or not.
    """
    from c2pa import Context, Reader, Settings

    settings = offline_settings(lists or ())
    settings["verify"]["verify_after_reading"] = lists is not None
    try:
        with (
            Settings.from_dict(settings) as native_settings,
            Context(native_settings) as context,
            Reader(mime_type, file, manifest_data=record, context=context) as reader,
        ):
            store: Mapping[str, Any] = json.loads(reader.json())
            return store
    except Exception as error:  # no record, a broken one, or one that is kept elsewhere
        return {} if "ManifestNotFound" in type(error).__name__ else None
