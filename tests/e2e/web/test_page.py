"""The page itself: tabs, address, keys, dark and light; nothing leaves this machine."""

from __future__ import annotations

from playwright.sync_api import Page, Route, expect

from tests.webpage import ServedPage

# Drops a file that the studio did not make onto the page, as the hand does.
DROP = """() => {
  const data = new DataTransfer();
  data.items.add(new File(['nobody sealed this'], 'foreign.txt', { type: 'text/plain' }));
  for (const kind of ['dragenter', 'dragover', 'drop']) {
    const event = new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
    document.querySelector('.widget-header').dispatchEvent(event);
  }
}"""


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


def test_a_tab_chosen_before_the_scripts_are_there_is_kept(page: Page) -> None:
    held: list[Route] = []
    page.route("**/studio/static/header.js", lambda route: held.append(route))
    page.goto("/")
    page.get_by_role("tab", name="Settings").click()
    expect(page.get_by_role("tab", name="Settings")).to_have_attribute("aria-selected", "true")
    for route in held:
        route.continue_()
    page.wait_for_selector(".widget-header .brand")
    expect(page.get_by_role("navigation", name="Parts of the settings")).to_be_visible()
    assert page.url.endswith("#settings")


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


def test_alt_and_a_digit_go_to_a_tab_even_while_somebody_types(page: Page) -> None:
    prompt = page.locator("#create-field-prompt textarea")
    prompt.fill("half a sen")
    page.keyboard.press("Alt+5")
    expect(page.get_by_role("tab", name="Inspect")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Alt+1")
    expect(page.get_by_role("tab", name="Create")).to_have_attribute("aria-selected", "true")
    expect(prompt).to_have_value("half a sen")


def test_a_foreign_file_dropped_anywhere_can_be_inspected(page: Page) -> None:
    page.locator("#create-field-prompt textarea").wait_for()
    page.evaluate(DROP)
    page.get_by_role("alert").get_by_role("button", name="Inspect it").click()
    expect(page.get_by_role("tab", name="Inspect")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#widget-inspect")).to_contain_text("foreign.txt", timeout=20_000)


def test_nothing_of_the_page_comes_from_elsewhere(page: Page, site: ServedPage) -> None:
    page.wait_for_load_state("load")
    addresses = page.evaluate("performance.getEntriesByType('resource').map(item => item.name)")
    assert addresses
    assert [address for address in addresses if not address.startswith(site.url)] == []


def leave_fields(page: Page) -> None:
    """Let keys be shortcuts, whatever field had taken the focus."""
    page.evaluate("document.activeElement?.blur()")
