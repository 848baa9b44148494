"""A source video comes to a pipeline with the clip's size, length and speed, or is refused in one sentence."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.source_video import (
    end_of_source,
    remarks_on_end,
    remarks_on_source,
    source_frames,
    steps_of_strength,
)
from studio.errors import UnreadableMedia, UnsupportedValue
from studio.media import iter_frames
from studio.request import Conditioning, ResolvedRequest, Role, Task
from tests.studio.media_files import ffmpeg, pan, texture, write_mp4


def resolved_for(path: Path, *, num_frames: int = 5, frame_rate: int = 8, **fields: object) -> ResolvedRequest:
    request = ResolvedRequest(
        model="any", task=Task.VIDEO_TO_VIDEO, prompt="", negative_prompt="", seed=1, width=64, height=32,
        num_frames=num_frames, frame_rate=Fraction(frame_rate), num_inference_steps=10, guidance_scale=None,
        conditionings=(Conditioning(role=Role.SOURCE_VIDEO, path=path),), generate_audio=False,
        options={"strength": 0.8},
    )  # fmt: skip
    return replace(request, **fields)  # type: ignore[arg-type]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Twelve frames of 64x32 at 8 frames per second: 1.5 seconds."""
    return write_mp4(tmp_path / "video.mp4", pan(12, 64, 32, step=4), Fraction(8))


def as_stored(path: Path) -> np.ndarray:
    return np.stack([frame.image for frame in iter_frames(path)])


def taken(request: ResolvedRequest) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in source_frames(request)])


def test_at_the_clips_own_rate_and_size_the_frames_are_taken_as_they_are(video: Path) -> None:
    np.testing.assert_array_equal(taken(resolved_for(video)), as_stored(video)[:5])


def test_at_half_the_rate_every_other_frame_is_taken(video: Path) -> None:
    frames = taken(resolved_for(video, frame_rate=4))
    np.testing.assert_array_equal(frames, as_stored(video)[[0, 2, 4, 6, 8]])


def test_at_twice_the_rate_every_frame_is_taken_twice(video: Path) -> None:
    frames = taken(resolved_for(video, num_frames=6, frame_rate=16))
    np.testing.assert_array_equal(frames[::2], as_stored(video)[:3])
    assert all(any(np.array_equal(frame, stored) for stored in as_stored(video)[:4]) for frame in frames[1::2])


def test_times_that_are_off_by_a_rounding_do_not_skip_frames(tmp_path: Path) -> None:
    """Matroska counts in milliseconds: frames of a thirtieth stand at 0, 33, 67, 100 ..."""
    source = write_mp4(tmp_path / "source.mp4", pan(30, 64, 32, step=3), Fraction(30))
    ffmpeg("-i", source, "-c", "copy", tmp_path / "video.mkv")
    frames = taken(resolved_for(tmp_path / "video.mkv", num_frames=25, frame_rate=30))
    np.testing.assert_array_equal(frames, as_stored(tmp_path / "video.mkv")[:25])


def test_another_shape_is_covered_and_cut_around_its_centre(tmp_path: Path) -> None:
    left, middle, right = (np.full((6, 64, 64, 3), level, np.uint8) for level in (0, 128, 255))
    wide = np.concatenate([left, middle, middle, right], axis=2)
    path = write_mp4(tmp_path / "wide.mp4", wide, Fraction(8))
    frame = np.asarray(source_frames(resolved_for(path))[0])
    assert frame.shape == (32, 64, 3)
    assert np.abs(frame[4:-4, 8:-8].astype(int) - 128).max() < 8


def test_a_video_that_ends_too_early_is_refused_with_what_it_would_do_for(video: Path) -> None:
    for judge in (source_frames, remarks_on_source):
        with pytest.raises(UnsupportedValue) as refusal:
            judge(resolved_for(video, num_frames=17))
        sentence = str(refusal.value)
        assert "video: the video ends before the clip does" in sentence
        assert "got 1.5 s, 12 frames at 8 frames per second" in sentence
        assert "at least 17 frames, 2.125 s" in sentence


