"""What the checklist notices in files that really went through cropping, re-encoding and the like."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest

from studio.app import Studio
from studio.inspection.encoding import MAX_PACKET_BYTES, earlier_period, read_packets
from studio.inspection.report import Verification
from tests.studio.inspection.conftest import Ffmpeg
from tests.studio.media_files import pan, texture, tone, write_mp4

VERDICTS = re.compile(r"\b(fake|real|genuine|authentic|deepfake|forged)\b", re.IGNORECASE)


def item(found: Verification, item_id: str) -> tuple[str, str]:
    return next((one.result, one.detail) for one in found.checklist if one.id == item_id)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_mp4(tmp_path / "clip.mp4", pan(60, 320, 192), audio=tone(2.5))


def test_an_ordinary_clip_has_a_plausible_container(studio: Studio, clip: Path) -> None:
    found = studio.verify(clip)
    for item_id in ("container.layout", "container.tail", "container.kind", "sync"):
        assert item(found, item_id)[0] == "ok", item_id
    assert found.media is not None
    assert found.media.audio is not None
    assert found.media.audio.codec == "aac"


@pytest.mark.parametrize(
    ("item_id", "change", "words"),
    [
        ("container.tail", lambda content: content + b"hidden", "behind the file's end"),
        ("container.tail", lambda content: content[:-50], "shorter than it says"),
        ("container.layout", lambda content: content + b"\0\0\0\x0cabcdXXXX", "players do not know (abcd)"),
        ("container.layout", lambda content: content + content[: content.index(b"moov") - 4], "2 ftyp parts"),
    ],
)
def test_a_container_put_together_oddly_is_noticed(studio: Studio, clip: Path, item_id, change, words) -> None:
    clip.write_bytes(change(clip.read_bytes()))
    result, detail = item(studio.verify(clip), item_id)
    assert result == "notice"
    assert words in detail


def test_bytes_behind_the_end_of_a_picture_are_noticed(studio: Studio, clip: Path, ffmpeg: Ffmpeg) -> None:
    for name in ("picture.png", "picture.jpg", "moving.gif"):
        picture = ffmpeg(clip, name, "-frames:v", "1")
        assert item(studio.verify(picture), "container.tail")[0] == "ok", name
    with (picture := clip.with_name("picture.png")).open("ab") as file:
        file.write(b"PK hidden archive")
    assert item(studio.verify(picture), "container.tail")[0] == "notice"


def test_times_and_programs_in_the_header(studio: Studio, clip: Path, ffmpeg: Ffmpeg) -> None:
    future = ffmpeg(clip, "future.mp4", "-c", "copy", "-metadata", "creation_time=2039-01-01T00:00:00Z")
    assert "future" in item(studio.verify(future), "metadata.time")[1]
    edited = ffmpeg(clip, "edited.mov", "-c", "copy", "-metadata", "comment=Adobe Premiere Pro 2025")
    assert item(studio.verify(edited), "metadata.software")[0] == "notice"
    assert "ffmpeg" in item(studio.verify(future), "metadata.software")[1]


def test_sound_that_starts_or_ends_elsewhere_than_the_picture_is_noticed(
    studio: Studio, clip: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    long = write_mp4(tmp_path / "long.mp4", pan(24, 128, 96), audio=tone(1.6))
    found = studio.verify(long)
    assert found.media is not None
    assert found.media.audio is not None
    differs = abs((found.media.audio.duration_seconds or 0) - (found.media.video_seconds or 0)) > 0.1
    assert item(found, "sync")[0] == ("notice" if differs else "ok")
    late = ffmpeg(clip, "late.mkv", "-itsoffset", "0.4", "-i", str(clip), "-map", "0:v", "-map", "1:a", "-c", "copy")
    result, detail = item(studio.verify(late), "sync")
    assert result == "notice"
    assert "after the picture" in detail


def test_a_crop_of_a_picture_that_was_encoded_before_leaves_its_grid(
    studio: Studio, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    source = write_mp4(tmp_path / "source.mp4", texture(640, 480, 1)[None].repeat(2, axis=0))
    jpeg = ffmpeg(source, "once.jpg", "-frames:v", "1", "-q:v", "12")
    assert item(studio.verify(jpeg), "picture.grid")[0] == "ok"
    cropped = ffmpeg(jpeg, "cropped.png", "-vf", "crop=500:400:5:3:exact=1,format=rgb24")
    result, detail = item(studio.verify(cropped), "picture.grid")
    assert result == "notice"
    assert "cropped" in detail


def test_an_enlarged_picture_has_no_fine_detail(studio: Studio, tmp_path: Path, ffmpeg: Ffmpeg, clips: Path) -> None:
    original = clips / "img_coffee.png"
    assert item(studio.verify(original), "picture.detail")[0] == "ok"
    enlarged = ffmpeg(original, "enlarged.png", "-vf", "scale=iw*2:ih*2:flags=lanczos")
    assert item(studio.verify(enlarged), "picture.detail")[0] == "notice"


def test_keyframes_of_an_earlier_encoding_leave_a_rhythm(studio: Studio, clips: Path, ffmpeg: Ffmpeg) -> None:
    plain = ["-an", "-c:v", "libx264", "-bf", "0", "-preset", "veryfast", "-frames:v", "150"]
    source = clips / "static_coffee_pour.mp4"
    small = ["-vf", "scale=640:-2"]
    once = ffmpeg(source, "once.mp4", *small, *plain, "-g", "12", "-sc_threshold", "0", "-crf", "30")
    again = ffmpeg(once, "again.mp4", *plain, "-g", "250", "-crf", "20")
    single = ffmpeg(source, "single.mp4", *small, *plain, "-g", "250", "-crf", "20")
    assert "every 12 frames" in item(studio.verify(again), "encoding.rhythm")[1]
    assert item(studio.verify(single), "encoding.rhythm")[0] == "ok"


def test_frame_sizes_without_a_rhythm_have_no_period() -> None:
    rng = np.random.default_rng(0)
    sizes = tuple(int(size) for size in rng.lognormal(8, 0.1, 600))
    assert earlier_period(sizes, (True, *(False,) * 599)) is None
    spiky = tuple(size * (3 if index % 15 == 5 else 1) for index, size in enumerate(sizes))
    assert earlier_period(spiky, (True, *(False,) * 599)) == 15


def test_strong_compression_is_said_to_hide_traces(studio: Studio, clip: Path, ffmpeg: Ffmpeg) -> None:
    hard = ffmpeg(clip, "hard.mp4", "-c:v", "libx264", "-crf", "40")
    assert "CRF 40" in item(studio.verify(hard), "encoding.settings")[1]


def test_no_item_passes_a_verdict_and_every_item_says_something(studio: Studio, clips: Path) -> None:
    for name in ("ai_failed_noise.mp4", "portrait_river_c2pa.mp4", "img_face_b.jpg", "corrupted.mp4", "speech_16k.wav"):
        for one in studio.verify(clips / name).checklist:
            assert one.detail, one.id
            assert not VERDICTS.search(one.title + one.detail), one.detail


def test_ten_seconds_of_720p_take_a_few_seconds(studio: Studio, clips: Path) -> None:
    started = time.process_time()
    studio.verify(clips / "shell_game_cups.mp4", search=False)
    assert time.process_time() - started < 8  # about 3 s alone on two cores


def test_a_packet_larger_than_any_honest_one_is_not_looked_at(clip: Path, ffmpeg: Ffmpeg) -> None:
    name = ("-c:v", "rawvideo", "-pix_fmt", "bgr24", "-frames:v", "2")
    large = ffmpeg(clip, "large.avi", "-vf", "scale=5120:4608", *name)
    assert large.stat().st_size > 2 * MAX_PACKET_BYTES
    assert read_packets(large) is None
    small = read_packets(ffmpeg(clip, "small.avi", *name))
    assert small is not None
    assert len(small.sizes) == 2
