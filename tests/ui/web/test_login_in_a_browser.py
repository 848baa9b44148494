"""The login in a real browser, over plain HTTP under a name that is not loopback: there browsers tell least."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ui.web.doorstep import PASSWORD, Doorstep, doorstep
from tests.webpage import CHROMIUM, FLAGS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
NAME = "studio.test"


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    with doorstep(tmp_path_factory.mktemp("browser"), needs_login=True) as step:
        yield step


@pytest.fixture
def page(step: Doorstep) -> Iterator[Any]:
    """A page at the form, opened under a name that only this browser knows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        rules = f"--host-resolver-rules=MAP {NAME} 127.0.0.1, MAP evil.test 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
        page = browser.new_context().new_page()
        page.goto(f"http://{NAME}:{step.url.rpartition(':')[2]}/?tab=queue")
        yield page
        browser.close()


def test_one_logs_in_by_keyboard_and_comes_to_where_one_wanted(page: Any) -> None:
    assert page.evaluate("document.activeElement.id") == "name"
    page.keyboard.type("anna")
    page.keyboard.press("Tab")
    page.keyboard.type("a wrong password")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert page.inner_text("[role=alert]") == "Name and password do not fit."
    assert page.evaluate("document.activeElement.id") == "password"
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/?tab=queue")
    assert "the page" in page.inner_text("body")
    assert page.evaluate("document.cookie") == ""
    told = page.evaluate("fetch('/studio/thing', {method: 'POST'}).then((answer) => answer.json())")
    assert told["name"] == "anna"


def test_the_form_is_styled_and_nothing_is_complained_about(page: Any) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.reload()
    assert page.evaluate("getComputedStyle(document.querySelector('button')).backgroundColor") == "rgb(67, 56, 202)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    assert complaints == []


def test_what_somebody_smuggled_into_a_text_does_not_run(page: Any) -> None:
    log_in(page)
    page.evaluate(
        "document.body.innerHTML = `<img src=x onerror='window.ran = 1'><a href='javascript:window.ran=2'>a</a>`"
    )
    page.click("a")
    page.evaluate("""() => { const script = document.createElement('script'); script.textContent = 'window.ran = 3';
        document.body.append(script); }""")
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None


def test_another_site_changes_nothing_in_the_name_of_who_is_logged_in(page: Any, step: Doorstep) -> None:
    log_in(page)
    port = step.url.rpartition(":")[2]
    other = page.context.new_page()
    form = f"<form method=post action='http://{NAME}:{port}/logout'><button>x</button></form>"
    other.route("http://evil.test/", lambda route: route.fulfill(content_type="text/html", body=form))
    other.goto("http://evil.test/")
    sent = other.evaluate(
        f"""fetch('http://{NAME}:{port}/studio/thing', {{method: 'POST', credentials: 'include'}})
        .then(() => 'read', (error) => 'refused')"""
    )
    assert sent == "refused"
    with other.expect_navigation() as gone:
        other.click("button")
    assert gone.value.status == 403
    page.reload()
    assert "the page" in page.inner_text("body")


def log_in(page: Any) -> None:
    page.fill("#name", "anna")
    page.fill("#password", PASSWORD)
    page.click("button")
    page.wait_for_url("**/?tab=queue")
