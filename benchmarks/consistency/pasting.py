"""Discs, noise and tracks: what faults with a place are made of, moving along with the scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.consistency.report import Region

Frames = NDArray[np.uint8]
Floats = NDArray[np.float32]
Point = tuple[float, float]

_TRACKED_PIXELS = 320 * 180
_SHORT_SIDE = 360
_TRIES = 40


def scale_of(frames: Frames) -> float:
    """Return by what to multiply lengths in pixels that were chosen for 640x360; small pictures keep half of them."""
    return float(np.clip(min(frames.shape[1:3]) / _SHORT_SIDE, 0.5, 2.0))


def short_side(frames: Frames) -> int:
    """Return the shorter of height and width, pixels."""
    return int(min(frames.shape[1:3]))


def a_place(frames: Frames, at: int, radius: float, rng: np.random.Generator, *, textured: bool = False) -> Point:
    """Draw a centre (x, y) in the middle of frame `at`, where there is light; textured: also where there is detail."""
    import cv2

    gray = cv2.cvtColor(frames[at], cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = (2 * int(radius) + 1,) * 2
    light = cv2.blur(gray, size)
    spread = np.sqrt(np.maximum(cv2.blur(gray * gray, size) - light * light, 0))
    height, width = gray.shape
    places = [(rng.uniform(0.25, 0.75) * (width - 1), rng.uniform(0.25, 0.75) * (height - 1)) for _ in range(_TRIES)]
    lit = [(x, y) for x, y in places if light[int(y), int(x)] > 40]
    if textured:
        return max(lit or places, key=lambda place: spread[int(place[1]), int(place[0])])
    return max(places, key=lambda place: light[int(place[1]), int(place[0])]) if not lit else lit[0]


def follow(frames: Frames, at: int, centre: Point, radius: float) -> NDArray[np.float64]:
    """Return (T, 2) x, y of a point that sticks to the scene: `centre` in frame `at`, elsewhere along the flow."""
    import cv2

    height, width = frames.shape[1:3]
    factor = max(1, round((width * height / _TRACKED_PIXELS) ** 0.5))
    size = (width // factor, height // factor)
    grays = [
        cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY) for image in frames
    ]
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    centres = np.zeros((len(frames), 2))
    centres[at] = centre
    for step, indices in ((1, range(at, len(frames) - 1)), (-1, range(at, 0, -1))):
        for index in indices:
            flow = search.calc(grays[index], grays[index + step], None)
            centres[index + step] = centres[index] + factor * _flow_at(flow, centres[index] / factor, radius / factor)
    return centres


def _flow_at(flow: Floats, centre: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return the median flow (x, y) in a box, of the nearest part of the picture where the box is outside."""
    height, width = flow.shape[:2]
    x, y = np.clip(centre, 0, (width - 1, height - 1))
    rows = slice(max(0, int(y - radius)), int(y + radius) + 1)
    columns = slice(max(0, int(x - radius)), int(x + radius) + 1)
    return np.asarray(np.median(flow[rows, columns].reshape(-1, 2), axis=0), np.float64)


def disc(shape: tuple[int, ...], centre: NDArray[np.float64] | Point, radius: float, softness: float) -> Floats:
    """Return (H, W, 1) float32 in [0, 1]: 1 inside, exactly 0 beyond `radius`.

    softness: share of the radius, from the edge inwards, over which it falls.
    """
    height, width = shape[:2]
    x = np.arange(width, dtype=np.float32)[None] - np.float32(centre[0])
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(centre[1])
    inside = np.clip((1 - np.hypot(x, y) / np.float32(radius)) / np.float32(softness), 0, 1)
    return np.asarray((inside * inside * (3 - 2 * inside))[:, :, None], np.float32)


def blend(image: NDArray[np.uint8], other: Floats, share: Floats | float) -> NDArray[np.uint8]:
    """Return image + share * (other - image); where the share is 0 the image stays as it is."""
    return np.clip(np.rint(image + share * (other - image)), 0, 255).astype(np.uint8)


def band_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Floats:
    """Return (H, W, 1) float32 noise of mean 0 and standard deviation 1 with detail of about `sigma` to 3 `sigma`."""
    import cv2

    white = rng.standard_normal(shape[:2]).astype(np.float32)
    noise = cv2.GaussianBlur(white, (0, 0), sigma) - cv2.GaussianBlur(white, (0, 0), 3 * sigma)
    return np.asarray((noise / noise.std())[:, :, None], np.float32)


class Sticker:
    """A textured disc of a colour that differs from what is around `centre` in `image`. radius: pixels."""

    def __init__(self, image: NDArray[np.uint8], centre: Point, radius: float, rng: np.random.Generator) -> None:
        self._radius = radius
        self._side = 2 * int(np.ceil(radius)) + 3
        around = disc(image.shape, centre, radius, 0.1)
        mean = (image * around).sum(axis=(0, 1)) / max(float(around.sum()), 1.0)
        colours = rng.uniform(30, 225, (_TRIES, 3))
        differing = [colour for colour in colours if np.abs(colour - mean).mean() >= 40]
        shape = (self._side, self._side)
        noise = 18 * band_noise(rng, shape, max(1.0, radius / 10)) + 8 * band_noise(rng, shape, 1.5)
        self._texture = np.clip((differing or [*colours])[0] + noise, 0, 255).astype(np.float32)

    def on(
        self, image: NDArray[np.uint8], centre: NDArray[np.float64] | Point, share: float = 1.0
    ) -> NDArray[np.uint8]:
        """Return the image with the disc at `centre` (x, y), there by `share` (0 to 1)."""
        import cv2

        height, width = image.shape[:2]
        middle = (self._side - 1) / 2
        move = np.array([[1, 0, centre[0] - middle], [0, 1, centre[1] - middle]], np.float64)
        texture = cv2.warpAffine(self._texture, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
        cover = disc(image.shape, centre, self._radius, min(1.0, 2 / self._radius))
        return blend(image, np.asarray(texture, np.float32), share * cover)


def region_of(frames: Frames, centres: NDArray[np.float64], radius: float) -> Region:
    """Return the box, in shares of the frame, that holds discs at all `centres` (N, 2)."""
    height, width = frames.shape[1:3]
    left, top = np.clip((centres.min(axis=0) - radius - 1) / (width, height), 0, 1)
    right, bottom = np.clip((centres.max(axis=0) + radius + 2) / (width, height), 0, 1)
    return Region(x=float(left), y=float(top), width=float(right - left), height=float(bottom - top))
