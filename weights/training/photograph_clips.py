"""Short clips made of still pictures: a camera that pans over them or zooms, at a steady speed.

Every clip carries the mean optical flow that it shows, in pixels per frame; `motion_bucket` maps it to 1..255.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from weights.training.photographs import Picture, PictureMaker

SIZE = 128
NUM_FRAMES = 14
FASTEST = 1.0
"""Mean optical flow, in pixels per frame at 128x128, that gets motion bucket 255."""
SLOWEST = 0.05

Camera = Literal["left", "right", "up", "down", "in", "out"]
"""Where the picture's content goes; `in` comes nearer, `out` goes away."""

CAMERAS: tuple[Camera, ...] = get_args(Camera)

SHIPPED_CAMERAS: tuple[Camera, ...] = ("left",)
"""What micro-svd learns. With six directions drawn at random and nothing that names them, later frames stayed a blur of
all six after 2,600 steps; with one, the condition says all that there is to know."""

_DIRECTION: dict[Camera, tuple[float, float]] = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "up": (0.0, -1.0),
    "down": (0.0, 1.0),
}
_SUPERSAMPLING = 2
_CANVAS = 448
"""Pixels a side of the drawing that the camera moves over, at twice the scale of the clip."""
_MEAN_RADIUS = 0.3826 * SIZE
"""Mean distance of the pixels of a square from its centre: a zoom of rate r moves them by r times this on average."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """frames: (14, 128, 128, 3) uint8 RGB. flow: mean optical flow, pixels per frame. name: what happens in it."""

    frames: NDArray[np.uint8]
    flow: float
    name: str

    @property
    def motion_bucket_id(self) -> int:
        """The flow as the pipeline's number, in 1..255."""
        return motion_bucket(self.flow)


def motion_bucket(flow: float) -> int:
    """Mean optical flow, pixels per frame at 128x128, to 1..255: linear up to `FASTEST`."""
    return int(np.clip(round(255 * flow / FASTEST), 1, 255))


def measure_flow(frames: NDArray[np.uint8]) -> float:
    """Mean length of the dense inverse search flow (Kroeger et al. 2016) between neighbours, in pixels per frame."""
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    lengths = [
        np.linalg.norm(search.calc(first, second, None), axis=2).mean() for first, second in itertools.pairwise(grays)
    ]
    return float(np.mean(lengths))


def camera_clip(canvas: Picture, camera: Camera, flow: float) -> NDArray[np.float32]:
    """Move a window over `canvas` (448, 448, 3): (14, 128, 128, 3) float32 in [0, 1] whose mean flow is `flow`."""
    return np.stack([_window(canvas, *_pose(camera, flow, index)) for index in range(NUM_FRAMES)])


def _pose(camera: Camera, flow: float, index: int) -> tuple[float, float, float]:
    """(x, y, scale) of the window in frame `index`: its offset in clip pixels and its size against the first one's."""
    if camera in _DIRECTION:
        across, down = _DIRECTION[camera]
        return -across * flow * index, -down * flow * index, 1.0
    rate = flow / _MEAN_RADIUS
    return 0.0, 0.0, math.exp((-rate if camera == "in" else rate) * index)


def _window(canvas: Picture, x: float, y: float, scale: float) -> Picture:
    side = SIZE * _SUPERSAMPLING
    centre_x = canvas.shape[1] / 2 - 0.5 + x * _SUPERSAMPLING
    centre_y = canvas.shape[0] / 2 - 0.5 + y * _SUPERSAMPLING
    half = (side - 1) / 2
    matrix = np.array([[scale, 0, centre_x - scale * half], [0, scale, centre_y - scale * half]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    large = cv2.warpAffine(canvas, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return cv2.resize(large, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)


def draw_clip(maker: PictureMaker, rng: np.random.Generator, *, cameras: Sequence[Camera] = SHIPPED_CAMERAS) -> Clip:
    """A random picture under a camera that moves in one of `cameras`, at a speed uniform in its range."""
    flow = float(rng.uniform(SLOWEST, FASTEST))
    camera = cameras[int(rng.integers(len(cameras)))]
    canvas = maker.draw(rng, size=_CANVAS, supersampling=_SUPERSAMPLING)
    return Clip(frames=to_bytes(camera_clip(canvas, camera, flow)), flow=flow, name=camera)


def to_bytes(frames: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[0, 1] floats to bytes, rounded."""
    return (np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8)
