"""Drift between windows is measured in the picture's own units, and only where there is some."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from studio.consistency.seam_drift import WindowDrift, drift_lines, measure_drift
from studio.media import Image
from tests.studio.media_files import pan

RATE, SEAMS, COUNT = Fraction(8), (14, 27), 40


def measured(frames: list[Image]) -> list[WindowDrift]:
    return list(measure_drift(frames, RATE, SEAMS))


def base() -> list[Image]:
    return list(pan(COUNT, 160, 128))


def windows_before(index: int) -> int:
    return sum(index >= seam for seam in SEAMS)


def test_a_clip_that_goes_on_as_it_was_drifts_nowhere() -> None:
    first, second = measured(base())
    assert (first.window, first.seam_frame, second.seam_frame) == (1, 14, 27)
    for drift in (first, second):
        assert drift.flagged == ()
        assert abs(drift.exposure or 0) < 0.5
        assert (drift.colour or 0) < 0.5
        assert abs(drift.sharpness or 0) < 0.1
        assert 0.6 < (drift.seam_jump or 0) < 1.3
    assert list(drift_lines((first, second))) == []


@pytest.mark.parametrize("is_sudden", [True, False])
def test_light_that_grows_is_told_in_levels_since_the_clip_ended(is_sudden: bool) -> None:
    """Twelve levels a window, at the joins or bit by bit."""
    lift = [12 * windows_before(index) if is_sudden else max(0, index - 13) for index in range(COUNT)]
    first, second = measured([cv2.add(frame, (v, v, v, 0)) for frame, v in zip(base(), lift, strict=True)])
    assert first.exposure == pytest.approx(12, abs=2.5)
    assert second.exposure == pytest.approx(24, abs=4)
    assert "exposure" in first.flagged
    assert ("seam_jump" in first.flagged) is False or is_sudden
    assert "levels lighter than the clip" in next(drift_lines((first, second)))


def test_a_tint_is_told_apart_from_light() -> None:
    frames = [cv2.subtract(frame, (0, 0, 20 * windows_before(i), 0)) for i, frame in enumerate(base())]
    _, second = measured(frames)
    assert second.colour == pytest.approx(20, abs=6)
    assert "colour" in second.flagged
    assert "exposure" not in second.flagged


def test_a_picture_that_turns_soft_is_told() -> None:
    grain = np.random.default_rng(1).integers(0, 60, (128, 160 + 2 * COUNT, 1), dtype=np.uint8)
    sharp = [cv2.add(frame // 2, grain[:, 2 * i : 2 * i + 160].repeat(3, 2)) for i, frame in enumerate(base())]
    frames = [cv2.GaussianBlur(frame, (0, 0), 0.01 + 0.8 * windows_before(i)) for i, frame in enumerate(sharp)]
    first, second = measured(frames)
    assert (second.sharpness or 0) < (first.sharpness or 0) < -0.5
    assert "sharpness" in second.flagged
    assert "softer than the clip" in next(drift_lines((second,)))


def test_a_jump_at_a_join_is_told_in_multiples_of_the_usual_change_and_at_that_join_alone() -> None:
    frames = list(pan(COUNT + 20, 160, 128))
    first, second = measured(frames[:14] + frames[34:])
    assert (first.seam_jump or 0) > 2
    assert "seam_jump" in first.flagged
    assert "seam_jump" not in second.flagged


def test_across_a_cut_the_pictures_are_compared_as_they_are() -> None:
    dark = [frame // 2 for frame in pan(COUNT, 160, 128, step=3)]
    first, _ = measured(base()[:14] + [np.ascontiguousarray(frame[::-1, ::-1]) for frame in dark[14:]])
    assert (first.exposure or 0) < -20
    assert {"exposure", "seam_jump"} <= set(first.flagged)


def test_a_still_picture_has_figures_too() -> None:
    assert [drift.flagged for drift in measured([base()[0]] * COUNT)] == [(), ()]


def test_it_is_the_same_after_it_was_kept() -> None:
    kept = [drift.as_json() for drift in measured(base())]
    assert [WindowDrift.from_json(item).as_json() for item in kept] == kept


@pytest.mark.parametrize("seams", [(0,), (5, 5), (9, 3), (40,)])
def test_seams_that_are_none_are_refused(seams: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="seams"):
        measure_drift(base(), RATE, seams)
