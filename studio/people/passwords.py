"""Passwords as they are kept: a salted hash that is slow to compute on purpose (scrypt, RFC 7914)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading

# 32 MiB and about a tenth of a second for each guess.
_COST, _BLOCK, _LANES = 2**15, 8, 1
_SALT_BYTES, _DIGEST_BYTES = 16, 32
# Each takes 32 MiB: strangers who try many at once wait for each other, and the machine stays usable.
_AT_ONCE = threading.Semaphore(2)
# Compared with where there is no such account, so that the time it takes tells nothing. No password leads to it.
_NOBODY = f"scrypt${_COST}${_BLOCK}${_LANES}${'A' * 22}==${'A' * 43}="


def hashed(password: str) -> str:
    """Return ``scrypt$cost$block$lanes$salt$digest``; salt and digest in base64."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _digest(password, salt, _COST, _BLOCK, _LANES)
    parts = (_COST, _BLOCK, _LANES, base64.b64encode(salt).decode(), base64.b64encode(digest).decode())
    return "$".join(("scrypt", *map(str, parts)))


def is_right(password: str, kept: str | None) -> bool:
    """Say whether this password was hashed to that. kept: None where there is no account; that takes as long."""
    _scheme, cost, block, lanes, salt, digest = (kept or _NOBODY).split("$")
    shown = _digest(password, base64.b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(shown, base64.b64decode(digest)) and kept is not None


def _digest(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    memory = 128 * block * (cost + lanes + 2)
    with _AT_ONCE:
        return hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"),
            salt=salt,
            n=cost,
            r=block,
            p=lanes,
            maxmem=memory + 1024 * 1024,
            dklen=_DIGEST_BYTES,
        )
