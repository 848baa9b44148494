"""Faults with a place: things that appear, vanish or jump, and parts of the scene that flicker, boil or turn into
something else. They move along with the scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.consistency.material import Injected, Material
from benchmarks.consistency.pasting import (
    Floats,
    Point,
    Sticker,
    a_place,
    band_noise,
    blend,
    disc,
    follow,
    region_of,
    scale_of,
    short_side,
)
from studio.media.images import fit_image

_SOFT = 0.4
_PART_RADIUS = 0.2  # of the short side, for parts of the scene
_MORPH_FRAMES = 16
_FADE_FRAMES = 8
_THING = 0.20  # diameter of a thing that jumps, of the short side


def local_flicker(material: Material, amount: float) -> Injected:
    """A soft part of the picture has a gain of its own in each frame, standard deviation `amount`."""
    gains = np.clip(material.rng.standard_normal(material.count), -2.5, 2.5)
    return _on_part(material, lambda image, index: image * np.float32(1 + amount * gains[index]))


def boil(material: Material, amount: float) -> Injected:
    """Fine noise of `amount` levels, drawn anew for each frame, covers a part of the picture."""
    sigma = max(0.8, 1.5 * scale_of(material.frames))

    def grain(image: NDArray[np.uint8], index: int) -> Floats:
        del index
        return np.asarray(image + np.float32(amount) * band_noise(material.rng, image.shape, sigma), np.float32)

    return _on_part(material, grain)


def _on_part(material: Material, change: Callable[[NDArray[np.uint8], int], Floats]) -> Injected:
    radius = _PART_RADIUS * short_side(material.frames)
    middle = material.count // 2
    centres = follow(material.frames, middle, a_place(material.frames, middle, radius, material.rng), radius)
    frames = np.stack(
        [
            blend(image, change(image, index), disc(image.shape, centres[index], radius, _SOFT))
            for index, image in enumerate(material.frames)
        ]
    )
    every = range(material.count)
    region = region_of(material.frames, centres, radius)
    return Injected(frames=frames, event_frames=tuple(every), changed_frames=every, region=region)


def pop_in(material: Material, amount: float) -> Injected:
    """A thing of `amount` of the short side across is there from one frame to the next."""
    at = material.start()
    return _with_thing(material, amount, at, lambda index: float(index >= at), range(at, material.count), (at,))


def pop_out(material: Material, amount: float) -> Injected:
    """A thing of `amount` of the short side across is gone from one frame to the next."""
    at = material.start()
    return _with_thing(material, amount, at, lambda index: float(index < at), range(at), (at,))


def fade_in(material: Material, amount: float) -> Injected:
    """A thing of `amount` of the short side across appears over eight frames."""
    length = material.length(_FADE_FRAMES)
    at = material.start(length)
    return _with_thing(
        material,
        amount,
        at,
        lambda index: float(np.clip((index - at + 1) / length, 0, 1)),
        range(at, material.count),
        tuple(range(at, at + length)),
    )


def _with_thing(
    material: Material,
    size: float,
    at: int,
    share: Callable[[int], float],
    changed: range,
    events: tuple[int, ...],
) -> Injected:
    radius = size * short_side(material.frames) / 2
    place = a_place(material.frames, at, radius, material.rng)
    centres = follow(material.frames, at, place, radius)
    sticker = Sticker(material.frames[at], place, radius, material.rng)
    frames = material.frames.copy()
    for index in changed:
        frames[index] = sticker.on(frames[index], centres[index], share(index))
    region = region_of(frames, centres[changed.start : changed.stop], radius)
    return Injected(frames=frames, event_frames=events, changed_frames=changed, region=region)


def teleport(material: Material, amount: float) -> Injected:
    """A thing that is there throughout jumps by `amount` of the width."""
    at = material.start()
    radius = _THING * short_side(material.frames) / 2
    place = a_place(material.frames, at, radius, material.rng)
    height, width = material.frames.shape[1:3]
    there = _elsewhere(place, amount * width, (width, height), radius, material.rng)
    before = follow(material.frames[: at + 1], at, place, radius)
    after = follow(material.frames[at:], 0, there, radius)
    centres = np.concatenate([before[:at], after])
    sticker = Sticker(material.frames[at], place, radius, material.rng)
    frames = np.stack([sticker.on(image, centres[index]) for index, image in enumerate(material.frames)])
    return Injected(
        frames=frames,
        event_frames=(at,),
        changed_frames=range(material.count),
        region=region_of(frames, centres, radius),
    )


def _elsewhere(place: Point, distance: float, size: tuple[int, int], radius: float, rng: np.random.Generator) -> Point:
    """Return a point at a distance, inside the picture where there is one."""
    angles = rng.uniform(0, 2 * np.pi, 200)
    points = np.array(place) + distance * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inside = points[((points > radius) & (points < np.array(size) - radius)).all(axis=1)]
    if len(inside):
        return float(inside[0][0]), float(inside[0][1])
    x = place[0] + distance * (1 if place[0] < size[0] / 2 else -1)
    return float(np.clip(x, radius, size[0] - radius)), place[1]


def thing_throughout(material: Material, amount: float) -> Injected:
    """A thing of `amount` of the short side across is there in every frame: no fault."""
    every = range(material.count)
    return _with_thing(material, amount, material.count // 2, lambda _index: 1.0, every, ())


def morph(material: Material, amount: float) -> Injected:
    """A part of the scene turns into a part of another over 16 frames. amount: how far, 0 to 1."""
    length = min(_MORPH_FRAMES, material.count // 2)
    at = int(material.rng.integers(2, material.count - length - 1))
    radius = 1.2 * _PART_RADIUS * short_side(material.frames)
    place = a_place(material.frames, at, radius, material.rng, textured=True)
    centres = follow(material.frames, at, place, radius)
    other = _patch_of(material, radius)
    frames = material.frames.copy()
    for index in range(at, material.count):
        share = amount * min(1.0, (index - at + 1) / length)
        frames[index] = _with_patch(frames[index], other, centres[index], radius, share)
    return Injected(
        frames=frames,
        event_frames=tuple(range(at, at + length)),
        changed_frames=range(at, material.count),
        region=region_of(frames, centres[at:], radius),
    )


def _patch_of(material: Material, radius: float) -> Floats:
    """Cut the square with the most detail from the donor."""
    donor = material.donor[:1]
    x, y = a_place(donor, 0, radius, material.rng, textured=True)
    side = 2 * int(radius) + 1
    height, width = donor.shape[1:3]
    left, top = int(np.clip(x - radius, 0, max(0, width - side))), int(np.clip(y - radius, 0, max(0, height - side)))
    return fit_image(donor[0, top : top + side, left : left + side], side, side).astype(np.float32)


def _with_patch(
    image: NDArray[np.uint8], patch: Floats, centre: NDArray[np.float64], radius: float, share: float
) -> NDArray[np.uint8]:
    """Lay the patch, with the part's own mean and spread of colour, over the part."""
    import cv2

    height, width = image.shape[:2]
    cover = disc(image.shape, centre, radius, _SOFT)
    inside = cover[:, :, 0] > 0
    if not inside.any():
        return image
    part = image[inside].astype(np.float32)
    spread = part.std(axis=0) / np.maximum(patch.std(axis=(0, 1)), 1.0)
    matched = (patch - patch.mean(axis=(0, 1))) * np.clip(spread, 0.3, 3.0) + part.mean(axis=0)
    middle = (len(patch) - 1) / 2
    move = np.array([[1, 0, centre[0] - middle], [0, 1, centre[1] - middle]], np.float64)
    laid = cv2.warpAffine(matched, move, (width, height), borderMode=cv2.BORDER_REFLECT)
    return blend(image, np.asarray(laid, np.float32), np.float32(share) * cover)


