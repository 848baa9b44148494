"""An account: a name, a role, and what names and passwords have to be."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from studio.errors import NotFound, UnsupportedValue
from studio.library.people_tables import AccountRow

MIN_PASSWORD, MAX_PASSWORD = 10, 1024
NAME_WORDS = "1 to 40 of a-z, 0-9, dot, dash and underscore"
_NAME = re.compile(r"[a-z0-9._-]{1,40}", re.ASCII)
# What every list of guesses begins with; it is no list of its own.
_OBVIOUS = ("password", "passw0rd", "1234567890", "0123456789", "qwertyuiop", "letmein")


class UnknownAccount(NotFound):
    """Nobody has this name."""


class Role(StrEnum):
    """What somebody may do. A viewer looks; a creator also makes clips and changes their own; an admin does all."""

    VIEWER = "viewer"
    CREATOR = "creator"
    ADMIN = "admin"

    @classmethod
    def parse(cls, text: str) -> Role:
        """Return the role of this name. Raises `UnsupportedValue`."""
        try:
            return cls(text)
        except ValueError:
            allowed = ", ".join(cls)
            raise UnsupportedValue("there is no such role", field="role", got=text, allowed=allowed) from None


@dataclass(frozen=True, kw_only=True)
class Account:
    """Somebody who may come in. is_closed: not any more; what is theirs stays theirs."""

    name: str
    role: Role
    is_closed: bool
    created_at: datetime

    @classmethod
    def of_row(cls, row: AccountRow) -> Account:
        """Return what a row says, without its password."""
        return cls(name=row.name, role=Role(row.role), is_closed=row.is_closed, created_at=row.created_at)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        created = self.created_at.isoformat()
        return {"name": self.name, "role": str(self.role), "is_closed": self.is_closed, "created_at": created}


def fit_name(name: str) -> str:
    """Return a name that an account may have. Raises `UnsupportedValue`."""
    if not _NAME.fullmatch(name):
        raise UnsupportedValue("not a name for an account", field="name", got=name or "nothing", allowed=NAME_WORDS)
    return name


def canonical(password: str) -> str:
    """Return the one spelling of a password: keyboards write the same letters in different ways (Unicode NFKC)."""
    return unicodedata.normalize("NFKC", password)


def fit_password(password: str, name: str) -> str:
    """Return a password in its one spelling. name: whose it is. Raises `UnsupportedValue`, which does not repeat it."""
    password = canonical(password)
    plain = password.casefold()
    problem = None
    if len(password) < MIN_PASSWORD:
        problem = "the password is too short"
    elif len(password) > MAX_PASSWORD:
        problem = "the password is too long"
    elif any(not (letter.isprintable()) for letter in password):
        problem = "the password holds characters that nobody can type again"
    elif len(set(plain)) == 1:
        problem = "the password is one character again and again"
    elif not plain.replace(name, ""):
        problem = "the password is the name"
    elif plain.startswith(_OBVIOUS):
        problem = "the password is one of the first that anybody tries"
    if problem is not None:
        allowed = f"{MIN_PASSWORD} to {MAX_PASSWORD} characters that are hard to guess"
        raise UnsupportedValue(problem, field="password", allowed=allowed, fix="three or four unrelated words will do")
    return password
