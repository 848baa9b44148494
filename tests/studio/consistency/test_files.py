"""Files of any origin: a report on what can be decoded, or one clear sentence."""

from __future__ import annotations

import multiprocessing
import os
import time
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
import PIL.Image
import pytest

from studio.consistency.check import Check, verdict_of
from studio.consistency.facts import FrameFacts
from studio.consistency.report import CheckResult, Report
from studio.consistency.runner import FileProgress, check_file
from studio.consistency.timeline import Timeline
from studio.errors import StudioError, UnreadableMedia
from tests.studio.consistency.odd_files import WHOLE, broken, changing_size, uneven, whole
from tests.studio.inspection.hostile import gif
from tests.studio.media_files import ffmpeg, pan, texture, write_mp4

SECONDS_ALLOWED = 60


class Clock(Check):
    """Notes when frames are shown. Threshold: made up."""

    id: ClassVar[str] = "clock"
    title: ClassVar[str] = "Clock"
    unit: ClassVar[str] = "s"
    threshold: ClassVar[float] = 1e9

    def update(self, facts: FrameFacts) -> None:
        self.__dict__.setdefault("times", []).append(facts.time_seconds)

    def finish(self, timeline: Timeline) -> CheckResult:
        return verdict_of(self, self.__dict__["times"][-1], series=self.__dict__["times"], series_unit="s")


class FirstFrame(Check):
    """Compares the picture the clip was made from with nothing. Threshold: made up."""

    id: ClassVar[str] = "first"
    title: ClassVar[str] = "First"
    unit: ClassVar[str] = "pixels"
    threshold: ClassVar[float] = 1e9

    def finish(self, timeline: Timeline) -> CheckResult:
        assert self.clip.input_image is not None
        return verdict_of(self, float(self.clip.input_image.shape[1]), series=[], series_unit="")


def decode(report: Report) -> CheckResult:
    return next(check for check in report.checks if check.id == "decode")


def bare(path: Path) -> Report:
    """Check a file with the check of the file itself alone."""
    return check_file(path, ())


def times(path: Path) -> list[float]:
    report = check_file(path, [Clock])
    return [float(item or 0) for item in report.checks[-1].series]


