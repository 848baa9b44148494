"""Whether a file of the library is still what the gate let in."""

from __future__ import annotations

from studio.errors import StoreFault, VerificationFailed
from studio.library.asset import Asset, file_sha256


def require_unaltered(asset: Asset) -> None:
    """Raise `VerificationFailed` unless an asset's file is, byte for byte, what the gate let in."""
    try:
        digest = file_sha256(asset.path)
    except OSError as error:
        raise StoreFault(
            f"the file in the library cannot be read ({error.strerror or error})",
            got=asset.path,
            fix="check the disk and the folder's rights",
        ) from error
    if digest != asset.sha256:
        raise VerificationFailed(
            "the file in the library was changed after it was sealed",
            got=asset.path,
            fix=f"put back a good copy, or delete it: `studio library remove {asset.id}`",
        )
