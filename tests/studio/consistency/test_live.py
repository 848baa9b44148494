"""Streams: the same checks as they arrive, in bounded memory, with frames dropped on purpose and counted."""

from __future__ import annotations

import io
import json
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import imageio_ffmpeg
import numpy as np
import pytest

from studio.consistency.check import Check, result
from studio.consistency.facts import FrameFacts
from studio.consistency.live import LiveWatch
from studio.consistency.observer import observe
from studio.consistency.report import CheckResult
from studio.consistency.stretch import Fault, Stretch
from studio.consistency.timeline import Timeline
from studio.errors import EnvironmentFault, UnreadableMedia, UnsupportedValue
from studio.media import Image, LiveFrame, LiveStream, open_live
from tests.studio.consistency.odd_files import whole
from tests.studio.media_files import pan, write_mp4

RATE = Fraction(25)


class Dark(Check):
    """Finds dark frames. Threshold: made up."""

    id: ClassVar[str] = "dark"
    title: ClassVar[str] = "Dark frames"
    unit: ClassVar[str] = "share"
    threshold: ClassVar[float] = 0.5

    def update(self, facts: FrameFacts) -> None:
        self.__dict__.setdefault("shares", []).append(facts.dark_share)

    def finish(self, timeline: Timeline) -> CheckResult:
        shares = self.__dict__["shares"]
        first = next((index for index, share in enumerate(shares) if share > 0.5), 0)
        return result(self, max(shares), series=shares, series_unit="share", frame_threshold=0.5,
                      reason=f"dark from frame {first} on")  # fmt: skip


class Slow(Dark):
    """Takes its time over every stretch. Threshold: made up."""

    id: ClassVar[str] = "slow"

    def finish(self, timeline: Timeline) -> CheckResult:
        time.sleep(0.4)
        return super().finish(timeline)


class Looking(Dark):
    """Wants the pictures themselves. Threshold: made up."""

    id: ClassVar[str] = "looking"

    def look(self, frame: object) -> None:
        """Do nothing with it."""


def pictures(num_frames: int, dark: tuple[range, ...] = ()) -> Iterator[Image]:
    frames = pan(24, 64, 48)
    for index in range(num_frames):
        image = frames[index % 24]
        yield np.zeros_like(image) if any(index in part for part in dark) else image


def stream(images: Iterator[Image], *, pace: float = 0.0, rate: Fraction = RATE) -> LiveStream:
    """Return images as a stream that sends one each `pace` seconds."""

    def frames() -> Iterator[LiveFrame]:
        for index, image in enumerate(images):
            time.sleep(pace)
            yield LiveFrame(time_seconds=float(index / rate), image=lambda image=image: image)  # type: ignore[misc]

    return LiveStream(name="a test", frame_rate=rate, frames=frames())


def watch(source: LiveStream, *checks: type[Check], heartbeat: float = 60.0) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    LiveWatch(source, checks or (Dark,), told.append).run(heartbeat)
    json.dumps(told, allow_nan=False)
    return told


def faults(told: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(item["first_frame"], item["last_frame"]) for item in told if item["event"] == "fault"]


def judged(num_frames: int, dark: tuple[range, ...]) -> list[Fault]:
    """Pass frames through stretches without any thread."""
    stretch = Stretch(RATE, (Dark,))
    found: list[Fault] = []
    for facts in observe(pictures(num_frames, dark), RATE):
        stretch.expect(facts.index + 1000)
        found += stretch.add(facts)
    return [*found, *stretch.finish()]


class TestStretches:
    @pytest.mark.parametrize("first", [0, 3, 60, 119, 121, 150, 283, 296])
    def test_a_fault_is_told_once_wherever_it_is(self, first: int) -> None:
        (fault,) = judged(300, (range(first, first + 3),))
        assert (fault.first_number, fault.last_number) == (1000 + first, 1002 + first)
        assert fault.time_seconds == pytest.approx(first / 25)
        assert fault.event.reason == f"dark from frame {1000 + first} on"

    def test_two_faults_are_told_in_order(self) -> None:
        found = judged(400, (range(90, 93), range(250, 252)))
        assert [fault.first_number for fault in found] == [1090, 1250]

    def test_one_that_goes_on_for_long_is_told_once(self) -> None:
        assert [fault.first_number for fault in judged(600, (range(100, 500),))] == [1100]

    def test_memory_does_not_grow(self) -> None:
        facts = observe(pictures(60), RATE)

        def peak(count: int) -> int:
            stretch = Stretch(RATE, (Dark,))
            tracemalloc.start()
            for index in range(count):
                stretch.expect(index)
                list(stretch.add(facts[index % 60]))
            highest = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return highest

        peak(200)
        assert peak(3000) < 1.2 * peak(300) + 20_000


