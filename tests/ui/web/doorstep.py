"""A small site behind the real door, on a free port of this machine, and clients that come to it as others do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from studio.config import Settings
from studio.errors import StoreFault
from studio.library.store import Store
from studio.people.account import Role
from studio.people.people import People
from studio.people.throttle import Throttle
from ui.api.server import bind, url_of
from ui.web.entrance.door import Door
from ui.web.visitor import visitor_of

PASSWORD = "tulip engine waltz"
SECRET = "a prompt that nobody may read"
NAMES = {Role.ADMIN: "boss", Role.CREATOR: "anna", Role.VIEWER: "guest"}
PAGE = "<!doctype html><script>one()</script><SCRIPT type=module src=/assets/a.js></SCRIPT><p>the page</p>"


@dataclass
class Doorstep:
    """A server and its people. seconds: what the throttle takes for the time, one entry."""

    url: str
    people: People
    seconds: list[float] = field(default_factory=lambda: [0.0])
    tokens: dict[Role, str] = field(default_factory=dict)

    @property
    def own(self) -> dict[str, str]:
        """The headers that a browser adds to what the page itself asks for."""
        return {"origin": self.url, "sec-fetch-site": "same-origin"}

    def client(self, role: Role | None = None, **headers: str) -> httpx.Client:
        """Return the client of the page, in the browser of somebody of this role."""
        cookies = {} if role is None else {"studio-visit": self.token(role)}
        return httpx.Client(base_url=self.url, headers={**self.own, **headers}, cookies=cookies, trust_env=False)

    def token(self, role: Role) -> str:
        """Return a login of somebody of this role."""
        if role not in self.tokens:
            token = self.people.login(NAMES[role], PASSWORD)
            assert token is not None
            self.tokens[role] = token
        return self.tokens[role]


def small_site() -> FastAPI:
    """Return a site whose every path answers, so that what is kept out was kept out by the door."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    def page() -> Response:
        return HTMLResponse(PAGE, headers={"etag": "old"})

    @app.get("/studio/fail")
    def fail() -> None:
        raise RuntimeError(SECRET)

    within = FastAPI()

    @within.get("/fail")
    def fail_within() -> None:
        raise RuntimeError(SECRET)

    app.mount("/studio/within", within)

    @app.get("/studio/fault")
    def fault() -> None:
        raise StoreFault("the library cannot be used", got="/home/somebody/library.db")

    @app.get("/studio/stream")
    def stream() -> Response:
        async def ticks() -> AsyncIterator[bytes]:
            while True:
                yield b"data: tick\n\n"
                await asyncio.sleep(0.05)

        return StreamingResponse(ticks(), media_type="text/event-stream")

    @app.get("/studio/page")
    def own_policy() -> Response:
        headers = {"content-security-policy": "default-src 'none'", "cache-control": "max-age=5"}
        return HTMLResponse("<script>", headers={**headers, "access-control-allow-origin": "*"})

    @app.api_route("/{rest:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    async def reached(request: Request, rest: str) -> Response:
        visitor = visitor_of(request)
        told: dict[str, Any] = {"reached": f"/{rest}", "size": len(await request.body())}
        return JSONResponse(told | {"name": visitor.name, "role": visitor.role, "is_local": visitor.is_local})

    return app


@contextmanager
def doorstep(home: Path, **options: Any) -> Iterator[Doorstep]:
    """Serve the small site behind a door with these options."""
    with Store(Settings(home=home)) as store:
        seconds = [0.0]
        people = People(store, throttle=Throttle(lambda: seconds[0]))
        for role, name in NAMES.items():
            people.add(name, PASSWORD, role)
        app = small_site()
        app.add_middleware(Door, people=people, home=home, **options)
        bound = bind("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, http="h11", lifespan="off", log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        try:
            yield Doorstep(url_of(bound), people, seconds)
        finally:
            server.should_exit = server.force_exit = True
            thread.join(20)


def raw(step: Doorstep, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Ask for a path as it is written: clients tidy up paths before they send them."""
    line = HTTPConnection(step.url.removeprefix("http://"), timeout=20)
    with closing(line):
        line.request(method, path, headers=headers)
        answer = line.getresponse()
        return answer.status, answer.read()


def refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return the parts of an error, after a look at its shape."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "field", "got", "allowed", "fix"}
    assert isinstance(error, dict)
    return error
