"""Arithmetic on tiles: neighbours taken together, figures carried along the motion, places turned into regions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.consistency.report import Region
from studio.consistency.window import Window, tile_region

Maps = NDArray[np.float32]

# Levels of L; where fewer tiles than that are brighter, the dark ones are judged too.
_LIT_LIGHTNESS = 30
_LEAST_LIT_TILES = 9
# Levels per pixel: where there is less gradient, flow is a guess; with fewer such tiles there is hardly a picture.
_LEAST_GRADIENT = 2.0
_LEAST_TEXTURED_SHARE = 1 / 6


def blocks(maps: NDArray[np.floating], size: int = 2) -> Maps:
    """Return the mean of every `size` x `size` neighbouring tiles: (..., r, c) to (..., r - size + 1, c - size + 1)."""
    rows, columns = maps.shape[-2:]
    high, wide = min(size, rows), min(size, columns)
    sums = np.zeros((*maps.shape[:-2], rows - high + 1, columns - wide + 1), np.float32)
    for down in range(high):
        for right in range(wide):
            sums += maps[..., down : rows - high + 1 + down, right : columns - wide + 1 + right]
    return np.asarray(sums / (high * wide), np.float32)


def peak(tile_map: NDArray[np.floating]) -> tuple[int, int]:
    """Return row and column of the greatest figure of (r, c)."""
    row, column = np.unravel_index(int(np.argmax(tile_map)), tile_map.shape)
    return int(row), int(column)


def block_region(place: tuple[int, int], size: int, tiles: tuple[int, int]) -> Region:
    """Return the part of the frame that a block covers. place: row and column among blocks. tiles: rows, columns."""
    return tile_region(place[0], place[1], min(size, tiles[0]), min(size, tiles[1]), tiles)


def carried(map_before: Maps, flow: Maps, shape: tuple[int, int]) -> Maps:
    """Return (r, c) or (r, c, k) figures of the frame before, moved to where their contents are now.

    flow: (tr, tc, 2) pixels of a picture of `shape` (h, w), from the frame before to this one, on tiles of its own.
    """
    import cv2

    rows, columns = map_before.shape[:2]
    there = cv2.resize(flow, (columns, rows), interpolation=cv2.INTER_LINEAR)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    from_x = x - there[:, :, 0] * (columns / shape[1])
    from_y = y - there[:, :, 1] * (rows / shape[0])
    moved = cv2.remap(map_before, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(moved, np.float32)


def carried_sums(window: Window, steps: Maps, memory: int) -> Maps:
    """Return (n, r, c, k + 1): sums of (n, r, c, k) steps carried along the motion, and of their lengths.

    memory: frames after which a step has faded to 1/e. Sums begin anew after a frame that cannot be judged.
    """
    flow = window.motion("flow")
    keep = 1 - 1 / memory
    sums = np.zeros((*steps.shape[1:3], steps.shape[3] + 1), np.float32)
    found = []
    for index, is_usable in enumerate(window.usable):
        if is_usable:
            length = np.linalg.norm(steps[index], axis=2, keepdims=True)
            sums = keep * carried(sums, flow[index], window.shape) + np.concatenate([steps[index], length], axis=2)
        else:
            sums = np.zeros_like(sums)
        found.append(sums)
    return np.stack(found)


def lit_median(tile_map: Maps, thumb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (k,): the median of (r, c, k) over the tiles that are not black, of all of them where hardly any is lit.

    thumb: (27, 48, 3) uint8 Lab of the same frame.
    """
    lit = _lit(thumb, tile_map.shape[:2])
    chosen = tile_map[lit] if lit.sum() >= _LEAST_LIT_TILES else tile_map.reshape(-1, tile_map.shape[2])
    return np.asarray(np.median(chosen, axis=0), np.float64)


def always_lit(window: Window) -> NDArray[np.bool_]:
    """Return (r, c): the tiles that are not black in any frame of a window."""
    tiles = window.motion("valid").shape[1:3]
    return np.asarray(np.all([_lit(frame.thumb, tiles) for frame in window.frames], axis=0))


def _lit(thumb: NDArray[np.uint8], tiles: tuple[int, ...]) -> NDArray[np.bool_]:
    import cv2

    light = cv2.resize(np.ascontiguousarray(thumb[:, :, 0]), (tiles[1], tiles[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(light) >= _LIT_LIGHTNESS


def textured(window: Window) -> NDArray[np.bool_]:
    """Return (r, c): the tiles with detail enough for optical flow to hold on to."""
    gradient = window.motion("gradient")[window.usable]
    return np.asarray(np.median(gradient, axis=0) >= _LEAST_GRADIENT)


def is_mostly_plain(window: Window) -> bool:
    """Say whether too little of the picture has detail to judge the whole by."""
    return bool(textured(window).mean() < _LEAST_TEXTURED_SHARE)
