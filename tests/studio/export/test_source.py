"""A raw clip as the gate walks through it: again and again, at an even beat, with sound in pieces."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from studio.export.source import even, open_clip
from studio.media import EncodedClip, FrameClip, TimedFrame, iter_frames, open_sound, read_audio
from tests.studio.media_files import Images, ffmpeg, pan, tone, write_mp4


def timed(*seconds: float) -> list[TimedFrame]:
    return [TimedFrame(image=np.full((1, 1, 3), index, np.uint8), time_seconds=at) for index, at in enumerate(seconds)]


def shown(frames: list[TimedFrame], rate: int) -> list[int]:
    return [int(image[0, 0, 0]) for image in even(frames, Fraction(rate))]


@pytest.mark.parametrize(
    ("times", "rate", "expected"),
    [
        ((0, 0.1, 0.2), 10, [0, 1, 2]),
        ((0, 0.1, 0.2), 20, [0, 0, 1, 1, 2, 2]),
        ((0, 0.1, 0.2, 0.3), 5, [0, 2]),
        ((0, 0.5, 0.6), 10, [0, 0, 0, 0, 0, 1, 2, 2, 2]),
        ((0, 0.1004, 0.1996), 10, [0, 1, 2]),
        ((0,), 10, [0]),
        ((), 10, []),
    ],
)
def test_each_tick_shows_the_latest_frame(times: tuple[float, ...], rate: int, expected: list[int]) -> None:
    assert shown(timed(*times), rate) == expected


def test_a_clip_in_memory_can_be_walked_again() -> None:
    frames = pan(5)
    source = open_clip(FrameClip(frames=frames, frame_rate=Fraction(8)))
    for _ in range(2):
        assert np.array_equal(np.stack(list(source.walk())), frames)


def test_a_watcher_sees_the_raw_frames_and_a_label_comes_after_it(tmp_path: Path) -> None:
    from dataclasses import replace

    seen: list[Images] = []
    source = replace(open_clip(FrameClip(frames=pan(3), frame_rate=Fraction(8))), draw=lambda image: 255 - image)
    drawn = list(source.walk(seen.append))
    assert np.array_equal(np.stack(seen), pan(3))
    assert np.array_equal(np.stack(drawn), 255 - pan(3))


def test_a_mapped_file_does_not_stay_in_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", np.zeros((80, 512, 512, 3), np.uint8))
    frames = np.load(tmp_path / "frames.npy", mmap_mode="r")
    source = open_clip(FrameClip(frames=frames, frame_rate=Fraction(8)))
    before = mapped_kib()
    highest = 0
    for frame in source.walk():
        assert frame.sum() == 0
        highest = max(highest, mapped_kib())
    assert highest - before < 16 * 1024


def mapped_kib() -> int:
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("only Linux tells")
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("RssFile"))


def test_an_encoded_clip_with_an_even_beat_keeps_each_frame(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "a.mp4", pan(20), Fraction(30000, 1001), audio=tone(1))
    source = open_clip(EncodedClip(path=path, mime_type="video/mp4"))
    assert (source.is_even, source.frame_rate, source.expected_frames) == (True, Fraction(30000, 1001), 20)
    assert len(list(source.walk())) == 20
    assert source.sound is not None


def test_a_clip_of_uneven_frames_is_shown_by_its_own_times(tmp_path: Path) -> None:
    """Ten frames at 25 per second, then ten that last four times as long."""
    write_mp4(tmp_path / "a.mp4", pan(20), Fraction(25))
    slow = "setpts='if(lt(N,10),N/25,10/25+(N-10)*4/25)/TB'"
    ffmpeg("-i", tmp_path / "a.mp4", "-vf", slow, "-fps_mode", "vfr", "-enc_time_base", "1/1000", tmp_path / "vfr.mkv")
    source = open_clip(EncodedClip(path=tmp_path / "vfr.mkv", mime_type="video/x-matroska"))
    assert (source.is_even, source.frame_rate) == (False, Fraction(25))
    images = list(source.walk())
    assert len(images) == pytest.approx(10 + 40, abs=3)
    last_raw = [frame.image for frame in iter_frames(tmp_path / "vfr.mkv")][-1]
    assert np.array_equal(images[-1], last_raw)
    assert np.array_equal(images[20], images[21])


def test_sound_in_pieces_is_the_same_as_sound_at_once(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "a.mp4", pan(48), Fraction(24), audio=tone(2, silent_until=1))
    sound, audio = open_sound(path), read_audio(path)
    assert sound is not None
    assert audio is not None
    for _ in range(2):
        assert np.array_equal(np.concatenate(list(sound.blocks())), audio.samples)
    part = np.concatenate(list(sound.between(Fraction(1, 2), Fraction(3, 2)).blocks()))
    assert np.array_equal(part, audio.samples[24_000:72_000])
    rest = np.concatenate(list(sound.between(Fraction(3, 2), None).blocks()))
    assert np.array_equal(rest, audio.samples[72_000:])
