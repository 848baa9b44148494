"""The checks that follow the motion find their fault, say where it is, and leave the same clip without it alone."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from studio.consistency.report import CheckResult, Region, Report
from studio.consistency.runner import run_checks
from tests.studio.media_files import Images

WIDTH, HEIGHT, NUM_FRAMES = 480, 270, 40
CENTRE, RADIUS = (300, 120), 44
EVENT = 20
Floats = NDArray[np.float32]


def detail(seed: int, width: int, height: int) -> Floats:
    """Return (height, width, 3) detail at many sizes, as a photograph has, around middle gray."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 118, np.float32)
    for sigma, strength in ((2, 9), (5, 16), (14, 24), (40, 26)):
        noise = cv2.GaussianBlur(rng.standard_normal((height, width, 3)).astype(np.float32), (0, 0), sigma)
        picture += strength * noise / noise.std()
    return picture.clip(15, 235).astype(np.float32)


@pytest.fixture(scope="module")
def pan() -> Floats:
    """A camera that pans by two pixels a frame: (40, 270, 480, 3)."""
    wide = detail(1, WIDTH + 2 * NUM_FRAMES, HEIGHT)
    return np.stack([wide[:, 2 * index : 2 * index + WIDTH] for index in range(NUM_FRAMES)])


def disc(centre: tuple[int, int] = CENTRE, radius: int = RADIUS) -> Floats:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.circle(mask, centre, radius, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 2), np.float32)[:, :, None]


def checked(frames: Floats) -> Report:
    images: Images = frames.clip(0, 255).round().astype(np.uint8)
    return run_checks(images, Fraction(24))


def found(report: Report, check_id: str) -> CheckResult:
    return next(item for item in report.checks if item.id == check_id)


def moving_disc(index: int) -> Floats:
    """A disc that is part of the scene, and so moves with the pan."""
    return disc((CENTRE[0] + 30 - 2 * index, CENTRE[1]))


def thing() -> Floats:
    return 0.5 * detail(7, WIDTH, HEIGHT) + np.array([110, 20, 5], np.float32)


def local_flicker(frames: Floats) -> None:
    rng = np.random.default_rng(2)
    for index, frame in enumerate(frames):
        frame *= 1 + 0.2 * np.float32(rng.standard_normal()) * moving_disc(index)


def boil(frames: Floats) -> None:
    rng = np.random.default_rng(3)
    for index, frame in enumerate(frames):
        noise = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 2)
        frame += 18 * (noise / noise.std())[:, :, None] * moving_disc(index)


def pop_in(frames: Floats) -> None:
    for index in range(EVENT, len(frames)):
        frames[index] += moving_disc(index) * (thing() - frames[index])


def pop_out(frames: Floats) -> None:
    for index in range(EVENT):
        frames[index] += moving_disc(index) * (thing() - frames[index])


def teleport(frames: Floats) -> None:
    for index, frame in enumerate(frames):
        mask = moving_disc(index)
        if index >= EVENT:
            mask = np.roll(mask, -130, axis=1)
        frame += mask * (thing() - frame)


def fade_in(frames: Floats) -> None:
    for index in range(EVENT, len(frames)):
        frames[index] += min(1.0, (index - EVENT + 1) / 8) * moving_disc(index) * (thing() - frames[index])


def morph(frames: Floats) -> None:
    other = 0.1 * detail(11, WIDTH, HEIGHT)
    for index, frame in enumerate(frames):
        share = np.clip((index - 10) / 20, 0, 1)
        moved = np.roll(other, -2 * index, axis=1)
        frame += np.float32(share) * moving_disc(index) * (moved - frame)


def colour_drift(frames: Floats) -> None:
    for index, frame in enumerate(frames):
        frame *= 1 + np.array([0.12, 0, -0.12], np.float32) * index / len(frames)


def exposure_drift(frames: Floats) -> None:
    for index, frame in enumerate(frames):
        frame *= 1 - 0.25 * index / len(frames)


def global_flicker(frames: Floats) -> None:
    rng = np.random.default_rng(4)
    for frame in frames:
        frame *= 1 + 0.04 * rng.standard_normal()


