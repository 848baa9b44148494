"""The runner: one pass, bounded memory, a verdict of the worst, and checks that break."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from studio.consistency import runner
from studio.consistency.check import Check, ClipContext, result
from studio.consistency.frame import AnalysisFrame
from studio.consistency.report import CheckResult, Report, score_of, verdict
from studio.consistency.runner import CHECKS, available_checks, check_file, run_checks
from studio.consistency.timeline import Timeline
from studio.errors import UnreadableMedia
from tests.studio.media_files import Images, bouncing_shape, pan, write_mp4


class Counting(Check):
    """A plug-in's check. Threshold: made up."""

    id: ClassVar[str] = "counting"
    title: ClassVar[str] = "Number of frames"
    unit: ClassVar[str] = "frames"
    threshold: ClassVar[float] = 10.0

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self.seen: list[tuple[int, float]] = []

    def look(self, frame: AnalysisFrame) -> None:
        self.seen.append((frame.index, frame.time_seconds))

    def finish(self, timeline: Timeline) -> CheckResult:
        assert self.seen == [(index, index / 24) for index in range(len(self.seen))]
        return result(self, len(self.seen), series=[], series_unit="", frame_threshold=1)


class BrokenInTheMiddle(Counting):
    def look(self, frame: AnalysisFrame) -> None:
        if frame.index == 3:
            raise ZeroDivisionError


class BrokenAtTheEnd(Counting):
    def finish(self, timeline: Timeline) -> CheckResult:
        raise ZeroDivisionError


def test_a_check_that_breaks_is_inconclusive_and_stops_nobody() -> None:
    report = run_checks(pan(6), Fraction(24), [BrokenInTheMiddle, BrokenAtTheEnd, Counting])
    assert [check.passed for check in report.checks] == [None, None, True]
    assert "itself failed" in report.checks[0].reason
    assert report.passed is True


def test_the_verdict_is_the_worst() -> None:
    assert run_checks(pan(12), Fraction(24), [Counting, *available_checks()]).passed is False
    assert run_checks(pan(6), Fraction(24), [BrokenAtTheEnd]).passed is None
    assert verdict([]) is None


def test_plug_ins_are_found_and_a_broken_one_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        EntryPoint("a", f"{__name__}:Counting", "studio.checks"),
        EntryPoint("b", "no.such:Check", "studio.checks"),
    ]
    monkeypatch.setattr(runner, "entry_points", lambda group: entries if group == "studio.checks" else [])
    runner._installed.cache_clear()
    assert [check.id for check in available_checks()][-1:] == ["counting"]
    assert len(available_checks()) == len(CHECKS) + 1
    runner._installed.cache_clear()


def test_memory_does_not_grow_with_the_clip() -> None:
    def frames(count: int) -> Iterator[Images]:
        rng = np.random.default_rng(0)
        for _ in range(count):
            yield rng.integers(0, 256, (180, 320, 3), np.uint8)

    def peak(count: int) -> int:
        tracemalloc.start()
        run_checks(frames(count), Fraction(24))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(5)
    # A window with what it looks ahead is kept, 64 frames at 40 kB; after that nothing but a few figures per frame.
    assert peak(220) < peak(100) + 120 * 4_000


def test_the_report_is_plain_json() -> None:
    frames = bouncing_shape(40)
    frames[5:9] = 0
    data = json.loads(json.dumps(run_checks(frames, Fraction(30000, 1001)).as_json(), allow_nan=False))
    assert data["passed"] is False
    assert (data["num_frames"], data["frame_rate"], data["width"]) == (40, "30000/1001", 96)
    for check in data["checks"]:
        assert {"id", "score", "unit", "threshold", "passed", "worst_frames", "value", "reason"} <= set(check)
    assert len(json.dumps(data)) < 16_000


def test_scores_are_one_when_clean_and_a_half_at_the_threshold() -> None:
    assert score_of(0, 3) == 1
    assert score_of(3, 3) == 0.5
    assert score_of(1e9, 3) < 1e-6


def test_a_file_is_checked_like_its_frames(tmp_path: Path) -> None:
    frames = pan(20)
    frames[6:12] = frames[6]
    report = check_file(write_mp4(tmp_path / "a.mp4", frames, Fraction(25)))
    assert isinstance(report, Report)
    assert (report.num_frames, report.frame_rate, report.height) == (20, Fraction(25), 96)
    failed = {check.id for check in report.checks if check.passed is False}
    assert "frozen" in failed
    assert failed <= {"frozen", "jump_cut", "object_pop"}  # where the freeze ends, the picture really jumps


def test_an_unreadable_file_is_the_askers_to_mend(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no film")
    with pytest.raises(UnreadableMedia, match=r"^video: "):
        check_file(tmp_path / "a.mp4")


def test_no_frames_are_no_clip() -> None:
    with pytest.raises(ValueError, match="at least one"):
        run_checks([], Fraction(24))