class TestWholeFiles:
    @pytest.mark.parametrize("name", WHOLE)
    def test_every_container_decodes_completely(self, name: str, tmp_path: Path) -> None:
        report = bare(whole(tmp_path, name))
        assert decode(report).passed is True, decode(report).reason
        assert report.num_frames == pytest.approx(24, abs=1)
        assert (report.width, report.height) == (96, 64)

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("odd.mp4", ("-vf", "scale=321:241", "-pix_fmt", "yuv444p", "-c:v", "libx264")),
            ("ten.mp4", ("-pix_fmt", "yuv420p10le", "-c:v", "libx264")),
            ("hdr.mkv", ("-pix_fmt", "yuv420p10le", "-color_trc", "smpte2084", "-color_primaries", "bt2020",
                         "-colorspace", "bt2020nc", "-c:v", "libx264")),
            ("alpha.webm", ("-pix_fmt", "yuva420p", "-c:v", "libvpx-vp9", "-cpu-used", "8")),
            ("full.mkv", ("-pix_fmt", "yuvj420p", "-c:v", "mjpeg")),
            ("gray.mkv", ("-pix_fmt", "gray", "-c:v", "ffv1")),
            ("late.mp4", ("-c:v", "libx264", "-output_ts_offset", "8.3")),
            ("early.mkv", ("-c:v", "libx264", "-bf", "2", "-output_ts_offset", "-3", "-avoid_negative_ts", "0")),
            ("fields.ts", ("-vf", "setfield=tff", "-c:v", "mpeg2video", "-flags", "+ildct+ilme")),
        ],
    )  # fmt: skip
    def test_odd_formats_are_read_from_their_first_frame(
        self, name: str, options: tuple[str, ...], tmp_path: Path
    ) -> None:
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=24:duration=1", *options, tmp_path / name)
        report = check_file(tmp_path / name)
        assert decode(report).passed is True, decode(report).reason
        assert report.num_frames == 24
        assert times(tmp_path / name)[0] == 0
        assert times(tmp_path / name)[-1] == pytest.approx(23 / 24, abs=0.01)

    @pytest.mark.parametrize("num_frames", [1, 2])
    def test_the_shortest_clips_have_a_report(self, num_frames: int, tmp_path: Path) -> None:
        report = check_file(write_mp4(tmp_path / "a.mp4", pan(num_frames)))
        assert report.num_frames == num_frames
        assert decode(report).passed is True

    @pytest.mark.parametrize("rate", ["1000", "240", "1", "1/100"])
    def test_any_rate_is_taken_as_it_is(self, rate: str, tmp_path: Path) -> None:
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=size=96x64:rate={rate}", "-frames:v", "12", "-c:v", "ffv1",
               tmp_path / "a.mkv")  # fmt: skip
        report = check_file(tmp_path / "a.mkv")
        assert (report.num_frames, float(report.frame_rate)) == (12, pytest.approx(float(Fraction(rate)), rel=0.02))
        assert decode(report).passed is True, decode(report).reason

    def test_a_turned_picture_is_checked_upright(self, tmp_path: Path) -> None:
        write_mp4(tmp_path / "a.mp4", pan(12))
        ffmpeg("-display_rotation", "90", "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
        report = bare(tmp_path / "b.mp4")
        assert (report.width, report.height) == (96, 160)

    def test_uneven_frames_keep_their_own_times(self, tmp_path: Path) -> None:
        shown = [0, 40, 80, 400, 440, 480, 1480, 1520]
        path = uneven(tmp_path / "a.mkv", pan(8), shown)
        assert times(path) == pytest.approx([item / 1000 for item in shown])
        assert decode(bare(path)).passed is True

    def test_a_rate_that_time_stamps_contradict_is_not_believed(self, tmp_path: Path) -> None:
        path = uneven(tmp_path / "a.mkv", pan(24), list(range(0, 2400, 100)))
        assert bare(path).frame_rate == pytest.approx(10, rel=0.01)

    def test_the_picture_a_clip_was_made_from_is_fitted_to_it(self, tmp_path: Path) -> None:
        PIL.Image.fromarray(texture(400, 400)).save(tmp_path / "start.png")
        path = write_mp4(tmp_path / "a.mp4", pan(4))
        assert check_file(path, [FirstFrame], input_image=tmp_path / "start.png").checks[-1].value == 160

    def test_progress_is_told_for_every_frame(self, tmp_path: Path) -> None:
        told: list[FileProgress] = []
        check_file(write_mp4(tmp_path / "a.mp4", pan(7)), (), watch=told.append)
        assert [item.done for item in told] == list(range(1, 8))
        assert {item.total for item in told} == {7}


class TestDamagedFiles:
    def test_a_file_that_is_cut_short_is_checked_as_far_as_it_goes(self, tmp_path: Path) -> None:
        path = whole(tmp_path, "clip.mp4")
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        report = bare(path)
        assert 2 < report.num_frames < 24
        assert report.passed is False
        assert "cut short" in decode(report).reason
        assert "promises 24 frames" in decode(report).reason

    def test_damaged_frames_are_named(self, tmp_path: Path) -> None:
        path = write_mp4(tmp_path / "a.mp4", np.concatenate([pan(40), pan(40)[::-1]]))
        data = bytearray(path.read_bytes())
        start = data.find(b"mdat") + len(data) // 2
        # More than one frame's worth: what an encoder writes where differs from processor to processor.
        data[start : start + 600] = np.random.default_rng(1).bytes(600)
        path.write_bytes(bytes(data))
        found = decode(bare(path))
        assert found.passed is False
        assert found.worst_frames
        assert found.events[0].first_frame == found.worst_frames[0] > 5

    def test_frames_behind_the_damage_are_checked(self, tmp_path: Path) -> None:
        path = whole(tmp_path, "clip.mkv")
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 30] = bytes(30)
        path.write_bytes(bytes(data))
        assert bare(path).num_frames > 20

    def test_a_change_of_size_is_told_and_does_not_end_it(self, tmp_path: Path) -> None:
        report = check_file(changing_size(tmp_path))
        assert (report.num_frames, report.width, report.height) == (24, 96, 64)
        assert "changes its size to 128x96 at frame 12" in decode(report).reason
        assert decode(report).passed is False

    def test_a_count_that_is_not_true_is_told(self, tmp_path: Path) -> None:
        path = whole(tmp_path, "clip.avi")
        data = bytearray(path.read_bytes())
        place = data.find(b"strh") + 8 + 32
        data[place : place + 4] = (500).to_bytes(4, "little")
        path.write_bytes(bytes(data))
        assert "promises" in decode(bare(path)).reason

    def test_damaged_sound_is_told_and_does_not_end_it(self, tmp_path: Path) -> None:
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=24:duration=2", "-f", "lavfi", "-i",
               "sine=440:duration=2", "-c:v", "ffv1", "-c:a", "flac", tmp_path / "a.mkv")  # fmt: skip
        data = bytearray((tmp_path / "a.mkv").read_bytes())
        places = [place for place in range(len(data) - 4) if data[place : place + 2] == b"\xff\xf8"]
        for place in places[3:6]:
            data[place : place + 60] = bytes(60)
        (tmp_path / "a.mkv").write_bytes(bytes(data))
        report = bare(tmp_path / "a.mkv")
        assert report.num_frames == 48
        assert "sound cannot be decoded" in decode(report).reason


