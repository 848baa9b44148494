"""A small procedural world: one coloured shape, one motion, one plain background, and the sentence that says so.

Every clip is drawn from (prompt, seed) alone; there is no data set and no licence. One prompt in five, chosen by a
hash of its text, is held out of training.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass
from typing import Literal, cast, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH = HEIGHT = 128
NUM_FRAMES = 17
FRAME_RATE = 8
"""Frames per second: a clip lasts 2.1 seconds."""

Size = Literal["small", "medium", "large"]
Colour = Literal["red", "green", "blue", "yellow", "magenta", "orange", "cyan", "white"]
Shape = Literal["circle", "square", "triangle", "star", "cross"]
Motion = Literal[
    "moving right", "moving left", "moving up", "moving down", "bouncing", "growing", "shrinking", "staying still"
]
Background = Literal["black", "navy", "gray", "brown"]

RADIUS: dict[Size, float] = {"small": 19.0, "medium": 24.0, "large": 29.0}
"""Pixels. The radius of the circle; other shapes are drawn to look about as large."""

RGB: dict[Colour, tuple[int, int, int]] = {
    "red": (225, 35, 35),
    "green": (40, 175, 60),
    "blue": (45, 105, 240),
    "yellow": (240, 220, 40),
    "magenta": (220, 50, 200),
    "orange": (250, 135, 20),
    "cyan": (50, 210, 220),
    "white": (245, 245, 245),
}
BACKGROUND_RGB: dict[Background, tuple[int, int, int]] = {
    "black": (8, 8, 10),
    "navy": (14, 20, 72),
    "gray": (112, 112, 112),
    "brown": (92, 56, 30),
}

_SUPERSAMPLING = 4
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a prompt says: the five attributes of one clip."""

    size: Size
    colour: Colour
    shape: Shape
    motion: Motion
    background: Background

    @property
    def prompt(self) -> str:
        """The sentence for this scene; medium has no size word."""
        size = "" if self.size == "medium" else f"{self.size} "
        return f"a {size}{self.colour} {self.shape} {self.motion} on a {self.background} background"

    @property
    def is_held_out(self) -> bool:
        """True for the one scene in five whose prompt is never trained on."""
        return hashlib.sha256(self.prompt.encode()).digest()[0] % 5 == 0


def all_scenes() -> list[Scene]:
    """All 3,840 scenes in a fixed order."""
    attributes = itertools.product(*(get_args(kind) for kind in (Size, Colour, Shape, Motion, Background)))
    return [
        Scene(
            size=cast(Size, size),
            colour=cast(Colour, colour),
            shape=cast(Shape, shape),
            motion=cast(Motion, motion),
            background=cast(Background, background),
        )
        for size, colour, shape, motion, background in attributes
    ]


def split_scenes() -> tuple[list[Scene], list[Scene]]:
    """Return (training scenes, held-out scenes); disjoint, together all scenes."""
    scenes = all_scenes()
    return [scene for scene in scenes if not scene.is_held_out], [scene for scene in scenes if scene.is_held_out]


def shape_outline(shape: Shape) -> NDArray[np.float64]:
    """Outline of a shape of radius one around the origin: (N, 2) x, y with y pointing down."""
    if shape == "circle":
        return _regular_polygon(64, 1.0)
    if shape == "square":
        return 0.9 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
    if shape == "triangle":
        return _regular_polygon(3, 1.25) + np.array([0.0, 0.2])
    if shape == "star":
        outline = np.empty((10, 2))
        outline[0::2] = _regular_polygon(5, 1.3)
        outline[1::2] = -_regular_polygon(5, 0.52)[[3, 4, 0, 1, 2]]
        return outline + np.array([0.0, 0.08])
    arm = 0.36
    corner = np.array([[arm, -arm], [arm, -1.1], [-arm, -1.1]])
    quarter_turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    turns = [corner @ np.linalg.matrix_power(quarter_turn, turn) for turn in range(4)]
    return np.concatenate(turns)


def _regular_polygon(num_corners: int, radius: float) -> NDArray[np.float64]:
    angles = 2 * math.pi * np.arange(num_corners) / num_corners - math.pi / 2
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def motion_path(motion: Motion, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw a path: centres (T, 2) x, y in pixels, and scales (T,) of the radius. `rng` varies them slightly."""
    time = np.arange(NUM_FRAMES, dtype=np.float64)
    centre = np.array([WIDTH / 2, HEIGHT / 2])
    across, along = rng.uniform(-12, 12, size=2)
    scales = np.ones(NUM_FRAMES)
    directions = {"moving right": (1, 0), "moving left": (-1, 0), "moving up": (0, -1), "moving down": (0, 1)}
    if motion in directions:
        direction = np.array(directions[motion], dtype=np.float64)
        speed = rng.uniform(2.7, 3.1)
        distance = speed * (time - (NUM_FRAMES - 1) / 2) + 0.25 * along
        return centre + distance[:, None] * direction + across * direction[::-1], scales
    if motion == "bouncing":
        phase = rng.uniform(-0.12, 0.12) * math.pi
        heights = np.abs(np.cos(math.pi * time / 8 + phase))
        return np.stack([np.full(NUM_FRAMES, centre[0] + across), 91 - 52 * heights], axis=1), scales
    if motion in ("growing", "shrinking"):
        scales = np.linspace(0.7, rng.uniform(1.25, 1.35), NUM_FRAMES)
        scales = scales if motion == "growing" else scales[::-1].copy()
    return np.broadcast_to(centre + np.array([across, along]), (NUM_FRAMES, 2)).copy(), scales


def render(scene: Scene, seed: int) -> NDArray[np.uint8]:
    """Draw a clip, antialiased: (T, H, W, 3) uint8 RGB. The same scene and seed give the same bytes."""
    digest = hashlib.sha256(f"{seed}:{scene.prompt}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    centres, scales = motion_path(scene.motion, rng)
    outline = shape_outline(scene.shape) * RADIUS[scene.size]
    background = np.array(BACKGROUND_RGB[scene.background], dtype=np.float32)
    colour = np.array(RGB[scene.colour], dtype=np.float32)
    frames = np.empty((NUM_FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    frames[:] = background
    for frame, centre, scale in zip(frames, centres, scales, strict=True):
        coverage, box = _coverage(outline * scale + centre)
        frame[box] = np.rint(background + coverage[..., None] * (colour - background))
    return frames


def _coverage(outline: NDArray[np.float64]) -> tuple[NDArray[np.float32], tuple[slice, slice]]:
    """Share of each pixel covered by the polygon `outline` (N, 2) in pixels, inside the polygon's own box.

    Returns (rows, columns) float32 in [0, 1] and the box's place in the picture. Drawn four times larger and averaged.
    """
    left, top = np.clip(np.floor(outline.min(axis=0)).astype(int), 0, (WIDTH - 1, HEIGHT - 1))
    right, bottom = np.clip(np.ceil(outline.max(axis=0)).astype(int) + 1, (left + 1, top + 1), (WIDTH, HEIGHT))
    canvas = np.zeros(((bottom - top) * _SUPERSAMPLING, (right - left) * _SUPERSAMPLING), dtype=np.uint8)
    points = ((outline - (left, top)) * _SUPERSAMPLING - 0.5) * (1 << _SUBPIXEL_BITS)
    cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], color=255, shift=_SUBPIXEL_BITS)
    covered = cv2.resize(canvas, (int(right - left), int(bottom - top)), interpolation=cv2.INTER_AREA)
    return covered.astype(np.float32) / np.float32(255), (slice(top, bottom), slice(left, right))
