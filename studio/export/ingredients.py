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
from studio.provenance.inspect import MAX_ACCOUNT_CHARACTERS, PatientFile, is_too_large
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
from studio.provenance.sidecar import SIDECAR_TYPES, record_beside
from studio.provenance.trust import TrustList, offline_settings

_PLAIN_BYTES = "application/octet-stream"
_RECORD_ALONE = "application/c2pa"
_BARE_DESCRIPTION = "Its Content Credentials were left out: they told more of a prompt than may be told here."


@dataclass(frozen=True, kw_only=True)
class _Input:
    """An ingredient as it was read once, within the limits that inspection has too.

    store: what its credentials say, empty without any, None where they cannot be read. record: those kept beside it.
    is_plain: the SDK would take too long over it or too much memory, so it goes in as plain bytes.
    """

    ingredient: Ingredient
    mime_type: str
    store: Mapping[str, Any] | None
    record: bytes | None = None
    is_plain: bool = False


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What is to be signed. bare: places of the ingredients that go in without the credentials they carry."""

    definition: dict[str, Any]
    inputs: tuple[_Input, ...] = ()
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
    inputs = tuple(_read_file(item) for item in ingredients)
    stores = [item.store for item in inputs]
    gone = {uri for store in stores for uri in taken_out(store or {})}
    bare = frozenset(index for index, store in enumerate(stores) if gone & set(records(store or {})))
    if bare:
        definition = with_note(definition, LEFT_OUT_NOTE)
    kept = [store or {} for index, store in enumerate(stores) if index not in bare]
    uris = [uri for store in kept for uri in to_redact(store, policy_of(definition))]
    return Preparation(definition=with_redactions(definition, uris), inputs=inputs, bare=bare)


def prepare_bare(definition: dict[str, Any], inputs: tuple[_Input, ...]) -> Preparation:
    """Leave out the credentials that tell too much as a whole, for a case in which parts cannot be taken out.

    Credentials that cannot be read before they are added might tell too much as well, so they are left out too.
    """
    policy = policy_of(definition)
    bare = frozenset(index for index, item in enumerate(inputs) if item.store is None or to_redact(item.store, policy))
    return Preparation(definition=with_note(definition, LEFT_OUT_NOTE), inputs=inputs, bare=bare)


def is_discreet(record: bytes, policy: PromptPolicy) -> bool:
    """Say whether a finished manifest store keeps to the policy, with all that came along from ingredients."""
    store = _read(_RECORD_ALONE, io.BytesIO(record))
    return store is not None and not to_redact(store, policy)


def add_ingredients(builder: Any, prepared: Preparation, lists: Sequence[TrustList]) -> None:
    """Add all files to a builder of the SDK, in order.

    One that the SDK cannot parse, or not in time, goes in as plain bytes: it was good enough to make a clip from, so it
    must not stop the clip from being sealed. lists: by which credentials kept beside a file are judged; the builder
    has its own.
    """
    for index, item in enumerate(prepared.inputs):
        if index in prepared.bare:
            _add(builder, index, item, item.mime_type, read_as=_PLAIN_BYTES, description=_BARE_DESCRIPTION)
            continue
        if item.is_plain:
            _add(builder, index, item, _PLAIN_BYTES)
            continue
        try:
            if item.record is not None:
                _add_with_sidecar(builder, index, item, item.record, lists)
            else:
                _add(builder, index, item, item.mime_type)
        except Exception:  # whatever the SDK makes of a broken file
            _add(builder, index, item, _PLAIN_BYTES)


def _add_with_sidecar(builder: Any, index: int, item: _Input, record: bytes, lists: Sequence[TrustList]) -> None:
    """Add a file and the record beside it, with what a check of the two together says; the SDK would not look there."""
    with PatientFile(item.ingredient.path) as file:
        store = _read(item.mime_type, file, record, lists)
    if not store:
        raise ValueError("the record beside the file cannot be read")
    place = f"{ingredient_label(index)}.c2pa"
    builder.add_resource(place, io.BytesIO(record))
    checked = {
        "manifest_data": {"format": _RECORD_ALONE, "identifier": place},
        "active_manifest": store["active_manifest"],
        "validation_results": store["validation_results"],
    }
    _add(builder, index, item, item.mime_type, read_as=_PLAIN_BYTES, **checked)


def _add(
    builder: Any, index: int, item: _Input, mime_type: str, *, read_as: str | None = None, **more: Any
) -> None:  # fmt: skip
    facts = {
        "title": item.ingredient.title,
        "format": mime_type,
        "relationship": item.ingredient.relationship,
        "label": ingredient_label(index),
    }
    read_as = read_as or mime_type
    path = item.ingredient.path
    with path.open("rb") if read_as == _PLAIN_BYTES else PatientFile(path) as file:
        builder.add_ingredient(json.dumps(facts | more), read_as, file)


def _mime_type(ingredient: Ingredient) -> str:
    try:
        return sniff_mime_type(ingredient.path) or ingredient.mime_type
    except UnreadableMedia as error:
        words = " ".join(str(error).split())
        raise SealFailed(
            f"the ingredient {ingredient.title} cannot be read", got=words, fix="put that file back"
        ) from error


def _read_file(ingredient: Ingredient) -> _Input:
    """Read the credentials in a file, or those beside it. Raises `SealFailed` for a file that is gone."""
    mime_type, path = _mime_type(ingredient), ingredient.path
    if is_too_large(path, mime_type):
        return _Input(ingredient=ingredient, mime_type=mime_type, store=None, is_plain=True)
    record = record_beside(path, mime_type)
    with PatientFile(path) as file:
        store = None if mime_type in SIDECAR_TYPES and record is not None else _read(mime_type, file)
        if store:
            record = None
        elif record is not None:
            store = _read(mime_type, file, record)
        return _Input(
            ingredient=ingredient, mime_type=mime_type, store=store, record=record, is_plain=file.has_given_up
        )


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
        file.seek(0)
        with (
            Settings.from_dict(settings) as native_settings,
            Context(native_settings) as context,
            Reader(mime_type, file, manifest_data=record, context=context) as reader,
        ):
            account = reader.json()
            store: Mapping[str, Any] | None = json.loads(account) if len(account) <= MAX_ACCOUNT_CHARACTERS else None
            return store
    except Exception as error:  # no record, a broken one, or one that is kept elsewhere
        return {} if "ManifestNotFound" in type(error).__name__ else None
