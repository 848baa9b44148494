"""Every check catches its fault at graded strength and leaves honest clips alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from studio.consistency.check import Check
from studio.consistency.report import CheckResult, Report
from studio.consistency.runner import available_checks, check_file, run_checks
from studio.media import iter_frames, probe_video, read_clip
from tests.studio.media_files import Images, bouncing_shape, pan, texture, write_mp4


def report(frames: Images, rate: int = 24) -> Report:
    return run_checks(frames, Fraction(rate))


def find(frames: Images, check_id: str, rate: int = 24) -> CheckResult:
    return next(check for check in report(frames, rate).checks if check.id == check_id)


def noise(num_frames: int = 24, strength: float = 4.0) -> Images:
    """A still picture seen through a grainy camera."""
    rng = np.random.default_rng(3)
    grain = rng.normal(0, strength, (num_frames, 288, 480, 3))
    grainy: Images = (cv2.resize(texture(160, 96), (480, 288)) + grain).clip(0, 255).round().astype(np.uint8)
    return grainy


def near_still(num_frames: int = 17) -> Images:
    """A shape that stays still as a model paints it: soft noise of a level or two, on the shape alone."""
    frames = np.repeat(bouncing_shape(1), num_frames, axis=0)
    rng = np.random.default_rng(4)
    for frame in frames:
        wobble = cv2.GaussianBlur(rng.normal(0, 12, frame.shape[:2]).astype(np.float32), (0, 0), 2)
        on_shape = (frame[:, :, 0] > 100)[:, :, None]
        frame[:] = np.where(on_shape, frame + wobble[:, :, None], frame).clip(0, 255)
    return frames


def fade_in(num_frames: int = 24) -> Images:
    light = np.linspace(0, 1, num_frames)[:, None, None, None]
    faded: Images = (pan(num_frames) * light).astype(np.uint8)
    return faded


def coded(frames: Images, folder: Path) -> Images:
    return read_clip(write_mp4(folder / "a.mp4", frames, crf=20)).frames


HONEST = {
    "pan": pan(),
    "slow pan": pan(step=1)[:, :, :80],
    "fast pan": pan(step=9),
    "grain": noise(),
    "bouncing shape": bouncing_shape(),
    "short bouncing shape": bouncing_shape(17),
    "near still": near_still(),
    "fade in": fade_in(),
    "fade out": fade_in()[::-1],
    "cut and fade": np.concatenate([pan(12), fade_in(12)]),
    "on twos": np.repeat(pan(12, step=6), 2, axis=0),
}


class TestHonestClips:
    @pytest.mark.parametrize("name", HONEST)
    def test_pass(self, name: str) -> None:
        checked = report(HONEST[name])
        assert checked.passed is True, [check.as_json() for check in checked.checks if not check.passed]

    @pytest.mark.parametrize("name", ["pan", "bouncing shape", "fade in", "grain"])
    def test_pass_as_files_too(self, name: str, tmp_path: Path) -> None:
        assert check_file(write_mp4(tmp_path / "a.mp4", HONEST[name])).passed is True

    @pytest.mark.parametrize("rate", [8, 16, 30, 60])
    def test_pass_at_other_rates(self, rate: int) -> None:
        assert report(pan(40), rate).passed is True
        assert report(bouncing_shape(40), rate).passed is True

    def test_a_fast_rate_repeats_frames_of_a_slow_one(self) -> None:
        assert report(np.repeat(pan(12, step=6), 3, axis=0), 60).passed is True


class TestFrozenFrames:
    @pytest.mark.parametrize("length", [3, 6, 14])
    @pytest.mark.parametrize("is_coded", [False, True])
    def test_a_freeze_is_found_where_it_is(self, tmp_path: Path, length: int, is_coded: bool) -> None:
        frames = pan(30)
        frames[8 : 8 + length] = frames[8]
        result = find(coded(frames, tmp_path) if is_coded else frames, "frozen")
        assert result.passed is False
        assert result.value == pytest.approx(length, abs=1)
        assert set(result.worst_frames) <= set(range(7, 9 + length))
        assert "stands still" in result.reason

    def test_two_equal_frames_are_no_freeze(self) -> None:
        frames = pan(30)
        frames[9] = frames[8]
        assert find(frames, "frozen").passed is True

    def test_a_longer_freeze_scores_lower(self) -> None:
        scores = []
        for length in (3, 6, 14):
            frames = pan(30)
            frames[8 : 8 + length] = frames[8]
            scores.append(find(frames, "frozen").score)
        assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
        assert scores[0] == 0.5

    def test_a_small_shape_that_stops_is_found_on_a_plain_background(self) -> None:
        frames = bouncing_shape()
        frames[10:16] = frames[10]
        assert find(frames, "frozen").passed is False

    @pytest.mark.parametrize("still", [texture(160, 96), bouncing_shape(1)[0]])
    def test_a_still_image_is_found(self, still: Images, tmp_path: Path) -> None:
        frames = np.repeat(still[None], 48, axis=0)
        result = find(frames, "frozen")
        assert result.value == 48
        assert result.reason == "the whole clip is one still image"
        assert find(coded(frames, tmp_path), "frozen").passed is False


class TestBlackFrames:
    @pytest.mark.parametrize(("light", "length"), [(0.5, 1), (0.0, 1), (0.0, 5), (0.75, 2)])
    @pytest.mark.parametrize("clip", ["pan", "bouncing shape", "grain"])
    def test_dark_moments_are_found_where_they_are(self, clip: str, light: float, length: int) -> None:
        frames = HONEST[clip].copy()
        frames[9 : 9 + length] = (frames[9 : 9 + length] * light).astype(np.uint8)
        result = find(frames, "black")
        assert result.passed is False
        assert sorted(result.worst_frames) == list(range(9, 9 + length))

    @pytest.mark.parametrize("colour", [0, 128, 255])
    @pytest.mark.parametrize("where", [slice(0, 1), slice(10, 11), slice(8, 20), slice(23, 24)])
    def test_blank_frames_of_any_colour_are_found_anywhere(self, colour: int, where: slice) -> None:
        frames = pan()
        frames[where] = colour
        result = find(frames, "black")
        assert result.value == 1
        assert sorted(result.worst_frames)[0] == where.start

    @pytest.mark.parametrize("colour", [0, 128, 255])
    def test_a_clip_with_nothing_in_it_is_found(self, colour: int) -> None:
        checked = report(np.full((12, 48, 64, 3), colour, np.uint8))
        assert checked.passed is False
        black = next(check for check in checked.checks if check.id == "black")
        assert "every frame is" in black.reason

    def test_a_dark_scene_is_not_black(self) -> None:
        assert find(pan() // 12, "black").passed is True


class TestGlobalFlicker:
    @pytest.mark.parametrize("gain", [0.04, 0.1])
    @pytest.mark.parametrize("clip", ["pan", "grain"])
    @pytest.mark.parametrize("is_coded", [False, True])
    def test_random_gain_is_found(self, clip: str, gain: float, is_coded: bool, tmp_path: Path) -> None:
        rng = np.random.default_rng(5)
        gains = rng.normal(1, gain, (24, 1, 1, 1))
        frames = (HONEST[clip] * gains).clip(0, 255).astype(np.uint8)
        result = find(coded(frames, tmp_path) if is_coded else frames, "global_flicker")
        assert result.passed is False
        assert result.worst_frames

    def test_faint_flicker_scores_between_none_and_strong(self) -> None:
        signs = np.where(np.arange(24) % 2, 1.0, -1.0)[:, None, None, None]
        scores = [
            find((pan() * (1 + strength * signs)).clip(0, 255).astype(np.uint8), "global_flicker").score or 0.0
            for strength in (0.0, 0.005, 0.02, 0.08)
        ]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > 0.9
        assert scores[-1] < 0.1

    def test_flicker_in_one_part_of_a_long_clip_is_found(self) -> None:
        frames = pan(160).astype(float)
        frames[82:122:2] *= 0.9
        result = find(frames.astype(np.uint8), "global_flicker")
        assert result.passed is False
        assert 78 <= result.events[0].first_frame <= 90

    def test_a_single_flash_or_cut_is_no_flicker(self) -> None:
        frames = pan()
        frames[10] = 255 - frames[10] // 4
        assert find(frames, "global_flicker").passed is True


class TestAnyCheck:
    """The contract of every check, plug-ins' included."""

    @pytest.fixture(params=available_checks(), ids=lambda check: check.id)
    def check(self, request: pytest.FixtureRequest) -> type[Check]:
        found: type[Check] = request.param
        return found

    @pytest.mark.parametrize("num_frames", [1, 2, 3, 4])
    def test_says_nothing_or_something_about_very_short_clips_but_never_breaks(
        self, check: type[Check], num_frames: int
    ) -> None:
        result = run_checks(pan(num_frames), Fraction(24), [check]).checks[0]
        assert result.passed is not False
        if result.passed is None:
            assert result.reason
            assert (result.score, result.value) == (None, None)

    @pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (17, 9)])
    def test_takes_any_size(self, check: type[Check], size: tuple[int, int]) -> None:
        frames = np.random.default_rng(0).integers(0, 256, (8, *size, 3), np.uint8)
        assert run_checks(frames, Fraction(24), [check]).checks[0].id == check.id

    @pytest.mark.parametrize("rate", [Fraction(1), Fraction(30000, 1001), Fraction(240)])
    def test_has_one_figure_per_frame_and_a_score_that_follows_the_threshold(
        self, check: type[Check], rate: Fraction
    ) -> None:
        result = run_checks(pan(30), rate, [check]).checks[0]
        if result.score is not None and result.value is not None:
            assert len(result.series) == 30
            assert 0 <= result.score <= 1
            is_fine = (result.value < check.threshold) == (check.direction == "higher_is_worse")
            assert (result.score > 0.5) == is_fine == bool(result.passed)

    def test_describes_itself(self, check: type[Check]) -> None:
        assert check.id.isidentifier()
        assert check.title
        assert check.unit
        assert check.threshold > 0
        assert "Threshold" in (check.__doc__ or ""), "a check's docstring says where its threshold comes from"


REAL = [
    "ai_gen3c_window.mp4",
    "ai_wan_anime.mp4",
    "ai_wan_cat_16fps.mp4",
    "earth_night_vp9.webm",
    "newtons_cradle.gif",
    "rotated_90_nasa.mp4",
    "talking_face_carphone.mp4",
]


@pytest.mark.parametrize("name", REAL)
def test_real_clips_pass(clips: Path, name: str) -> None:
    images = (frame.image for frame in iter_frames(clips / name, max_frames=40))
    checked = run_checks(images, probe_video(clips / name).frame_rate)
    assert checked.passed is True, [check.as_json() for check in checked.checks if not check.passed]
