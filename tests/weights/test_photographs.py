"""Clips made of still pictures: repeatable, as fast as they say, never from the photographs that judge the model."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from weights.training.photograph_clips import (
    CAMERAS,
    FASTEST,
    Camera,
    camera_clip,
    draw_clip,
    measure_flow,
    motion_bucket,
    to_bytes,
)
from weights.training.photographs import HELD_OUT_NAMES, TRAINING_SOURCES, PictureMaker, fit_square, spectral_noise

CANVAS_SIDE = 448


@pytest.fixture
def maker() -> PictureMaker:
    """Procedural pictures and one invented photograph, so that no package of photographs is needed."""
    noise = spectral_noise(np.random.default_rng(5), 300)
    return PictureMaker({"noise": to_bytes(noise)})


def test_the_same_seed_gives_the_same_clip(maker: PictureMaker) -> None:
    first, second = (draw_clip(maker, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first.frames, second.frames)
    assert (first.flow, first.name) == (second.flow, second.name)


def test_another_seed_gives_another_clip(maker: PictureMaker) -> None:
    first, second = (draw_clip(maker, np.random.default_rng(seed)) for seed in (3, 4))
    assert not np.array_equal(first.frames, second.frames)


@pytest.mark.parametrize("camera", CAMERAS)
def test_measured_flow_rises_with_the_requested_motion(camera: Camera) -> None:
    canvas = spectral_noise(np.random.default_rng(1), CANVAS_SIDE)
    measured = [measure_flow(to_bytes(camera_clip(canvas, camera, flow))) for flow in (0.1, 0.6, 1.2, 1.9)]
    assert measured == sorted(measured)
    assert measured[-1] == pytest.approx(1.9, rel=0.25)


def test_every_clip_starts_with_the_same_frame_whatever_its_speed() -> None:
    canvas = spectral_noise(np.random.default_rng(2), CANVAS_SIDE)
    slow, fast = camera_clip(canvas, "left", 0.2), camera_clip(canvas, "in", 1.8)
    assert np.array_equal(slow[0], fast[0])


def test_motion_buckets_rise_with_flow_and_stay_in_range() -> None:
    buckets = [motion_bucket(flow) for flow in np.linspace(0, 1.5 * FASTEST, 40)]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1]) == (1, 255)


def test_photographs_that_judge_the_model_are_never_trained_on() -> None:
    assert not HELD_OUT_NAMES & {source.name for source in TRAINING_SOURCES}


def test_every_training_photograph_names_its_licence_and_maker() -> None:
    assert all(source.licence and source.credit for source in TRAINING_SOURCES)


def test_fitting_keeps_the_centre_square() -> None:
    picture = np.zeros((200, 400, 3), np.uint8)
    picture[:, 100:300] = 255
    assert np.array_equal(fit_square(picture), np.full((128, 128, 3), 255, np.uint8))
