"""The encoder: what it writes, that it repeats itself to the byte, and that it leaves nothing behind when it fails."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from studio.errors import DiskFull, SealFailed
from studio.export import encoder
from studio.export.encoder import encode_mp4
from studio.export.pictures import encode_jpeg
from studio.media import Audio, iter_frames, probe_video, read_audio, read_image
from tests.studio.media_files import Images, pan, psnr, tone, write_mp4


def decoded(path: Path) -> Images:
    return np.stack([frame.image for frame in iter_frames(path)])


def noise(num_frames: int = 200, size: int = 128) -> Iterator[Images]:
    rng = np.random.default_rng(0)
    for _ in range(num_frames):
        yield rng.integers(0, 256, (size, size, 3), np.uint8)


def top_level_boxes(data: bytes) -> list[str]:
    kinds, start = [], 0
    while start < len(data):
        kinds.append(data[start + 4 : start + 8].decode())
        start += int.from_bytes(data[start : start + 4], "big")
    return kinds


class TestWhatIsWritten:
    def test_is_h264_high_420_tagged_bt709_limited_range(self, tmp_path: Path) -> None:
        with av.open(str(write_mp4(tmp_path / "a.mp4", pan(4)))) as container:
            context = container.streams.video[0].codec_context
            assert (context.name, context.profile, context.pix_fmt) == ("h264", "High", "yuv420p")
            tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
            assert [int(tag) for tag in tags] == [1, 1, 1, 1]

    def test_has_the_index_first_and_no_metadata(self, tmp_path: Path) -> None:
        data = write_mp4(tmp_path / "a.mp4", pan(4), audio=tone(0.2)).read_bytes()
        kinds = top_level_boxes(data)
        assert kinds.index("moov") < kinds.index("mdat")
        assert b"Lavf" not in data

    @pytest.mark.parametrize("rate", ["24", "30000/1001", "8", "25/2", "16", "60", "1", "12300/601", "2997/100"])
    @pytest.mark.parametrize("sound", [None, tone(1)], ids=["silent", "sound"])
    def test_has_every_frame_at_the_exact_rate(self, tmp_path: Path, rate: str, sound: Audio | None) -> None:
        path = write_mp4(tmp_path / "a.mp4", pan(7, 64, 48), Fraction(rate), audio=sound)
        facts = probe_video(path)
        assert (facts.frame_rate, facts.num_frames) == (Fraction(rate), 7)
        with av.open(str(path)) as container:
            tick = container.streams.video[0].time_base
            assert tick is not None
            times = sorted(packet.pts * tick for packet in container.demux(video=0) if packet.pts is not None)
        assert times == [index / Fraction(rate) for index in range(7)]

    @pytest.mark.parametrize("num_frames", [1, 2, 3])
    def test_takes_very_short_clips(self, tmp_path: Path, num_frames: int) -> None:
        path = write_mp4(tmp_path / "a.mp4", pan(num_frames), audio=tone(1))
        assert len(decoded(path)) == num_frames

    def test_looks_like_the_source(self, tmp_path: Path) -> None:
        frames = pan(12)
        assert psnr(decoded(write_mp4(tmp_path / "a.mp4", frames)), frames) > 38
        better = write_mp4(tmp_path / "b.mp4", frames, crf=4)
        assert psnr(decoded(better), frames) > psnr(decoded(tmp_path / "a.mp4"), frames) + 1

    @pytest.mark.parametrize(
        "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (90, 160, 40)]
    )
    def test_keeps_colours(self, tmp_path: Path, colour: tuple[int, int, int]) -> None:
        frames = np.full((3, 48, 64, 3), colour, np.uint8)
        assert np.abs(decoded(write_mp4(tmp_path / "a.mp4", frames)).astype(int) - colour).max() <= 3

    def test_keeps_colours_in_another_players_hands(self, tmp_path: Path) -> None:
        """ffmpeg's own conversion, which follows the tags, must agree: the tags tell the truth."""
        from tests.studio.media_files import ffmpeg

        frames = np.full((2, 48, 64, 3), (200, 60, 20), np.uint8)
        ffmpeg("-i", write_mp4(tmp_path / "a.mp4", frames), "-frames:v", 1, tmp_path / "a.png")
        assert np.abs(read_image(tmp_path / "a.png").astype(int) - (200, 60, 20)).max() <= 3

    @pytest.mark.parametrize(("width", "height"), [(65, 48), (64, 49), (65, 49), (1, 1)])
    def test_grows_odd_sizes_by_a_copy_of_the_edge_and_says_so(self, tmp_path: Path, width: int, height: int) -> None:
        frames = pan(3, width, height)
        facts = encode_mp4(frames, tmp_path / "a.mp4", width=width, height=height, frame_rate=Fraction(24))
        assert (facts.padded_columns, facts.padded_rows) == (width % 2, height % 2)
        assert (facts.width, facts.height) == (width + width % 2, height + height % 2)
        written = decoded(tmp_path / "a.mp4")
        assert written.shape[1:3] == (facts.height, facts.width)
        edges = np.abs(
            written[:, :, -1].astype(int) - np.pad(frames, ((0, 0), (0, height % 2), (0, 0), (0, 0)), "edge")[:, :, -1]
        )
        assert edges.mean() < 8

    def test_reports_what_it_wrote(self, tmp_path: Path) -> None:
        facts = encode_mp4(iter(pan(5)), tmp_path / "a.mp4", width=160, height=96, frame_rate=Fraction(24))
        assert (facts.num_frames, facts.frame_rate, facts.path) == (5, Fraction(24), tmp_path / "a.mp4")
        assert facts.size_bytes == (tmp_path / "a.mp4").stat().st_size

    @pytest.mark.parametrize("sound", [None, tone(1.5)])
    def test_is_the_same_to_the_byte_every_time(self, tmp_path: Path, sound: Audio | None) -> None:
        files = {write_mp4(tmp_path / f"{index}.mp4", pan(30), audio=sound).read_bytes() for index in range(5)}
        assert len(files) == 1

    def test_holds_one_frame_at_a_time(self, tmp_path: Path) -> None:
        list(noise(1))
        tracemalloc.start()
        encode_mp4(noise(40, 256), tmp_path / "a.mp4", width=256, height=256, frame_rate=Fraction(24), crf=51)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6 * 256 * 256 * 3

    def test_replaces_an_older_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_bytes(b"old")
        assert probe_video(write_mp4(tmp_path / "a.mp4", pan(3))).num_frames == 3

    def test_takes_names_that_look_like_options_or_protocols(self, tmp_path: Path) -> None:
        for name in ("-y.mp4", "pipe:1.mp4", "a b'%d.mp4", "ü.mp4"):
            assert probe_video(write_mp4(tmp_path / name, pan(2), audio=tone(0.1))).num_frames == 2


