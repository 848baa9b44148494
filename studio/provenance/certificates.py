"""The studio's own signing identity and watermark key: made on first use, kept private, never overwritten."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from studio.disk import is_full, sync_folder
from studio.errors import DiskFull, EnvironmentFault, StoreFault

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

ORGANISATION = "Local Video Studio"
ROOT_YEARS = 30
LEAF_YEARS = 15

# Anybody's validator accepts a leaf with the e-mail purpose; with the C2PA purpose alone it reads "Invalid".
C2PA_CLAIM_SIGNING = "1.3.6.1.4.1.62558.2.1"
EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"

_CURRENT = "current"
_WATERMARK = "watermark"
_CHAIN, _KEY, _ROOT = "chain.pem", "key.pem", "root.pem"
_WATERMARK_KEY = "key.bin"
_WATERMARK_KEY_BYTES = 32


class DamagedIdentity(EnvironmentFault):
    """The signing identity or the watermark key on disk cannot be used."""


@dataclass(frozen=True, kw_only=True)
class SigningIdentity:
    """What signs a clip.

    chain_pem: the leaf, then intermediates if any; the root is kept out.
    key_pem: the leaf's private key (PKCS #8), never shown.
    algorithm: C2PA name of the signature algorithm.
    anchors_pem: every root this studio ever had, so that old files stay trusted.
    fingerprint: sha256 of the leaf, hex.
    """

    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    algorithm: str
    anchors_pem: bytes = field(repr=False)
    fingerprint: str


def load_or_create(folder: Path) -> SigningIdentity:
    """Return the identity kept in `folder`, making a local root and leaf on first use.

    Two processes may start at once: one wins and both return its identity.

    Raises:
        DamagedIdentity: files are missing, unreadable, do not belong together, or have expired.
        StoreFault, DiskFull: the folder cannot be used.
    """
    if not (folder / _CURRENT).exists():
        _publish(folder, _CURRENT, _new_identity(datetime.now(UTC)))
    return _load(folder)


def own_anchors(folder: Path) -> bytes:
    """Return all roots this install has ever signed under, as PEM; empty before the first signature.

    Reading needs no key: a damaged or expired identity still knows its own work. Raises as `load_or_create` does.
    """
    root = folder / _CURRENT / _ROOT
    return _anchors(folder, _read(root)) if root.exists() else b""


def has_watermark_key(folder: Path) -> bool:
    """Say whether this install has marked anything yet."""
    return (folder / _WATERMARK / _WATERMARK_KEY).is_file()


def watermark_key(folder: Path) -> bytes:
    """Return this install's 32 random watermark bytes, making them on first use.

    Raises as `load_or_create` does.
    """
    if not (folder / _WATERMARK).exists():
        _publish(folder, _WATERMARK, {_WATERMARK_KEY: secrets.token_bytes(_WATERMARK_KEY_BYTES)})
    key = _read(folder / _WATERMARK / _WATERMARK_KEY)
    if len(key) != _WATERMARK_KEY_BYTES:
        raise _damaged("the watermark key has a wrong length", folder / _WATERMARK)
    return key


def _load(folder: Path) -> SigningIdentity:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    home = folder / _CURRENT
    chain_pem, key_pem, root_pem = (_read(home / name) for name in (_CHAIN, _KEY, _ROOT))
    try:
        leaf = x509.load_pem_x509_certificates(chain_pem)[0]
        root = x509.load_pem_x509_certificates(root_pem)[0]
        _require_a_pair(leaf, root, key_pem)
    except DamagedIdentity:
        raise
    except Exception as error:  # the parsers raise many kinds; each means the same to the user
        raise _damaged("the signing identity is damaged", home) from error
    _require_current(leaf, home)
    return SigningIdentity(
        chain_pem=chain_pem,
        key_pem=key_pem,
        algorithm="es256",
        anchors_pem=_anchors(folder, root_pem),
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
    )


def _require_a_pair(leaf: x509.Certificate, root: x509.Certificate, key_pem: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != leaf.public_key():
        raise ValueError("the key does not belong to the certificate")
    leaf.verify_directly_issued_by(root)


def _require_current(leaf: x509.Certificate, home: Path) -> None:
    now = datetime.now(UTC)
    if leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        return
    raise DamagedIdentity(
        "this computer's date lies outside the signing certificate's life",
        got=now.date(),
        allowed=f"{leaf.not_valid_before_utc.date()} to {leaf.not_valid_after_utc.date()}",
        fix=f"correct the clock, or if the certificate has expired: mv '{home}' '{_aside(home)}'",
    )


def _anchors(folder: Path, root_pem: bytes) -> bytes:
    """Join the current root and those of folders put aside as ``retired-*``; an unreadable old one is left out."""
    from cryptography import x509

    roots = [root_pem.strip()]
    for path in sorted(folder.glob(f"retired-*/{_ROOT}")):
        try:
            old = path.read_bytes().strip()
            x509.load_pem_x509_certificates(old)
        except (OSError, ValueError):
            continue
        roots.append(old)
    return b"\n".join(dict.fromkeys(roots)) + b"\n"


def _new_identity(now: datetime) -> dict[str, bytes]:
    """Make root and leaf. The root's private key is forgotten on return: nothing else can ever be issued by it."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    start = now - timedelta(days=1)  # a clock set back by some hours must not make the leaf "not yet valid"
    root = _root_certificate(root_key, start)
    leaf = _leaf_certificate(leaf_key.public_key(), root, root_key, start)
    return {
        _CHAIN: leaf.public_bytes(Encoding.PEM),
        _KEY: leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        _ROOT: root.public_bytes(Encoding.PEM),
    }


