"""Making a root and a leaf certificate for this computer, with the profile that other people's validators accept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

ORGANISATION = "Local Video Studio"
ROOT_YEARS = 30
LEAF_YEARS = 15

# Anybody's validator accepts a leaf with the e-mail purpose; with the C2PA purpose alone it reads "Invalid".
C2PA_CLAIM_SIGNING = "1.3.6.1.4.1.62558.2.1"
EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"
DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.36"
SIGNING_PURPOSES = (C2PA_CLAIM_SIGNING, DOCUMENT_SIGNING, EMAIL_PROTECTION)


@dataclass(frozen=True, kw_only=True)
class IssuedChain:
    """A leaf, its private key (PKCS #8), and the root that vouches for it, all PEM."""

    chain_pem: bytes
    key_pem: bytes = field(repr=False)
    root_pem: bytes


def issue_chain(now: datetime) -> IssuedChain:
    """Make root and leaf. The root's private key is forgotten on return: nothing else can ever be issued by it."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    start = now - timedelta(days=1)  # a clock set back by some hours must not make the leaf "not yet valid"
    root = _root_certificate(root_key, start)
    leaf = _leaf_certificate(leaf_key.public_key(), root, root_key, start)
    return IssuedChain(
        chain_pem=leaf.public_bytes(Encoding.PEM),
        key_pem=leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        root_pem=root.public_bytes(Encoding.PEM),
    )


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
