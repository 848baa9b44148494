"""The bearer token: where it comes from, and where one that was made here is kept."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from studio.config import Settings
from studio.disk import is_full
from studio.errors import DiskFull, EnvironmentFault, StoreFault

TOKEN_FILE = "api-token"  # noqa: S105
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{20,512}", re.ASCII)
_RULE = "20 to 512 letters, digits and -._~+/= on one line"
_MAX_FILE_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token and what may be told of it. origin: such as ``STUDIO_API_TOKEN``. is_new: it was made just now."""

    secret: SecretStr
    origin: str
    is_new: bool = False


def find_token(settings: Settings, file: Path | None, *, is_needed: bool) -> Token | None:
    """Return the token that clients must show: from a file, from the setting, or made here if one is needed.

    Raises `EnvironmentFault` for one that cannot be read or is too weak.
    """
    if file is not None:
        return _read(file)
    if settings.api_token is not None:
        return _checked(settings.api_token.get_secret_value(), "STUDIO_API_TOKEN")
    if not is_needed:
        return None
    kept = settings.home / TOKEN_FILE
    return _read(kept) if kept.exists() else _make(settings, kept)


def _make(settings: Settings, file: Path) -> Token:
    settings.create_home()
    secret = secrets.token_urlsafe(32)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as stream:
            stream.write(secret + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:  # another server was faster
        return _read(file)
    except OSError as error:
        file.unlink(missing_ok=True)
        kind = DiskFull if is_full(error) else StoreFault
        raise kind(f"the API's token cannot be kept ({error.strerror or error})", got=file) from error
    return Token(secret=SecretStr(secret), origin=str(file), is_new=True)


def _read(file: Path) -> Token:
    try:
        with open(file, encoding="ascii") as stream:
            text = stream.read(_MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(
            f"the file with the API's token cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})",
            field="token-file",
            got=file,
            fix="name a file that holds one token",
        ) from error
    return _checked(text.strip(), str(file))


def _checked(secret: str, origin: str) -> Token:
    if not _TOKEN.fullmatch(secret):
        raise EnvironmentFault(
            "this is no token that protects anything",
            field=origin,
            got=f"{len(secret)} characters",
            allowed=_RULE,
            fix="python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one",
        )
    return Token(secret=SecretStr(secret), origin=origin)
