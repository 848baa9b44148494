"""Faults of the whole picture: light, colour, sharpness, geometry and the marks that codecs and decoders leave."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.consistency.material import Frames, Injected, Material
from benchmarks.consistency.pasting import Floats, scale_of, short_side
from studio.consistency.report import Region

Picture = NDArray[np.uint8]


def global_flicker(material: Material, amount: float) -> Injected:
    """Each frame has a gain of its own, standard deviation `amount`."""
    gains = 1 + amount * _spread_draws(material.rng, material.count)
    return _each_frame(material, lambda image, index: _rounded(image * np.float32(gains[index])))


def colour_drift(material: Material, amount: float) -> Injected:
    """Red gains `amount` over the clip and blue loses it, or the other way round."""
    sign = material.rng.choice([-1.0, 1.0])
    steps = sign * amount * np.linspace(0, 1, material.count)

    def drift(image: Picture, index: int) -> Picture:
        return _rounded(image * np.array([1 + steps[index], 1, 1 - steps[index]], np.float32))

    return _each_frame(material, drift)


def exposure_drift(material: Material, amount: float) -> Injected:
    """The light gains or loses `amount` over the clip; bright clips lose, so that nothing saturates."""
    sign = -1.0 if material.frames.mean() > 110 else 1.0
    steps = sign * amount * np.linspace(0, 1, material.count)
    return _each_frame(material, lambda image, index: _rounded(image * np.float32(1 + steps[index])))


def black(material: Material, amount: float) -> Injected:
    """amount: 0.5 for one frame dimmed by half, otherwise this many black frames."""
    length = material.length(max(1, int(amount)))
    at = material.start(length)
    frames = material.frames.copy()
    frames[at : at + length] = _rounded(frames[at : at + length] * np.float32(0.5 if amount < 1 else 0.0))
    found = range(at, at + length)
    return Injected(frames=frames, event_frames=tuple(found), changed_frames=found)


def blur_pulse(material: Material, amount: float) -> Injected:
    """Six frames are blurred. amount: sigma in pixels at 640x360."""
    import cv2

    length = material.length(6)
    at = material.start(length)
    frames = material.frames.copy()
    for index in range(at, at + length):
        frames[index] = cv2.GaussianBlur(frames[index], (0, 0), amount * scale_of(frames))
    found = range(at, at + length)
    return Injected(frames=frames, event_frames=(*found, at + length), changed_frames=found)


def soft_drift(material: Material, amount: float) -> Injected:
    """The picture becomes softer over the clip. amount: sigma at its end, in pixels at 640x360."""
    import cv2

    sigmas = amount * scale_of(material.frames) * np.linspace(0, 1, material.count)

    def soften(image: Picture, index: int) -> Picture:
        if sigmas[index] < 0.2:
            return image
        return np.asarray(cv2.GaussianBlur(image, (0, 0), float(sigmas[index])), np.uint8)

    return _each_frame(material, soften)


def wobble(material: Material, amount: float) -> Injected:
    """The picture is jelly: a smooth displacement, drawn anew for each frame. amount: pixels at 640x360, its spread."""
    import cv2

    height, width = material.frames.shape[1:3]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    size = np.float32(amount * scale_of(material.frames))

    def shake(image: Picture, index: int) -> Picture:
        del index
        coarse = material.rng.standard_normal((5, 8, 2)).astype(np.float32)
        field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        moved = size * field / field.std()
        return np.asarray(
            cv2.remap(image, x + moved[:, :, 0], y + moved[:, :, 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT),
            np.uint8,
        )

    return _each_frame(material, shake)


def banding(material: Material, amount: float) -> Injected:
    """Only `amount` levels of each channel are left."""
    step = np.float32(255 / (amount - 1))
    return _each_frame(material, lambda image, _index: _rounded(np.rint(image / step) * step))


def blocking(material: Material, amount: float) -> Injected:
    """Blocks of 8x8 pixels show their mean by `amount`, 16x16 from 0.9 on."""
    import cv2

    side = 16 if amount >= 0.9 else 8

    def square(image: Picture, index: int) -> Picture:
        del index
        height, width = image.shape[:2]
        padded = cv2.copyMakeBorder(image, 0, -height % side, 0, -width % side, cv2.BORDER_REPLICATE)
        size = (padded.shape[1] // side, padded.shape[0] // side)
        means = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
        blocks = np.repeat(np.repeat(means, side, axis=0), side, axis=1)[:height, :width]
        return _rounded(image + np.float32(amount) * (blocks.astype(np.float32) - image))

    return _each_frame(material, square)


def seam(material: Material, amount: float) -> Injected:
    """A step of `amount` levels along an upright line, halfway on each side of it, that fades out away from it."""
    width = material.frames.shape[2]
    at = round(width * material.rng.uniform(0.35, 0.65))
    distance = np.arange(width, dtype=np.float32) - np.float32(at) + np.float32(0.5)
    step = np.sign(distance) * np.float32(amount / 2) * np.clip(1 - np.abs(distance) / (0.2 * width), 0, 1)
    left, right = max(0, int(at - 0.2 * width) - 1), min(width, int(at + 0.2 * width) + 2)
    region = Region(x=left / width, y=0.0, width=(right - left) / width, height=1.0)
    offset = step.astype(np.float32)[None, :, None]
    return _each_frame(material, lambda image, _index: _rounded(image + offset), region)


def dead_latent(material: Material, amount: float) -> Injected:
    """A gray square of 9 % of the short side stays at one place, laid over the picture by `amount`."""
    height, width = material.frames.shape[1:3]
    side = max(8, round(0.09 * short_side(material.frames)))
    left = int(material.rng.uniform(0.2, 0.8) * (width - side))
    top = int(material.rng.uniform(0.2, 0.8) * (height - side))
    region = Region(x=left / width, y=top / height, width=side / width, height=side / height)
    box = slice(top, top + side), slice(left, left + side)

    def cover(image: Picture, index: int) -> Picture:
        del index
        changed = image.copy()
        changed[box] = _rounded(image[box] + np.float32(amount) * (np.float32(128) - image[box]))
        return changed

    return _each_frame(material, cover, region)


def flashing(material: Material, amount: float) -> Injected:
    """Half of the picture flashes four times a second. amount: change of relative luminance, 0 to 1."""
    width = material.frames.shape[2]
    half = width // 2
    sign = 1.0 if material.frames[:, :, :half].mean() < 140 else -1.0
    period = max(2.0, float(material.frame_rate) / 4)

    def flash(image: Picture, index: int) -> Picture:
        if index % period < period / 2:
            return image
        changed = image.copy()
        linear = (image[:, :half].astype(np.float32) / 255) ** np.float32(2.2)
        changed[:, :half] = _rounded(255 * np.clip(linear + sign * amount, 0, 1) ** (1 / 2.2))
        return changed

    return _each_frame(material, flash, Region(x=0.0, y=0.0, width=half / width, height=1.0))


def _each_frame(
    material: Material, change: Callable[[Picture, int], Picture], region: Region | None = None
) -> Injected:
    frames: Frames = np.stack([change(image, index) for index, image in enumerate(material.frames)])
    every = range(material.count)
    return Injected(frames=frames, event_frames=tuple(every), changed_frames=every, region=region)


def _spread_draws(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return draws from a normal distribution, none beyond 2.5 standard deviations."""
    return np.clip(rng.standard_normal(count), -2.5, 2.5)


def _rounded(image: Floats | NDArray[np.float64]) -> Picture:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
