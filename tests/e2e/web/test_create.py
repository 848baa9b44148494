"""The tab Create in a browser: from the first visit to the first clip, and what else a person does there."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import PIL.Image
from playwright.sync_api import Browser, Page, expect

from studio.jobs.states import JobState
from tests.webpage import SLOW_MODEL, ServedPage

MODEL = "scripted-moving"
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
# Drops a file onto the page as the hand does. The handler runs before the promise resolves.
DROP = """async ([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: 'video/mp4' }));
  for (const kind of ['dragenter', 'dragover', 'drop']) {
    const event = new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
    document.querySelector('.widget-header').dispatchEvent(event);
  }
}"""


# Notes when the button was pressed, and when the first card was there.
WATCH = """() => {
  window.seen = null;
  const press = (event) => { if (event.target.closest('#create-make')) window.pressed = performance.now(); };
  document.addEventListener('click', press, true);
  const look = () => { if (!window.seen && document.querySelector('article.job')) window.seen = performance.now(); };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
}"""


def choose(page: Page, model: str) -> None:
    """Choose a model as somebody does who types its name."""
    page.locator("#create-model").click()
    page.get_by_role("combobox", name="Search models").fill(model)
    page.locator(f"[id='picker-{model}']").click()
    expect(page.locator("#create-model")).to_have_attribute("data-model", model)
    page.locator(f"#create-form-of[data-model='{model}']").wait_for(state="attached")


def prompt_of(page: Page) -> str:
    return page.locator("#create-field-prompt textarea").input_value()


def make(page: Page, prompt: str) -> None:
    page.locator("#create-field-prompt textarea").fill(prompt)
    page.locator("#create-make").click()


def test_a_newcomer_gets_from_the_first_visit_to_the_first_clip(page: Page, site: ServedPage) -> None:
    expect(page.locator("#create-model")).to_contain_text("Micro Wan")
    page.locator("#create-suggestion").click()
    expect(page.locator("#create-field-prompt textarea")).to_have_value(
        "a large yellow star moving right on a navy background"
    )
    choose(page, MODEL)
    assert prompt_of(page) == "a large yellow star moving right on a navy background"
    page.evaluate(WATCH)
    page.keyboard.press("Tab")
    page.locator("#create-field-prompt textarea").press("Control+Enter")
    page.locator("article.job").first.wait_for()
    assert page.evaluate("window.seen - window.pressed") <= 300
    clip = page.locator(".bench-clip").first
    expect(clip.locator("video")).to_be_visible(timeout=60_000)
    job = site.studio.desk.jobs()[0]
    assert job.model == MODEL
    assert site.studio.store.asset_of_job(job.id) is not None


def test_a_refresh_or_another_window_shows_the_same_and_a_job_can_be_stopped(
    page: Page, browser: Browser, site: ServedPage
) -> None:
    choose(page, SLOW_MODEL)
    page.locator("#create-field-num_inference_steps input").fill("50")
    make(page, "a slow square")
    card = page.locator("article.job[data-job]", has_text="a slow square").first
    expect(card).to_contain_text("step", timeout=20_000)
    page.reload()
    card = page.locator("article.job[data-job]", has_text="a slow square").first
    expect(card).to_be_visible()
    other = browser.new_context(base_url=site.url).new_page()
    other.goto("/")
    twin = other.locator("article.job[data-job]", has_text="a slow square").first
    expect(twin).to_be_visible(timeout=15_000)
    assert twin.get_attribute("data-job") == card.get_attribute("data-job")
    card.get_by_role("button", name="Cancel").click()
    expect(twin).to_have_count(0, timeout=20_000)
    expect(card).to_have_count(0)
    other.context.close()
    assert site.studio.desk.jobs(JobState.CANCELED)[0].request["prompt"] == "a slow square"


def test_a_double_click_and_a_key_held_down_are_one_order_each(page: Page, site: ServedPage) -> None:
    before = len(site.studio.desk.jobs())
    choose(page, MODEL)
    page.locator("#create-field-prompt textarea").fill("pressed hard")
    page.locator("#create-make").dblclick()
    page.wait_for_timeout(1500)  # for a second one to come, if one does
    assert len(site.studio.desk.jobs()) == before + 1
    page.locator("#create-field-prompt textarea").focus()
    page.keyboard.down("Control")
    for _ in range(4):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    page.keyboard.up("Control")
    page.wait_for_timeout(1500)
    assert len(site.studio.desk.jobs()) == before + 2


def test_a_picture_arrives_byte_for_byte_and_becomes_the_first_frame(
    page: Page, site: ServedPage, tmp_path: Path
) -> None:
    picture = tmp_path / "a picture.png"
    PIL.Image.effect_noise((160, 128), 60).convert("RGB").save(picture)
    choose(page, MODEL)
    page.locator("#create-field-first-frame input[type=file]").set_input_files(picture)
    expect(page.locator("#create-field-first-frame img")).to_be_visible()
    choose(page, "scripted-frozen")
    expect(page.locator("#create-field-first-frame img")).to_be_visible()
    choose(page, MODEL)
    expect(page.locator("#create-field-first-frame img")).to_be_visible()
    make(page, "the picture moves")
    expect(page.locator(".bench-clip", has_text="the picture moves").locator("video")).to_be_visible(timeout=60_000)
    job = next(job for job in site.studio.desk.jobs() if job.request["prompt"] == "the picture moves")
    assert job.request["task"] == "image-to-video"
    assert job.request["conditionings"][0]["sha256"] == hashlib.sha256(picture.read_bytes()).hexdigest()


def test_a_dropped_sealed_file_fills_the_form_as_it_was_made(page: Page, site: ServedPage) -> None:
    choose(page, MODEL)
    page.locator("#create-field-seed input").fill("4242")
    make(page, "to be found again")
    expect(page.locator(".bench-clip", has_text="to be found again").locator("video")).to_be_visible(timeout=60_000)
    asset = next(item for item in site.studio.store.assets() if item.prompt == "to be found again")
    page.reload()
    choose(page, "micro-wan")
    page.evaluate(DROP, [asset.path.name, base64.b64encode(asset.path.read_bytes()).decode()])
    expect(page.locator(".create-banner")).to_contain_text("How a clip was made", timeout=20_000)
    expect(page.locator("#create-model")).to_have_attribute("data-model", MODEL)
    assert prompt_of(page) == "to be found again"
    assert page.locator("#create-field-seed input").input_value() == "4242"


def test_what_somebody_typed_is_text_wherever_it_is_shown(page: Page, site: ServedPage) -> None:
    choose(page, MODEL)
    make(page, EVIL)
    expect(page.locator(".bench-clip", has_text="onerror").locator("video")).to_be_visible(timeout=60_000)
    page.reload()
    expect(page.locator(".bench-clip", has_text="onerror").first).to_be_visible()
    assert EVIL in page.locator(".bench-clip", has_text="onerror").first.inner_text()
    assert page.title() != "owned"


def test_a_number_that_does_not_fit_is_told_beside_its_field_and_makes_no_job(page: Page, site: ServedPage) -> None:
    choose(page, MODEL)
    before = len(site.studio.desk.jobs())
    page.locator("#create-field-num_inference_steps input").fill("51")
    make(page, "too many steps")
    problem = page.locator("#create-field-num_inference_steps .create-problem")
    expect(problem).to_contain_text("1 to 50")
    expect(page.locator("article.job.is-new")).to_have_count(0)
    assert len(site.studio.desk.jobs()) == before
    page.locator("#create-field-num_inference_steps input").fill("3")
    expect(problem).to_have_count(0)


def test_values_are_kept_under_a_name_and_come_back(page: Page) -> None:
    choose(page, MODEL)
    page.locator("#create-field-num_inference_steps input").fill("7")
    if not page.get_by_label("Name", exact=True).is_visible():
        page.locator("#create-presets button").first.click()
    page.get_by_label("Name", exact=True).fill("seven steps")
    page.get_by_role("button", name="Save these values").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("")
    page.reload()
    choose(page, MODEL)
    page.locator("#create-field-num_inference_steps input").fill("2")
    page.get_by_label("Presets of this model").click()
    page.get_by_role("option", name="seven steps").click()
    expect(page.locator("#create-field-num_inference_steps input")).to_have_value("7")


def test_a_failed_job_says_why_and_can_be_edited(page: Page) -> None:
    choose(page, "scripted-raises")
    make(page, "it will not work")
    card = page.locator("article.job[data-job]", has_text="it will not work").first
    expect(card).to_contain_text("the script says so", timeout=30_000)
    card.get_by_role("button", name="Edit").click()
    expect(page.locator(".create-banner")).to_contain_text("It has ended")
    assert prompt_of(page) == "it will not work"
    expect(page.locator("#create-other")).to_be_visible()
    page.get_by_role("button", name="Back to new clips").click()
    expect(page.locator(".create-banner")).to_have_count(0)


def test_a_clip_goes_on_and_again_from_its_own_buttons(page: Page, site: ServedPage) -> None:
    choose(page, MODEL)
    make(page, "it is to go on")
    clip = page.locator(".bench-clip", has_text="it is to go on").first
    expect(clip.locator("video")).to_be_visible(timeout=60_000)
    expect(clip.get_by_role("button", name="Extend")).to_be_hidden()
    clip.get_by_role("button", name="More").press("Enter")
    clip.get_by_role("button", name="Extend").click()
    expect(page.locator(".create-banner")).to_contain_text("longer")
    expect(page.locator("#create-make")).to_have_text("Make it longer")
    page.locator("#create-field-windows input").fill("1")
    page.locator("#create-make").click()
    expect(page.locator("article.job[data-run]")).to_be_visible()
    expect(page.locator("article.job[data-run]")).to_have_count(0, timeout=90_000)
    longer = next(item for item in site.studio.store.assets() if item.request.get("extension") is not None)
    assert longer.num_frames > 9
    page.get_by_role("button", name="Back to new clips").click()
    page.locator(f".bench-clip:not([data-asset='{longer.id}'])", has_text="it is to go on").first.get_by_role(
        "button", name="Again with changes"
    ).click()
    expect(page.locator(".create-banner")).to_contain_text("was made")
    assert prompt_of(page) == "it is to go on"
    assert page.locator("#create-field-seed input").input_value().isdigit()


def test_the_last_frame_of_a_clip_begins_the_next_one_without_an_upload(page: Page, site: ServedPage) -> None:
    choose(page, MODEL)
    make(page, "the first half")
    clip = page.locator(".bench-clip", has_text="the first half").first
    expect(clip.locator("video")).to_be_visible(timeout=60_000)
    clip.get_by_role("button", name="Use last frame").click()
    expect(page.locator(".create-chip")).to_contain_text("A frame of clip", timeout=20_000)
    make(page, "the second half")
    expect(page.locator(".bench-clip", has_text="the second half").locator("video")).to_be_visible(timeout=60_000)
    job = next(job for job in site.studio.desk.jobs() if job.request["prompt"] == "the second half")
    still = next(item for item in site.studio.store.assets() if item.kind == "picture")
    assert job.request["conditionings"][0]["sha256"] == still.sha256
