"""Visits to the page in a real Chromium, and what they cost."""

from __future__ import annotations

import shutil
import time
from types import TracebackType
from typing import Any

import psutil
from playwright.sync_api import Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_SCROLL = """async (screens) => {
  const grid = document.querySelector('.library-scroll'), times = [];
  let last = performance.now();
  for (let step = 0; step < screens; step += 1) {
    grid.scrollTop += grid.clientHeight / 3;
    await new Promise((done) => requestAnimationFrame(done));
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  return times.sort((one, other) => one - other);
}"""
# The clock runs in the page, from the press to the paint after the card is there.
_SUBMIT = """async () => {
  const list = document.querySelector('.bench-cards'), before = new Set([...list.querySelectorAll('[data-job]')]
    .map((card) => card.dataset.job));
  const seen = new Promise((done) => {
    const look = () => [...list.children].some((card) => card.matches('.is-new') || (card.dataset.job &&
      !before.has(card.dataset.job))) && requestAnimationFrame(() => done(performance.now()));
    new MutationObserver(look).observe(list, {childList: true, subtree: true, attributes: true});
  });
  const real = new Promise((done) => {
    const look = () => [...list.querySelectorAll('article[data-job]:not(.is-new)')].some((card) =>
      !before.has(card.dataset.job)) && requestAnimationFrame(() => done(performance.now()));
    new MutationObserver(look).observe(list, {childList: true, subtree: true, attributes: true});
  });
  const began = performance.now();
  document.getElementById('create-make').click();
  return [await seen - began, await real - began];
}"""


def chromium() -> str | None:
    """Return where the system's browser is."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Visitor:
    """A browser before the page. pid: of the server."""

    def __init__(self, url: str, pid: int) -> None:
        self._url = url
        self._server = psutil.Process(pid)

    def __enter__(self) -> Visitor:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._browser.close()
        self._playwright.stop()

    def first_paints(self, count: int) -> dict[str, Any]:
        """Open the page in so many browsers without a cache."""
        paints, ready = [], []
        for _ in range(count):
            page = self._browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            began = time.monotonic()
            self._open(page)
            ready.append((time.monotonic() - began) * 1000)
            paints.append(page.evaluate(_FIRST_PAINT))
            page.context.close()
        return {"worst_ms": round(max(paints)), "median_ms": _middle(paints), "ready_median_ms": _middle(ready)}

    def scrolling(self, steps: int = 200) -> dict[str, Any]:
        """Scroll the grid by a third of a screen each frame."""
        page = self._browser.new_page(viewport={"width": 1440, "height": 900})
        self._open(page)
        page.get_by_role("tab", name="Library").click()
        page.wait_for_selector(".library-cell[data-asset]")
        times = page.evaluate(_SCROLL, steps)
        cells = page.locator(".library-cell").count()
        page.close()
        return {"p95_ms": round(times[int(len(times) * 0.95)], 1), "worst_ms": round(times[-1], 1), "cells": cells}

    def submits(self, count: int) -> dict[str, Any]:
        """Press the button so many times, while the clips of earlier presses are made."""
        page = self._browser.new_page(viewport={"width": 1440, "height": 900})
        self._open(page)
        page.wait_for_selector("#create-field-prompt textarea")
        page.locator("#create-field-prompt textarea").fill("a large yellow star moving right on a navy background")
        page.wait_for_timeout(1500)
        seen, real = [], []
        for _ in range(count):
            first, job = page.evaluate(_SUBMIT)
            seen.append(first)
            real.append(job)
            page.wait_for_timeout(500)
        page.close()
        told = {"worst_ms": round(max(seen)), "median_ms": _middle(seen)}
        return told | {"job_in_database_worst_ms": round(max(real)), "job_in_database_median_ms": _middle(real)}

    def memory(self, loads: int) -> dict[str, Any]:
        """Load the page again and again, and follow the server's resident memory, MiB."""
        page = self._browser.new_page(viewport={"width": 1440, "height": 900})
        marks: dict[int, int] = {}
        for number in range(1, loads + 1):
            self._open(page)
            if number in (1, loads // 4, loads // 2, 3 * loads // 4, loads):
                marks[number] = self._server.memory_info().rss // 2**20
        page.close()
        return {"rss_mib": {str(at): mib for at, mib in marks.items()}, "growth_mib": marks[loads] - marks[loads // 2]}

    def _open(self, page: Page) -> None:
        page.goto(self._url)
        page.wait_for_selector(".widget-header .brand")


def _middle(figures: list[float]) -> int:
    return round(sorted(figures)[len(figures) // 2])