class TestSound:
    def test_sets_in_when_it_should(self, tmp_path: Path) -> None:
        path = write_mp4(tmp_path / "a.mp4", pan(48), audio=tone(2, silent_until=1.0))
        audio = read_audio(path)
        assert audio is not None
        onset = np.argmax(np.abs(audio.samples[:, 0]) > 0.2) / audio.sample_rate
        assert onset == pytest.approx(1.0, abs=0.005)

    @pytest.mark.parametrize("seconds", [0.5, 2.0, 5.0])
    def test_ends_with_the_picture_whatever_its_length(self, tmp_path: Path, seconds: float) -> None:
        path = write_mp4(tmp_path / "a.mp4", pan(48), audio=tone(seconds))
        audio = read_audio(path)
        assert audio is not None
        assert float(audio.duration_seconds) == pytest.approx(2.0, abs=0.03)
        assert probe_video(path).num_frames == 48

    @pytest.mark.parametrize(("channels", "rate"), [(1, 16_000), (2, 44_100), (6, 48_000), (1, 12_345)])
    def test_takes_any_rate_and_channels_and_tames_what_is_no_sound(
        self, tmp_path: Path, channels: int, rate: int
    ) -> None:
        samples = np.zeros((rate, channels), np.float32)
        samples[100:110] = np.nan
        samples[200:210] = 9.0
        path = write_mp4(tmp_path / "a.mp4", pan(24), audio=Audio(samples=samples, sample_rate=rate))
        audio = read_audio(path)
        assert audio is not None
        assert audio.samples.shape[1] == channels
        with av.open(str(path)) as container:
            assert container.streams.audio[0].codec_context.name == "aac"

    def test_an_empty_track_is_no_track(self, tmp_path: Path) -> None:
        empty = Audio(samples=np.zeros((0, 2), np.float32), sample_rate=48_000)
        assert not probe_video(write_mp4(tmp_path / "a.mp4", pan(2), audio=empty)).has_audio


