"""The checks of what a picture shows: flashes, noise, softness, blocks, bands, seams, dead spots, the first frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from studio.consistency.check import Check, ClipContext
from studio.consistency.checks.banding import Banding
from studio.consistency.checks.black import BlackFrames
from studio.consistency.checks.blank_generation import BlankGeneration
from studio.consistency.checks.blocking import Blocking
from studio.consistency.checks.dead_latents import DeadLatents
from studio.consistency.checks.first_frame import FirstFrame
from studio.consistency.checks.flashing import Flashing
from studio.consistency.checks.seams import Seams
from studio.consistency.checks.sharpness import Sharpness
from studio.consistency.report import CheckResult
from studio.consistency.runner import available_checks, run_checks
from studio.media import Image, iter_frames, probe_video, read_clip
from tests.studio.media_files import Images, bouncing_shape, pan, texture, write_mp4
from weights.training import world

CHECKS: tuple[type[Check], ...] = (
    BlackFrames,
    BlankGeneration,
    FirstFrame,
    Sharpness,
    Flashing,
    Blocking,
    Banding,
    Seams,
    DeadLatents,
)


def judge(frames: Images, check: type[Check], rate: int = 24, input_image: Image | None = None) -> CheckResult:
    clip = ClipContext(frame_rate=Fraction(rate), input_image=input_image)
    return run_checks(frames, clip, [check]).checks[0]


def scene(num_frames: int = 40, step: int = 2, width: int = 320, height: int = 192) -> Images:
    """Return a camera that pans over clouds, hard-edged things and fine grass, as photographs have them."""
    rng = np.random.default_rng(8)
    wide = width + step * num_frames + 8
    base = cv2.GaussianBlur(rng.random((height, wide, 3), np.float32), (0, 0), 20)
    picture = cv2.normalize(base, None, 40, 200, cv2.NORM_MINMAX)
    for _ in range(60):
        centre = (int(rng.integers(wide)), int(rng.integers(height)))
        colour = tuple(int(item) for item in rng.integers(20, 235, 3))
        cv2.circle(picture, centre, int(rng.integers(4, 22)), colour, -1, cv2.LINE_AA)
    picture[height // 2 :] += rng.normal(0, 5, (height - height // 2, wide, 1)).astype(np.float32)
    picture = np.clip(cv2.GaussianBlur(picture, (0, 0), 0.7), 0, 255).round().astype(np.uint8)
    return np.stack([picture[:, step * index : step * index + width] for index in range(num_frames)])


def coded(frames: Images, folder: Path) -> Images:
    return read_clip(write_mp4(folder / "a.mp4", frames, crf=20)).frames


def gray(luminance: float) -> tuple[int, int, int]:
    """Return the sRGB level of a relative luminance."""
    encoded = 12.92 * luminance if luminance <= 0.0031308 else 1.055 * luminance ** (1 / 2.4) - 0.055
    level = round(255 * encoded)
    return level, level, level


Colour = tuple[int, int, int]


def blink(
    hertz: float, rate: int, dark: Colour, light: Colour, *, box: tuple[int, int] = (72, 96), seconds: float = 2.0
) -> Images:
    """Return (T, 72, 96, 3) frames whose upper left box is dark and light in turn, a square wave."""
    frames = np.empty((round(seconds * rate), 72, 96, 3), np.uint8)
    frames[:] = dark
    for index, frame in enumerate(frames):
        if (index * hertz / rate) % 1 >= 0.5:
            frame[: box[0], : box[1]] = light
    return frames


class TestFlashing:
    """The cases of WCAG 2.2, exactly."""

    @pytest.mark.parametrize("rate", [8, 24, 30, 60])
    def test_four_flashes_a_second_fail(self, rate: int) -> None:
        result = judge(blink(4, rate, gray(0.1), gray(0.6)), Flashing, rate)
        assert (result.passed, result.value) == (False, 4)
        assert "4 flashes within a second" in result.reason
        assert "no certified test" in result.reason
        assert result.events[0].region is not None

    @pytest.mark.parametrize("rate", [24, 30, 60])
    def test_three_flashes_a_second_pass(self, rate: int) -> None:
        result = judge(blink(3, rate, gray(0.1), gray(0.6)), Flashing, rate)
        assert (result.passed, result.value) == (True, 3)

    @pytest.mark.parametrize(("change", "passes"), [(0.09, True), (0.115, False)])
    def test_a_change_of_less_than_a_tenth_is_no_flash(self, change: float, passes: bool) -> None:
        assert judge(blink(4, 24, gray(0.3), gray(0.3 + change)), Flashing).passed is passes

    @pytest.mark.parametrize(("dark", "passes"), [(0.85, True), (0.75, False)])
    def test_a_light_dark_state_is_no_flash(self, dark: float, passes: bool) -> None:
        assert judge(blink(4, 24, gray(dark), gray(0.99)), Flashing).passed is passes

    @pytest.mark.parametrize(
        ("box", "passes"), [((12, 12), True), ((12, 16), True), ((12, 20), False), ((24, 8), True), ((24, 12), False)]
    )
    def test_a_quarter_of_a_rectangle_of_ten_degrees_may_flash(self, box: tuple[int, int], passes: bool) -> None:
        assert judge(blink(4, 24, gray(0.1), gray(0.6), box=box), Flashing).passed is passes

    def test_red_flashes_of_equal_luminance_fail(self) -> None:
        red = (220, 0, 0)
        result = judge(blink(4, 24, gray(0.2126 * ((220 / 255 + 0.055) / 1.055) ** 2.4), red), Flashing)
        assert (result.passed, result.value) == (False, 4)
        assert "red flashes" in result.reason

    def test_other_colours_of_equal_luminance_pass(self) -> None:
        assert judge(blink(4, 24, gray(0.0722), (0, 0, 255)), Flashing).value == 0

    def test_flashes_spread_over_more_than_a_second_pass(self) -> None:
        slow = np.concatenate([blink(3, 24, gray(0.1), gray(0.6), seconds=1), blink(2, 24, gray(0.1), gray(0.6))])
        assert judge(slow, Flashing).passed is True

    def test_a_burst_in_a_long_clip_is_found_where_it_is(self) -> None:
        frames = blink(0, 24, gray(0.1), gray(0.6), seconds=6)
        frames[72:96] = blink(6, 24, gray(0.1), gray(0.6), seconds=1)
        result = judge(frames, Flashing)
        assert result.passed is False
        assert result.events[0].first_frame <= 90
        assert 72 <= result.events[0].last_frame <= 121

    def test_things_that_move_through_the_picture_are_no_flashes(self) -> None:
        assert judge(pan(48, step=9), Flashing).passed is True

    def test_a_nearly_black_picture_with_noise_does_not_flash_red(self) -> None:
        noise = np.random.default_rng(0).integers(0, 4, (48, 72, 96, 3), np.uint8)
        assert judge(noise, Flashing).value == 0


class TestBlankGeneration:
    def test_a_failed_generation_is_found(self, clips: Path) -> None:
        path = clips / "ai_failed_noise.mp4"
        images = (frame.image for frame in iter_frames(path, max_frames=30))
        result = run_checks(images, probe_video(path).frame_rate, [BlankGeneration]).checks[0]
        assert result.passed is False
        assert "noise" in result.reason

    @pytest.mark.parametrize("size", [1, 2, 4])
    def test_noise_is_found(self, size: int) -> None:
        rng = np.random.default_rng(1)
        coarse = rng.normal(128, 40, (12, 192 // size, 320 // size, 3)).astype(np.float32)
        noise = np.stack([cv2.resize(frame, (320, 192), interpolation=cv2.INTER_CUBIC) for frame in coarse])
        assert judge(noise.clip(0, 255).astype(np.uint8), BlankGeneration).passed is False

    def test_one_colour_throughout_is_found(self) -> None:
        assert judge(np.full((12, 96, 160, 3), 90, np.uint8), BlankGeneration).value == 1

    @pytest.mark.parametrize("name", ["earth_night_vp9.webm", "portrait_river_c2pa.mp4", "ai_wan_anime.mp4"])
    def test_dark_water_and_drawn_clips_are_pictures(self, name: str, clips: Path) -> None:
        images = (frame.image for frame in iter_frames(clips / name, max_frames=20))
        assert run_checks(images, probe_video(clips / name).frame_rate, [BlankGeneration]).passed is True

    def test_grain_is_no_noise(self) -> None:
        grain = np.random.default_rng(2).normal(0, 10, (20, 192, 320, 1))
        assert judge((scene(20) + grain).clip(0, 255).astype(np.uint8), BlankGeneration).passed is True


def blurred(frames: Images, sigmas: Sequence[float]) -> Images:
    return np.stack([
        cv2.GaussianBlur(frame, (0, 0), sigma) if sigma > 0.2 else frame
        for frame, sigma in zip(frames, sigmas, strict=True)
    ])  # fmt: skip


class TestSharpness:
    @pytest.mark.parametrize("is_coded", [False, True])
    def test_a_moment_out_of_focus_is_found_where_it_is(self, is_coded: bool, tmp_path: Path) -> None:
        frames = blurred(scene(), [1.6 if 15 <= index < 21 else 0 for index in range(40)])
        result = judge(coded(frames, tmp_path) if is_coded else frames, Sharpness)
        assert result.passed is False
        assert result.worst_frames
        assert all(14 <= index <= 21 for index in result.worst_frames)

    def test_growing_softness_is_found(self) -> None:
        result = judge(blurred(scene(), [0.04 * index for index in range(40)]), Sharpness)
        assert result.passed is False
        assert "softer" in result.reason

    def test_more_blur_scores_lower(self) -> None:
        values = [
            judge(blurred(scene(), [sigma if 15 <= index < 21 else 0 for index in range(40)]), Sharpness).value or 0.0
            for sigma in (0.0, 0.8, 1.6, 3.2)
        ]
        assert values == sorted(values)

    @pytest.mark.parametrize("light", [np.linspace(0, 1, 40), np.linspace(1, 0.5, 40)])
    def test_changing_light_is_no_change_of_focus(self, light: np.ndarray) -> None:
        dimmed = (scene() * light[:, None, None, None]).astype(np.uint8)
        assert judge(dimmed, Sharpness).passed is not False

    def test_a_slow_zoom_passes(self) -> None:
        still = scene(1, width=640, height=384)[0]
        zoomed = []
        for index in range(40):
            matrix = cv2.getRotationMatrix2D((320, 192), 0, 1.05 ** (index / 24))
            zoomed.append(
                cv2.resize(cv2.warpAffine(still, matrix, (640, 384)), (320, 192), interpolation=cv2.INTER_AREA)
            )
        assert judge(np.stack(zoomed).astype(np.uint8), Sharpness).passed is True


def squared(frames: Images, amount: float, side: int = 8) -> Images:
    blocks: Images = np.stack([
        cv2.resize(cv2.resize(frame, None, fx=1 / side, fy=1 / side, interpolation=cv2.INTER_AREA),
                   (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_NEAREST)
        for frame in frames
    ])  # fmt: skip
    return np.rint(frames + amount * (blocks.astype(np.float32) - frames)).astype(np.uint8)


def stepped(frames: Images, levels: int) -> Images:
    step = 255 / (levels - 1)
    return np.rint(np.rint(frames / step) * step).astype(np.uint8)


def sky(num_frames: int = 24) -> Images:
    """Return soft light that drifts, with hardly anything in it."""
    y, x = np.mgrid[:192, :320].astype(np.float32)
    frames = []
    for index in range(num_frames):
        light = 60 + 0.5 * y + 0.25 * x + 12 * np.sin((x + 3 * index) / 50)
        frames.append(np.stack([light, light * 0.9 + 10, light * 0.7 + 60], axis=2))
    return np.stack(frames).clip(0, 255).round().astype(np.uint8)


def with_seam(frames: Images, step: float) -> Images:
    width = frames.shape[2]
    distance = np.arange(width) - 140.5
    offset = np.sign(distance) * step / 2 * np.clip(1 - np.abs(distance) / (0.2 * width), 0, 1)
    return np.asarray((frames + offset[None, None, :, None]).clip(0, 255).round(), np.uint8)


def with_dead_spot(frames: Images) -> Images:
    changed = frames.copy()
    changed[:, 80:120, 120:160] = 128
    return changed


class TestMarksOfCodecsAndDecoders:
    @pytest.mark.parametrize("side", [8, 16])
    @pytest.mark.parametrize("is_coded", [False, True])
    def test_blocks_are_found(self, side: int, is_coded: bool, tmp_path: Path) -> None:
        frames = squared(scene(24), 0.7, side)
        result = judge(coded(frames, tmp_path) if is_coded else frames, Blocking)
        assert result.passed is False
        assert "blocks" in result.reason

    @pytest.mark.parametrize("is_coded", [False, True])
    def test_bands_in_a_sky_are_found(self, is_coded: bool, tmp_path: Path) -> None:
        frames = stepped(sky(), 14)
        assert judge(coded(frames, tmp_path) if is_coded else frames, Banding).passed is False

    def test_a_smooth_sky_has_no_bands(self, tmp_path: Path) -> None:
        assert judge(coded(sky(), tmp_path), Banding).passed is True

    def test_a_few_flat_colours_are_not_taken_for_bands(self) -> None:
        flat = np.zeros((12, 96, 160, 3), np.uint8)
        flat[:, :, 60:] = 60
        flat[:, 40:, 100:] = 120
        result = judge(flat, Banding)
        assert result.passed is not False

    def test_without_smooth_surfaces_bands_are_inconclusive(self) -> None:
        rough = np.random.default_rng(4).integers(0, 256, (12, 96, 160, 3), np.uint8)
        result = judge(rough, Banding)
        assert result.passed is None
        assert "smooth" in result.reason

    @pytest.mark.parametrize("is_coded", [False, True])
    def test_a_seam_is_found_where_it_is(self, is_coded: bool, tmp_path: Path) -> None:
        frames = with_seam(scene(), 8)
        result = judge(coded(frames, tmp_path) if is_coded else frames, Seams)
        assert result.passed is False
        region = result.events[0].region
        assert region is not None
        assert region.x <= 141 / 320 <= region.x + region.width

    def test_a_level_seam_is_found_too(self) -> None:
        turned = with_seam(scene(width=320, height=320), 10).transpose(0, 2, 1, 3)
        result = judge(np.ascontiguousarray(turned), Seams)
        assert result.passed is False
        assert "level line" in result.reason

    @pytest.mark.parametrize("axis", [1, 2])
    def test_black_bars_are_no_seams(self, axis: int) -> None:
        margin = [(0, 0)] * 4
        margin[axis] = (40, 40)
        assert judge(np.pad(scene(), margin), Seams).passed is True

    def test_a_post_before_a_still_camera_is_no_seam(self) -> None:
        frames = np.repeat(scene(1), 24, axis=0)
        frames[:, :, 150:170] = 255
        assert judge(frames, Seams).passed is True

    def test_a_dead_spot_is_found_under_a_moving_camera(self) -> None:
        result = judge(with_dead_spot(scene(step=6)), DeadLatents)
        assert result.passed is False
        region = result.events[0].region
        assert region is not None
        assert 100 / 320 <= region.x + region.width / 2 <= 180 / 320

    def test_before_a_still_camera_a_dead_spot_is_inconclusive(self) -> None:
        result = judge(with_dead_spot(np.repeat(scene(1), 40, axis=0)), DeadLatents)
        assert result.passed is None
        assert "camera" in result.reason


ALTERED: dict[str, Callable[[Image], Image]] = {
    "as it is": lambda image: image,
    "softer": lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), 2), np.uint8),
    "a little lighter": lambda image: np.clip(image * 1.06, 0, 255).astype(np.uint8),
    "noisy": lambda image: np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8),
}
WRONG: dict[str, tuple[Callable[[Image], Image], str]] = {
    "mirrored": (lambda image: image[:, ::-1].copy(), "structure"),
    "of other colours": (lambda image: image[:, :, ::-1].copy(), "colour"),
    "half as light": (lambda image: image // 3, "light"),
}


class TestFirstFrame:
    @pytest.mark.parametrize("name", ALTERED)
    def test_the_input_picture_passes(self, name: str) -> None:
        frames = scene(6)
        result = judge(frames, FirstFrame, input_image=ALTERED[name](frames[0]))
        assert result.passed is True, result.value

    @pytest.mark.parametrize("name", WRONG)
    def test_another_picture_fails(self, name: str) -> None:
        frames = scene(6)
        alter, what = WRONG[name]
        result = judge(frames, FirstFrame, input_image=alter(frames[0]))
        assert result.passed is False
        assert what in result.reason
        assert result.worst_frames == (0,)

    def test_a_frame_from_elsewhere_fails(self, clips: Path) -> None:
        other = next(iter(iter_frames(clips / "static_bottles.mp4", max_frames=1))).image
        assert judge(scene(6), FirstFrame, input_image=other).passed is False

    def test_without_an_input_picture_nothing_is_said(self) -> None:
        result = judge(scene(6), FirstFrame)
        assert result.passed is None
        assert "no input picture" in result.reason

    def test_plain_pictures_can_be_compared(self) -> None:
        plain = np.full((4, 96, 160, 3), 90, np.uint8)
        assert judge(plain, FirstFrame, input_image=plain[0]).passed is True


class TestHonestPictures:
    def test_every_check_of_pictures_is_installed(self) -> None:
        assert set(CHECKS) <= set(available_checks())

    def test_a_drawn_scene_passes_all(self, tmp_path: Path) -> None:
        report = run_checks(coded(scene(), tmp_path), Fraction(24), CHECKS)
        assert report.passed is True, [check.as_json() for check in report.checks if check.passed is False]

    @pytest.mark.parametrize("frames", [pan(40), pan(48, step=9), bouncing_shape(48)], ids=["pan", "fast pan", "shape"])
    def test_simple_clips_pass_all(self, frames: Images) -> None:
        assert run_checks(frames, Fraction(24), CHECKS).passed is True

    @pytest.mark.parametrize("place", [3, 700, 1500, 2600, 3500])
    def test_renders_of_the_small_world_pass_all(self, place: int) -> None:
        report = run_checks(world.render(world.all_scenes()[place], place), Fraction(8), CHECKS)
        assert report.passed is True, [check.as_json() for check in report.checks if check.passed is False]

    def test_a_still_texture_passes_but_for_its_stillness(self) -> None:
        still = np.repeat(texture(160, 96)[None], 24, axis=0)
        assert run_checks(still, Fraction(24), CHECKS).passed is True
