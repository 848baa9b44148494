"""The tab Compare in a real browser: set up, looked at in step, voted on blind, ranked, taken along."""

from __future__ import annotations

import base64
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.app import Studio
from studio.comparing.comparison import Comparison
from studio.comparing.wish import CompareWish, Variant
from studio.request import GenerationRequest
from tests.webpage import ServedPage

PROMPT = "a square on <i>textured</i> ground"
REQUEST = ".compare-request"
MEASURE = "window.studioPlayers[0].measure()"


def make(studio: Studio, *changes: dict[str, Any]) -> Comparison:
    """Return a finished comparison of one model with these settings each."""
    base = GenerationRequest(model="", prompt=PROMPT, seed=7, frame_rate=Fraction(8), num_frames=33)
    variants = [Variant(model="scripted-moving", changes=change) for change in changes]
    begun = studio.comparisons.start(CompareWish(base=base, variants=variants))
    return studio.comparisons.make(begun.id)


@pytest.fixture(scope="module")
def alike(site: ServedPage) -> Comparison:
    """Two clips of the same size, rate and length, one of them brighter by 40 of 255."""
    return make(site.studio, {"options": {"shade": 0}}, {"options": {"shade": 40}})


@pytest.fixture(scope="module")
def unlike(site: ServedPage) -> Comparison:
    """Three clips of different sizes, rates and lengths."""
    other = {"num_frames": 25, "width": 256, "height": 96}
    return make(site.studio, {}, other, {"frame_rate": Fraction(12)})


def opened(page: Page, place: str) -> Page:
    page.goto(f"/#compare/{place}")
    page.wait_for_selector(".widget-header .brand")
    return page


def with_players(page: Page, comparison: Comparison) -> Page:
    opened(page, comparison.id)
    page.wait_for_selector(".players")
    page.evaluate("window.studioPlayers[0].loaded")
    return page


def shown_frames(page: Page, frames: list[int]) -> None:
    """Wait until these frames are on the screen, by what the browser says of each picture that it draws."""
    page.wait_for_function(f"JSON.stringify({MEASURE}.frames) === '{frames!r}'.replaceAll(' ', '')")


def drifts(page: Page, seconds: float) -> list[int]:
    """Return how many frames apart the clips were, at each look while they played."""
    found = []
    for _ in range(int(seconds / 0.05)):
        page.wait_for_timeout(50)
        told = page.evaluate(MEASURE)
        if told["isPlaying"] and not told["isWaiting"]:
            found.append(told["drift"])
    return found


def test_a_comparison_is_set_up_made_and_looked_at_in_step(page: Page) -> None:
    opened(page, "new")
    page.locator(REQUEST).get_by_label("Prompt", exact=True).fill(PROMPT)
    page.locator(REQUEST).get_by_label("Width, pixels").fill("100")
    page.locator(REQUEST).get_by_label("Height, pixels").fill("100")
    page.locator(REQUEST).get_by_label("Seed", exact=True).fill("4")
    contestants = page.locator(".compare-contestant")
    for index in (0, 1):
        contestants.nth(index).get_by_label("Model", exact=True).select_option("scripted-moving")
    second = contestants.nth(1)
    second.get_by_text("Set otherwise for this one").click()
    second.get_by_label("shade").fill("30")
    for index in (0, 1):
        expect(contestants.nth(index)).to_contain_text("100x100 was asked for")
    page.reload()  # what was typed is still there
    expect(page.locator(".compare-contestant").nth(1).get_by_label("shade")).to_have_value("30")
    expect(page.locator(".compare-contestant").nth(1)).to_contain_text("100x100 was asked for")
    page.get_by_role("button", name="Make them and compare").click()
    page.wait_for_url(re.compile(r"#compare/\d{8}-"))
    expect(page.locator(".players")).to_be_visible(timeout=60_000)
    expect(page.locator(".compare-entry").nth(1)).to_contain_text("shade 30")
    expect(page.locator(".compare-entry").first).to_contain_text("100x100 was asked for")
    address = page.url
    page.reload()
    expect(page.locator(".players")).to_be_visible()
    assert page.url == address


