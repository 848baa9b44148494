"""C2PA signing into a new file, without a network. Only the gate may import this module."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from studio.disk import is_full
from studio.errors import DiskFull, SealFailed, StudioError, UnreadableMedia
from studio.media import sniff_mime_type
from studio.provenance.certificates import SigningIdentity
from studio.provenance.manifest import CREATED_LABELS, Ingredient, ingredient_label
from studio.provenance.trust import offline_settings

_THUMBNAIL = "thumbnail.jpg"
_PLAIN_BYTES = "application/octet-stream"
_ROOM_FOR_MANIFEST_BYTES = 1 << 20


def sign(
    source: Path,
    destination: Path,
    *,
    mime_type: str,
    manifest: dict[str, Any],
    ingredients: Sequence[Ingredient],
    identity: SigningIdentity,
    thumbnail_jpeg: bytes | None = None,
) -> bytes:
    """Write a signed copy of `source` to `destination` and return its manifest store.

    The bytes are on the disk when this returns. `source` is never touched; after a failure `destination` is gone.

    Raises:
        SealFailed: the file could not be signed; the sentence says why.
        DiskFull: there was no room for the copy.
    """
    if source == destination or (destination.exists() and destination.samefile(source)):
        # The SDK would truncate the file before reading it.
        raise SealFailed("a file cannot be signed in place", got=destination)
    try:
        return _sign(source, destination, mime_type, manifest, ingredients, identity, thumbnail_jpeg)
    except Exception as error:  # the SDK raises many kinds, and plain ones from its callbacks
        with suppress(OSError):
            destination.unlink(missing_ok=True)
        raise _explain(error, source, destination) from error


def _sign(
    source: Path,
    destination: Path,
    mime_type: str,
    manifest: dict[str, Any],
    ingredients: Sequence[Ingredient],
    identity: SigningIdentity,
    thumbnail_jpeg: bytes | None,
) -> bytes:
    from c2pa import Builder, C2paSignerInfo, Context, Settings, Signer

    settings = offline_settings(identity.anchors_pem, created_labels=CREATED_LABELS)
    with Settings.from_dict(settings) as native_settings, Context(native_settings) as context:
        definition = manifest | {"format": mime_type}
        if thumbnail_jpeg is not None:
            definition |= {"thumbnail": {"format": "image/jpeg", "identifier": _THUMBNAIL}}
        with Builder(definition, context) as builder:
            if thumbnail_jpeg is not None:
                builder.add_resource(_THUMBNAIL, io.BytesIO(thumbnail_jpeg))
            for index, ingredient in enumerate(ingredients):
                _add_ingredient(builder, index, ingredient)
            # No timestamp authority: asking one would open a socket.
            info = C2paSignerInfo(identity.algorithm.encode(), identity.chain_pem, identity.key_pem, None)
            with Signer.from_info(info) as signer, source.open("rb") as raw, destination.open("w+b") as signed:
                store = builder.sign(signer, mime_type, raw, signed)
                signed.flush()
                os.fsync(signed.fileno())
                return bytes(store)


def _add_ingredient(builder: Any, index: int, ingredient: Ingredient) -> None:
    """Add a file with the Content Credentials it carries; one the SDK cannot parse goes in as plain bytes.

    It was good enough to make a clip from, so it must not stop the clip from being sealed.
    """
    try:
        found = sniff_mime_type(ingredient.path) or ingredient.mime_type
    except UnreadableMedia as error:
        raise SealFailed(
            f"the ingredient {ingredient.title} cannot be read", got=_reason(error), fix="put that file back"
        ) from error
    try:
        _add_as(found, builder, index, ingredient)
    except Exception:  # whatever the SDK makes of a broken file
        _add_as(_PLAIN_BYTES, builder, index, ingredient)


def _add_as(mime_type: str, builder: Any, index: int, ingredient: Ingredient) -> None:
    description = {
        "title": ingredient.title,
        "format": mime_type,
        "relationship": ingredient.relationship,
        "label": ingredient_label(index),
    }
    with ingredient.path.open("rb") as file:
        builder.add_ingredient(json.dumps(description), mime_type, file)


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