def wobble(frames: Floats) -> None:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for frame in frames:
        shift = [
            cv2.resize(rng.standard_normal((6, 9)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            for _ in range(2)
        ]
        frame[:] = cv2.remap(frame, x + 3 * shift[0], y + 3 * shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


FAULTS: dict[str, tuple[Callable[[Floats], None], str]] = {
    "local_flicker": (local_flicker, "local_flicker"),
    "boil": (boil, "boil"),
    "pop_in": (pop_in, "object_pop"),
    "pop_out": (pop_out, "object_pop"),
    "teleport": (teleport, "object_pop"),
    "fade_in": (fade_in, "slow_appear"),
    "morph": (morph, "appearance_drift"),
    "colour_drift": (colour_drift, "colour_drift"),
    "exposure_drift": (exposure_drift, "exposure_drift"),
    "global_flicker": (global_flicker, "global_flicker"),
    "wobble": (wobble, "wobble"),
}


def overlap(one: Region, other: Region) -> float:
    """Return the shared area as a share of the smaller of two regions."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(0.0, width) * max(0.0, height) / min(one.width * one.height, other.width * other.height)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_its_check(pan: Floats, fault: str) -> None:
    inject, check_id = FAULTS[fault]
    frames = pan.copy()
    inject(frames)
    result = found(checked(frames), check_id)
    assert result.passed is False
    assert result.score is not None
    assert result.score < 0.5
    assert result.reason
    assert result.events
    assert result.worst_frames


def test_the_clip_without_a_fault_passes(pan: Floats) -> None:
    report = checked(pan)
    assert report.passed is True, [item.as_json() for item in report.checks if item.passed is False]


@pytest.mark.parametrize("fault", ["pop_in", "pop_out", "teleport"])
def test_what_happens_at_once_is_placed_in_its_frame(pan: Floats, fault: str) -> None:
    frames = pan.copy()
    FAULTS[fault][0](frames)
    result = found(checked(frames), "object_pop")
    assert abs(result.worst_frames[0] - EVENT) <= 1
    assert result.events[0].first_frame <= EVENT <= result.events[0].last_frame + 1
    assert f"frame {result.events[0].first_frame}" in result.reason


@pytest.mark.parametrize("fault", ["local_flicker", "boil", "pop_in", "pop_out"])
def test_what_happens_in_a_part_of_the_picture_is_placed_there(pan: Floats, fault: str) -> None:
    frames = pan.copy()
    inject, check_id = FAULTS[fault]
    inject(frames)
    event = found(checked(frames), check_id).events[0]
    left = (CENTRE[0] + 30 - 2 * NUM_FRAMES - RADIUS) / WIDTH
    where = Region(x=left, y=(CENTRE[1] - RADIUS) / HEIGHT, width=(2 * RADIUS + 2 * NUM_FRAMES) / WIDTH,
                   height=2 * RADIUS / HEIGHT)  # fmt: skip
    assert event.region is not None
    assert overlap(event.region, where) > 0.5


def test_an_event_tells_how_rare_it_is_among_clean_clips(pan: Floats) -> None:
    frames = pan.copy()
    pop_in(frames)
    assert found(checked(frames), "object_pop").events[0].rank == 1.0


def test_only_a_share_of_the_checks_fails_for_one_fault(pan: Floats) -> None:
    frames = pan.copy()
    global_flicker(frames)
    failed = {item.id for item in checked(frames).checks if item.passed is False}
    assert "global_flicker" in failed
    assert not failed & {"object_pop", "hard_cut", "wobble", "frozen", "black", "colour_drift"}


def test_a_fault_at_the_end_of_a_long_clip_is_found_too(pan: Floats) -> None:
    wide = detail(1, WIDTH + 150, HEIGHT)
    frames = np.stack([wide[:, index : index + WIDTH] for index in range(150)])
    for index in range(140, 150):
        frames[index] += disc() * (thing() - frames[index])
    result = found(checked(frames), "object_pop")
    assert result.passed is False
    assert abs(result.worst_frames[0] - 140) <= 1


class TestMotionAmount:
    def test_a_pan_is_measured_and_named(self, pan: Floats) -> None:
        result = found(checked(pan), "motion")
        assert result.passed is True
        assert result.value == pytest.approx(2 * 24 / WIDTH, rel=0.1)
        assert result.reason == "the camera pans right"

    def test_a_still_picture_does_not_count_as_consistent(self, pan: Floats) -> None:
        rng = np.random.default_rng(1)
        still = pan[:1] + rng.normal(0, 2, pan.shape).astype(np.float32)
        result = found(checked(still), "motion")
        assert result.passed is None
        assert "hardly anything moves" in result.reason

    def test_a_zoom_is_named(self, pan: Floats) -> None:
        frames = []
        for index in range(NUM_FRAMES):
            matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 0, 1.004**index)
            frames.append(cv2.warpAffine(pan[0], matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT))
        assert found(checked(np.stack(frames)), "motion").reason == "the camera moves in"
