"""Edits that are no faults: what a camera, an editor or a codec does to a clean clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.consistency.material import Frames, Material
from benchmarks.consistency.objects import thing_throughout

Edit = Literal[
    "pan",
    "zoom",
    "shake",
    "fast",
    "grain",
    "low_bitrate",
    "fade_from_black",
    "fade_to_black",
    "object_throughout",
    "darker",
]
EDITS: tuple[Edit, ...] = get_args(Edit)
LOW_BITRATE: Edit = "low_bitrate"

_PAN_WIDTHS_PER_SECOND = 0.05
_ZOOM_PER_SECOND = 0.05
_SHAKE_WIDTHS = 0.006
_MARGIN = 1.10
_FADE_SHARE = 0.4
_GRAIN_LEVELS = 4.0


def edit(material: Material, name: Edit) -> Frames:
    """Return the edited frames: as many as there were, fewer only where a clip of double speed lacks frames."""
    return _MAKE[name](material)


def _pan(material: Material) -> Frames:
    width = material.frames.shape[2]
    step = _PAN_WIDTHS_PER_SECOND * width / float(material.frame_rate)
    offsets = (np.arange(material.count) - (material.count - 1) / 2) * step
    return _moved(material, np.full(material.count, _MARGIN), np.stack([offsets, 0 * offsets], axis=1))


def _zoom(material: Material) -> Frames:
    zooms = (1 + _ZOOM_PER_SECOND) ** (np.arange(material.count) / float(material.frame_rate))
    return _moved(material, zooms, np.zeros((material.count, 2)))


def _shake(material: Material) -> Frames:
    """Move as a hand does: a smooth random path, some of it quick."""
    draws = material.rng.standard_normal((material.count + 40, 2))
    path = _smooth(draws, 4.0)
    path += 0.25 * _smooth(material.rng.standard_normal(draws.shape), 1.0)
    path = path[20:-20]
    offsets = _SHAKE_WIDTHS * material.frames.shape[2] * (path - path.mean(axis=0)) / path.std()
    return _moved(material, np.full(material.count, _MARGIN), offsets)


def _smooth(draws: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Return draws (N, 2) smoothed along the first axis, of standard deviation 1."""
    reach = np.arange(-round(4 * sigma), round(4 * sigma) + 1)
    kernel = np.exp(-((reach / sigma) ** 2) / 2)
    smooth = np.stack([np.convolve(column, kernel, mode="same") for column in draws.T], axis=1)
    return np.asarray(smooth / smooth.std(), np.float64)


def _moved(material: Material, zooms: NDArray[np.float64], offsets: NDArray[np.float64]) -> Frames:
    """Enlarge about the middle and move by pixels (T, 2)."""
    import cv2

    height, width = material.frames.shape[1:3]
    frames = []
    for image, zoom, offset in zip(material.frames, zooms, offsets, strict=True):
        shift = (1 - zoom) * np.array([width - 1, height - 1]) / 2 + offset
        matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        flags = cv2.INTER_LANCZOS4
        frames.append(cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT))
    return np.stack(frames).astype(np.uint8)


def _fast(material: Material) -> Frames:
    """Show every second frame."""
    total = material.count + len(material.following)
    return material.ordered(list(range(0, total, 2))[: material.count])


def _grain(material: Material) -> Frames:
    noise = material.rng.normal(0, _GRAIN_LEVELS, (*material.frames.shape[:3], 1)).astype(np.float32)
    return np.clip(np.rint(material.frames + noise), 0, 255).astype(np.uint8)


def _fade_from_black(material: Material) -> Frames:
    gains = np.clip(np.arange(material.count) / (_FADE_SHARE * material.count), 0, 1).astype(np.float32)
    return np.rint(material.frames * gains[:, None, None, None]).astype(np.uint8)


def _fade_to_black(material: Material) -> Frames:
    gains = np.clip(np.arange(material.count)[::-1] / (_FADE_SHARE * material.count), 0, 1).astype(np.float32)
    return np.rint(material.frames * gains[:, None, None, None]).astype(np.uint8)


def _darker(material: Material) -> Frames:
    return np.rint(material.frames * np.float32(0.75)).astype(np.uint8)


_MAKE: dict[Edit, Callable[[Material], Frames]] = {
    "pan": _pan,
    "zoom": _zoom,
    "shake": _shake,
    "fast": _fast,
    "grain": _grain,
    LOW_BITRATE: lambda material: material.frames,
    "fade_from_black": _fade_from_black,
    "fade_to_black": _fade_to_black,
    "object_throughout": lambda material: thing_throughout(material, 0.18).frames,
    "darker": _darker,
}