def test_two_clips_play_within_one_frame_of_each_other(page: Page, alike: Comparison) -> None:
    with_players(page, alike)
    page.keyboard.press(" ")
    found = drifts(page, 3.4)
    assert len(found) > 20
    assert max(found) <= 1
    page.wait_for_function(f"{MEASURE}.wanted[0] > 0")  # it begins again now and then
    page.keyboard.press(" ")
    page.wait_for_function(f"!{MEASURE}.isPlaying")
    frame = page.evaluate(MEASURE)["wanted"][0]
    shown_frames(page, [frame, frame])


def test_clips_of_other_rates_sizes_and_lengths_stay_in_step_over_a_loop(page: Page, unlike: Comparison) -> None:
    with_players(page, unlike)
    expect(page.locator(".players-note")).to_contain_text("hold")
    expect(page.locator(".players-note")).to_contain_text("8, 12 per second")
    page.evaluate("window.studioPlayers[0].seek(2.4)")
    page.keyboard.press(" ")
    found = drifts(page, 3.5)
    assert len(found) > 20
    assert max(found) <= 1
    page.keyboard.press(" ")
    page.get_by_label("At the end of the shorter").select_option("shortest")
    expect(page.locator(".players-note")).to_contain_text("all end with the shortest")
    assert page.evaluate("window.studioPlayers[0].length") == pytest.approx(2.75)


def test_a_step_lands_on_the_same_frame_in_both_and_back_again(page: Page, alike: Comparison) -> None:
    with_players(page, alike)
    for frame in (1, 2, 3):
        page.keyboard.press(".")
        shown_frames(page, [frame, frame])
    for frame in (2, 1, 0):
        page.keyboard.press(",")
        shown_frames(page, [frame, frame])
    page.keyboard.press(",")  # there is nothing before the first
    shown_frames(page, [0, 0])
    page.get_by_label("Time").evaluate("range => { range.value = 500; range.dispatchEvent(new Event('input')); }")
    shown_frames(page, [16, 16])


def test_a_step_of_different_rates_goes_to_the_next_picture_of_any(page: Page, unlike: Comparison) -> None:
    with_players(page, unlike)
    for frames in ([0, 0, 1], [1, 1, 1], [1, 1, 2], [2, 2, 3]):  # at 8, 8 and 12 per second
        page.keyboard.press(".")
        shown_frames(page, frames)
    page.keyboard.press(",")
    shown_frames(page, [1, 1, 2])


def test_a_wipe_is_moved_by_keys_and_by_hand_and_the_difference_is_measured(page: Page, alike: Comparison) -> None:
    with_players(page, alike)
    page.keyboard.press("w")
    divider = page.get_by_role("slider", name="Divider")
    divider.focus()
    page.keyboard.press("ArrowRight")
    expect(divider).to_have_attribute("aria-valuenow", "52")
    page.keyboard.press("Home")
    expect(divider).to_have_attribute("aria-valuenow", "0")
    box = page.locator(".players-screen").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert int(divider.get_attribute("aria-valuenow") or "") == pytest.approx(25, abs=1)
    page.locator(".players-note").click()
    page.keyboard.press("d")
    canvas = page.locator("canvas.players-difference")
    expect(canvas).to_be_visible()
    # 40 of 255 brighter on all of the ground; the square on it is the same in both.
    page.wait_for_function("Number(document.querySelector('canvas.players-difference').dataset.mean) > 0")
    assert float(canvas.get_attribute("data-mean") or "") == pytest.approx(37, abs=6)
    page.keyboard.press("b")
    expect(page.get_by_text("Now: ")).to_be_visible()
    before = page.locator("[data-for=blink]", has_text="Now:").text_content()
    page.keyboard.press("b")
    expect(page.locator("[data-for=blink]", has_text="Now:")).not_to_have_text(before or "")