def test_one_that_is_just_long_enough_is_taken_without_a_word(video: Path) -> None:
    request = resolved_for(video, num_frames=12)
    assert remarks_on_source(request) == ()
    assert len(source_frames(request)) == 12


def test_of_a_longer_one_it_is_said_what_is_used(video: Path) -> None:
    assert remarks_on_source(resolved_for(video)) == ("video: it lasts 1.5 s; the clip is made from its first 0.625 s",)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for judge in (source_frames, remarks_on_source):
        with pytest.raises(UnreadableMedia):
            judge(resolved_for(tmp_path / "text.mp4"))


def test_a_request_without_one_is_refused(video: Path) -> None:
    with pytest.raises(UnsupportedValue, match="video-to-video needs one"):
        source_frames(resolved_for(video, conditionings=()))


@pytest.mark.parametrize(("strength", "steps"), [(1.0, 10), (0.8, 8), (0.39, 3), (0.1, 1)])
def test_strength_says_how_many_of_the_steps_are_done(video: Path, strength: float, steps: int) -> None:
    assert steps_of_strength(resolved_for(video, options={"strength": strength})) == steps


def test_a_strength_that_leaves_no_step_is_refused(video: Path) -> None:
    with pytest.raises(UnsupportedValue, match="option strength: of 10 steps it leaves none"):
        steps_of_strength(resolved_for(video, options={"strength": 0.05}))


def test_a_still_picture_is_no_video_of_the_clips_length(tmp_path: Path) -> None:
    import PIL.Image

    PIL.Image.fromarray(texture(64, 32)).save(tmp_path / "still.webp")
    with pytest.raises((UnreadableMedia, UnsupportedValue)):
        source_frames(resolved_for(tmp_path / "still.webp"))


# -- the end of a video ---------------------------------------------------------------------------------------------


def ending(request: ResolvedRequest, count: int) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in end_of_source(request, count)])


@pytest.mark.parametrize("count", [1, 5, 12])
def test_at_the_clips_own_rate_the_last_frames_are_taken_as_they_are(video: Path, count: int) -> None:
    np.testing.assert_array_equal(ending(resolved_for(video, num_frames=99), count), as_stored(video)[-count:])


def test_at_another_rate_the_end_is_as_fast_as_it_was(video: Path) -> None:
    stored = as_stored(video)
    np.testing.assert_array_equal(ending(resolved_for(video, frame_rate=4), 3), stored[[7, 9, 11]])
    np.testing.assert_array_equal(ending(resolved_for(video, frame_rate=16), 5)[::2], stored[-3:])


def test_an_end_is_found_by_times_that_are_off_by_a_rounding(tmp_path: Path) -> None:
    source = write_mp4(tmp_path / "source.mp4", pan(30, 64, 32, step=3), Fraction(30))
    ffmpeg("-i", source, "-c", "copy", tmp_path / "video.mkv")
    frames = ending(resolved_for(tmp_path / "video.mkv", frame_rate=30), 17)
    np.testing.assert_array_equal(frames, as_stored(tmp_path / "video.mkv")[-17:])


@pytest.mark.parametrize("count", [13, 25])
def test_a_video_without_so_much_of_an_end_is_refused(video: Path, count: int) -> None:
    with pytest.raises(UnsupportedValue, match=f"video: .* is shorter than the part .* at least {count} frames"):
        end_of_source(resolved_for(video), count)
    with pytest.raises(UnsupportedValue, match="is shorter than the part"):
        remarks_on_end(resolved_for(video), 25)


def test_it_is_told_that_only_the_end_of_a_video_is_used(video: Path) -> None:
    assert remarks_on_end(resolved_for(video), 5) == ("video: it lasts 1.5 s; the clip begins with its last 0.625 s",)
    assert remarks_on_end(resolved_for(video), 12) == ()
