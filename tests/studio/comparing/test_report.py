"""The report is one file with the sealed clips in it, which nothing from outside can change or reach."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.comparing import report as report_module
from studio.comparing.comparer import Comparer
from studio.comparing.comparison import Entry
from studio.comparing.report_page import Clip
from studio.comparing.wish import Variant
from studio.errors import OutputRefused, RequestError
from tests.fakes import write_delivering_row
from tests.studio.comparing.conftest import Made, reload_rows

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>"


class Tags(HTMLParser):
    """Gathers the tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def read(path: Path) -> Tags:
    return Tags(path.read_text(encoding="utf-8"))


def media(tags: Tags) -> list[bytes]:
    sources = [str(video["src"]) for video in tags.all("video")]
    assert all(source.startswith("data:video/mp4;base64,") for source in sources)
    return [base64.b64decode(source.partition(",")[2]) for source in sources]


def test_the_clips_in_it_are_the_sealed_files_byte_for_byte(comparer: Comparer, made: Made, tmp_path: Path) -> None:
    found = made("scripted-moving", "cloud", "scripted-raises")
    written = comparer.report([found.id], tmp_path / "r.html")
    tags = read(written.path)
    expected = [entry.asset.sha256 for entry in found.finished if entry.asset]
    assert [hashlib.sha256(clip).hexdigest() for clip in media(tags)] == expected
    assert all(digest in tags.words for digest in expected)
    assert written.clips == 2
    assert written.left_out == (f"{found.id} entry 3: the script says so",)
    assert written.sha256 == hashlib.sha256(written.path.read_bytes()).hexdigest()
    assert "the script says so" in tags.words
    assert "studio verify" in tags.words


def test_the_words_that_a_provider_wants_to_see_stand_beside_its_clip(
    studio: Studio, comparer: Comparer, made: Made, tmp_path: Path
) -> None:
    clip = made().entries[0].asset
    assert clip is not None
    write_delivering_row(tmp_path / "rows", clip.path)
    reload_rows(comparer, studio, tmp_path)
    found = made("scripted-moving", "delivering")
    words = read(comparer.report([found.id], tmp_path / "r.html").path).words
    assert "Powered by Acme" in words


def test_a_clip_that_is_saved_from_it_verifies(studio: Studio, comparer: Comparer, made: Made, tmp_path: Path) -> None:
    found = made()
    clip = tmp_path / "saved.mp4"
    clip.write_bytes(media(read(comparer.report([found.id], tmp_path / "r.html").path))[0])
    assert studio.verify(clip).is_intact


def test_it_says_what_was_asked_what_differs_and_how_people_voted(
    comparer: Comparer, made: Made, tmp_path: Path
) -> None:
    found = made("scripted-moving", "cloud", num_inference_steps=4, tags=["sky"], title="The title")
    for _ in range(3):
        comparer.vote(found.id, 1, 2, "left", ["motion"], was_blind=True, voter="ann@example.org")
    words = read(comparer.report([found.id], tmp_path / "r.html").path).words
    for told in ("The title", "a square", "sky", "cloud has no such parameter", "0.25 USD estimated", "motion",
                 "1 is better", "not enough votes to claim an order: 3 of 30", "voter 1"):  # fmt: skip
        assert told in words
    assert "ann@example.org" not in words
    assert str(tmp_path) not in words


def test_markup_in_what_people_wrote_stays_text(comparer: Comparer, made: Made, tmp_path: Path) -> None:
    found = made("scripted-moving", Variant(model="scripted-frozen", label=EVIL), prompt=f"a square {EVIL}", title=EVIL)
    comparer.vote(found.id, 1, 2, "left", [EVIL])
    tags = read(comparer.report([found.id], tmp_path / "r.html").path)
    assert len(tags.all("script")) == 1
    assert tags.all("img") == []
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    assert tags.words.count(EVIL) >= 4


