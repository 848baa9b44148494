"""The studio's own signing identity and watermark key: made on first use, kept private, replaced only on request."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from studio.errors import StudioError
from studio.provenance.issuing import issue_chain
from studio.provenance.keys import algorithm_of
from studio.provenance.safekeeping import (
    AUTHORITY,
    CHAIN,
    CURRENT,
    KEY,
    ROOT,
    WATERMARK,
    DamagedIdentity,
    damaged,
    finish_replacement,
    homes,
    is_half_replaced,
    publish,
    read_private,
    replace_current,
)

if TYPE_CHECKING:
    from cryptography import x509

_WATERMARK_KEY = "key.bin"
_WATERMARK_KEY_BYTES = 32
_PINNED = "external-"


class RemoteSigner(Protocol):
    """Makes the raw signature of some bytes with a key that the studio never sees.

    failure: why the latest one came to nothing, kept because the signing library tells only that it did.
    """

    failure: StudioError | None

    def sign(self, data: bytes) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class OwnCertificates:
    """By what an install knows its own files.

    roots_pem: roots it made; their keys are gone, so all they ever vouched for is one leaf each.
    leaves_pem: leaves it signed with under somebody else's authority, which may vouch for strangers too.
    authorities_pem: roots that were given along with such leaves.
    """

    roots_pem: bytes = b""
    leaves_pem: bytes = b""
    authorities_pem: bytes = b""


@dataclass(frozen=True, kw_only=True)
class SigningIdentity:
    """What signs a clip.

    chain_pem: the leaf, then intermediates if any; the root is kept out.
    key_pem: the leaf's private key (PKCS #8), never shown; None where it lives elsewhere.
    algorithm: C2PA name of the signature algorithm.
    anchors_pem: every root this studio ever made, so that old files stay trusted.
    fingerprint: sha256 of the leaf, hex.
    leaves_pem: every leaf brought along or kept elsewhere that this studio ever signed with.
    is_local: the studio made it; False where it was brought along.
    remote: what signs in place of a key file.
    """

    chain_pem: bytes = field(repr=False)
    key_pem: bytes | None = field(repr=False)
    algorithm: str
    anchors_pem: bytes = field(repr=False)
    fingerprint: str
    leaves_pem: bytes = field(default=b"", repr=False)
    is_local: bool = True
    remote: RemoteSigner | None = field(default=None, repr=False)

    @property
    def leaf(self) -> x509.Certificate:
        """Return the certificate that signs."""
        from cryptography import x509

        return x509.load_pem_x509_certificates(self.chain_pem)[0]


def load_or_create(folder: Path) -> SigningIdentity:
    """Return the identity kept in `folder`, making a local root and leaf on first use.

    Two processes may start at once: one wins and both return its identity.

    Raises:
        DamagedIdentity: files are missing, unreadable, do not belong together, or have expired.
        StoreFault, DiskFull: the folder cannot be used.
    """
    if is_half_replaced(folder):
        finish_replacement(folder)
    if not (folder / CURRENT).exists():
        publish(folder, CURRENT, _local_files())
    try:
        return _load(folder)
    except DamagedIdentity:
        finish_replacement(folder)  # another process may have replaced it between two of our reads
        return _load(folder)


def rotate(folder: Path) -> SigningIdentity:
    """Make a new local identity and retire the one in use: its files stay known, its key is destroyed.

    Raises StoreFault or DiskFull; then the identity in use is as it was.
    """
    replace_current(folder, _local_files())
    return load_or_create(folder)


def pin(folder: Path, leaf: x509.Certificate) -> None:
    """Remember for good that this leaf, whose key lives elsewhere, signed here. Raises StoreFault or DiskFull."""
    from cryptography.hazmat.primitives.serialization import Encoding

    name = f"{_PINNED}{_fingerprint(leaf)[:16]}"
    if not (folder / name).is_dir():
        publish(folder, name, {CHAIN: leaf.public_bytes(Encoding.PEM)})


def own_certificates(folder: Path) -> OwnCertificates:
    """Return by what this install knows what it ever signed; all empty before the first signature.

    Reading needs no key: a damaged or expired identity still knows its own work. A retired one that cannot be read is
    left out; raises `DamagedIdentity` where the one in use cannot be read.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    roots, leaves, authorities = [], [], []
    for home in homes(folder):
        if (home / AUTHORITY).exists():
            authorities += _certificates(home / AUTHORITY)
            leaves += _certificates(home / CHAIN)[:1]
        elif (home / ROOT).exists():
            roots += _certificates(home / ROOT)
    for home in sorted(folder.glob(f"{_PINNED}*")):
        leaves += _certificates(home / CHAIN)[:1]

    def joined(found: Iterable[x509.Certificate]) -> bytes:
        return b"".join(dict.fromkeys(item.public_bytes(Encoding.PEM) for item in found))

    return OwnCertificates(roots_pem=joined(roots), leaves_pem=joined(leaves), authorities_pem=joined(authorities))


