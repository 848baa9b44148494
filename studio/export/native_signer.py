"""The signing library's own signer, over a key file or over a key kept elsewhere, with or without a time stamp."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from studio.errors import SealFailed, StudioError
from studio.provenance.certificates import RemoteSigner, SigningIdentity
from studio.provenance.timestamps import Clock, relay


def native_signer(identity: SigningIdentity, authority_url: str | None) -> Any:
    """Return a `c2pa.Signer`; the caller closes it. authority_url: whom the library asks for the time, None for nobody.

    Raises whatever the library raises for a chain or key that it does not take.
    """
    from c2pa import C2paSignerInfo, C2paSigningAlg, Signer

    if identity.remote is not None:
        algorithm = C2paSigningAlg[identity.algorithm.upper()]
        return Signer.from_callback(_callback(identity.remote), algorithm, identity.chain_pem.decode(), authority_url)
    if identity.key_pem is None:
        raise SealFailed("the certificate has no key, and nothing is configured to sign in its place")
    address = authority_url.encode() if authority_url else None
    return Signer.from_info(C2paSignerInfo(identity.algorithm.encode(), identity.chain_pem, identity.key_pem, address))


def signed_in_time(sign: Callable[[str | None], bytes], clock: Clock | None) -> bytes:
    """Sign with a time stamp if the authority gives one in time, else without and say so in ``clock.missed``.

    sign: told the address to ask, None for nobody; writes the file anew every time.
    """
    if clock is None or clock.missed is not None:
        return sign(None)
    with ExitStack() as stack:
        line = stack.enter_context(relay(clock.authority, deadline_seconds=clock.deadline_seconds))
        try:
            return sign(line.url)
        except Exception as error:
            missed = line.failure or f"its answer could not be used ({' '.join(str(error).split())})"
    store = sign(None)  # fails again if the fault lay elsewhere
    clock.missed = missed
    return store


def real_cause(identity: SigningIdentity) -> StudioError | None:
    """Return why a key kept elsewhere did not sign: the library itself tells only that it did not."""
    return None if identity.remote is None else identity.remote.failure


def _callback(remote: RemoteSigner) -> Callable[[bytes], bytes]:
    def sign(data: bytes) -> bytes:
        return remote.sign(bytes(data))

    return sign
