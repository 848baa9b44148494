"""Accounts on the page: admins add people and close accounts; whoever logged in changes their own password."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request

from studio.people.account import Role
from studio.people.throttle import TooManyTries
from studio.people.visitor import Action
from ui.api.problems import Refusal
from ui.web.here import Asked, Here
from ui.web.routes.secret_fields import Sent
from ui.web.views.settings import account_view

router = APIRouter(prefix="/studio/settings")


@router.get("/people")
def show_people(here: Here) -> dict[str, Any]:
    """Return all accounts."""
    here.require(Action.ADMINISTER)
    return _people(here)


@router.post("/people")
def add(sent: Sent, here: Here) -> dict[str, Any]:
    """Make an account."""
    here.require(Action.ADMINISTER)
    here.site.people.add(sent.text("name"), sent.text("password"), Role.parse(sent.text("role")))
    return _people(here)


@router.post("/people/{name}/role")
def change_role(name: str, sent: Sent, here: Here) -> dict[str, Any]:
    """Change what somebody may do."""
    here.require(Action.ADMINISTER)
    here.site.people.set_role(name, Role.parse(sent.text("role")))
    return _people(here)


@router.post("/people/{name}/password")
def reset_password(name: str, sent: Sent, here: Here) -> dict[str, Any]:
    """Give somebody another password, which ends their logins."""
    here.require(Action.ADMINISTER)
    here.site.people.set_password(name, sent.text("password"))
    return _people(here)


@router.post("/people/{name}/{what}")
def open_or_close(name: str, what: Literal["open", "close"], here: Here) -> dict[str, Any]:
    """Let somebody in no more, or again."""
    here.require(Action.ADMINISTER)
    people = here.site.people
    (people.close if what == "close" else people.open)(name)
    return _people(here)


@router.post("/password")
def change_own_password(request: Request, sent: Sent, here: Here) -> dict[str, Any]:
    """Change the visitor's own password, which ends all their logins, this one too."""
    here.require(Action.LOOK)
    name = here.visitor.name
    if name is None:
        raise Refusal(409, "nobody is logged in, so that there is no password to change")
    password = sent.text("password")
    address = request.client.host if request.client else ""
    people = here.site.people
    try:
        token = people.login(name, sent.text("current"), address)
    except TooManyTries as wait:
        raise Refusal(429, wait.message, field="current", fix=wait.fix, retry_after=wait.retry_after) from None
    if token is None:
        raise Refusal(403, "this is not your password now", field="current", code="wrong_password")
    try:
        people.set_password(name, password)
    except BaseException:
        people.logout(token)
        raise
    return {"is_logged_out": True}


def _people(here: Asked) -> dict[str, Any]:
    return {"people": [account_view(account, here.visitor) for account in here.site.people.accounts()]}
