"""Signature algorithms: which one a certificate's key calls for, signing with a key, and checking a signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.errors import RequestError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PSS
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

ALLOWED_KEYS = "EC P-256, P-384 or P-521; RSA of 2048 bits or more; Ed25519"
MIN_RSA_BITS = 2048
_BY_CURVE = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
# RSASSA-PSS as COSE has it (RFC 8230): the salt is as long as the hash.
_RSA_ALGORITHM = "ps256"


class UnfitKey(RequestError):
    """A key of a kind or size that Content Credentials do not allow."""


class WrongSignature(RequestError):
    """A signature that the certificate's key did not make."""


def algorithm_of(key: PublicKeyTypes) -> str:
    """Return C2PA's name of the algorithm for a public key: es256, es384, es512, ps256 or ed25519.

    Raises `UnfitKey`. Source: C2PA 2.4, "Digital signatures".
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _BY_CURVE:
        return _BY_CURVE[key.curve.name]
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return _RSA_ALGORITHM
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    raise UnfitKey("the certificate's key is of a kind that may not sign", got=_describe(key), allowed=ALLOWED_KEYS)


def sign_with(key: PrivateKeyTypes, data: bytes) -> bytes:
    """Return the signature of `data` in the form that COSE wants. Raises `UnfitKey`."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    algorithm = algorithm_of(key.public_key())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return plain_signature(algorithm, key.sign(data, ec.ECDSA(_hash_of(algorithm))))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, _pss(), _hash_of(algorithm))
    assert isinstance(key, ed25519.Ed25519PrivateKey)  # noqa: S101 - algorithm_of let nothing else through
    return key.sign(data)


def plain_signature(algorithm: str, signature: bytes) -> bytes:
    """Return an ECDSA signature as r || s, which is what COSE wants; tools and modules often give DER. Others as is."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    size = {"es256": 32, "es384": 48, "es512": 66}.get(algorithm)
    if size is None or len(signature) == 2 * size:
        return signature
    try:
        r, s = decode_dss_signature(signature)
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    except (ValueError, OverflowError):
        return signature


def require_signature(leaf: x509.Certificate, data: bytes, signature: bytes) -> None:
    """Raise `WrongSignature` unless the leaf's key signed `data`. signature: r || s for elliptic curves."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    key = leaf.public_key()
    algorithm = algorithm_of(key)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            half = len(signature) // 2
            r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
            key.verify(encode_dss_signature(r, s), data, ec.ECDSA(_hash_of(algorithm)))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, _pss(), _hash_of(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        raise WrongSignature(
            "the signature does not fit the certificate",
            got=f"{len(signature)} bytes",
            allowed=f"a raw {algorithm} signature by the certificate's own key",
        ) from error


def _hash_of(algorithm: str) -> hashes.HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    found: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
    return found[algorithm[2:]]


def _pss() -> PSS:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)


def _describe(key: PublicKeyTypes) -> str:
    size, curve = getattr(key, "key_size", None), getattr(key, "curve", None)
    name = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    return " ".join(
        str(part) for part in (name, getattr(curve, "name", None), f"{size} bits" if size else None) if part
    )
