"""A browser before a real server with a real worker, for each module of tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from studio.app import Studio
from tests.ui.web.conftest import page_home
from tests.webpage import CHROMIUM, FLAGS, ServedPage, serving_page, working

__all__ = ["page_home"]

# Two cores work for the browser, the server, the workers, and for other tests.
expect.set_options(timeout=30_000)
SCREENSHOTS = os.environ.get("STUDIO_SCREENSHOTS")


@pytest.fixture(scope="module")
def site(page_home: Studio) -> Iterator[ServedPage]:
    """A server for this machine alone, and a worker that takes jobs."""
    with working(page_home), serving_page(page_home) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, site: ServedPage, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A new visitor's page, opened and ready.

    A script that fails, or a request that leaves this machine, fails the test.
    """
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=site.url)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda asked: None if _is_here(asked.url, site.url) else problems.append(f"asks {asked.url}"))
    page.set_default_timeout(15_000)
    page.goto("/")
    page.wait_for_selector(".widget-header .brand")
    yield page
    if SCREENSHOTS:
        name = str(request.node.name)[:80].replace("/", "-")
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)
    context.close()
    assert problems == []


def _is_here(address: str, url: str) -> bool:
    return address.startswith((url, "data:", "blob:"))
