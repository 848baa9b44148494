"""axe-core finds no serious violation on any tab, in the light and in the dark; nothing is wider than the window."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from studio.request import GenerationRequest
from tests.webpage import ServedPage

TABS = ("Create", "Compare", "Queue", "Library", "Inspect", "Settings")
# Of gradio's own frame: what it draws around our parts and cannot be told otherwise. Each with its reason.
NOT_OURS: dict[str, str] = {}


@pytest.fixture(scope="module", autouse=True)
def clip(site: ServedPage) -> str:
    """A clip that the tabs can show."""
    prompt = "a moving square <b>bold</b>"
    return site.studio.generate(GenerationRequest(model="scripted-moving", seed=3, prompt=prompt)).asset.id


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_tab_has_a_serious_violation(page: Page, theme: str) -> None:
    page.evaluate(f"localStorage.setItem('studio-theme', '{theme}')")
    page.reload()
    page.wait_for_selector(".widget-header .brand")
    found = []
    for name in TABS:
        page.get_by_role("tab", name=name).click()
        page.wait_for_timeout(1200)
        found += [f"{name}: {line}" for line in serious_violations(page)]
    assert found == []


@pytest.mark.parametrize("width", [1280, 1920, 2560])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for name in TABS:
        page.get_by_role("tab", name=name).click()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def serious_violations(page: Page) -> list[str]:
    results = Axe().run(page, options={"resultTypes": ["violations"]}).response
    lines = []
    for violation in results["violations"]:
        if violation["impact"] not in ("serious", "critical") or violation["id"] in NOT_OURS:
            continue
        places = [
            f"{node['target']} {node['html'][:160]} {node.get('failureSummary', '')[:160]}"
            for node in violation["nodes"][:4]
        ]
        lines.append(f"{violation['id']}: {places}")
    return lines
