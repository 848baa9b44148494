"""The studio's page in this process: a real server on a free port, a real worker beside it, the system's Chromium."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from fastapi import FastAPI

from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.jobs.roll import WorkerCard
from studio.jobs.worker import Worker
from studio.registry import Registry
from tests.fakes import write_scripted_row, write_scripted_rows
from ui.api.server import ApiServer, bind, url_of
from ui.web.backstage.bench import Bench

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
SLOW_MODEL = "scripted-slow"
"""The scripted model whose steps take long enough to be looked at; four seconds for a clip by default."""


@dataclass(frozen=True)
class ServedPage:
    """A page that is served. client: speaks to it as a script of the page would. bench: what its form works with."""

    url: str
    studio: Studio
    client: httpx.Client
    bench: Bench


def page_studio(home: Path, rows: Path) -> Studio:
    """Return a studio over the real catalog and the scripted models, with an empty home folder."""
    write_scripted_rows(rows)
    write_scripted_row(rows, SLOW_MODEL, "seconds_per_step = 1.3")
    studio = Studio(Settings(home=home))
    studio.__dict__["registry"] = Registry(load_catalog((rows,)), studio.settings)
    return studio


@contextmanager
def serving_page(studio: Studio, *, needs_login: bool = False) -> Iterator[ServedPage]:
    """Serve the page for as long as the context lasts."""
    bound = bind("127.0.0.1", 0)
    url = url_of(bound)
    opened = threading.Event()
    app = _site(studio, needs_login=needs_login)
    server = ApiServer(app, opened.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    assert opened.wait(60)
    try:
        headers = {"origin": url, "sec-fetch-site": "same-origin"}
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
            yield ServedPage(url=url, studio=studio, client=client, bench=app.state.site.bench)
    finally:
        server.should_exit = True
        thread.join(20)


def _site(studio: Studio, *, needs_login: bool) -> FastAPI:
    """Build the site where an event loop runs: elsewhere gradio makes some, and leaves them open."""
    from ui.web.site import create_site

    async def build() -> FastAPI:
        return create_site(studio, needs_login=needs_login)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(build())).result()


@contextmanager
def working(studio: Studio) -> Iterator[None]:
    """Have a worker take jobs for as long as the context lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=Worker(studio.workshop, WorkerCard(device="cpu")).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
