"""A certificate that the user brings along: refused in plain words, or tried out and made the identity in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from studio.errors import RequestError, UnreadableMedia
from studio.media import open_regular_file
from studio.provenance.certificates import SigningIdentity
from studio.provenance.issuing import EMAIL_PROTECTION, SIGNING_PURPOSES
from studio.provenance.keys import ALLOWED_KEYS, algorithm_of, require_signature, sign_with
from studio.provenance.safekeeping import AUTHORITY, CHAIN, KEY, replace_current

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_Extension = TypeVar("_Extension", bound="x509.ExtensionType")

MAX_PEM_BYTES = 2**16
MAX_CHAIN = 10

_ANY_PURPOSE = "2.5.29.37.0"
_WEAK_HASHES = ("md5", "sha1")


class UnfitCertificate(RequestError):
    """A certificate, chain or key that cannot sign Content Credentials."""


@dataclass(frozen=True, kw_only=True)
class OwnCertificate:
    """A chain that passed every check.

    chain_pem: the leaf and the intermediates, without the root. root_pem: the root if one was given, else empty.
    key_pem: PKCS #8, None where the key stays elsewhere. algorithm: C2PA's name.
    warnings: what does not forbid its use and should be known, in plain sentences.
    """

    chain_pem: bytes = field(repr=False)
    root_pem: bytes = field(repr=False)
    key_pem: bytes | None = field(repr=False)
    algorithm: str
    warnings: tuple[str, ...] = ()

    def identity(self) -> SigningIdentity:
        """Return the identity that this would make, known by its leaf alone."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.x509 import load_pem_x509_certificates

        leaf = load_pem_x509_certificates(self.chain_pem)[0]
        return SigningIdentity(
            chain_pem=self.chain_pem,
            key_pem=self.key_pem,
            algorithm=self.algorithm,
            anchors_pem=b"",
            leaves_pem=leaf.public_bytes(Encoding.PEM),
            fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
            is_local=False,
        )

    def files(self) -> dict[str, bytes]:
        """Return the files of an identity made of this."""
        files = {CHAIN: self.chain_pem, AUTHORITY: self.root_pem}
        return files if self.key_pem is None else files | {KEY: self.key_pem}


def read_certificate(
    chain: Path, key: Path | None, root: Path | None, *, known_authorities_pem: bytes = b""
) -> OwnCertificate:
    """Read and check a chain (leaf first) and its key.

    root: where the chain does not end in one. known_authorities_pem: a chain that ends in one of these needs no root.
    Raises `UnfitCertificate` or `UnfitKey` for the first thing that is wrong. Source of the profile: C2PA 2.4,
    "Certificate profile", and what validators were seen to refuse.
    """
    certificates = _certificates(chain, "chain")
    leaf = certificates[0]
    algorithm = algorithm_of(leaf.public_key())
    _check_leaf(leaf)
    private_key = None if key is None else _key(key)
    if private_key is not None:
        _require_pair(leaf, private_key)
    anchor = _anchor(certificates, root, known_authorities_pem)
    kept = [item for item in certificates if item != anchor]
    return OwnCertificate(
        chain_pem=b"".join(map(_pem, kept)),
        root_pem=b"" if anchor is None else _pem(anchor),
        key_pem=None if private_key is None else _pkcs8(private_key),
        algorithm=algorithm,
        warnings=_warnings(leaf),
    )


def install(folder: Path, certificate: OwnCertificate) -> None:
    """Make it the identity in use; the one before retires. Raises StoreFault or DiskFull; then nothing has changed."""
    replace_current(folder, certificate.files())


def _check_leaf(leaf: x509.Certificate) -> None:
    from cryptography import x509

    now = datetime.now(UTC)
    if leaf.version is not x509.Version.v3:
        raise _unfit("the certificate is not of version 3", got=leaf.version.name)
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        word = "has expired" if now >= leaf.not_valid_after_utc else "is not valid yet"
        raise _unfit(
            f"the certificate {word}",
            got=f"{leaf.not_valid_before_utc.date()} to {leaf.not_valid_after_utc.date()}",
            fix="renew it, or correct this computer's clock",
        )
    if _is_authority(leaf):
        raise _unfit(
            "the first certificate of the chain is an authority's (CA:true), which may not sign media",
            got=_subject(leaf),
            fix="put your own certificate first, then those of the authorities above it",
        )
    if leaf.issuer == leaf.subject:
        raise _unfit("the certificate is signed by itself", got=_subject(leaf), allowed="one issued by an authority")
    _check_uses(leaf)
    _require_strong(leaf)


def _check_uses(leaf: x509.Certificate) -> None:
    from cryptography import x509

    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not (usage.digital_signature or usage.content_commitment):
        raise _unfit("the certificate's key usage does not allow signatures", allowed="digitalSignature in keyUsage")
    purposes = [item.dotted_string for item in _extension(leaf, x509.ExtendedKeyUsage) or ()]
    allowed = "C2PA claim signing, e-mail protection or document signing"
    if _ANY_PURPOSE in purposes:
        raise _unfit("the certificate is for any purpose at all, which validators refuse", allowed=allowed)
    if not set(purposes) & set(SIGNING_PURPOSES):
        raise _unfit(
            "the certificate is not made for signing media: its extended key usage has no purpose for it",
            got=", ".join(purposes) or "no extended key usage",
            allowed=allowed,
        )
    if _extension(leaf, x509.AuthorityKeyIdentifier) is None:
        raise _unfit("the certificate does not say which key issued it", allowed="an authority key identifier")


