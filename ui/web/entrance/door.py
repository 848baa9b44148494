"""Stands before the whole page: who comes in, what there is to ask for, and how much a request may bring."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.errors import EnvironmentFault
from studio.people.people import People
from studio.people.visitor import LOCAL, Action, Visitor
from ui.api.access import Access, is_loopback
from ui.api.bodies import in_time
from ui.api.problems import Refusal, foreseen
from ui.web.entrance.login import LoginDesk
from ui.web.entrance.nonces import Nonces
from ui.web.entrance.paths import OWN, Paths, is_for_viewers, is_page
from ui.web.entrance.policy import with_policy
from ui.web.visitor import VISITOR

_log = logging.getLogger("studio.web.door")
_SAFE = ("GET", "HEAD")
RECHECK_SECONDS = 15.0
# A proxy that calls this server by its loopback name would make owners of this machine of all who come through it.
_PROXIES = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_LOGIN_FIX = "give `studio web --login`, and `--https` where the proxy speaks TLS"
_UNFORESEEN = "something unforeseen went wrong; the server's log says where"
_LOCAL_FIXES = {"Host": f"to serve others than this machine, {_LOGIN_FIX}", "Origin": "open the page itself"}


def require_login_possible(people: People, host: str) -> None:
    """Raise `EnvironmentFault` unless somebody could log in to a page served at this host."""
    if not people.can_anybody_come_in():
        raise EnvironmentFault(
            "nobody could log in: there is no account that is not closed",
            field="host",
            got=host,
            allowed="127.0.0.1 without a login",
            fix="make one first: `studio users add NAME --role admin`",
        )


class Door:
    """An ASGI middleware around the whole site, gradio within.

    people: accounts and logins. needs_login: nobody comes in without one; else the server listens on loopback alone,
    and everybody who reaches it there is its owner. is_https: people reach it over TLS, which a proxy speaks; then a
    login is needed too, whoever is called by what name. own: beginnings of the paths of the studio's own routes.
    limits: the largest bodies in bytes by path, instead of `paths.LIMITS`. home: the studio's, whose path is told to
    nobody.

    Without a login the server must be called by a loopback name, so that no page of a stranger whose name points here
    reaches it (DNS rebinding). With a login any name will do: the cookie belongs to the name it was given under, and a
    browser that is led here by another one has none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        people: People,
        home: Path,
        needs_login: bool,
        is_https: bool = False,
        own: Sequence[str] = OWN,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self._app = Nonces(app)
        self._people = people
        self._needs_login = needs_login or is_https
        self._scheme = "https" if is_https else "http"
        self._desk = LoginDesk(people, is_https=is_https)
        self._paths = Paths(own, limits)
        self._home = home

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:  # the page opens no web sockets
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = _Visit(scope, receive, send, self._paths.limit(scope["path"]), self._still_holds)
        request = Request(scope, visit.receive)
        visit.is_secure = self._scheme == "https" or _is_called_loopback(request.headers.get("host", ""))
        try:
            visit.require_fitting_length(request)
            own = await self._own_answer(request, visit)
            if own is not None:
                await own(scope, visit.receive, visit.send)
            else:
                state = {**scope.get("state", {}), VISITOR: visit.visitor}
                await self._app({**scope, "state": state}, visit.receive, visit.send)
        except ClientDisconnect:
            pass
        except Exception as error:
            await self._conclude(error, visit)
        await visit.conclude()

    async def _own_answer(self, request: Request, visit: _Visit) -> Response | None:
        """Return what the door itself answers; None lets the request in, with its visitor known. Raises `Refusal`."""
        path, method = request.scope["path"], request.method
        if path == "/healthz" and method in _SAFE:
            return JSONResponse({"status": "ok"})
        if not self._needs_login:
            _require_local(request)
            self._paths.check(method, path)
            visit.visitor = LOCAL
            return None
        return await self._with_login(request, visit)

    async def _with_login(self, request: Request, visit: _Visit) -> Response | None:
        path, method = request.scope["path"], request.method
        if path == "/login.css" and method in _SAFE:
            return self._desk.style()
        is_own_page = self._is_own_page(request)
        if path == "/login" and method == "POST":
            return await self._desk.login(request) if is_own_page else self._desk.refused()
        if not is_own_page:
            raise Refusal(403, "a page of another site asks", field="Origin", fix="open the page itself")
        token = self._desk.token(request)
        account = None if token is None else await run_in_threadpool(self._people.visitor, token)
        if path == "/login" and method in _SAFE:
            return self._desk.form(request) if account is None else self._desk.onward(request)
        if path == "/logout" and method == "POST":
            return await self._desk.logout(request)
        if account is None:
            if method in _SAFE and is_page(path):
                return self._desk.redirect(request)
            raise Refusal(401, "you are not logged in", fix="log in at /login")
        self._paths.check(method, path)
        visit.visitor, visit.token = Visitor.of(account), token
        _require_role(visit.visitor, method, path)
        return None

    async def _still_holds(self, token: str) -> bool:
        return await run_in_threadpool(self._people.visitor, token) is not None

    def _is_own_page(self, request: Request) -> bool:
        """Say whether the page of this server asks, or nobody's: a browser tells what other pages ask for."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        own = f"{self._scheme}://{request.headers.get('host', '')}".lower()
        if request.method not in _SAFE:
            is_told = origin is not None or site is not None
            return is_told and origin in (None, own) and site in (None, "same-origin")
        if is_page(request.scope["path"]) or request.scope["path"] == "/login":
            return True  # a link may lead here; nothing is changed, and who opens it sees it alone
        return (origin is None or origin.lower() == own) and site in (None, "none", "same-origin")

    async def _conclude(self, error: Exception, visit: _Visit) -> None:
        """Answer for what went wrong, in one sentence. An answer that has begun can only break off."""
        if visit.is_over:
            _note_unforeseen(error)  # gradio answers for itself, and raises what it answered for once more
        elif visit.has_begun:
            _log.warning("an answer broke off: %s", type(error).__name__)
            raise ConnectionAbortedError from None
        else:
            await visit.refuse(self._refusal(error))

    def _refusal(self, error: Exception) -> Refusal:
        refusal = foreseen(error, self._home)
        if refusal is None:
            _note_unforeseen(error)
        return refusal or Refusal(500, _UNFORESEEN)


class _Visit:
    """One request on its way: what it brings is counted, what it gets has the headers of the house."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int, still_holds: Any) -> None:
        self.visitor: Visitor | None = None
        self.token: str | None = None
        self.has_begun = self.is_over = self.is_secure = self._is_failed = False
        self._path = scope["path"]
        self._scope, self._receive, self._send = scope, in_time(receive), send
        self._limit, self._taken = limit, 0
        self._cut: Refusal | None = None  # the answer to a request that is not let go on, whatever becomes of it
        self._still_holds = still_holds
        self._checked: float | None = None  # of a stream: when it was last seen that the login holds

    def require_fitting_length(self, request: Request) -> None:
        """Raise a `Refusal` for a request that says itself that it is too large."""
        told = request.headers.get("content-length", "0")
        if not (told.isascii() and told.isdigit()):
            raise Refusal(400, "not a length", field="Content-Length", got=told)
        if int(told[:20]) > self._limit:
            raise self._too_large()

    async def receive(self) -> Message:
        """Return what comes next of the request; it ends where it is cut off, or the answer is over.

        Whoever reads a body takes its end for the client's, and not for an answer: frameworks would make another of it.
        """
        if self.is_over or self._cut is not None:
            return {"type": "http.disconnect"}
        try:
            message = await self._receive()
            self._taken += len(message.get("body", b""))
            if self._taken > self._limit:
                raise self._too_large()
        except Refusal as refusal:
            self._cut = refusal
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer."""
        if self.is_over or self._is_failed:
            return
        if message["type"] == "http.response.start":
            if self._cut is not None:  # whatever the route made of it
                await self.refuse(self._cut)
                return
            if _is_plain_failure(message):
                self._is_failed = True  # what it failed for is raised next, and may be something that can be told
                return
            self.has_begun = True
            message = with_policy(message, self._path, is_secure=self.is_secure)
            if self.token is not None and _is_stream(message):
                self._checked = time.monotonic()
        elif message["type"] == "http.response.body":
            if await self._has_ended():
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            self.is_over = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal in place of whatever was to come."""
        refusal, self._cut, self._is_failed = self._cut or refusal, None, False
        await refusal.as_response()(self._scope, self._receive, self.send)
        self.is_over = True

    async def conclude(self) -> None:
        """Answer a request that was cut off or failed, and got no answer; whoever went by themselves gets none."""
        if not self.has_begun and (self._cut is not None or self._is_failed):
            await self.refuse(Refusal(500, _UNFORESEEN))

    async def _has_ended(self) -> bool:
        """Say, now and then, whether the login that a stream was opened with has ended meanwhile."""
        if self._checked is None or self.token is None or time.monotonic() - self._checked < RECHECK_SECONDS:
            return False
        self._checked = time.monotonic()
        return not await self._still_holds(self.token)

    def _too_large(self) -> Refusal:
        return Refusal(413, "this is too large", allowed=f"up to {self._limit} bytes", headers={"connection": "close"})


