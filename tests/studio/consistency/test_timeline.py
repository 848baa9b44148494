"""The timeline finds what explains frames away, and a real fault is no fade."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from studio.consistency.observer import observe
from studio.consistency.timeline import LOOKAHEAD, Timeline
from studio.media import iter_frames
from tests.studio.media_files import Images, pan, texture

RATE = Fraction(24)


def timeline_of(frames: Images, rate: Fraction = RATE) -> Timeline:
    timeline = Timeline(rate)
    for facts in observe(frames, rate):
        timeline.update(facts)
    return timeline


def lit(frames: Images, light: np.ndarray) -> Images:
    """Return frames under a light that changes: (T,), 1 for as they are."""
    dimmed: Images = np.rint(frames * light[:, None, None, None]).astype(np.uint8)
    return dimmed


def ramp(num_frames: int, first: int, length: int) -> np.ndarray:
    """Return light that goes from 0 to 1 over `length` frames from `first` on."""
    return np.clip((np.arange(num_frames) - first) / length, 0, 1)


def other_shot(num_frames: int) -> Images:
    return np.stack([texture(300, 96, seed=7)[:, 3 * index : 3 * index + 160] for index in range(num_frames)])


class TestFades:
    @pytest.mark.parametrize("length", [6, 12, 24, 40])
    def test_a_fade_from_black_is_found_where_it_is(self, length: int) -> None:
        (fade,) = timeline_of(lit(pan(60), ramp(60, 4, length))).fades
        assert (fade.target, fade.is_in) == ("black", True)
        assert fade.first <= 4
        assert abs(fade.last - (4 + length)) <= 3

    @pytest.mark.parametrize("length", [6, 12, 24])
    def test_a_fade_to_black_is_found_where_it_is(self, length: int) -> None:
        (fade,) = timeline_of(lit(pan(60), ramp(60, 4, length)[::-1])).fades
        assert (fade.target, fade.is_in) == ("black", False)
        assert abs(fade.first - (55 - length)) <= 3
        assert fade.last == 59

    def test_a_fade_to_white_is_found(self) -> None:
        frames = 255 - lit(255 - pan(40), ramp(40, 0, 12)[::-1])
        (fade,) = timeline_of(frames).fades
        assert (fade.target, fade.is_in) == ("white", False)

    def test_fades_at_any_frame_rate_are_found(self) -> None:
        assert timeline_of(lit(pan(17), ramp(17, 0, 7)), Fraction(8)).fades
        assert timeline_of(lit(pan(60, step=1), ramp(60, 0, 30)), Fraction(60)).fades

    @pytest.mark.parametrize(("light", "length"), [(0.5, 1), (0.0, 1), (0.0, 5), (0.2, 8)])
    def test_a_dark_moment_is_no_fade(self, light: float, length: int) -> None:
        gains = np.ones(40)
        gains[15 : 15 + length] = light
        timeline = timeline_of(lit(pan(40), gains))
        assert timeline.fades == []
        assert not timeline.fading(np.arange(40)).any()

    def test_flicker_exposure_drift_and_dark_scenes_are_no_fades(self) -> None:
        flicker = 1 + 0.1 * np.random.default_rng(0).standard_normal(40).clip(-2, 0)
        for gains in (flicker, np.linspace(1, 0.8, 40), np.full(40, 0.05)):
            assert timeline_of(lit(pan(40), gains)).fades == []

    def test_frames_of_a_fade_and_no_others_are_masked(self) -> None:
        masked = timeline_of(lit(pan(60), ramp(60, 0, 12))).fading(np.arange(60))
        assert masked[:13].all()
        assert not masked[17:].any()

    def test_a_fade_is_known_before_its_end_is_seen(self) -> None:
        frames = lit(pan(90), ramp(90, 0, 60)[::-1])  # begins to darken at frame 29
        timeline = Timeline(RATE)
        for facts in observe(frames, RATE)[: 40 + LOOKAHEAD]:
            timeline.update(facts)
        assert timeline.fading(np.arange(40))[36:].all()


class TestCuts:
    def test_the_first_frame_of_another_shot_is_broken(self) -> None:
        broken = timeline_of(np.concatenate([pan(20), other_shot(20)])).broken(np.arange(40))
        assert np.flatnonzero(broken).tolist() == [20]

    def test_blank_frames_and_the_one_after_are_broken(self) -> None:
        frames = pan(30)
        frames[12:14] = 128
        assert np.flatnonzero(timeline_of(frames).broken(np.arange(30))).tolist() == [12, 13, 14]

    def test_motion_breaks_nothing(self) -> None:
        assert not timeline_of(pan(40, step=9)).broken(np.arange(40)).any()

    def test_real_cuts_are_found_at_their_frames(self, clips: Path) -> None:
        frames = (frame.image for frame in iter_frames(clips / "street_cuts_pans_bikes.mp4"))
        timeline = timeline_of(np.stack(list(islice(frames, 100))), Fraction(25))
        assert np.flatnonzero(timeline.broken(np.arange(100))).tolist() == [30, 76]


class TestDissolves:
    def test_a_blend_over_ten_frames_masks_them(self) -> None:
        share = np.clip((np.arange(40) - 15) / 11, 0, 1)[:, None, None, None]
        blended = np.rint((1 - share) * texture(160, 96) + share * texture(160, 96, seed=7)).astype(np.uint8)
        masked = timeline_of(blended).fading(np.arange(40))
        assert masked[17:24].all()
        assert not masked[:10].any()
        assert not masked[33:].any()


class TestCadence:
    @pytest.mark.parametrize(("period", "new"), [(2, 1), (3, 1), (5, 4), (4, 3), (25, 24)])
    def test_a_steady_pattern_is_one_finding(self, period: int, new: int) -> None:
        groups = [min(index, new - 1) for index in range(period)]
        order = [new * (index // period) + groups[index % period] for index in range(max(48, 5 * period))]
        cadence = timeline_of(pan(max(order) + 1, step=1)[order]).cadence
        assert cadence is not None
        assert cadence.period == period
        assert cadence.share == pytest.approx(1 - new / period, abs=0.05)

    def test_pulldown_of_film_to_sixty_frames_is_one(self) -> None:
        order = [index // 5 * 2 + (index % 5 > 1) for index in range(60)]
        cadence = timeline_of(pan(40, step=3)[order], Fraction(60)).cadence
        assert cadence is not None
        assert cadence.period == 5

    def test_scattered_repeats_and_stills_are_none(self) -> None:
        order = np.arange(48)
        for place in (5, 11, 14, 27, 33, 46):
            order[place] -= 1
        assert timeline_of(pan(48)[order]).cadence is None
        assert timeline_of(np.repeat(pan(1), 48, axis=0)).cadence is None
