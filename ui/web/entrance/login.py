"""The page where people log in: a form of its own, without scripts, and the cookie that it leads to."""

from __future__ import annotations

import html
import logging
import re
from functools import cache
from importlib import resources
from string import Template
from urllib.parse import parse_qs, quote

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from studio.people.people import LOGIN_DAYS, People
from studio.people.throttle import TooManyTries
from ui.web.entrance.policy import LOGIN
from ui.web.words import LANGUAGE, say

_log = logging.getLogger("studio.web.door")
_FORM = "application/x-www-form-urlencoded"
_LOCAL_PATH = re.compile(r"/(?!/)[!-\[\]-~]{0,500}", re.ASCII)
# Each computes a slow hash; they have threads of their own, so that strangers do not take those of the page.
_AT_ONCE, _MAX_WAITING = 4, 32
_HEADERS = {"content-security-policy": LOGIN, "cache-control": "no-store"}


class LoginDesk:
    """Answers `/login`, `/logout` and `/login.css`. is_https: the cookie is never sent without TLS."""

    def __init__(self, people: People, *, is_https: bool) -> None:
        self._people = people
        self._is_https = is_https
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)

    @property
    def cookie(self) -> str:
        """Its name. With the prefix, a browser takes it from this very host alone, over TLS alone."""
        return "__Host-studio-visit" if self._is_https else "studio-visit"

    def token(self, request: Request) -> str | None:
        """Return what a request shows of a login."""
        return request.cookies.get(self.cookie) or None

    def redirect(self, request: Request) -> Response:
        """Send somebody to the login, and from there to where they wanted to go."""
        query = request.scope["query_string"].decode("latin-1")
        wanted = safe_next(request.scope["path"] + (f"?{query}" if query else ""))
        return RedirectResponse("/login" if wanted == "/" else f"/login?next={quote(wanted, safe='')}", 303, _HEADERS)

    def form(self, request: Request) -> Response:
        """Show the form."""
        return _page(next_path=request.query_params.get("next", ""))

    def onward(self, request: Request) -> Response:
        """Send somebody on who has logged in already."""
        return RedirectResponse(safe_next(request.query_params.get("next", "")), 303, _HEADERS)

    async def login(self, request: Request) -> Response:
        """Read the form, and let in who may. What is wrong is never told more closely than that it does not fit."""
        fields = _fields(request.headers.get("content-type", ""), await request.body())
        if fields is None:
            return _page(422, say("login.unreadable"))
        name, next_path = fields.get("name", ""), fields.get("next", "")
        if self._limiter.statistics().tasks_waiting >= _MAX_WAITING:
            return _page(503, say("login.busy"), name, next_path, retry_after=2)
        address = request.client.host if request.client else ""
        try:
            token = await anyio.to_thread.run_sync(
                self._people.login, name, fields.get("password", ""), address, limiter=self._limiter
            )
        except TooManyTries as wait:
            problem = say("login.wait", seconds=wait.retry_after)
            return _page(429, problem, name, next_path, retry_after=wait.retry_after)
        if token is None:
            _log.warning("a login failed, from %s", address)
            return _page(403, say("login.wrong"), name, next_path)
        await self._end(request)
        return self._with_cookie(RedirectResponse(safe_next(next_path), 303, _HEADERS), token, LOGIN_DAYS * 86_400)

    async def logout(self, request: Request) -> Response:
        """End the login of whoever asks."""
        await self._end(request)
        answer = self._with_cookie(RedirectResponse("/login", 303, _HEADERS), "", 0)
        answer.headers["clear-site-data"] = '"cache"'
        return answer

    async def _end(self, request: Request) -> None:
        token = self.token(request)
        if token is not None:
            await anyio.to_thread.run_sync(self._people.logout, token)

    def style(self) -> Response:
        """Return the form's style sheet."""
        return Response(_file("static/login.css"), media_type="text/css", headers={"cache-control": "no-cache"})

    def refused(self) -> Response:
        """Answer a form that another page sent."""
        return _page(403, say("login.refused"))

    def _with_cookie(self, answer: Response, token: str, seconds: int) -> Response:
        """The cookie is the host's own; a browser sends it to no other, nor when another site's page asks."""
        answer.set_cookie(
            self.cookie, token, max_age=seconds, path="/", httponly=True, samesite="strict", secure=self._is_https
        )
        return answer


def safe_next(path: str) -> str:
    """Return a path of this very host, to be sent on to; the page itself for everything else."""
    is_safe = _LOCAL_PATH.fullmatch(path) is not None and not path.startswith(("/login", "/logout"))
    return path if is_safe else "/"


def _fields(content_type: str, body: bytes) -> dict[str, str] | None:
    """Return the fields of a form, each of which may be there once."""
    if content_type.partition(";")[0].strip().lower() != _FORM:
        return None
    try:
        found = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=10, errors="strict")
    except ValueError:
        return None
    return {name: values[0] for name, values in found.items()} if all(len(v) == 1 for v in found.values()) else None


def _page(
    status: int = 200, problem: str = "", name: str = "", next_path: str = "", retry_after: int | None = None
) -> Response:
    told = f'<p class="problem" role="alert" id="problem">{html.escape(problem)}</p>' if problem else ""
    shown = {
        key: html.escape(say(f"login.{key}")) for key in ("title", "heading", "name", "password", "submit", "help")
    }
    content = Template(_file("entrance/login.html").decode()).substitute(
        shown,
        language=LANGUAGE,
        problem=told,
        typed=html.escape(name[:40]),
        next=html.escape(safe_next(next_path)),
        focus="" if problem else " autofocus",
        described=' aria-describedby="problem" autofocus' if problem else "",
    )
    headers = _HEADERS if retry_after is None else {**_HEADERS, "retry-after": str(retry_after)}
    return Response(content, status, headers, media_type="text/html")


@cache
def _file(name: str) -> bytes:
    return resources.files("ui.web").joinpath(name).read_bytes()
