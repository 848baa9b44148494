"""C2PA's validation codes in plain words."""

from __future__ import annotations

from collections.abc import Sequence

_CONTENT_CHANGED = "the picture or sound data was changed after signing"
_RECORD_CHANGED = "the record attached to the file was changed after signing"

# First match wins: what is most telling stands first. A key ending in a dot covers every code that starts with it.
_WORDS: tuple[tuple[str, str], ...] = (
    ("assertion.bmffHash.mismatch", _CONTENT_CHANGED),
    ("assertion.dataHash.mismatch", _CONTENT_CHANGED),
    ("assertion.boxesHash.mismatch", _CONTENT_CHANGED),
    ("assertion.collectionHash.mismatch", _CONTENT_CHANGED),
    ("assertion.bmffHash.malformed", "the record of the file's content is damaged"),
    ("assertion.dataHash.malformed", "the record of the file's content is damaged"),
    ("assertion.hashedURI.mismatch", _RECORD_CHANGED),
    ("hashedURI.mismatch", _RECORD_CHANGED),
    (
        "claimSignature.mismatch",
        "the signature does not fit: the record was changed or signed with a wrong key",
    ),
    ("claimSignature.missing", "the record carries no signature"),
    ("claimSignature.outsideValidity", "it was signed outside the life of the signer's certificate"),
    ("signingCredential.expired", "the signer's certificate has expired and no trusted time says it was signed before"),
    ("signingCredential.revoked", "the signer's certificate was revoked"),
    ("signingCredential.ocsp.revoked", "the signer's certificate was revoked"),
    ("signingCredential.invalid", "the signer's certificate is not fit for signing media"),
    ("signingCredential.untrusted", "intact, but the signer is not one this studio knows"),
    ("assertion.missing", "a part of the record is missing"),
    ("assertion.undeclared", "the record holds a part that was never signed"),
    ("assertion.action.", "the record's list of actions contradicts itself"),
    ("claim.hardBindings.missing", "the record is not bound to the file's content"),
    ("claim.multiple", "the record holds more than one claim"),
    ("claim.missing", "the record holds no claim"),
    ("claim.", "the record is damaged"),
    ("ingredient.", "the record of a file that went into this one is missing or damaged"),
    ("timeStamp.", "the signature's time stamp cannot be relied on"),
    ("algorithm.unsupported", "it was signed with an algorithm that is not accepted"),
    ("manifest.inaccessible", "its Content Credentials are kept on a server, and the studio does not go there"),
    ("manifest.", "the record is damaged or cannot be found"),
    ("general.error", "the record cannot be read"),
)


def explain(codes: Sequence[str]) -> str | None:
    """Return one plain sentence part for the most telling of these codes, or None if none says anything is wrong."""
    for pattern, words in _WORDS:
        if any(code == pattern or (pattern.endswith(".") and code.startswith(pattern)) for code in codes):
            return words
    return None
