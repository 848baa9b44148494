"""The tab Queue in a real browser: order, cancel, retry, and a batch from its upload to its sealed clips."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from studio.jobs.job import Job
from studio.jobs.states import JobState
from studio.library.tables import JobRow
from studio.request import GenerationRequest
from tests.webpage import SLOW_MODEL, ServedPage

MARKUP = "<img src=x onerror=document.title='hacked'> <b>bold</b>"


@pytest.fixture(autouse=True)
def an_empty_queue(site: ServedPage, page: Page) -> Iterator[None]:
    page.get_by_role("tab", name="Queue").click()
    page.wait_for_selector(".queue-top")
    yield
    desk = site.studio.desk
    desk.resume_queue()
    for job in desk.jobs(JobState.QUEUED, JobState.RUNNING, limit=None):
        desk.cancel(job.id)


def submitted(site: ServedPage, prompt: str, model: str = "scripted-moving") -> Job:
    return site.studio.desk.submit(GenerationRequest(model=model, prompt=prompt, seed=1))


def row(page: Page, job: Job) -> Locator:
    return page.locator(f"tr[data-job='{job.id}']")


def waiting(page: Page) -> list[str | None]:
    return [item.get_attribute("data-job") for item in page.locator("tbody[data-group=queued] tr.queue-row").all()]


def choose(page: Page, name: str, text: str) -> None:
    page.get_by_role("button", name="Upload a batch").click()
    file = FilePayload(name=name, mimeType="text/plain", buffer=text.encode())
    page.get_by_label("Choose files").set_input_files(file)


def await_line(page: Page, site: ServedPage, wanted: list[str]) -> None:
    """Wait until the database has this order, and then until the page has looked again: it still shows the same."""
    for _ in range(100):
        if [job.id for job in site.studio.desk.jobs(JobState.QUEUED, newest_first=False)] == wanted:
            break
        page.wait_for_timeout(100)
    assert [job.id for job in site.studio.desk.jobs(JobState.QUEUED, newest_first=False)] == wanted
    page.wait_for_timeout(1500)
    assert waiting(page) == wanted


def test_waiting_jobs_are_put_in_order_with_the_keyboard(page: Page, site: ServedPage) -> None:
    site.studio.desk.pause_queue()
    jobs = [submitted(site, f"clip {number}") for number in range(4)]
    ids = [job.id for job in jobs]
    handle = row(page, jobs[3]).locator(".queue-handle")
    handle.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator("[role=log]")).to_have_text("Now in place 2 of 4.")
    expect(handle).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Home")
    wanted = [ids[3], *ids[:3]]
    assert waiting(page) == wanted
    await_line(page, site, wanted)
    expect(handle).to_be_focused()


def test_a_waiting_job_is_dragged_to_its_place(page: Page, site: ServedPage) -> None:
    site.studio.desk.pause_queue()
    jobs = [submitted(site, f"clip {number}") for number in range(3)]
    expect(row(page, jobs[2])).to_be_visible()
    row(page, jobs[2]).locator(".queue-grip").drag_to(row(page, jobs[0]), target_position={"x": 300, "y": 5})
    wanted = [jobs[2].id, jobs[0].id, jobs[1].id]
    await_line(page, site, wanted)


def test_a_running_job_is_canceled_midway(page: Page, site: ServedPage) -> None:
    job = submitted(site, "a long one", SLOW_MODEL)
    expect(row(page, job).locator(".badge")).to_have_text("Running")
    expect(row(page, job).get_by_role("progressbar")).to_be_visible()
    row(page, job).get_by_role("button", name="Cancel").click()
    expect(row(page, job).locator(".badge")).to_have_text("Canceled")
    assert site.studio.desk.job(job.id).state is JobState.CANCELED


def test_canceling_a_waiting_job_is_undone_at_its_old_place(page: Page, site: ServedPage) -> None:
    site.studio.desk.pause_queue()
    jobs = [submitted(site, f"clip {number}") for number in range(3)]
    row(page, jobs[1]).get_by_role("button", name="Cancel").click()
    expect(row(page, jobs[1]).locator(".badge")).to_have_text("Canceled")
    page.get_by_role("button", name="Undo").click()
    expect(row(page, jobs[1]).locator(".badge")).to_have_text("Waiting")
    expect.soft(page.locator("tbody[data-group=queued] tr.queue-row")).to_have_count(3)
    # It is put back at the end first, and moved to its old place with a second request.
    places = "[...document.querySelectorAll('tbody[data-group=queued] tr.queue-row')].map((row) => row.dataset.job)"
    page.wait_for_function(
        f"JSON.stringify({places}) === {json.dumps(json.dumps([job.id for job in jobs], separators=(',', ':')))}"
    )
    line = site.studio.desk.jobs(JobState.QUEUED, newest_first=False)
    assert [job.id for job in line] == [job.id for job in jobs]


def test_a_failed_job_says_why_and_is_retried(page: Page, site: ServedPage) -> None:
    job = submitted(site, "this fails", "scripted-raises")
    expect(row(page, job).locator(".badge")).to_have_text("Failed")
    row(page, job).get_by_role("button", name="Details").click()
    detail = page.locator(f"tr[data-detail='{job.id}']")
    expect(detail).to_contain_text("the script says so")
    expect(detail).to_contain_text("Retry; what was finished is kept.")
    row(page, job).get_by_role("button", name="Retry").click()
    expect(detail).to_contain_text("Attempt 2")
    assert len(site.studio.desk.job(job.id).attempts) == 2


def test_focus_and_a_selected_text_outlive_a_change_of_the_queue(page: Page, site: ServedPage) -> None:
    site.studio.desk.pause_queue()
    job = submitted(site, "words that somebody selects")
    prompt = row(page, job).locator(".queue-prompt")
    expect(prompt).to_be_visible()
    prompt.evaluate("node => getSelection().selectAllChildren(node)")
    node = row(page, job).element_handle()
    submitted(site, "another")
    expect(page.locator("tbody[data-group=queued] tr.queue-row")).to_have_count(2)
    assert page.evaluate("String(getSelection())") == "words that somebody selects"
    assert node.evaluate("node => node.isConnected")


def test_a_batch_of_twelve_becomes_twelve_sealed_clips(page: Page, site: ServedPage) -> None:
    jobs = [{"model": "scripted-moving", "prompt": f"{MARKUP} {number}", "seed": number} for number in range(1, 13)]
    choose(page, "twelve.jsonl", "\n".join(json.dumps(job) for job in jobs))
    panel = page.get_by_role("region", name="Upload a batch")
    expect(panel).to_contain_text("All 12 clips are in order.")
    expect(panel).to_contain_text(f"{MARKUP} 1")
    panel.get_by_role("button", name="Make 12 clips").click()
    batch = page.locator(".batch-item", has_text="twelve.jsonl")
    expect(batch).to_contain_text(re.compile(r"\d+ of 12"))
    expect(batch).to_contain_text("12 of 12", timeout=90_000)
    made = [job for job in site.studio.desk.jobs(limit=None) if job.batch_id == batch.get_attribute("data-batch")]
    assert len(made) == 12
    for job in made:
        asset = site.studio.store.asset(job.id)
        assert asset.is_there
        assert site.client.get(f"/studio/media/{asset.id}").status_code == 200
    expect(page.locator("tbody[data-group=ended]")).to_contain_text(f"{MARKUP} 12")
    assert page.locator(".queue-table img:not([src^='/studio/jobs/'])").count() == 0
    assert page.title() != "hacked"


def test_what_is_wrong_in_a_batch_is_shown_with_its_line_and_nothing_starts(page: Page, site: ServedPage) -> None:
    before = len(site.studio.desk.jobs(limit=None))
    lines = [
        {"model": "scripted-moving", "width": 70},
        {"model": "scripted-moving", "image": "/etc/passwd"},
        {"model": "x"},
    ]
    choose(page, "bad.jsonl", "\n".join(json.dumps(line) for line in lines))
    panel = page.get_by_role("region", name="Upload a batch")
    expect(panel.get_by_role("alert")).to_have_text("3 things to mend. Nothing was started.")
    faults = panel.get_by_role("region", name="What is wrong in this file")
    expect(faults).to_contain_text("line 1")
    expect(faults).to_contain_text("64 to 256 in steps of 16")
    expect(faults).to_contain_text("this file did not come along with the batch")
    expect(panel.get_by_role("button", name=re.compile("^Make"))).to_have_count(0)
    assert len(site.studio.desk.jobs(limit=None)) == before


def test_several_are_canceled_at_once(page: Page, site: ServedPage) -> None:
    site.studio.desk.pause_queue()
    jobs = [submitted(site, f"clip {number}") for number in range(3)]
    for job in jobs[:2]:
        row(page, job).get_by_role("checkbox").check()
    page.get_by_role("group", name="2 selected").get_by_role("button", name="Cancel (2)").click()
    for job in jobs[:2]:
        expect(row(page, job).locator(".badge")).to_have_text("Canceled")
    assert [job.id for job in site.studio.desk.jobs(JobState.QUEUED)] == [jobs[2].id]


def test_a_job_that_is_ordered_is_canceled_only_after_a_warning(page: Page, site: ServedPage) -> None:
    site.studio.desk.pause_queue()
    job = submitted(site, "ordered already")
    order = {
        "attempt": 1,
        "token": 1,
        "operation": {"provider": "acme", "state": "submitted", "handle": {"id": "job-42"}},
    }
    with site.studio.store.transaction() as session:
        session.get_one(JobRow, job.id).operation = order
    row(page, job).get_by_role("button", name="Details").click()
    expect(page.locator(f"tr[data-detail='{job.id}']")).to_contain_text("number job-42 there")
    cancel = row(page, job).get_by_role("button", name="Cancel")
    cancel.click()
    dialog = page.get_by_role("dialog", name="Cancel a clip that is ordered?")
    expect(dialog).to_contain_text("acme works on it already")
    dialog.get_by_role("button", name="Keep it").click()
    assert site.studio.desk.job(job.id).state is JobState.QUEUED
    cancel.click()
    dialog.get_by_role("button", name="Cancel it").click()
    expect(row(page, job).locator(".badge")).to_have_text("Canceled")


def test_a_file_dropped_on_the_tab_is_looked_at(page: Page, site: ServedPage) -> None:
    page.evaluate("""() => {
        const data = new DataTransfer();
        data.items.add(new File(['model,prompt\\nscripted-moving,<i>dropped</i>\\n'], 'dropped.csv'));
        const drop = new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true});
        document.querySelector('.widget-queue').dispatchEvent(drop);
    }""")
    panel = page.get_by_role("region", name="Upload a batch")
    expect(panel).to_contain_text("The clip is in order.")
    expect(panel).to_contain_text("<i>dropped</i>")
    assert site.studio.desk.jobs(JobState.QUEUED) == []
