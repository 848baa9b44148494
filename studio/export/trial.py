"""A signature on trial: one that nobody keeps, made before an identity is relied on."""

from __future__ import annotations

import base64
import io
import json

from studio.errors import RequestError, StudioError
from studio.export.native_signer import native_signer, real_cause
from studio.provenance.certificates import SigningIdentity
from studio.provenance.origin import TRAINED
from studio.provenance.trust import identity_list, offline_settings

# A white PNG of one pixel.
_PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsOBC8gAAAABJRU5ErkJggg=="
)
_PNG = "image/png"
_MANIFEST = {
    "claim_generator_info": [{"name": "trial"}],
    "assertions": [
        {
            "label": "c2pa.actions",
            "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": TRAINED}]},
        }
    ],
}


class RefusedIdentity(RequestError):
    """The signing library or its validator does not accept a certificate or its signature."""


def try_out(identity: SigningIdentity) -> None:
    """Sign a picture in memory and read it back; nothing is written, nobody is asked for the time.

    Raises `RefusedIdentity`, or what a signer kept elsewhere failed with.
    """
    try:
        state, codes = _sign_and_read(identity)
    except Exception as error:  # the library raises many kinds
        if isinstance(error, StudioError):
            raise
        reason = " ".join(str(error).split())
        raise real_cause(identity) or _refused(f"a signature on trial failed ({reason})") from error
    if state != "Trusted":
        raise _refused(f"a file signed with it reads {state.lower()}", got=", ".join(codes))


def _sign_and_read(identity: SigningIdentity) -> tuple[str, list[str]]:
    from c2pa import Builder, Context, Reader, Settings

    signed = io.BytesIO()
    configured = offline_settings([identity_list(identity)])
    with Settings.from_dict(configured) as settings, Context(settings) as context:
        with Builder(_MANIFEST, context) as builder, native_signer(identity, None) as signer:
            builder.sign(signer, _PNG, io.BytesIO(_PICTURE), signed)
        signed.seek(0)
        with Reader(_PNG, signed, context=context) as reader:
            results = json.loads(reader.json()).get("validation_results") or {}
            failures = (results.get("activeManifest") or {}).get("failure") or []
            return str(reader.get_validation_state()), [str(item.get("code")) for item in failures]


def _refused(message: str, got: str | None = None) -> RefusedIdentity:
    return RefusedIdentity(message, field="chain", got=got, fix="use a certificate made for signing media or e-mail")
