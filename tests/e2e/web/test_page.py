"""The page itself: tabs, address, keys, dark and light; nothing leaves this machine."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.webpage import ServedPage


def test_a_tab_stands_in_the_address_and_survives_a_refresh(page: Page) -> None:
    page.get_by_role("tab", name="Library").click()
    assert page.url.endswith("#library")
    page.reload()
    expect(page.get_by_role("tab", name="Library")).to_have_attribute("aria-selected", "true")
    leave_fields(page)
    page.keyboard.press("3")
    expect(page.get_by_role("tab", name="Queue")).to_have_attribute("aria-selected", "true")
    page.go_back()
    page.go_back()
    expect(page.get_by_role("tab", name="Create")).to_have_attribute("aria-selected", "true")


def test_dark_and_light_are_remembered(page: Page) -> None:
    was_dark = page.evaluate("document.body.classList.contains('dark')")
    page.get_by_role("button", name="Dark or light").click()
    page.reload()
    page.wait_for_selector(".widget-header .brand")
    page.wait_for_function(f"document.body.classList.contains('dark') === {str(not was_dark).lower()}")


def test_the_keys_are_told(page: Page) -> None:
    expect(page.locator("#create-field-prompt textarea")).to_be_focused()  # of a first visit
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_nothing_of_the_page_comes_from_elsewhere(page: Page, site: ServedPage) -> None:
    page.wait_for_load_state("load")
    addresses = page.evaluate("performance.getEntriesByType('resource').map(item => item.name)")
    assert addresses
    assert [address for address in addresses if not address.startswith(site.url)] == []


def leave_fields(page: Page) -> None:
    """Let keys be shortcuts, whatever field had taken the focus."""
    page.evaluate("document.activeElement?.blur()")
