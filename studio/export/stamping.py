"""A time stamp for a file that was sealed without one. Only the gate may import this module.

The file's own manifest stays as it is. An update manifest (C2PA 2.4, "Update manifests") is put beside it, which holds
the authority's token for the first one's signature (a ``c2pa.time-stamp`` assertion) and changes no content: it tells
when the file was known to be signed, not when it was made.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from studio import __version__
from studio.config import Settings
from studio.errors import EnvironmentFault, SealFailed, UnsupportedValue
from studio.export.native_signer import native_signer, real_cause
from studio.library.asset import Asset
from studio.provenance.inspect import C2paReading, read_c2pa
from studio.provenance.manifest import GENERATOR_NAME, SPEC_VERSION
from studio.provenance.signers import active_identity
from studio.provenance.timestamps import Clock, relay, require_clock
from studio.provenance.trust import offline_settings, trusted_lists


class NoTimeStamp(EnvironmentFault):
    """The authority gave no time stamp; the file is as it was."""


def has_time_stamp(asset: Asset, settings: Settings) -> bool:
    """Say whether an asset's file already carries a time stamp that fits, by whomever."""
    return read_c2pa(asset.path, mime_type=asset.mime_type, lists=trusted_lists(settings)).time_stamp.is_present


def add_time_stamp(asset: Asset, destination: Path, settings: Settings) -> bytes:
    """Write a copy of an asset's file with a time stamp to `destination` and return its manifest store.

    Raises:
        EnvironmentFault: no authority is configured; a `NoTimeStamp` where it gave none.
        UnsupportedValue: the file cannot get one after the fact.
        SealFailed: the file is not trusted as it is, or not any more with its time stamp.
    """
    clock = require_clock(settings)
    if read_c2pa(asset.path, mime_type=asset.mime_type).state == "absent":
        raise _not_later("files whose Content Credentials are kept beside them cannot be stamped later", asset)
    before = _read(asset, asset.path, settings)
    if before.state != "trusted":
        raise SealFailed(f"the file is not trusted as it is ({before.problem or ', '.join(before.codes)})")
    store = _update(asset, destination, settings, clock)
    after = _read(asset, destination, settings)
    if after.state != "trusted":  # measured: so it is with WebP and WAV, whose sizes the library does not keep right
        raise _not_later("files of this kind cannot be stamped later", asset)
    if not after.time_stamp.is_present or after.generation != before.generation:
        raise SealFailed("the file with its time stamp does not tell the same as before")
    return store


def _read(asset: Asset, path: Path, settings: Settings) -> C2paReading:
    return read_c2pa(path, mime_type=asset.mime_type, lists=trusted_lists(settings))


def _not_later(message: str, asset: Asset) -> UnsupportedValue:
    return UnsupportedValue(
        message, field="asset", got=asset.mime_type, fix="export the clip anew while the authority answers"
    )


def _update(asset: Asset, destination: Path, settings: Settings, clock: Clock) -> bytes:
    identity = active_identity(settings)
    with relay(clock.authority, deadline_seconds=clock.deadline_seconds) as line:
        configured = offline_settings(trusted_lists(settings))
        address = urlsplit(line.url)
        configured["core"]["allowed_network_hosts"] = [f"{address.scheme}://{address.netloc}"]
        configured["builder"]["auto_timestamp_assertion"] = {
            "enabled": True,
            "skip_existing": True,
            "fetch_scope": "parent",
        }
        try:
            return _sign_update(asset, destination, configured, native_signer(identity, line.url))
        except Exception as error:
            if cause := real_cause(identity):
                raise cause from error
            why = " ".join(str(error).split())
            if line.was_asked:
                raise NoTimeStamp(
                    f"the time stamp authority gave none: {line.failure or f'its answer could not be used ({why})'}",
                    field="STUDIO_TIMESTAMP_URL",
                    got=clock.authority,
                    fix="retry later: `studio identity timestamps retry`",
                ) from error
            raise SealFailed("the time stamp could not be put into the file", got=why) from error


def _sign_update(asset: Asset, destination: Path, configured: dict[str, Any], signer: Any) -> bytes:
    from c2pa import Builder, C2paBuilderIntent, Context, Settings

    manifest = {
        "claim_generator_info": [{"name": GENERATOR_NAME, "version": __version__, "specVersion": SPEC_VERSION}],
        "title": asset.path.name,
        "format": asset.mime_type,
    }
    with (
        signer,
        Settings.from_dict(configured) as settings,
        Context(settings) as context,
        Builder(manifest, context) as builder,
        asset.path.open("rb") as source,
        destination.open("w+b") as stamped,
    ):
        builder.set_intent(C2paBuilderIntent.UPDATE)
        store = builder.sign(signer, asset.mime_type, source, stamped)
        stamped.flush()
        os.fsync(stamped.fileno())
        return bytes(store)