def geomorph(material: Material, amount: float) -> Injected:
    """A part of the scene is bent smoothly over 16 frames. amount: how far, in shares of its radius."""
    import cv2

    length = min(_MORPH_FRAMES, material.count // 2)
    at = int(material.rng.integers(2, material.count - length - 1))
    radius = 1.2 * _PART_RADIUS * short_side(material.frames)
    centres = follow(material.frames, at, a_place(material.frames, at, radius, material.rng, textured=True), radius)
    field = cv2.resize(material.rng.standard_normal((4, 4, 2)).astype(np.float32), (64, 64),
                       interpolation=cv2.INTER_CUBIC)  # fmt: skip
    field *= amount * radius / np.abs(field).max()
    frames = material.frames.copy()
    for index in range(at, material.count):
        frames[index] = _bent(frames[index], field * min(1.0, (index - at + 1) / length), centres[index], radius)
    return Injected(
        frames=frames,
        event_frames=tuple(range(at, at + length)),
        changed_frames=range(at, material.count),
        region=region_of(frames, centres[at:], radius),
    )


def _bent(image: NDArray[np.uint8], field: Floats, centre: NDArray[np.float64], radius: float) -> NDArray[np.uint8]:
    import cv2

    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    column = (x - np.float32(centre[0]) + np.float32(radius)) * np.float32(63 / (2 * radius))
    row = (y - np.float32(centre[1]) + np.float32(radius)) * np.float32(63 / (2 * radius))
    moved = cv2.remap(field, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = disc(image.shape, centre, radius, 0.8)
    moved = moved * cover
    bent = cv2.remap(image, x + moved[:, :, 0], y + moved[:, :, 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.where(cover > 0, bent, image).astype(np.uint8)