def test_a_blind_vote_names_nobody_before_it_is_cast(page: Page, site: ServedPage) -> None:
    judged = make(site.studio, {"options": {"shade": 0}}, {"options": {"shade": 40}})
    opened(page, judged.id)
    page.get_by_role("button", name="Vote blind").click()
    page.wait_for_selector(".compare-blind .players")
    inside = page.locator("#widget-compare").inner_html()
    secrets = [
        "scripted",
        "shade",
        *(text for e in judged.finished if e.asset for text in (e.asset.id, e.asset.sha256)),
    ]
    assert [secret for secret in secrets if secret in inside.replace(judged.id, "")] == []
    assert PROMPT in page.locator(".compare-blind").inner_text()
    page.get_by_text("Say why").click()
    page.get_by_role("button", name="motion").click()
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    revealed = page.locator(".compare-revealed")
    expect(revealed).to_have_count(2)
    expect(page.locator(".compare-revealed.won")).to_have_attribute("data-side", "right")
    (vote,) = site.studio.comparisons.votes(judged.id)
    winner = judged.entry(vote.winner or 0)
    assert winner is not None
    assert vote.was_blind
    assert vote.reasons == ("motion",)
    expect(page.locator(".compare-revealed.won")).to_contain_text(f"shade={winner.changes['options']['shade']}")
    page.keyboard.press("n")
    expect(page.locator(".compare-ballot")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Take it back").click()
    expect(page.locator(".compare-ballot")).to_be_visible()
    assert site.studio.comparisons.votes(judged.id) == [vote]
    page.keyboard.press("x")
    expect(page.get_by_text("You found both bad")).to_be_visible()
    page.get_by_role("button", name="See all of it").click()
    expect(page.locator(".compare-ranking")).to_contain_text("1 of 30 votes")
    expect(page.locator(".compare-plot").first).to_be_visible()


def test_a_vote_with_the_names_in_view_counts_too(page: Page, site: ServedPage, alike: Comparison) -> None:
    before = len(site.studio.comparisons.votes(alike.id))
    with_players(page, alike)
    page.get_by_role("button", name="About equal").click()
    expect(page.get_by_text("Your vote is kept")).to_be_visible()
    votes = site.studio.comparisons.votes(alike.id)
    assert len(votes) == before + 1
    assert (votes[-1].verdict.value, votes[-1].was_blind) == ("tie", False)
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_text("Your vote is taken back")).to_be_visible()
    assert len(site.studio.comparisons.votes(alike.id)) == before


def test_one_page_is_taken_along_and_plays_without_a_server(
    page: Page, browser: Browser, alike: Comparison, tmp_path: Path
) -> None:
    with_players(page, alike)
    with page.expect_download() as download:
        page.get_by_role("button", name="Take along").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    text = path.read_text(encoding="utf-8")
    for entry in alike.finished:
        assert entry.asset is not None
        assert base64.b64encode(entry.asset.path.read_bytes()).decode() in text
    context = browser.new_context()
    offline = context.new_page()
    asked: list[str] = []
    offline.on("request", lambda request: asked.append(request.url.split(",")[0][:60]))
    offline.goto(path.as_uri())
    expect(offline.locator("body")).to_contain_text(PROMPT)
    length = offline.evaluate("""() => new Promise((resolve, reject) => {
        const video = document.querySelector('video');
        video.muted = true;
        video.onerror = () => reject(new Error('it does not play'));
        video.onended = () => resolve(video.currentTime);
        video.loop = false;
        video.play();
    })""")
    assert length == pytest.approx(33 / 8, abs=0.2)
    assert [address for address in asked if not address.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def test_a_clip_of_another_tab_begins_a_comparison(page: Page, alike: Comparison) -> None:
    asset = alike.job_ids[1]
    script = f"import('/studio/static/studio.js').then(m => m.send({{to: 'compare', do: 'with', asset: '{asset}'}}))"
    page.evaluate(script)
    page.wait_for_selector(".compare-contestant")
    expect(page.locator(REQUEST).get_by_label("Prompt", exact=True)).to_have_value(PROMPT)
    expect(page.locator(".compare-contestant").first.get_by_label("shade")).to_have_value("40")
    expect(page.locator(REQUEST).get_by_label("Frames", exact=True)).to_have_value("33")


def test_what_cannot_be_made_is_said_at_its_field(page: Page) -> None:
    opened(page, "new")
    expect(page.locator(".compare-start")).to_contain_text("Write a prompt")
    page.locator(REQUEST).get_by_label("Prompt", exact=True).fill(PROMPT)
    page.locator(REQUEST).get_by_label("Seed", exact=True).fill("-5")
    expect(page.locator(".compare-start [role=alert]")).to_contain_text("Seed:")
    expect(page.locator(REQUEST).get_by_label("Seed", exact=True)).to_have_attribute("aria-invalid", "true")
    opened(page, "nobody")
    expect(page.get_by_text("there is no such comparison")).to_be_visible()
    page.get_by_role("button", name="Back to all comparisons").click()
    expect(page.get_by_role("region", name="All comparisons")).to_be_visible()
