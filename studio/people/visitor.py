"""Whoever asks for something, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from studio.errors import RequestError
from studio.people.account import Account, Role


class NotAllowed(RequestError):
    """The one who asks may not do this; somebody else may."""


class Action(StrEnum):
    """What somebody wants to do. The value is how it is told: "you may not ..."."""

    LOOK = "look at this"
    MAKE = "make clips"
    CHANGE = "change this"
    VOTE = "vote"
    ADMINISTER = "change the settings of the studio"


_ALLOWED = {
    Role.VIEWER: frozenset({Action.LOOK}),
    Role.CREATOR: frozenset({Action.LOOK, Action.MAKE, Action.CHANGE, Action.VOTE}),
    Role.ADMIN: frozenset(Action),
}


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Somebody in front of a page. name: of the account; None for whoever sits at this machine, without a login."""

    name: str | None
    role: Role
    is_local: bool = False

    @classmethod
    def of(cls, account: Account) -> Visitor:
        """Return the visitor that an account makes."""
        return cls(name=account.name, role=account.role)

    @property
    def is_admin(self) -> bool:
        return self.role == Role.ADMIN

    def may(self, action: Action) -> bool:
        """Say whether the role lets them. For `CHANGE` it must be theirs too, see `owns` and `People.may_change`."""
        return action in _ALLOWED[self.role]

    def owns(self, owner: str | None) -> bool:
        """Say whether something is theirs to change. owner: name of the account whose it is; None or empty for nobody.

        All of it is an admin's, also what is nobody's; a viewer changes nothing, whatever they made before.
        """
        return self.may(Action.CHANGE) and (self.is_admin or (bool(owner) and owner == self.name))


# Whoever sits at this machine and did not have to log in: all of it is theirs anyway.
LOCAL = Visitor(name=None, role=Role.ADMIN, is_local=True)


class Owners(Protocol):
    """What `require` asks whose a thing is."""

    def may_change(self, visitor: Visitor, thing_id: str) -> bool: ...


def require(visitor: Visitor, action: Action, thing_id: str | None = None, people: Owners | None = None) -> None:
    """Raise `NotAllowed` unless the visitor may.

    thing_id: id of a job, an asset or a comparison; needs `people`, and then it must be the visitor's own, or they an
    admin. Without it the role alone decides.
    """
    if not visitor.may(action):
        needed = next(role for role in Role if action in _ALLOWED[role])
        raise NotAllowed(
            f"a {visitor.role} may not {action}",
            got=visitor.name,
            allowed=f"{needed}s" if needed == Role.ADMIN else f"{needed}s and admins",
            fix="ask an admin of this studio: `studio users role NAME ROLE`",
        )
    if thing_id is None or visitor.is_admin:
        return
    if people is None:
        raise TypeError("whose a thing is cannot be told without people")
    if not people.may_change(visitor, thing_id):
        raise NotAllowed(
            "this is somebody else's, and you may only look at it",
            field="id",
            got=thing_id,
            allowed="its owner and admins",
            fix="make one of your own, or ask its owner",
        )