class TestNoVideos:
    def test_each_has_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "text.mp4").write_text("To be or not to be. " * 100)
        (tmp_path / "empty.mp4").touch()
        (tmp_path / "folder.mp4").mkdir()
        os.mkfifo(tmp_path / "pipe.mp4")
        PIL.Image.fromarray(texture(40, 30)).save(tmp_path / "picture.png")
        ffmpeg("-f", "lavfi", "-i", "sine=440:duration=1", tmp_path / "sound.m4a")
        (tmp_path / "huge.gif").write_bytes(gif(16384, 16384, (16384, 16384), 3))
        paths = [*sorted(tmp_path.iterdir()), Path("/dev/zero"), tmp_path / "missing.mp4"]
        for path in paths:
            with pytest.raises(UnreadableMedia, match=r"^video: .*\.$") as caught:
                check_file(path)
            assert str(path)[:50] in caught.value.sentence()

    def test_nothing_but_a_header_is_no_video(self, tmp_path: Path) -> None:
        path = whole(tmp_path, "clip.webm")
        path.write_bytes(path.read_bytes()[:400])
        with pytest.raises(UnreadableMedia):
            check_file(path)


def outcome(path: Path) -> tuple[str, str, float]:
    """Check a file as a process of its own; returns (path, what came of it, seconds)."""
    started = time.monotonic()
    try:
        report = check_file(path)
        said = f"report on {report.num_frames} frames, decode {decode(report).passed}"
    except StudioError as error:
        said = error.sentence()
    return path.name, said, time.monotonic() - started


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_200_broken_files_have_a_report_or_a_sentence_within_a_minute_each(tmp_path: Path) -> None:
    """Whatever breaks a process, or keeps it busy, ends the test: then no result comes in time."""
    paths = list(broken(tmp_path))
    assert len(paths) == 200
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.imap(outcome, paths)
        told = [results.next(SECONDS_ALLOWED + 20) for _ in paths]
    assert max(seconds for _name, _said, seconds in told) < SECONDS_ALLOWED
    reports = [said for _name, said, _seconds in told if said.startswith("report")]
    assert len(reports) > 80
    assert all(said.startswith(("report on ", "video: ")) for _name, said, _seconds in told)
    misnamed = [said for name, said, _seconds in told if name.startswith("misnamed")]
    assert all(said.endswith("decode True") for said in misnamed)