class TestFailing:
    def encode(self, folder: Path, frames: Any, **options: Any) -> None:
        encode_mp4(frames, folder / "a.mp4", width=128, height=128, frame_rate=Fraction(24), **options)

    @pytest.fixture
    def processes(self, monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
        started: list[subprocess.Popen[bytes]] = []

        class Recorded(subprocess.Popen[bytes]):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                started.append(self)

        monkeypatch.setattr(subprocess, "Popen", Recorded)
        return started

    @pytest.mark.parametrize("sound", [None, tone(0.5)])
    def test_a_full_disk_is_named_and_nothing_is_left(self, tmp_path: Path, sound: Audio | None) -> None:
        """A limit on file size stands in for the disk."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        try:
            with pytest.raises(DiskFull):
                self.encode(tmp_path, noise(), audio=sound)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_that_fills_up_while_sound_is_added_is_named_too(self, tmp_path: Path) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        hiss = Audio(
            samples=np.random.default_rng(0).uniform(-1, 1, (480_000, 2)).astype(np.float32), sample_rate=48_000
        )
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
        try:
            with pytest.raises(DiskFull):
                self.encode(tmp_path, np.zeros((240, 128, 128, 3), np.uint8), audio=hiss)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("camera unplugged"), BrokenPipeError(), ValueError])
    def test_an_error_in_the_frames_ends_ffmpeg_and_comes_out_as_it_was(
        self, tmp_path: Path, processes: list[subprocess.Popen[bytes]], error: Any
    ) -> None:
        def frames() -> Iterator[Images]:
            yield from noise(3)
            raise error

        with pytest.raises(error if isinstance(error, type) else type(error)):
            self.encode(tmp_path, frames(), audio=tone(1))
        assert list(tmp_path.iterdir()) == []
        assert processes[0].poll() is not None

    def test_ffmpegs_last_line_is_passed_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script = tmp_path / "ffmpeg"
        script.write_text("#!/bin/sh\necho first >&2\necho the codec is on strike >&2\nexit 3\n")
        script.chmod(0o755)
        monkeypatch.setattr(encoder, "executable", lambda: str(script))
        with pytest.raises(SealFailed, match="ffmpeg: the codec is on strike"):
            self.encode(tmp_path, noise(20))
        assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]

    def test_a_wrong_frame_is_named(self, tmp_path: Path, processes: list[subprocess.Popen[bytes]]) -> None:
        frames = [np.zeros((128, 128, 3), np.uint8), np.zeros((64, 128, 3), np.uint8)]
        with pytest.raises(SealFailed, match="frame 1 does not fit"):
            self.encode(tmp_path, frames)
        assert list(tmp_path.iterdir()) == []
        assert processes[0].poll() is not None

    def test_no_frames_make_no_clip(self, tmp_path: Path) -> None:
        with pytest.raises(SealFailed):
            self.encode(tmp_path, [])
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_folder_is_a_failure_with_a_sentence(self, tmp_path: Path) -> None:
        for sound in (None, tone(0.1)):
            with pytest.raises(SealFailed):
                self.encode(tmp_path / "nowhere", noise(2), audio=sound)

    def test_ctrl_c_leaves_no_process_and_no_file(self, tmp_path: Path) -> None:
        program = textwrap.dedent(f"""
            import itertools, numpy as np, signal
            from fractions import Fraction
            from pathlib import Path
            from studio.export.encoder import encode_mp4
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
            frames = (np.zeros((64, 64, 3), np.uint8) for _ in itertools.count())
            encode_mp4(frames, Path({str(tmp_path / "a.mp4")!r}), width=64, height=64, frame_rate=Fraction(24))
        """)
        child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL,
                                 cwd=Path(__file__).parents[2])  # fmt: skip
        deadline = time.monotonic() + 30
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        ffmpeg_ids = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        child.send_signal(signal.SIGINT)
        child.wait(timeout=20)
        assert list(tmp_path.iterdir()) == []
        assert ffmpeg_ids
        assert not any(Path(f"/proc/{process_id}").exists() for process_id in ffmpeg_ids)


class TestJpeg:
    def test_is_a_small_plain_picture(self, tmp_path: Path) -> None:
        image = pan(1)[0]
        (tmp_path / "a.jpg").write_bytes(encode_jpeg(image, quality=92))
        assert psnr(read_image(tmp_path / "a.jpg"), image) > 36
        assert len(encode_jpeg(image, 50)) < len(encode_jpeg(image, 92))

    def test_repeats_itself(self) -> None:
        assert encode_jpeg(pan(1)[0]) == encode_jpeg(pan(1)[0])


def test_nothing_heavy_is_loaded_until_it_is_used() -> None:
    code = textwrap.dedent("""
        import sys, studio.media, studio.export.encoder
        from studio.consistency.runner import available_checks
        available_checks()
        print([name for name in ("av", "cv2", "PIL", "imageio_ffmpeg", "torch") if name in sys.modules])
    """)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                         cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": ""})  # fmt: skip
    assert run.stdout.strip() == "[]"