class TestWatching:
    def test_it_tells_a_start_faults_and_an_end(self) -> None:
        told = watch(stream(pictures(200, (range(100, 104),)), pace=0.01))
        assert [told[0]["event"], told[-1]["event"]] == ["start", "end"]
        assert told[0]["checks"] == ["dark"]
        assert told[-1]["frames_seen"] == 200
        assert told[-1]["frames_seen"] == told[-1]["frames_checked"] + told[-1]["frames_dropped"]
        assert told[-1]["passed"] is (not faults(told))

    def test_faults_are_told_before_the_stream_ends(self) -> None:
        at_fault: list[int] = []
        seen = 0

        def counted() -> Iterator[Image]:
            nonlocal seen
            for image in pictures(240, (range(20, 24),)):
                seen += 1
                yield image

        def emit(item: dict[str, Any]) -> None:
            if item["event"] == "fault":
                at_fault.append(seen)

        LiveWatch(stream(counted(), pace=0.03), (Dark,), emit).run(60)
        assert at_fault
        assert at_fault[0] < 240

    def test_what_cannot_be_looked_at_in_time_is_dropped_and_counted(self) -> None:
        told = watch(stream(pictures(600), pace=0.002), Slow, heartbeat=0.3)
        end = told[-1]
        assert end["frames_dropped"] > 0
        assert end["frames_seen"] == end["frames_checked"] + end["frames_dropped"] == 600
        alive = [item for item in told if item["event"] == "alive"]
        assert alive
        assert max(item["every_nth_frame"] for item in alive) > 1
        assert {"frames_per_second", "checked_per_second", "failing"} <= set(alive[0])

    def test_a_change_of_size_and_a_pause_begin_anew(self) -> None:
        def frames() -> Iterator[LiveFrame]:
            for index in range(90):
                size = (48, 64, 3) if index < 30 else (60, 80, 3)
                image = np.full(size, 90, np.uint8)
                seconds = index / 25 + (100 if index >= 60 else 0)
                time.sleep(0.01)
                yield LiveFrame(time_seconds=seconds, image=lambda image=image: image)  # type: ignore[misc]

        told = watch(LiveStream(name="a test", frame_rate=RATE, frames=frames()))
        assert told[-1]["frames_checked"] + told[-1]["frames_dropped"] == 90
        assert told[-1]["passed"] is True

    def test_checks_that_need_the_pictures_are_left_out(self) -> None:
        assert watch(stream(pictures(5)), Dark, Looking)[0]["checks"] == ["dark"]

    def test_a_stream_without_a_picture_is_an_error(self) -> None:
        with pytest.raises(UnreadableMedia, match="without a picture"):
            watch(stream(iter(())))

    def test_a_stream_that_breaks_off_has_a_summary_that_says_so(self) -> None:
        def failing() -> Iterator[Image]:
            yield from pictures(10)
            raise UnreadableMedia("it broke", field="live")

        told: list[dict[str, Any]] = []
        with pytest.raises(UnreadableMedia, match="it broke"):
            LiveWatch(stream(failing()), (Dark,), told.append).run()
        assert told[-1]["event"] == "end"
        assert "broke off" in told[-1]["reason"]


def opened(source: str, pipe: BinaryIO | None = None) -> list[LiveFrame]:
    with open_live(source, threading.Event(), pipe) as live:
        assert live.frame_rate == 24
        return list(live.frames)


class OneWay(io.RawIOBase):
    """What can be read once, from the beginning to the end, as a pipe can."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._data.read(min(len(buffer), 700))
        buffer[: len(part)] = part
        return len(part)


class TestSources:
    @pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.webm", "clip.ts", "clip.avi", "clip.flv"])
    def test_a_pipe_of_any_container_is_read_as_it_comes(self, name: str, tmp_path: Path) -> None:
        data = whole(tmp_path, name).read_bytes()
        frames = opened("-", cast(BinaryIO, io.BufferedReader(OneWay(data))))
        assert len(frames) == pytest.approx(24, abs=1)
        image = frames[0].image()
        assert image is not None
        assert image.shape == (64, 96, 3)
        assert [frame.time_seconds for frame in frames] == sorted(frame.time_seconds for frame in frames)

    def test_raw_pictures_come_through_a_pipe_of_another_program(self) -> None:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i",
                   "testsrc2=size=96x64:rate=24:duration=1", "-f", "yuv4mpegpipe", "-"]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert len(opened("-", cast(BinaryIO, process.stdout))) == 24

    def test_a_file_is_played_at_its_own_speed(self, tmp_path: Path) -> None:
        started = time.monotonic()
        assert len(opened(str(write_mp4(tmp_path / "a.mp4", pan(24))))) == 24
        assert time.monotonic() - started >= 23 / 24

    def test_playing_can_be_stopped(self, tmp_path: Path) -> None:
        stop = threading.Event()
        with open_live(str(write_mp4(tmp_path / "a.mp4", pan(24))), stop) as live:
            next(live.frames)
            stop.set()
            assert list(live.frames) == []

    @pytest.mark.parametrize(
        ("make", "words"),
        [(lambda: b"", "ended before"), (lambda: b"no film" * 400, "no video")],
        ids=["nothing", "text"],
    )
    def test_a_pipe_without_video_has_a_sentence(self, make: Callable[[], bytes], words: str) -> None:
        with pytest.raises(UnreadableMedia, match=words), open_live("-", threading.Event(), io.BytesIO(make())):
            pass

    @pytest.mark.parametrize(
        ("source", "kind"),
        [
            ("7", EnvironmentFault),
            ("rtsp://user:secret@127.0.0.1:9/x?token=secret", EnvironmentFault),
            ("ftp://user:secret@host/x", UnsupportedValue),
            ("file:///etc/passwd", UnsupportedValue),
            ("rtsp://user:secret@[host", UnsupportedValue),
            ("concat:a|b", UnreadableMedia),
            ("missing.mp4", UnreadableMedia),
        ],
    )
    def test_what_cannot_be_opened_has_a_sentence_without_secrets(self, source: str, kind: type[Exception]) -> None:
        with pytest.raises(kind, match=r"^live: ") as caught, open_live(source, threading.Event()):
            pass
        assert "secret" not in str(caught.value)
