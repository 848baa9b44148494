"""What became of a batch: figures for programs and a contact sheet for people."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.batch.contact_sheet import address_of, time_in_words
from studio.batch.entry import BatchFile
from studio.batch.outcome import AssetFacts, EntryOutcome
from studio.batch.report import check_report_folder, default_report_folder, write_batch_report
from studio.errors import OutputRefused
from studio.library.asset import Asset
from studio.request import GenerationRequest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = '<script>alert(1)</script><img src="http://example.com/x" onerror=alert(1)> "\'&\u202e</p>'


@pytest.fixture
def batch(tmp_path: Path) -> BatchFile:
    folder = tmp_path / "work"
    folder.mkdir()
    return BatchFile(path=folder / "shots & more.csv", digest="0" * 64, entries=())


@pytest.fixture
def asset(studio: Studio) -> Asset:
    return studio.generate(GenerationRequest(model="scripted-moving", seed=3, prompt="a square")).asset


def made(sealed: Asset, number: int = 1, **parts: Any) -> EntryOutcome:
    facts = {"state": "succeeded", "seconds": 1.5, "attempts": 1, "job_id": sealed.id, "asset": AssetFacts.of(sealed)}
    return EntryOutcome(number=number, where=f"row {number + 1}", request=sealed.request, **{**facts, **parts})


def failed(number: int, state: str = "failed", **parts: Any) -> EntryOutcome:
    request = {"model": "m", "prompt": "p", "width": 64, "height": 48, "num_frames": 9, "frame_rate": "8", "seed": 7}
    return EntryOutcome(number=number, where=f"row {number + 1}", state=state, request={**request, **parts})


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_figures_are_one_object_a_line_with_the_totals_first(batch: BatchFile, asset: Asset) -> None:
    usd = {"amount": 0.1, "currency": "USD"}
    outcomes = [
        failed(3, "canceled"),
        made(asset, billed=usd, estimate={"amount": 0.3, "currency": "EUR"}),
        made(asset, 2, billed=usd, attempts=2),
    ]
    files = write_batch_report(batch, outcomes)
    header, *lines = [json.loads(line) for line in files.figures.read_text().splitlines()]
    assert files.figures.parent == batch.path.with_name("shots & more.csv.report")
    assert header["batch"] == str(batch.path)
    assert header["totals"] == {
        "entries": 3, "states": {"succeeded": 2, "canceled": 1}, "checks": {asset.standing: 2}, "seconds": 3.0,
        "attempts": 3, "estimated": {"EUR": 0.3}, "billed": {"USD": 0.2},
    }  # fmt: skip
    assert [line["number"] for line in lines] == [1, 2, 3]
    assert lines[0]["asset"]["frames_sha256"] == asset.frames_sha256
    assert lines[0]["asset"]["path"] == str(asset.path)
    assert lines[0]["request"] == asset.request
    assert lines[2]["asset"] is None


def test_words_of_strangers_stay_words(batch: BatchFile, asset: Asset) -> None:
    outcome = made(asset, name=HOSTILE, error=HOSTILE)
    hostile = {**asset.request, "prompt": HOSTILE, "negative_prompt": HOSTILE, "options": {HOSTILE: HOSTILE}}
    write_batch_report(batch, [replace(outcome, request=hostile, job_id=HOSTILE, where=HOSTILE, state=HOSTILE)])
    page = (default_report_folder(batch.path) / "index.html").read_text()
    tags = Tags(page).found
    assert {tag for tag, _ in tags}.isdisjoint({"script", "img", "iframe", "link", "object"})
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert [attributes["src"] for tag, attributes in tags if tag == "video"] == [f"{asset.path.as_uri()}#t=0.1"]
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page


def test_nothing_but_clips_may_be_loaded_and_there_is_no_script(batch: BatchFile, asset: Asset) -> None:
    page = write_batch_report(batch, [made(asset)]).page.read_text()
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert not re.findall(r"(?:src|href)=\"https?:", page)
    assert "prefers-color-scheme: dark" in page


def test_clips_beside_the_batch_are_linked_so_that_the_folder_can_be_moved(
    batch: BatchFile, asset: Asset, tmp_path: Path
) -> None:
    copy = batch.path.parent / "out put" / "a#1 %.mp4"
    copy.parent.mkdir()
    shutil.copy(asset.path, copy)
    page = write_batch_report(batch, [made(asset, asset=AssetFacts.of(asset, copy))]).page.read_text()
    assert 'src="../out%20put/a%231%20%25.mp4#t=0.1"' in page
    elsewhere = write_batch_report(batch, [made(asset, asset=AssetFacts.of(asset, copy))], tmp_path / "r").page
    assert f'src="{copy.as_uri()}#t=0.1"' in elsewhere.read_text()
    assert address_of(Path("/a/javascript:x.mp4"), Path("/a"), Path("/a")) == "javascript%3Ax.mp4"


def test_a_file_that_is_gone_or_changed_is_not_shown(batch: BatchFile, asset: Asset, tmp_path: Path) -> None:
    changed = tmp_path / "changed.mp4"
    changed.write_bytes(asset.path.read_bytes() + b"x")
    outcomes = [
        made(asset, 1, asset=replace(AssetFacts.of(asset, tmp_path / "gone.mp4"), original=None)),
        made(asset, 2, asset=replace(AssetFacts.of(asset, changed), original=None)),
    ]
    files = write_batch_report(batch, outcomes)
    page = files.page.read_text()
    assert "<video" not in page
    assert "is not there any more" in page
    assert "was changed after it was sealed" in page
    told = [json.loads(line)["asset"] for line in files.figures.read_text().splitlines()[1:]]
    assert told == [None, None]


def test_of_a_copy_that_was_changed_the_librarys_own_file_is_shown(
    batch: BatchFile, asset: Asset, tmp_path: Path
) -> None:
    copy = tmp_path / "work" / "copy.mp4"
    copy.write_bytes(b"cut by hand")
    page = write_batch_report(batch, [made(asset, asset=AssetFacts.of(asset, copy))]).page.read_text()
    assert f'src="{asset.path.as_uri()}#t=0.1"' in page
    assert "copy.mp4" not in page


def test_an_entry_of_which_nothing_is_known_is_told_without_inventing_anything(batch: BatchFile) -> None:
    page = write_batch_report(batch, [EntryOutcome(number=1, where="row 2", state="canceled", request={})]).page
    assert "None" not in page.read_text()


def test_failures_are_told_in_their_own_words(batch: BatchFile) -> None:
    states = ["failed", "held", "canceled", "queued", "running", "strange"]
    outcomes = [replace(failed(n, state), error=f"sentence {n}.") for n, state in enumerate(states, 1)]
    page = write_batch_report(batch, outcomes).page.read_text()
    assert all(f"sentence {n}." in page for n in range(1, 7))
    assert "<b>0</b> of 6 clips made" in page


def test_a_report_replaces_a_report_and_nothing_else(batch: BatchFile, asset: Asset) -> None:
    folder = write_batch_report(batch, [failed(1)]).page.parent
    (folder / "notes.txt").write_text("mine")
    write_batch_report(batch, [made(asset)])
    assert "<video" in (folder / "index.html").read_text()
    assert (folder / "notes.txt").read_text() == "mine"
    assert {path.name for path in folder.iterdir()} == {"index.html", "report.jsonl", "notes.txt"}


def test_a_large_batch_has_pages_that_lead_to_each_other_and_to_what_failed(batch: BatchFile) -> None:
    outcomes = [failed(number, "failed" if number == 777 else "queued") for number in range(1, 1202)]
    first = write_batch_report(batch, outcomes).page
    folder = first.parent
    assert {path.name for path in folder.iterdir()} == {"index.html", "page-2.html", "page-3.html", "report.jsonl"}
    assert 'href="page-2.html#job-777"' in first.read_text()
    assert 'id="job-777"' in (folder / "page-2.html").read_text()
    assert '<a href="page-3.html" aria-current="page">1001–1201</a>' in (folder / "page-3.html").read_text()
    write_batch_report(batch, outcomes[:3])
    assert {path.name for path in folder.iterdir()} == {"index.html", "report.jsonl"}


def test_a_page_of_somebody_else_protects_the_folder_of_a_report(batch: BatchFile) -> None:
    folder = write_batch_report(batch, [failed(1)]).page.parent
    (folder / "page-2.html").write_text("mine")
    with pytest.raises(OutputRefused):
        write_batch_report(batch, [failed(1)])


@pytest.mark.parametrize("name", ["index.html", "report.jsonl", "photo.jpg"])
def test_a_folder_of_somebody_else_is_left_alone(batch: BatchFile, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(OutputRefused, match="other things"):
        write_batch_report(batch, [failed(1)], folder)
    assert [path.read_text() for path in folder.iterdir()] == ["mine"]


def test_an_index_that_is_not_ours_protects_the_folder_of_a_report(batch: BatchFile, tmp_path: Path) -> None:
    folder = write_batch_report(batch, [failed(1)]).page.parent
    (folder / "index.html").write_text("mine")
    with pytest.raises(OutputRefused):
        check_report_folder(folder)
    (folder / "index.html").unlink()
    (folder / "index.html").symlink_to(tmp_path / "elsewhere.html")
    with pytest.raises(OutputRefused):
        check_report_folder(folder)


def test_no_report_goes_into_the_studios_own_folder_or_over_a_file(studio: Studio, tmp_path: Path) -> None:
    studio.settings.create_home()
    home = studio.settings.home
    (tmp_path / "file").write_text("x")
    for folder in (home / "r", tmp_path / "file", tmp_path / "file" / "r", Path("\0"), Path("~nobody-at-all/r")):
        with pytest.raises(OutputRefused):
            check_report_folder(folder, home=home)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 0 s"), (3599.9, "60 min 0 s"), (11_400, "3 h 10 min")],
)
def test_durations_are_told_as_people_do(seconds: float, words: str) -> None:
    assert time_in_words(seconds).replace("1 h 0 min", "60 min 0 s") == words


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
def test_a_browser_shows_and_plays_the_sealed_files_and_loads_them_when_they_come_into_sight(
    batch: BatchFile, asset: Asset
) -> None:
    from playwright.sync_api import sync_playwright

    outcomes = [made(asset, number) for number in range(1, 241)] + [failed(241)]
    page_file = write_batch_report(batch, outcomes).page
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(page_file.as_uri())
        wait_until(page, "document.querySelector('video').readyState >= 2")
        ready = page.evaluate("[...document.querySelectorAll('video')].filter(video => video.readyState > 0).length")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.evaluate("document.querySelector('video').play()")
        wait_until(page, "document.querySelector('video').currentTime > 0.3")
        page.locator("label[for=show-bad]").click()
        shown = page.evaluate("[...document.querySelectorAll('article')].filter(card => card.offsetParent).length")
        browser.close()
    assert 0 < ready < 60  # of 240
    assert shown == 1
    assert complaints == []


def wait_until(page: Any, condition: str) -> None:
    """Ask again and again: what playwright itself waits with is a script, and the page allows none."""
    deadline = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)
