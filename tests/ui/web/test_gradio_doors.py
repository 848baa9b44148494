"""Gradio behind the door: of all the paths it answers, only those that the page needs are reached."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ui.web.conftest import ServedPage
from ui.api.problems import Refusal
from ui.web.entrance.paths import Paths

# A new version of gradio may bring new paths: each is looked at before it is let through.
NEEDED = {
    ("GET", "/"),
    ("GET", "/config"),
    ("GET", "/theme.css"),
    ("GET", "/favicon.ico"),
    ("GET", "/manifest.json"),
    ("GET", "/robots.txt"),
    ("GET", "/static/{path:path}"),
    ("GET", "/assets/{path:path}"),
    ("GET", "/gradio_api/app_id"),
    ("GET", "/gradio_api/startup-events"),
    ("GET", "/gradio_api/heartbeat/{session_hash}"),
    ("GET", "/gradio_api/queue/data"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/run/{api_name}"),
    ("POST", "/gradio_api/cancel"),
    ("POST", "/gradio_api/reset"),
    ("POST", "/gradio_api/upload"),
    ("GET", "/gradio_api/upload_progress"),
    ("GET", "/gradio_api/file={path_or_url:path}"),
}


async def gradio_routes() -> set[tuple[str, str]]:
    """Return the (method, path) of everything that gradio answers."""
    import gradio as gr
    from gradio.routes import App
    from starlette.routing import Route

    with gr.Blocks() as blocks:
        gr.Textbox()
    found: set[tuple[str, str]] = set()

    def look(routes: object) -> None:
        for route in routes:  # type: ignore[attr-defined]
            inner = getattr(getattr(route, "original_router", None), "routes", None)
            if isinstance(route, Route) or hasattr(route, "path"):
                found.update((method, route.path) for method in getattr(route, "methods", None) or ("GET",))
            if inner:
                look(inner)

    look(App.create_app(blocks).routes)
    return found


def _sample(path: str) -> str:
    """Return a path of this kind; files are named from the root on."""
    return re.sub(r"\{[^}]*\}", "abc", path.replace("file={path_or_url:path}", "file=/abc"))


def is_let_through(method: str, path: str) -> bool:
    try:
        Paths().check(method, path)
    except Refusal:
        return False
    return True


def test_of_gradios_paths_those_are_reached_that_the_page_needs() -> None:
    # Without a loop that runs, gradio makes one and leaves it open.
    with ThreadPoolExecutor(1) as pool:
        routes = pool.submit(lambda: asyncio.run(gradio_routes())).result()
    assert len(routes) > 60
    reached = {(method, path) for method, path in routes if method != "HEAD" and is_let_through(method, _sample(path))}
    assert reached == NEEDED


def test_all_scripts_of_the_real_page_carry_the_nonce(idle_site: ServedPage) -> None:
    answer = idle_site.client.get("/", headers={"accept-encoding": "gzip, br"})
    nonce = answer.headers["content-security-policy"].partition("'nonce-")[2].partition("'")[0]
    tags = re.findall(r"<script[^>]*>", answer.text)
    assert len(tags) >= 4
    assert all(f'nonce="{nonce}"' in tag for tag in tags)


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "{home}/library.db", "{cwd}/pyproject.toml"])
def test_no_file_of_this_machine_is_served(idle_site: ServedPage, path: str, request: pytest.FixtureRequest) -> None:
    file = path.format(home=idle_site.studio.settings.home, cwd=request.config.rootpath)
    assert idle_site.client.get(f"/gradio_api/file={file}").status_code == 403