def _root_certificate(key: ec.EllipticCurvePrivateKey, start: datetime) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    name = _name(f"{ORGANISATION} root {secrets.token_hex(4)}")
    builder = _unsigned(name, name, key.public_key(), start, ROOT_YEARS)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf_certificate(
    key: ec.EllipticCurvePublicKey, root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, start: datetime
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    purposes = [x509.ObjectIdentifier(C2PA_CLAIM_SIGNING), x509.ObjectIdentifier(EMAIL_PROTECTION)]
    builder = _unsigned(_name(f"{ORGANISATION} (this computer)"), root.subject, key, start, LEAF_YEARS)
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, hashes.SHA256())
    )


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, years: int
) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=round(365.25 * years)))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=not is_authority,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _publish(folder: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Make `folder/name` with these files appear at once; if another process was faster, leave its own in place."""
    draft: Path | None = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(folder, 0o700)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
        for file_name, content in files.items():
            _write_private(draft / file_name, content)
        draft.rename(folder / name)
        sync_folder(folder)
    except OSError as error:
        # A full folder cannot be replaced by rename: that is how the slower of two processes learns it lost.
        if not (folder / name).is_dir():
            raise _store_fault(error, folder) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _write_private(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    try:
        if os.name != "nt" and path.stat().st_mode & 0o077:
            os.chmod(path, 0o600)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise _damaged(f"{path.name} is missing", path.parent) from error
    except OSError as error:
        raise _damaged(f"{path.name} cannot be read ({error.strerror or error})", path.parent) from error


def _damaged(message: str, home: Path) -> DamagedIdentity:
    return DamagedIdentity(
        message,
        got=home,
        allowed="the files as the studio wrote them",
        fix=f"restore them from a backup, or start anew with: mv '{home}' '{_aside(home)}'",
    )


def _aside(home: Path) -> Path:
    """Return a free name under which an old identity keeps its root trusted."""
    return home.parent / f"retired-{secrets.token_hex(3)}"


def _store_fault(error: OSError, folder: Path) -> EnvironmentFault:
    if is_full(error):
        return DiskFull("there is no room to write the signing identity", got=folder, fix="free some space")
    return StoreFault(
        f"the signing identity cannot be written ({error.strerror or error})",
        got=folder,
        allowed="a folder this user can write",
        fix="set STUDIO_HOME to another folder",
    )