def test_nothing_but_its_own_script_and_style_runs_and_nothing_is_fetched(
    comparer: Comparer, made: Made, tmp_path: Path
) -> None:
    page = comparer.report([made().id], tmp_path / "r.html").path.read_text()
    tags = Tags(page)
    policy = next(str(meta["content"]) for meta in tags.all("meta") if meta.get("http-equiv"))
    assert policy.startswith("default-src 'none'; media-src data: blob:;")
    assert "unsafe" not in policy
    for name, tag in (("style-src", "style"), ("script-src", "script")):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        assert text is not None
        digest = base64.b64encode(hashlib.sha256(text[1].encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert not any("style" in attributes for _, attributes in tags.found)
    assert tags.all("link") == []
    assert "http://" not in page
    assert "https://" not in page


def test_several_comparisons_come_with_a_ranking_of_models(comparer: Comparer, made: Made, tmp_path: Path) -> None:
    one, other = made(seed=1), made(seed=2)
    written = comparer.report([one.id, other.id, one.id], tmp_path / "r.html")
    assert written.comparisons == (one.id, other.id)
    tags = read(written.path)
    assert "All comparisons, by model" in tags.words
    assert len(media(tags)) == 4


def test_a_file_that_was_changed_after_it_was_sealed_is_not_shown(
    comparer: Comparer, made: Made, tmp_path: Path
) -> None:
    found = made()
    assert found.entries[0].asset is not None
    path = found.entries[0].asset.path
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"x")
    written = comparer.report([found.id], tmp_path / "r.html")
    assert written.clips == 1
    assert "changed after it was sealed" in written.left_out[0]


def test_a_file_that_stands_there_is_only_replaced_when_that_is_wanted(
    comparer: Comparer, made: Made, tmp_path: Path
) -> None:
    found = made()
    target = tmp_path / "r.html"
    target.write_text("mine")
    with pytest.raises(OutputRefused, match="exists already"):
        comparer.report([found.id], target)
    assert target.read_text() == "mine"
    comparer.report([found.id], target, overwrite=True)
    assert target.read_text().startswith("<!doctype html>")
    with pytest.raises(OutputRefused):
        comparer.report([found.id], tmp_path / "r.pdf")
    with pytest.raises(OutputRefused):
        comparer.report([found.id], comparer._shop.settings.home / "r.html")
    assert sorted(item.name for item in tmp_path.glob("*r.html")) == ["r.html"]


def test_more_than_a_page_can_hold_is_refused(
    comparer: Comparer, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made()
    monkeypatch.setattr(report_module, "MAX_MEDIA_BYTES", 1000)
    with pytest.raises(RequestError, match="several reports"):
        comparer.report([found.id], tmp_path / "r.html")
    with pytest.raises(RequestError):
        comparer.report([], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_what_is_too_large_is_refused_before_any_clip_is_read(
    comparer: Comparer, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made()
    monkeypatch.setattr(report_module, "MAX_MEDIA_BYTES", 1000)
    opened = reads_of_clips(monkeypatch)
    with pytest.raises(RequestError, match="several reports"):
        comparer.report([found.id], tmp_path / "r.html")
    assert opened == []


def test_one_clip_at_a_time_is_read_while_the_page_is_written(
    comparer: Comparer, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made()
    first, second = (entry.asset for entry in found.finished)
    assert first is not None
    assert second is not None
    opened = reads_of_clips(monkeypatch)
    clip_of = report_module._clip_of

    def watched(entry: Entry) -> Clip | str:
        if entry.asset is not None and entry.asset.id == second.id:
            assert opened == [first.path.name]
            second.path.unlink()  # what goes while the page is written is told in its place
        return clip_of(entry)

    monkeypatch.setattr(report_module, "_clip_of", watched)
    written = comparer.report([found.id], tmp_path / "r.html")
    assert written.clips == len(media(read(written.path))) == 1
    assert written.left_out == (f"{found.id} entry 2: its file is not there any more",)


def reads_of_clips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the name of each clip that is read."""
    opened: list[str] = []
    read_bytes = Path.read_bytes

    def noted(path: Path) -> bytes:
        if path.suffix == ".mp4":
            opened.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    return opened


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
def test_a_browser_plays_the_clips_in_step_from_the_file_alone(comparer: Comparer, made: Made, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    longer = Variant(model="scripted-moving", changes={"num_frames": 33})
    found = made("scripted-moving", longer, prompt=EVIL)
    path = comparer.report([found.id], tmp_path / "r.html").path
    digests = [entry.asset.sha256 for entry in found.finished if entry.asset]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(offline=True, accept_downloads=True).new_page()
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        page.goto(path.as_uri())
        # Functions below, not expressions: those are read anew at each look, which the report's own policy forbids.
        page.wait_for_function("() => [...document.querySelectorAll('video')].every(video => video.readyState >= 2)")

        def times() -> list[float]:
            found: Any = page.evaluate("[...document.querySelectorAll('video')].map(video => video.currentTime)")
            return [float(item) for item in found]

        page.click(".forward")
        page.click(".forward")
        page.wait_for_function("() => [...document.querySelectorAll('video')].every(video => !video.seeking)")
        assert times() == pytest.approx([2.5 / 8, 2.5 / 8], abs=0.01)
        page.evaluate("(seek => { seek.value = '0.9'; seek.dispatchEvent(new Event('input')); })"
                      "(document.querySelector('.seek'))")  # fmt: skip
        page.wait_for_function("() => [...document.querySelectorAll('video')].every(video => !video.seeking)")
        assert times() == pytest.approx([8.5 / 8, 29.5 / 8], abs=0.01)  # the short one holds its last frame
        page.evaluate("(seek => { seek.value = '0'; seek.dispatchEvent(new Event('input')); })"
                      "(document.querySelector('.seek'))")  # fmt: skip
        page.click(".play")
        page.wait_for_function("() => document.querySelector('video').currentTime > 0.2")
        first, second = times()
        assert abs(first - second) <= 1 / 8
        page.click(".play")
        with page.expect_download() as download:
            page.click(".save >> nth=1")
        saved = Path(download.value.path()).read_bytes()
        browser.close()
    assert hashlib.sha256(saved).hexdigest() == digests[1]
    assert troubles == []
