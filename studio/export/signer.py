"""C2PA signing into a new file, without a network. Only the gate may import this module."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from studio.disk import is_full
from studio.errors import DiskFull, SealFailed, StudioError
from studio.export.ingredients import Preparation, add_ingredients, is_discreet, prepare, prepare_bare
from studio.export.native_signer import native_signer, real_cause, signed_in_time
from studio.provenance.certificates import SigningIdentity
from studio.provenance.manifest import CREATED_LABELS, Ingredient
from studio.provenance.redaction import policy_of
from studio.provenance.timestamps import Clock
from studio.provenance.trust import TrustList, identity_list, offline_settings

_THUMBNAIL = "thumbnail.jpg"
_ROOM_FOR_MANIFEST_BYTES = 1 << 20


def sign(
    source: Path,
    destination: Path,
    *,
    mime_type: str,
    manifest: dict[str, Any],
    ingredients: Sequence[Ingredient],
    identity: SigningIdentity,
    lists: Sequence[TrustList] | None = None,
    thumbnail_jpeg: bytes | None = None,
    is_embedded: bool = True,
    clock: Clock | None = None,
) -> bytes:
    """Write a signed copy of `source` to `destination` and return its manifest store.

    is_embedded: False writes a plain copy, and the store returned has to be kept beside it.
    lists: by which the ingredients' signers are judged; left out, the identity's own alone.
    clock: whom to ask for the time; its ``missed`` says why the file has no time stamp. Left out, nobody is asked.
    The bytes are on the disk when this returns. `source` is never touched; after a failure `destination` is gone.

    Raises:
        SealFailed: the file could not be signed; the sentence says why.
        DiskFull: there was no room for the copy.
    """
    if source == destination or (destination.exists() and destination.samefile(source)):
        # The SDK would truncate the file before reading it.
        raise SealFailed("a file cannot be signed in place", got=destination)
    known = (identity_list(identity),) if lists is None else lists

    def attempt(prepared: Preparation) -> bytes:
        parts = (mime_type, prepared, identity, known, thumbnail_jpeg, is_embedded)
        return signed_in_time(lambda address: _sign(source, destination, *parts, address), clock)

    try:
        prepared = prepare(manifest, ingredients)
        try:
            store = attempt(prepared)
        except Exception:
            if not prepared.redacts:
                raise
        else:
            if not ingredients or is_discreet(store, policy_of(manifest)):
                return store
        return attempt(prepare_bare(manifest, prepared.inputs))
    except Exception as error:  # the SDK raises many kinds, and plain ones from its callbacks
        with suppress(OSError):
            destination.unlink(missing_ok=True)
        raise real_cause(identity) or _explain(error, source, destination) from error


def _sign(
    source: Path,
    destination: Path,
    mime_type: str,
    prepared: Preparation,
    identity: SigningIdentity,
    lists: Sequence[TrustList],
    thumbnail_jpeg: bytes | None,
    is_embedded: bool,
    authority_url: str | None,
) -> bytes:
    from c2pa import Builder, Context, Settings

    settings = offline_settings(lists, created_labels=CREATED_LABELS)
    with Settings.from_dict(settings) as native_settings, Context(native_settings) as context:
        definition = prepared.definition | {"format": mime_type}
        if thumbnail_jpeg is not None:
            definition |= {"thumbnail": {"format": "image/jpeg", "identifier": _THUMBNAIL}}
        with Builder(definition, context) as builder:
            if not is_embedded:
                builder.set_no_embed()
            if thumbnail_jpeg is not None:
                builder.add_resource(_THUMBNAIL, io.BytesIO(thumbnail_jpeg))
            add_ingredients(builder, prepared, lists)
            signer = native_signer(identity, authority_url)
            with signer, source.open("rb") as raw, destination.open("w+b") as signed:
                store = builder.sign(signer, mime_type, raw, signed)
                signed.flush()
                os.fsync(signed.fileno())
                return bytes(store)


def _explain(error: Exception, source: Path, destination: Path) -> StudioError:
    if isinstance(error, StudioError):
        return error
    if _is_disk_full(error, source, destination):
        return DiskFull(
            "there is no room for the signed file",
            got=destination.parent,
            fix="free some space and seal the clip again: it waits in quarantine",
        )
    return SealFailed("the file could not be signed", got=_reason(error))


def _is_disk_full(error: Exception, source: Path, destination: Path) -> bool:
    if is_full(error):
        return True
    if "No space left" in str(error) or "os error 28" in str(error):
        return True
    # An error raised inside the SDK's write callback arrives without its cause.
    with suppress(OSError):
        return shutil.disk_usage(destination.parent).free < source.stat().st_size + _ROOM_FOR_MANIFEST_BYTES
    return False


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
