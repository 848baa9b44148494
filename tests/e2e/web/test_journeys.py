"""What people do from their first visit on: a real browser before `studio web`, real models, real workers."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import PIL.Image
import pytest
from playwright.sync_api import Browser, Page, expect

from studio.jobs.states import JobState
from tests.e2e.test_remote import CONTRACT, ROWS
from tests.e2e.web.house import House
from tests.e2e.web.test_accessibility import serious_violations
from tests.providers.conformance.server import ConformanceServer
from tests.webpage import SLOW_MODEL

PROMPT = "a large yellow star moving right on a navy background"
PASSWORD = "four unrelated green words"
SHA256 = """async (address) => {
  const content = await (await fetch(address)).arrayBuffer();
  const digest = await crypto.subtle.digest('SHA-256', content);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("journeys"))


@pytest.fixture(scope="module")
def address(house: House) -> Iterator[str]:
    """The page for whoever sits at this machine."""
    with house.web() as url:
        yield url


@contextmanager
def visit(browser: Browser, address: str) -> Iterator[Page]:
    """Open the page as a new visitor. Nothing may go wrong in its scripts."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=address)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_default_timeout(60_000)
    page.goto("/")
    page.wait_for_selector(".widget-header .brand")
    yield page
    context.close()
    assert problems == []


def choose(page: Page, model: str) -> None:
    """Take another model in the form, as somebody does who types its name."""
    page.locator("#create-model").click()
    page.get_by_role("combobox", name="Search models").fill(model)
    page.locator(f"[id='picker-{model}']").click()
    page.locator(f"#create-form-of[data-model='{model}']").wait_for(state="attached")


def write_prompt(page: Page, words: str) -> None:
    field = page.locator("#create-field-prompt textarea")
    field.fill(words)
    expect(field).to_have_value(words)


def make(page: Page) -> None:
    page.locator("#create-make").click()
    expect(page.locator(".bench-cards article")).not_to_have_count(0)


def submitted(page: Page) -> str:
    """Return the id of the job whose card stands first."""
    card = page.locator(".bench-cards article[data-job]:not(.is-new)").first
    expect(card).to_be_visible()
    return str(card.get_attribute("data-job"))


def clip_of(page: Page) -> str:
    """Return the id of the clip once the job in the making has become one, and stands on the bench."""
    job_id = submitted(page)
    expect(page.locator(f".bench-clip[data-asset='{job_id}']")).to_be_visible(timeout=120_000)
    return job_id


def test_from_the_first_visit_to_the_first_clip(browser: Browser, address: str, house: House) -> None:
    with visit(browser, address) as page:
        write_prompt(page, PROMPT)
        make(page)
        asset_id = clip_of(page)
        video = page.locator(f".bench-clip[data-asset='{asset_id}'] video").first
        expect(video).to_have_attribute("src", f"/studio/media/{asset_id}")
        digest = page.evaluate(SHA256, f"/studio/media/{asset_id}")
        page.wait_for_function("document.querySelector('.bench-clip video').readyState >= 2")
    with house.opened() as studio:
        asset = studio.store.asset(asset_id)
        assert digest == asset.sha256 == hashlib.sha256(asset.path.read_bytes()).hexdigest()
        assert (asset.prompt, asset.model) == (PROMPT, "micro-wan")
        assert studio.verify(asset.path).c2pa.state == "trusted"


def test_from_a_picture_to_a_clip(browser: Browser, address: str, house: House, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    PIL.Image.radial_gradient("L").convert("RGB").resize((256, 256)).save(picture)
    with visit(browser, address) as page:
        choose(page, "micro-svd")
        page.locator("#create-field-first-frame input[type=file]").set_input_files(picture)
        expect(page.locator("#create-field-first-frame img")).to_be_visible()
        make(page)
        asset_id = clip_of(page)
    with house.opened() as studio:
        asset = studio.store.asset(asset_id)
        assert asset.model == "micro-svd"
        taken = asset.request["conditionings"][0]["sha256"]
        assert taken == hashlib.sha256(picture.read_bytes()).hexdigest()  # the very bytes, with all they carry


def test_a_refresh_a_second_window_and_a_killed_worker_lose_nothing(
    browser: Browser, address: str, house: House
) -> None:
    with visit(browser, address) as page, visit(browser, address) as other:
        choose(page, SLOW_MODEL)
        make(page)
        job_id = submitted(page)
        card = page.locator(f".bench-cards [data-job='{job_id}']")
        expect(card).to_contain_text(re.compile("Generating"))
        page.reload()
        for window in (page, other):
            expect(window.locator(f".bench-cards [data-job='{job_id}']")).to_be_visible()
        with house.opened() as studio:
            worker = next(item for item in studio.desk.workers() if item.job_id == job_id)
            os.kill(worker.pid, signal.SIGKILL)
        for window in (page, other):
            expect(window.locator(f".bench-clip[data-asset='{job_id}']")).to_be_visible(timeout=120_000)
        with house.opened() as studio:
            job = studio.desk.job(job_id)
            assert job.state is JobState.SUCCEEDED
            assert len(job.attempts) == 2
            assert worker.pid not in {item.pid for item in studio.desk.workers()}


def test_what_is_canceled_mid_way_stops_and_leaves_nothing(browser: Browser, address: str, house: House) -> None:
    with visit(browser, address) as page:
        choose(page, SLOW_MODEL)
        make(page)
        job_id = submitted(page)
        card = page.locator(f".bench-cards [data-job='{job_id}']")
        expect(card).to_contain_text(re.compile("Generating"))
        card.get_by_role("button", name="Cancel").click()
        expect(page.locator(f".bench-cards [data-job='{job_id}']")).to_have_count(0, timeout=30_000)
    with house.opened() as studio:
        assert studio.desk.job(job_id).state is JobState.CANCELED
        assert not studio.store.has_asset(job_id)
        assert not (house.home / "quarantine" / job_id).exists()


def test_two_local_models_and_a_remote_one_are_compared_judged_and_taken_along(
    browser: Browser, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    PIL.Image.radial_gradient("L").convert("RGB").resize((256, 256)).save(picture)
    with ConformanceServer([CONTRACT]) as server:
        house = House(tmp_path, rows=ROWS, environment=server.environment(CONTRACT))
        with house.web() as address, visit(browser, address) as page:
            comparison = compare(page, picture)
            for number in range(10):
                vote_blind(page, number)
            with page.expect_download() as download:
                page.locator("#tab-compare").get_by_role("button", name="Take along").first.click()
            report = tmp_path / "report.html"
            download.value.save_as(report)
        assert len(server.did("create")) == 1  # ordered and paid once
    with house.opened() as studio:
        told = studio.comparisons.get(comparison)
        models = [entry.model for entry in told.finished]
        assert models == ["micro-wan", "micro-svd", "quick"]
        votes = studio.comparisons.votes(comparison)
        assert len(votes) == 10
        assert all(vote.was_blind for vote in votes)
        ranking = studio.comparisons.ranking("model")
        assert {rank.key for rank in ranking.ranks} == set(models)
        content = report.read_text(encoding="utf-8")
        for entry in told.finished:
            assert entry.asset is not None
            assert base64.b64encode(entry.asset.path.read_bytes()).decode() in content
    assert_opens_offline(browser, report)


def compare(page: Page, picture: Path) -> str:
    """Set a comparison up, and wait until all of it is made. Returns its id."""
    page.goto("/#compare/new")
    request = page.locator(".compare-request")
    request.get_by_label("Prompt", exact=True).fill(PROMPT)
    request.locator("input[type=file]").set_input_files(picture)
    page.get_by_role("button", name="Add a model").click()
    contestants = page.locator(".compare-contestant")
    expect(contestants).to_have_count(3)
    for index, model in enumerate(("micro-wan", "micro-svd", "quick")):
        contestants.nth(index).get_by_label("Model", exact=True).select_option(model)
    expect(contestants.nth(2)).to_contain_text("USD", timeout=30_000)
    page.get_by_role("button", name="Make them and compare").click()
    page.wait_for_url(re.compile(r"#compare/\d{8}-"))
    expect(page.locator(".players")).to_be_visible(timeout=180_000)
    expect(page.get_by_role("button", name="Vote blind")).to_be_enabled(timeout=180_000)
    comparison = page.url.rpartition("/")[2]
    expect(page.locator(".compare-entry .badge.good", has_text="Done")).to_have_count(3, timeout=180_000)
    page.get_by_role("button", name="Vote blind").click()
    return comparison


def vote_blind(page: Page, number: int) -> None:
    """Judge the pair that is shown, each time otherwise, and go on to the next."""
    expect(page.locator(".compare-ballot")).to_be_visible()
    page.wait_for_selector(".compare-blind .players")
    page.evaluate("window.studioPlayers[0].loaded")  # who votes has looked at them
    page.wait_for_timeout(300)
    page.evaluate("document.activeElement?.blur()")
    page.keyboard.press(("ArrowLeft", "ArrowRight", "ArrowDown", "x")[number % 4])
    expect(page.locator(".compare-revealed")).to_have_count(2)
    if number == 9:
        page.get_by_role("button", name="See all of it").click()
        expect(page.locator(".compare-ranking")).to_contain_text("of 30 votes")
    else:
        page.keyboard.press("n")


def assert_opens_offline(browser: Browser, report: Path) -> None:
    """The page is read from a disk, asks nobody for anything, and its clips play."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url[:80]))
    page.goto(report.as_uri())
    expect(page.locator("video")).to_have_count(3)
    page.wait_for_function("[...document.querySelectorAll('video')].every((video) => video.readyState >= 2)")
    assert [address for address in asked if not address.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def test_two_people_see_each_other_and_touch_nothing_of_each_other(browser: Browser, tmp_path: Path) -> None:
    house = House(tmp_path)
    refused = house.studio("web", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 3
    assert "studio users add" in refused.stderr
    for name, role in (("anna", "admin"), ("bert", "creator"), ("cleo", "viewer")):
        done = house.studio("users", "add", name, "--role", role, "--password-stdin", text=PASSWORD)
        assert done.returncode == 0, done.stderr
    with house.web("--login") as address, signed_in(browser, address, "anna") as anna:
        write_prompt(anna, PROMPT)
        choose(anna, SLOW_MODEL)
        make(anna)
        job_id = submitted(anna)
        for name in ("bert", "cleo"):
            with signed_in(browser, address, name) as page:
                expect(page.locator(".widget-header .person")).to_contain_text(name)
                page.get_by_role("tab", name="Queue").click()
                row = page.locator(f"#widget-queue [data-job='{job_id}']").first
                expect(row).to_be_visible()
                expect(row.get_by_role("button", name="Cancel")).to_have_count(0)
                for what in ("cancel", "pause", "remove"):
                    answer = page.request.post(f"{address}/studio/jobs/{job_id}/{what}", headers=own_site(address))
                    assert answer.status == 403, answer.text()
        expect(anna.locator(f".bench-clip[data-asset='{job_id}']")).to_be_visible(timeout=120_000)
        with signed_in(browser, address, "bert") as bert:
            answer = bert.request.post(
                f"{address}/studio/library/bin", data={"ids": [job_id]}, headers=own_site(address)
            )
            assert answer.status == 403, answer.text()
            assert bert.request.get(f"{address}/studio/media/{job_id}").status == 200
    with house.opened() as studio:
        assert studio.people.owner(job_id) == "anna"
        assert studio.store.has_asset(job_id)


def own_site(address: str) -> dict[str, str]:
    """Return what a browser sends with what a page of this very site asks."""
    return {"origin": address, "sec-fetch-site": "same-origin"}


@contextmanager
def signed_in(browser: Browser, address: str, name: str) -> Iterator[Page]:
    """Log in as somebody does who is sent to the page for the first time."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=address)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto("/")
    assert page.url.split("?")[0].endswith("/login")
    assert serious_violations(page) == []
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name=re.compile("in", re.IGNORECASE)).click()
    page.wait_for_selector(".widget-header .brand")
    yield page
    context.close()
