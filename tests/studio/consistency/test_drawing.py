"""A drawn report: three files that show the verdict, when and where it came about, and let no name slip anything in."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Collection, Iterator
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from studio.consistency.drawing import write_report
from studio.consistency.drawing.canvas import COLOURS, fitted, plain, width_of, wrapped
from studio.consistency.drawing.moments import MOST_MOMENTS, Pictures, moments_of, pictures_of_file
from studio.consistency.drawing.picture import WIDTH
from studio.consistency.drawing.sheet import sheet_of, ticks, time_in_words
from studio.consistency.runner import run_checks
from studio.errors import OutputRefused
from studio.media import Image, iter_frames
from tests.studio.media_files import pan, write_mp4

HOSTILE = "<script>alert('x')</script>\x1b[31m \u202egnp.exe & \"quotes\" 日本語.mp4"


def check(name: str, *, passed: bool | None = False, score: float | None = 0.1, **more: Any) -> dict[str, Any]:
    return {
        "id": name, "title": name.title(), "score": score, "value": None if score is None else 2.0, "unit": "levels",
        "threshold": 1.0, "passed": passed, "reason": "it is bad" if passed is False else "", "worst_frames": [],
        "events": [], "series": [0.5] * 40, "series_unit": "levels", "series_step": 1, **more,
    }  # fmt: skip


def event(first: int, last: int, *, value: float = 2.0, region: dict[str, float] | None = None) -> dict[str, Any]:
    return {"first_frame": first, "last_frame": last, "value": value, "rank": None, "region": region, "reason": "here"}


def report(*checks: dict[str, Any], num_frames: int = 40, **more: Any) -> dict[str, Any]:
    passed = all(item["passed"] for item in checks)
    return {"schema": 1, "passed": passed, "num_frames": num_frames, "frame_rate": "20", "width": 96, "height": 64,
            "checks": list(checks), **more}  # fmt: skip


def grey(indices: Collection[int]) -> Iterator[tuple[int, Image]]:
    return ((index, np.full((64, 96, 3), 5 * index, np.uint8)) for index in indices)


def draw(folder: Path, seen: dict[str, Any], pictures: Pictures = grey, name: str = "clip.mp4") -> np.ndarray:
    return pixels(write_report(folder, seen, pictures, name=name).picture)


def pixels(path: Path) -> np.ndarray:
    with PIL.Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._is_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._is_style = tag == "style"

    def handle_data(self, data: str) -> None:
        self.words += "" if self._is_style else data


def test_a_real_failure_is_written_as_figures_picture_and_page(tmp_path: Path) -> None:
    frames = pan(40, 192, 128)
    frames[20] = 0
    seen = run_checks(frames, Fraction(20)).as_json()
    path = write_mp4(tmp_path / "clip.mp4", frames, Fraction(20))
    files = write_report(tmp_path / "new" / "report", seen, pictures_of_file(path, 40, 40), name=path.name)
    assert json.loads(files.figures.read_text()) == {"name": "clip.mp4", **seen}
    assert pixels(files.picture).shape[1] == WIDTH
    page = Page(files.page.read_text())
    assert "Black or blank frames" in page.words
    captions = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert {"frame 19, 0.95 s", "frame 20, 1.00 s", "frame 21, 1.05 s"} <= set(captions)


def test_the_verdict_is_told_by_colour_by_shape_and_by_word(tmp_path: Path) -> None:
    bad = draw(tmp_path / "bad", report(check("black")))
    good = draw(tmp_path / "good", report(check("black", passed=True, score=0.9)))
    for picture, verdict in ((bad, "failed"), (good, "passed")):
        assert tuple(picture[2, 800]) == COLOURS[verdict]
    without_colour = [picture[40:120, 50:130].mean(axis=2) > 220 for picture in (bad, good)]
    assert (without_colour[0] != without_colour[1]).mean() > 0.05
    words = [Page((tmp_path / name / "report.html").read_text()).words for name in ("bad", "good")]
    assert ("failed" in words[0], "failed" in words[1]) == (True, False)


def test_a_band_is_drawn_where_the_event_is(tmp_path: Path) -> None:
    picture = draw(tmp_path / "r", report(check("black", events=[event(10, 19)])))
    chart = np.all(picture == COLOURS["failed"], axis=2)[:, 376:1544]
    strip = next(row for row in chart[:400][::-1] if row.sum() > 100)
    found = np.flatnonzero(strip) / chart.shape[1]
    assert (found.min(), found.max()) == (pytest.approx(0.25, abs=0.01), pytest.approx(0.5, abs=0.01))


def test_a_box_is_drawn_at_the_region(tmp_path: Path) -> None:
    region = {"x": 0.5, "y": 0.25, "width": 0.25, "height": 0.5}
    files = write_report(tmp_path / "r", report(check("pop", events=[event(10, 10, region=region)])), grey, name="c")
    boxes = [attributes["style"] for tag, attributes in Page(files.page.read_text()).tags if tag == "i"]
    assert boxes == ["left:50.0%;top:25.0%;width:25.0%;height:50.0%"] * 3
    amber = np.all(pixels(files.picture) == (255, 176, 0), axis=2)
    assert amber.sum() > 200


def test_nothing_in_a_name_or_a_reason_becomes_part_of_the_page(tmp_path: Path) -> None:
    nasty = check("black", title=HOSTILE, reason=HOSTILE, unit=HOSTILE, events=[event(3, 3) | {"reason": HOSTILE}])
    unseen = check("other", passed=None, score=None, title=HOSTILE, reason=HOSTILE)
    skipped = [{"id": "x", "title": HOSTILE, "reason": HOSTILE, "extra": HOSTILE}]
    draw(tmp_path, report(nasty, unseen, not_assessed=skipped), name=HOSTILE)
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "alert('x')" in page.words
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    assert json.loads((tmp_path / "report.json").read_text())["name"] == HOSTILE


def test_the_page_needs_nothing_from_anywhere(tmp_path: Path) -> None:
    draw(tmp_path, report(check("black", events=[event(10, 12)])))
    page = Page((tmp_path / "report.html").read_text())
    sources = [value for _tag, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert sources
    assert all(str(source).startswith("data:image/jpeg;base64,") for source in sources)
    assert any("default-src 'none'" in str(attributes.get("content")) for _tag, attributes in page.tags)


@pytest.mark.parametrize("shape", [(64, 36, 3), (36, 2000, 3), (1, 1, 3), (2160, 3840, 3)])
def test_frames_of_any_shape_fit_the_sheet(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    def odd(indices: Collection[int]) -> Iterator[tuple[int, Image]]:
        return ((index, np.full(shape, 99, np.uint8)) for index in indices)

    assert draw(tmp_path, report(check("black", events=[event(3, 4)])), odd).shape[1] == WIDTH


@pytest.mark.parametrize(
    "seen",
    [
        report(check("black", events=[event(0, 0)], series=[3.0]), num_frames=1),
        report(check("black", series=[], events=[])),
        report(check("black", series=[None] * 40)),
        report(check("black", threshold=None, series=[0.0] * 40, passed=True, score=None)),
        report(check("black", series=[-1.0, None, 5.0] * 700, series_step=50), num_frames=105_000),
        report(*(check(f"check {number}", events=[event(number, 39)]) for number in range(60))),
        report(passed=None),
    ],
    ids=["one frame", "no series", "no figures", "no threshold", "a long video", "sixty failures", "no checks"],
)
def test_any_report_can_be_drawn(tmp_path: Path, seen: dict[str, Any]) -> None:
    picture = draw(tmp_path, seen)
    assert picture.shape[1] == WIDTH
    assert picture.shape[0] < 6000


def test_a_report_from_before_there_were_events_shows_its_worst_frames(tmp_path: Path) -> None:
    old = check("black", worst_frames=[12, 3])
    del old["events"], old["series_step"]
    assert [moment.at for moment in moments_of(report(old))] == [3, 12]
    draw(tmp_path, report(old))


def test_frames_that_cannot_be_had_are_left_blank(tmp_path: Path) -> None:
    draw(tmp_path, report(check("black", events=[event(10, 12)])), lambda _indices: iter(()))
    assert "<img" not in (tmp_path / "report.html").read_text()


def test_each_failed_check_shows_its_worst_before_any_shows_a_second() -> None:
    many = check("flicker", score=0.4, events=[event(place, place, value=place) for place in range(5, 38, 4)])
    few = check("black", score=0.1, events=[event(2, 2)])
    moments = moments_of(report(many, few))
    assert len(moments) == MOST_MOMENTS
    assert [moment.at for moment in moments] == [2, 21, 25, 29, 33, 37]


def test_two_checks_that_see_the_same_are_one_moment() -> None:
    region = {"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2}
    first, second = check("black", events=[event(7, 7)]), check("cut", score=0.2, events=[event(8, 8, region=region)])
    (moment,) = moments_of(report(first, second))
    assert (moment.titles, moment.frames, moment.box) == (("Black", "Cut"), (6, 7, 8), (0.1, 0.1, 0.2, 0.2))


def test_at_the_ends_of_the_clip_there_is_nothing_before_or_after() -> None:
    (whole,) = moments_of(report(check("frozen", events=[event(0, 39)])))
    assert (whole.before, whole.after) == (None, None)


def test_cuts_and_fades_are_marked_in_every_row() -> None:
    fades = check("fades", passed=True, score=1.0, events=[event(0, 9)])
    sheet = sheet_of(report(check("hard_cut", events=[event(20, 20)]), fades), "c")
    assert {(mark.kind, mark.span[0]) for mark in sheet.marks} == {("cut", 0.5), ("fade", 0.0)}


def test_a_threshold_is_drawn_only_into_a_curve_of_its_own_unit() -> None:
    same, other = check("a"), check("b", series_unit="frames in a row")
    rows = {row.title: row for row in sheet_of(report(same, other), "c").failed}
    assert rows["A"].limit is not None
    assert rows["B"].limit is None


@pytest.mark.parametrize("seconds", [0.04, 0.9, 4, 59, 130, 3600, 40_000])
def test_an_axis_has_a_few_round_times(seconds: float) -> None:
    found = ticks(seconds)
    assert 3 <= len(found) <= 11
    assert found[0] == 0
    assert found[-1] <= seconds


def test_times_are_written_as_people_write_them() -> None:
    assert [time_in_words(seconds) for seconds in (0, 1.5, 130, 3725)] == ["0 s", "1.5 s", "2:10", "1:02:05"]


def test_words_are_folded_to_what_the_font_has_and_cut_to_their_room() -> None:
    assert plain("Ünïcode 日本\n") == "Unicode ???"
    assert width_of(fitted("word " * 99, 20, 200), 20) <= 200
    lines = wrapped("word " * 99, 15, 200, 3)
    assert len(lines) == 3
    assert lines[-1].endswith("…")


def test_a_report_is_not_replaced_unasked(tmp_path: Path) -> None:
    first = write_report(tmp_path, report(check("black")), grey, name="first")
    with pytest.raises(OutputRefused, match="--force"):
        write_report(tmp_path, report(check("black")), grey, name="second")
    assert json.loads(first.figures.read_text())["name"] == "first"
    write_report(tmp_path, report(check("black")), grey, name="second", overwrite=True)
    assert json.loads(first.figures.read_text())["name"] == "second"
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputRefused, match="no folder"):
        write_report(tmp_path / "file", report(), grey, name="c")


def test_frames_come_from_the_file_itself_and_memory_does_not_grow_with_it(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "long.mp4", pan(400, 320, 240), Fraction(24))
    whole = [timed.image for timed in iter_frames(path)]
    found = dict(pictures_of_file(path, 400, 400)([399, 5, 120, 5, 1000]))
    assert sorted(found) == [5, 120, 399]
    assert all(np.array_equal(found[index], whole[index]) for index in found)
    del whole
    tracemalloc.start()
    for _index, _image in pictures_of_file(path, 400, 400)(range(380, 398)):
        pass
    assert tracemalloc.get_traced_memory()[1] < 20 * 320 * 240 * 3
    tracemalloc.stop()


def test_a_clip_that_was_evened_out_shows_the_frames_at_the_same_times(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "clip.mp4", pan(50), Fraction(25))
    whole = [timed.image for timed in iter_frames(path)]
    found = dict(pictures_of_file(path, 50, 20)([0, 10, 19]))
    assert all(np.array_equal(found[index], whole[index * 50 // 20]) for index in (0, 10, 19))