def _require_strong(certificate: x509.Certificate) -> None:
    found = certificate.signature_hash_algorithm
    if found is not None and found.name in _WEAK_HASHES:
        raise _unfit("a certificate of the chain is signed with a broken hash", got=found.name, allowed="SHA-2")


def _anchor(certificates: Sequence[x509.Certificate], root: Path | None, known_pem: bytes) -> x509.Certificate | None:
    """Walk the chain up; return the root that was given, None where a known authority ends it."""
    from cryptography import x509

    for below, above in pairwise(certificates):
        _require_issued(below, above)
    last = certificates[-1]
    if last.issuer == last.subject:
        if root is not None and _certificates(root, "root")[0] != last:
            raise _unfit("the chain ends in another root than the one given", field="root", got=root)
        return last
    if root is not None:
        anchor = _certificates(root, "root")[0]
        _require_issued(last, anchor)
        if anchor.issuer != anchor.subject:
            raise _unfit("the root is no root: another authority issued it", field="root", got=_subject(anchor))
        return anchor
    known = x509.load_pem_x509_certificates(known_pem) if known_pem else []
    if last in known or any(_is_issued(last, item) for item in known):
        return None
    raise _unfit(
        "the root that the chain ends in is missing",
        got=f"issued by {last.issuer.rfc4514_string()}",
        allowed="a chain up to a root, or up to an authority on the C2PA trust list",
        fix="pass the root's certificate with --root FILE",
    )


def _require_issued(below: x509.Certificate, above: x509.Certificate) -> None:
    from cryptography import x509

    now = datetime.now(UTC)
    if not _is_authority(above):
        raise _unfit("a certificate of the chain is no authority's but stands above another", got=_subject(above))
    usage = _extension(above, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise _unfit("an authority of the chain may not issue certificates", got=_subject(above))
    if not above.not_valid_before_utc <= now < above.not_valid_after_utc:
        raise _unfit("an authority's certificate in the chain has expired", got=_subject(above))
    if not _is_issued(below, above):
        raise _unfit(
            "the chain is broken: a certificate was not issued by the one that follows it",
            got=_subject(below),
            fix="put your own certificate first, then its issuer, then that one's issuer",
        )
    _require_strong(below)


def _is_issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _require_pair(leaf: x509.Certificate, key: PrivateKeyTypes) -> None:
    if key.public_key() != leaf.public_key():
        raise _unfit("the key does not belong to the certificate", field="key", fix="pass the leaf's own private key")
    data = b"a signature that nobody needs"
    require_signature(leaf, data, sign_with(key, data))


def _certificates(path: Path, field_name: str) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(_content(path, field_name))
    except ValueError as error:
        raise _unfit("the file holds no readable certificates", field=field_name, got=path, allowed="PEM") from error
    if len(found) > MAX_CHAIN:
        raise _unfit("the chain is longer than any real one", field=field_name, got=len(found), allowed=f"{MAX_CHAIN}")
    return found


def _key(path: Path) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _content(path, "key")
    try:
        return load_pem_private_key(content, password=None)
    except TypeError:  # the library's word for: a password is needed
        raise _unfit(
            "the key is encrypted, and the studio asks for no password",
            field="key",
            got=path,
            fix="decrypt it: openssl pkcs8 -in KEY -out PLAIN, and delete that file after the import",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise _unfit(
            "the file holds no readable private key", field="key", got=path, allowed=f"PKCS #8 PEM; {ALLOWED_KEYS}"
        ) from None


def _content(path: Path, field_name: str) -> bytes:
    try:
        with open_regular_file(path, field=field_name) as file:
            content = file.read(MAX_PEM_BYTES + 1)
    except UnreadableMedia as error:
        raise _unfit(error.message, field=field_name, got=path) from error
    except OSError as error:
        raise _unfit(f"the file cannot be read ({error.strerror or error})", field=field_name, got=path) from error
    if len(content) > MAX_PEM_BYTES:
        limit = f"{MAX_PEM_BYTES // 2**10} KiB"
        raise _unfit("the file is larger than any certificate or key", field=field_name, got=path, allowed=limit)
    return content


def _warnings(leaf: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    purposes = {item.dotted_string for item in _extension(leaf, x509.ExtendedKeyUsage) or ()}
    if EMAIL_PROTECTION in purposes:
        return ()
    return ("other people's validators may call files invalid: the certificate lacks the e-mail purpose they look for",)


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except ValueError as error:
        raise _unfit("an extension of a certificate is malformed", got=_subject(certificate)) from error


def _is_authority(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "no subject"


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _pkcs8(key: PrivateKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _unfit(
    message: str, *, field: str = "chain", got: object = None, allowed: str | None = None, fix: str | None = None
) -> UnfitCertificate:
    return UnfitCertificate(message, field=field, got=got, allowed=allowed, fix=fix)
