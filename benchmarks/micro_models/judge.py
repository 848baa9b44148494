"""Classical vision that reads colour, shape, motion and background of a clip of the procedural world.

It knows nothing of the models: it measures pixels, so the same judge reads drawn, reconstructed and generated clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from weights.training.world import BACKGROUND_RGB, RGB, Background, Colour, Motion, Scene, Shape, shape_outline

Name = TypeVar("Name", bound=str)

ATTRIBUTES: tuple[Literal["colour", "shape", "motion", "background"], ...] = ("colour", "shape", "motion", "background")
TEMPLATE_SIDE = 48
"""Pixels. Masks are stretched from their bounding box to a square of this side before they are compared."""
MIN_AREA = 40
"""Pixels. Anything smaller is taken for noise, not for a shape."""
MIN_OVERLAP = 0.6
"""Mean intersection over union below which the thing in the clip is no known shape."""
MAX_COLOUR_DISTANCE = 90.0
"""Euclidean RGB distance (0 to 441) beyond which a colour has no name."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the judge saw; None where it could not tell."""

    colour: Colour | None
    shape: Shape | None
    motion: Motion | None
    background: Background | None

    def agrees(self, scene: Scene) -> dict[str, bool]:
        """Say for each attribute, and for `all`, whether it is what `scene` asked for."""
        verdicts = {name: getattr(self, name) == getattr(scene, name) for name in ATTRIBUTES}
        return verdicts | {"all": all(verdicts.values())}


@dataclass(frozen=True)
class _Track:
    """The largest thing in each frame that has one.

    centres: (N, 2) x, y pixels. areas: (N,) pixels. masks: (N, H, W). frames: (N, H, W, 3) RGB.
    """

    centres: NDArray[np.float64]
    areas: NDArray[np.float64]
    masks: NDArray[np.bool_]
    frames: NDArray[np.uint8]


def read_clip(frames: NDArray[np.uint8]) -> Reading:
    """Read the four attributes of a clip (T, H, W, 3) uint8 RGB."""
    background_rgb = _border_median(frames)
    background = _nearest_name(background_rgb, BACKGROUND_RGB)
    track = _follow(frames, background_rgb)
    if len(track.areas) < (len(frames) + 1) // 2:
        return Reading(colour=None, shape=None, motion=None, background=background)
    return Reading(
        colour=_nearest_name(_core_median(track), RGB),
        shape=_nearest_shape(track.masks),
        motion=_name_motion(track),
        background=background,
    )


def _border_median(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    border = np.concatenate([frames[:, :4].reshape(-1, 3), frames[:, -4:].reshape(-1, 3)])
    sides = np.concatenate([frames[:, :, :4].reshape(-1, 3), frames[:, :, -4:].reshape(-1, 3)])
    return np.median(np.concatenate([border, sides]), axis=0)


def _nearest_name(rgb: NDArray[np.float64], names: Mapping[Name, tuple[int, int, int]]) -> Name | None:
    distances = {name: float(np.linalg.norm(rgb - np.array(value))) for name, value in names.items()}
    nearest = min(distances, key=distances.__getitem__)
    return nearest if distances[nearest] <= MAX_COLOUR_DISTANCE else None


def _follow(frames: NDArray[np.uint8], background_rgb: NDArray[np.float64]) -> _Track:
    distances = np.linalg.norm(frames.astype(np.float32) - background_rgb.astype(np.float32), axis=-1)
    threshold = max(20.0, 0.5 * float(np.percentile(distances.max(axis=(1, 2)), 50)))
    centres, areas, masks, kept = [], [], [], []
    for frame, distance in zip(frames, distances, strict=True):
        count, labels, statistics, centroids = cv2.connectedComponentsWithStats((distance > threshold).astype(np.uint8))
        if count < 2:
            continue
        largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
        if statistics[largest, cv2.CC_STAT_AREA] < MIN_AREA:
            continue
        centres.append(centroids[largest])
        areas.append(float(statistics[largest, cv2.CC_STAT_AREA]))
        masks.append(labels == largest)
        kept.append(frame)
    if not masks:
        return _Track(np.zeros((0, 2)), np.zeros(0), np.zeros((0, *frames.shape[1:3]), dtype=bool), frames[:0])
    return _Track(np.array(centres), np.array(areas), np.array(masks), np.array(kept))


def _core_median(track: _Track) -> NDArray[np.float64]:
    kernel = np.ones((5, 5), dtype=np.uint8)
    cores = []
    for frame, mask in zip(track.frames, track.masks, strict=True):
        core = cv2.erode(mask.astype(np.uint8), kernel).astype(bool)
        cores.append(frame[core if core.any() else mask])
    return np.median(np.concatenate(cores), axis=0)


@cache
def _templates() -> dict[Shape, NDArray[np.float32]]:
    templates = {}
    for shape in get_args(Shape):
        canvas = np.zeros((512, 512), dtype=np.uint8)
        points = np.rint(shape_outline(shape) * 180 + 256).astype(np.int32)
        cv2.fillPoly(canvas, [points], color=255)
        templates[shape] = _box_normalised(canvas > 0)
    return templates


def _box_normalised(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    interpolation = cv2.INTER_AREA if min(box.shape) >= TEMPLATE_SIDE else cv2.INTER_LINEAR
    return cv2.resize(box, (TEMPLATE_SIDE, TEMPLATE_SIDE), interpolation=interpolation)


def _nearest_shape(masks: NDArray[np.bool_]) -> Shape | None:
    normalised = np.stack([_box_normalised(mask) for mask in masks])
    overlaps = {
        shape: float(
            (np.minimum(normalised, template).sum((1, 2)) / np.maximum(normalised, template).sum((1, 2))).mean()
        )
        for shape, template in _templates().items()
    }
    nearest = max(overlaps, key=overlaps.__getitem__)
    return nearest if overlaps[nearest] >= MIN_OVERLAP else None


def _name_motion(track: _Track) -> Motion | None:
    first, last = track.areas[:3].mean(), track.areas[-3:].mean()
    if abs(np.log(last / first)) > np.log(1.8):
        return "growing" if last > first else "shrinking"
    steps = np.diff(track.centres, axis=0)
    net_x, net_y = track.centres[-1] - track.centres[0]
    vertical_range = float(np.ptp(track.centres[:, 1]))
    if vertical_range > 20 and np.abs(steps[:, 1]).sum() > 1.7 * abs(net_y) and vertical_range > 2 * abs(net_x):
        return "bouncing"
    if max(abs(net_x), abs(net_y)) > 18:
        if abs(net_x) > 2 * abs(net_y):
            return "moving right" if net_x > 0 else "moving left"
        if abs(net_y) > 2 * abs(net_x):
            return "moving down" if net_y > 0 else "moving up"
        return None
    return "staying still" if max(np.ptp(track.centres, axis=0)) < 10 else None