def has_watermark_key(folder: Path) -> bool:
    """Say whether this install has marked anything yet."""
    return (folder / WATERMARK / _WATERMARK_KEY).is_file()


def watermark_key(folder: Path) -> bytes:
    """Return this install's 32 random watermark bytes, making them on first use.

    Raises as `load_or_create` does.
    """
    if not (folder / WATERMARK).exists():
        publish(folder, WATERMARK, {_WATERMARK_KEY: secrets.token_bytes(_WATERMARK_KEY_BYTES)})
    key = read_private(folder / WATERMARK / _WATERMARK_KEY)
    if len(key) != _WATERMARK_KEY_BYTES:
        raise damaged("the watermark key has a wrong length", folder / WATERMARK)
    return key


def identity_of(chain_pem: bytes, folder: Path, *, key_pem: bytes | None, is_local: bool = False) -> SigningIdentity:
    """Return the identity with this chain. folder: where the certificates of earlier ones are kept.

    Raises ValueError for a chain that cannot be parsed, `UnfitKey` for one that cannot sign.
    """
    from cryptography import x509

    leaf, own = x509.load_pem_x509_certificates(chain_pem)[0], own_certificates(folder)
    return SigningIdentity(
        chain_pem=chain_pem,
        key_pem=key_pem,
        algorithm=algorithm_of(leaf.public_key()),
        anchors_pem=own.roots_pem,
        fingerprint=_fingerprint(leaf),
        leaves_pem=own.leaves_pem,
        is_local=is_local,
    )


def _local_files() -> dict[str, bytes]:
    issued = issue_chain(datetime.now(UTC))
    return {CHAIN: issued.chain_pem, KEY: issued.key_pem, ROOT: issued.root_pem}


def _load(folder: Path) -> SigningIdentity:
    home = folder / CURRENT
    is_local = not (home / AUTHORITY).exists()
    chain_pem = read_private(home / CHAIN)
    root_pem = read_private(home / ROOT) if is_local else None
    key_pem = read_private(home / KEY) if is_local or (home / KEY).exists() else None
    try:
        _require_a_pair(chain_pem, root_pem, key_pem)
        identity = identity_of(chain_pem, folder, key_pem=key_pem, is_local=is_local)
    except DamagedIdentity:
        raise
    except Exception as error:  # the parsers raise many kinds; each means the same to the user
        raise damaged("the signing identity is damaged", home) from error
    _require_current(identity.leaf)
    return identity


def _require_a_pair(chain_pem: bytes, root_pem: bytes | None, key_pem: bytes | None) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    leaf = x509.load_pem_x509_certificates(chain_pem)[0]
    if key_pem is not None and load_pem_private_key(key_pem, password=None).public_key() != leaf.public_key():
        raise ValueError("the key does not belong to the certificate")
    if root_pem is not None:
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificates(root_pem)[0])


def _require_current(leaf: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        return
    raise DamagedIdentity(
        "this computer's date lies outside the signing certificate's life",
        got=now.date(),
        allowed=f"{leaf.not_valid_before_utc.date()} to {leaf.not_valid_after_utc.date()}",
        fix="correct the clock, or if the certificate has expired: `studio identity rotate`",
    )


def _certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates in a file; those of a retired identity that cannot be read are none."""
    from cryptography import x509

    is_in_use = path.parent.name == CURRENT
    try:
        content = read_private(path).strip()
        return x509.load_pem_x509_certificates(content) if content else []
    except DamagedIdentity:
        if is_in_use:
            raise
    except ValueError as error:
        if is_in_use:
            raise damaged(f"{path.name} is damaged", path.parent) from error
    return []


def _fingerprint(leaf: x509.Certificate) -> str:
    from cryptography.hazmat.primitives import hashes

    return leaf.fingerprint(hashes.SHA256()).hex()