def _require_local(request: Request) -> None:
    """Raise a `Refusal` unless a program on this machine asks, or this server's own page."""
    headers = request.headers
    through = next((name for name in _PROXIES if name in headers), None)
    if through is not None:
        raise Refusal(403, "a proxy stands before a page without a login", field=through, fix=_LOGIN_FIX)
    is_opened = (
        request.method in _SAFE
        and is_page(request.scope["path"])
        and headers.get("sec-fetch-mode", "navigate") == "navigate"
        and headers.get("sec-fetch-dest", "document") == "document"
        and "origin" not in headers
    )
    # A link of another site may lead to the page; nothing is changed, and only who opened it sees it.
    told = {"host": headers.get("host", "")} if is_opened else headers
    try:
        Access().check(request.scope["path"], told)
    except Refusal as refusal:
        refusal.fix = _LOCAL_FIXES.get(refusal.field or "", refusal.fix)
        raise


def _is_called_loopback(host: str) -> bool:
    name, _, port = host.rpartition(":")
    return is_loopback((name if name and port.isdigit() else host).strip("[]"))


def _require_role(visitor: Visitor, method: str, path: str) -> None:
    """Raise a `Refusal` where a viewer asks for more than to look. What a creator may, each route asks."""
    if method in _SAFE or is_for_viewers(path) or visitor.may(Action.MAKE):
        return
    raise Refusal(
        403,
        f"a {visitor.role} may only look",
        code="not_allowed",
        got=visitor.name,
        allowed="creators and admins",
        fix="ask an admin of this studio: `studio users role NAME creator`",
    )


def _note_unforeseen(error: Exception) -> None:
    """What it says may be somebody's prompt; where it happened is not."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    _log.error("unforeseen: %s at %s", type(error).__name__, places)


def _is_plain_failure(message: Message) -> bool:
    return message["status"] >= 500 and _has_type(message, b"text/plain")


def _is_stream(message: Message) -> bool:
    return _has_type(message, b"text/event-stream")


def _has_type(message: Message, media_type: bytes) -> bool:
    headers = message["headers"]
    return any(name.lower() == b"content-type" and value.startswith(media_type) for name, value in headers)
