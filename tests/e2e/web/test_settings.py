"""The settings in a browser: a key goes in and never comes out, the doctor is shown, weights want consent, people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from studio.keyrings import KEYRING
from studio.people.account import Role
from studio.request import GenerationRequest
from tests.canary import assert_nowhere
from tests.keyring_backend import JsonKeyring, LockedKeyring
from tests.webpage import ServedPage, serving_page

CANARY = "q7Zr-canary-0123456789-abcdefgh"
PASSWORD = "tulip engine waltz"
PARTS = ("Keys", "Budgets and costs", "Models", "Storage", "Machine", "Certificates", "Defaults in force", "About")


@pytest.fixture(autouse=True)
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of this test's keyring."""
    monkeypatch.setenv("TEST_KEYRING_FILE", str(tmp_path / "keyring.json"))
    monkeypatch.delenv("LTXV_API_KEY", raising=False)
    before = keyring.get_keyring()
    keyring.set_keyring(JsonKeyring())  # type: ignore[no-untyped-call]
    KEYRING._forget()
    yield tmp_path / "keyring.json"
    keyring.set_keyring(before)
    KEYRING._forget()


def show(page: Page, part: str) -> None:
    page.get_by_role("tab", name="Settings").click()
    page.get_by_role("navigation", name="Parts of the settings").get_by_role("button", name=part, exact=True).click()
    expect(page.get_by_role("heading", name=part, exact=True, level=2)).to_be_visible()


def test_a_key_is_set_is_there_and_is_never_shown_again(
    page: Page, site: ServedPage, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[str] = []
    page.on("response", lambda answer: answers.append(answer.text()) if "/studio/settings" in answer.url else None)
    show(page, "Keys")
    row = page.locator("tr[data-provider=ltx]")
    expect(row).to_contain_text("no key")
    row.get_by_role("button", name="Set the key of LTX").click()
    field = page.get_by_label("Key of LTX", exact=True)
    expect(field).to_be_focused()
    assert (field.get_attribute("type"), field.get_attribute("autocomplete")) == ("password", "off")
    field.fill("two words")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("white space")
    expect(field).to_have_value("")
    field.fill(CANARY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(row).to_contain_text("in the system's keyring")
    assert CANARY in key_file.read_text()
    held = page.evaluate("[document.documentElement.outerHTML, JSON.stringify(localStorage), location.href].join()")
    inputs = page.evaluate("[...document.querySelectorAll('input')].map((input) => input.value).join()")
    assert_nowhere(CANARY, site.studio.settings.home, held, inputs, caplog.text, *answers)
    assert any('"keyring"' in answer for answer in answers)
    row.get_by_role("button", name="Remove the key of LTX").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(row).to_contain_text("no key")
    assert CANARY not in key_file.read_text()


def test_a_keyring_that_cannot_be_used_is_told_with_what_to_do(page: Page) -> None:
    keyring.set_keyring(LockedKeyring())  # type: ignore[no-untyped-call]
    KEYRING._forget()
    show(page, "Keys")
    expect(page.get_by_role("note").first).to_contain_text("cannot be used: it raised KeyringLocked")
    row = page.locator("tr[data-provider=ltx]")
    expect(row).to_contain_text("LTXV_API_KEY")
    expect(row).to_contain_text("no keyring to put it into")
    expect(row.get_by_role("button")).to_have_count(0)


def test_the_doctor_examines_and_says_how_to_mend(page: Page) -> None:
    show(page, "Doctor")
    expect(page.get_by_role("status").filter(has_text="Examining")).to_be_visible()
    expect(page.locator("tr[data-check=signing]")).to_contain_text("works", timeout=60_000)
    expect(page.locator("tr[data-check=encoder]")).to_contain_text("ffmpeg")
    expect(page.get_by_role("button", name="Examine again")).to_be_enabled()
    page.get_by_role("button", name="Machine", exact=True).click()
    expect(page.get_by_text("CPU only")).to_be_visible()
    page.reload()
    show(page, "Doctor")
    expect(page.locator("tr[data-check=signing]")).to_contain_text("works")


def test_nothing_is_downloaded_before_somebody_agreed_to_the_licence(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    show(page, "Models")
    row = page.locator("tr[data-model=dino-vitb16]")
    row.get_by_role("button", name=re.compile("^Download")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Apache-2.0")
    expect(dialog.get_by_role("button", name=re.compile("^Download"))).to_be_disabled()
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name=re.compile("^Download")).click()
    expect(dialog).to_have_count(0)
    expect(row.get_by_role("alert")).to_be_visible(timeout=60_000)


def test_the_bin_is_emptied_after_a_question(page: Page, site: ServedPage) -> None:
    asset = site.studio.generate(GenerationRequest(model="scripted-moving", seed=4, prompt="doomed")).asset
    site.studio.curation.bin([asset.id])
    show(page, "Storage")
    page.get_by_role("button", name="Empty the bin").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert asset.path.exists()
    page.get_by_role("button", name="Empty the bin").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("The bin is empty.")).to_be_visible()
    assert not asset.path.exists()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_part(page: Page, theme: str) -> None:
    page.evaluate(f"localStorage.setItem('studio-theme', '{theme}')")
    page.reload()
    found: list[str] = []
    for part in PARTS:
        show(page, part)
        page.wait_for_timeout(250)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), part
        found += [f"{part}: {line}" for line in serious(page)]
    show(page, "Keys")
    page.get_by_role("button", name="Set the key of LTX").click()
    found += serious(page)
    assert found == []


def test_an_admin_adds_people_and_who_is_none_sees_little(browser: Browser, site: ServedPage) -> None:
    site.studio.people.add("boss", PASSWORD, Role.ADMIN)
    with serving_page(site.studio, needs_login=True) as served:
        page = signed_in(browser, served, "boss", PASSWORD)
        show(page, "People")
        page.get_by_role("button", name="Add somebody").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name").fill("vera")
        dialog.get_by_label("Role").select_option("viewer")
        dialog.get_by_label("Password").fill("short")
        dialog.get_by_role("button", name="Add").click()
        expect(dialog.get_by_role("alert")).to_contain_text("too short")
        dialog.get_by_label("Password").fill("a fine phrase of vera")
        dialog.get_by_role("button", name="Add").click()
        expect(page.locator("tr[data-person=vera]")).to_contain_text("may log in")
        assert serious(page) == []
        vera = signed_in(browser, served, "vera", "a fine phrase of vera")
        vera.get_by_role("tab", name="Settings").click()
        parts = vera.get_by_role("navigation", name="Parts of the settings").get_by_role("button")
        expect(parts).to_have_text(["Defaults in force", "My password", "About"])
        show(vera, "My password")
        vera.get_by_label("Your password now").fill("a fine phrase of vera")
        vera.get_by_label("New password", exact=False).first.fill("another fine phrase")
        vera.get_by_label("New password, again").fill("another fine phrase")
        vera.get_by_role("button", name="Change it and log out").click()
        vera.wait_for_url("**/login*")
        for context in (page.context, vera.context):
            context.close()
    assert site.studio.people.login("vera", "another fine phrase") is not None


def signed_in(browser: Browser, served: ServedPage, name: str, password: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=served.url).new_page()
    page.set_default_timeout(15_000)
    page.goto("/login")
    page.locator("#name").fill(name)
    page.locator("#password").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_selector(".widget-header .brand")
    return page


def serious(page: Page) -> list[str]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{item['id']}: {[node['html'][:200] for node in item['nodes'][:3]]}"
        for item in found
        if item["impact"] in ("serious", "critical")
    ]
