"""Clips and strangers' files before a real browser: the sealed bytes are played, and no text of a file is run."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from studio.library.asset import Asset
from studio.request import GenerationRequest
from tests.webpage import ServedPage

MARKUP = "<img src=x onerror=\"window.hit='tag'\">"
# Puts a view of a clip where the tab Inspect is; other tabs show it within their own.
SHOW = """async (id) => {
  const { clipView } = await import('/studio/static/clip.js');
  document.querySelector('#widget-inspect [data-widget]').replaceChildren(window.view = clipView(id));
  await window.view.ready;
}"""
SERVED = """async () => {
  const bytes = await (await fetch(document.querySelector('#widget-inspect video').currentSrc)).arrayBuffer();
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}"""


@pytest.fixture(scope="module")
def flagged(site: ServedPage) -> Asset:
    """A clip whose frame 3 is black."""
    request = GenerationRequest(model="scripted-unlucky", seed=2, num_frames=17, prompt=f"A fox {MARKUP}")
    return site.studio.generate(request).asset


@pytest.fixture
def clip(page: Page, flagged: Asset) -> Iterator[Page]:
    """A page with a view of the clip."""
    page.locator("#tab-inspect-button").click()
    page.wait_for_selector(".inspect-zone")
    page.evaluate(SHOW, flagged.id)
    page.wait_for_function("document.querySelector('#widget-inspect video').readyState >= 2")
    yield page
    assert page.evaluate("window.hit") is None


def inspect(page: Page, path: Path, word: str) -> None:
    page.locator("#tab-inspect-button").click()
    page.set_input_files(".inspect-zone input[type=file]", str(path))
    expect(page.locator(".inspect-banner")).to_have_attribute("data-word", word, timeout=60_000)


def test_the_player_gets_the_sealed_bytes_and_says_that_they_are_verified(clip: Page, flagged: Asset) -> None:
    assert clip.evaluate(SERVED) == flagged.sha256
    expect(clip.locator("#widget-inspect .clip-seal")).to_have_attribute("data-state", "trusted")
    expect(clip.locator("#widget-inspect .clip-prompt")).to_have_text(f"A fox {MARKUP}")
    with clip.expect_download() as started:
        clip.locator("#widget-inspect [data-do=download]").click()
    assert hashlib.sha256(started.value.path().read_bytes()).hexdigest() == flagged.sha256
    assert started.value.suggested_filename == flagged.path.name
    clip.locator("#widget-inspect .clip-seal").click()
    expect(clip.locator("dialog[open]")).to_contain_text(flagged.sha256)


def test_the_timeline_leads_to_the_frame_and_keys_step_by_one(clip: Page) -> None:
    counter = clip.locator("#widget-inspect .clip-frame")
    clip.locator("#widget-inspect [data-check=black] .timeline-jumps button").first.click()
    expect(counter).to_have_text("Frame 3 of 16")
    assert clip.evaluate("document.querySelector('#widget-inspect video').currentTime") == pytest.approx(3.5 / 8)
    clip.keyboard.press(".")
    expect(counter).to_have_text("Frame 4 of 16")
    clip.keyboard.press(",")
    clip.keyboard.press(",")
    expect(counter).to_have_text("Frame 2 of 16")
    track = clip.locator("#widget-inspect [data-check=black] [role=slider]")
    track.focus()
    clip.keyboard.press("End")
    expect(track).to_have_attribute("aria-valuenow", "16")
    clip.keyboard.press("Enter")
    expect(counter).to_have_text("Frame 16 of 16")
    track.click(position={"x": 1, "y": 20})
    expect(counter).to_have_text("Frame 0 of 16")


def test_a_contact_sheet_is_drawn_from_the_frames_themselves(clip: Page) -> None:
    clip.locator("#widget-inspect").get_by_role("button", name="Contact sheet").click()
    expect(clip.locator("#widget-inspect canvas[data-drawn]")).to_have_count(12)
    light = (
        "(c) => c.getContext('2d').getImageData(0, 0, 160, c.height).data.reduce((a, b) => a + b, 0) / c.height / 640"
    )
    black, other = (
        clip.locator("#widget-inspect [data-frame='3'] canvas"),
        clip.locator("#widget-inspect [data-frame='7'] canvas"),
    )
    assert black.evaluate(light) < other.evaluate(light)
    clip.locator("#widget-inspect .clip-thumb[data-frame='7']").click()
    expect(clip.locator("#widget-inspect .clip-frame")).to_have_text("Frame 7 of 16")


def test_a_clip_is_deleted_and_brought_back_and_saved_as_another(clip: Page) -> None:
    at = clip.locator("#widget-inspect")
    at.locator("[data-do=bin]").click()
    expect(at.locator("[data-do=unbin]")).to_be_visible()
    clip.get_by_role("button", name="Undo").click()
    expect(at.locator("[data-do=bin]")).to_be_visible()
    at.locator("[data-do=export]").click()
    clip.locator("dialog[open] select[name=format]").select_option("gif")
    expect(clip.locator("dialog[open] input[name=frame]")).to_be_hidden()
    with clip.expect_download(timeout=60_000) as started:
        clip.get_by_role("button", name="Make and download").click()
    assert started.value.suggested_filename.endswith(".gif")
    assert started.value.path().read_bytes()[:4] == b"GIF8"
    expect(clip.locator("dialog[open]")).to_have_count(0)


def test_a_sealed_file_is_intact_with_its_checks(page: Page, flagged: Asset) -> None:
    inspect(page, flagged.path, "intact")
    expect(page.locator("[data-part=library]")).to_contain_text(flagged.id)
    expect(page.locator("[data-do=restore]")).to_be_visible()
    jump = page.locator(".inspect-checks [data-check=black] .timeline-jumps button").first
    jump.click(timeout=60_000)
    expect(page.locator("#widget-inspect .clip-frame")).to_have_text("Frame 3 of 16")
    with page.expect_download() as started:
        page.locator("[data-do=report]").click()
    report = started.value.path().read_text()
    assert flagged.id in report
    assert '"consistency"' in report
    page.reload()
    expect(page.locator(".inspect-banner")).to_have_attribute("data-word", "intact")


def test_a_changed_copy_is_altered(page: Page, flagged: Asset, tmp_path: Path) -> None:
    content = bytearray(flagged.path.read_bytes())
    content[-1] ^= 1
    path = tmp_path / "changed.mp4"
    path.write_bytes(content)
    inspect(page, path, "altered")


def test_nothing_in_a_strangers_file_or_name_is_run(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=window.hit='name'>\u202egpj.mp4"
    source = "testsrc=size=160x120:rate=10:duration=1"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "lavfi", "-i", source]
    subprocess.run([*command, "-metadata", f"title={MARKUP}", "-pix_fmt", "yuv420p", str(path)], check=True, timeout=60)
    inspect(page, path, "unknown")
    name = page.locator(".inspect-name").text_content() or ""
    assert name.startswith("<img src=x onerror=window.hit='name'>")
    assert "\u202e" not in name
    page.locator("[data-part=media] summary").click()
    expect(page.locator(".inspect-tags")).to_contain_text(MARKUP)
    page.locator("[data-part=raw] summary").click()
    expect(page.locator("[data-part=raw] pre")).to_contain_text("onerror")
    assert page.evaluate("window.hit") is None
    assert page.locator(".inspect-result img").count() == 0


def test_a_file_with_a_tree_of_records_shows_it(page: Page, clips: Path) -> None:
    inspect(page, clips / "portrait_river_c2pa.mp4", "intact")
    tree = page.locator("[data-part=tree]")
    expect(tree).to_contain_text("video1.mp4")
    tree.get_by_text("video1.mp4").click()
    expect(tree).to_contain_text("Media Publisher Company")


def test_an_empty_file_and_a_text_are_told_in_words(page: Page, tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.touch()
    text.write_text("only words\n" * 99)
    page.locator("#tab-inspect-button").click()
    page.set_input_files(".inspect-zone input[type=file]", str(empty))
    expect(page.locator(".inspect-note")).to_contain_text("there is nothing in it")
    inspect(page, text, "unknown")
    expect(page.locator(".inspect-problem")).to_contain_text("no video")


@pytest.mark.parametrize("is_dark", [False, True])
def test_what_is_shown_of_a_clip_and_a_file_is_fit_for_everybody(page: Page, flagged: Asset, is_dark: bool) -> None:
    page.evaluate(f"localStorage.setItem('studio-theme', '{'dark' if is_dark else 'light'}')")
    page.reload()
    page.wait_for_selector(".widget-header .brand")
    inspect(page, flagged.path, "intact")
    page.wait_for_selector(".inspect-checks .timeline", timeout=60_000)
    assert _serious(page) == []
    page.evaluate(SHOW, flagged.id)
    page.wait_for_selector("#widget-inspect .clip-seal[data-state]")
    page.locator("#widget-inspect").get_by_role("button", name="Contact sheet").click()
    assert _serious(page) == []


def _serious(page: Page) -> list[str]:
    page.evaluate("document.querySelectorAll('#widget-inspect details').forEach((item) => { item.open = true; })")
    page.wait_for_timeout(300)
    found = Axe().run(page, context="#widget-inspect", options={"resultTypes": ["violations"]}).response["violations"]
    bad = [item for item in found if item["impact"] in ("serious", "critical")]
    return [f"{item['id']}: {[node['html'][:200] for node in item['nodes'][:3]]}" for item in bad]
