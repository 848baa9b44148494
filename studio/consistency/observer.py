"""Looks at every frame once and puts what it sees into figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.consistency.facts import FLASH_COLUMNS, FLASH_ROWS, THUMB_COLUMNS, THUMB_ROWS, Floats, FrameFacts
from studio.consistency.frame import AnalysisFrame
from studio.consistency.motion import FlowMeter, Match, View, describe
from studio.consistency.picture import PICTURE_STRIDE, describe_picture
from studio.media import Image

HIGHEST_ANALYSED_RATE = 30
BLOCK = 8
# Levels: 10 % of full light is black.
DARK_LIGHTNESS = 26
# Where nothing changes by more than this, it is worth counting the pixels that are exactly equal.
CODED_CHANGE = 3.0


def analysis_step(frame_rate: Fraction) -> int:
    """Return n, where every n-th frame is analysed for motion: 1 up to about 30 frames per second, 2 at 60."""
    return max(1, round(frame_rate / HIGHEST_ANALYSED_RATE))


class Observer:
    """Turns frames into facts, each frame's once the next analysed one has been seen."""

    def __init__(self, frame_rate: Fraction) -> None:
        self._step = analysis_step(frame_rate)
        self._meter = FlowMeter()
        self._earlier: AnalysisFrame | None = None
        self._waiting: list[FrameFacts] = []
        self._pair: _Pair | None = None
        self._view: View | None = None

    def update(self, frame: AnalysisFrame) -> Iterator[FrameFacts]:
        """Look at the next frame; yields the facts that are complete by now, in order."""
        facts = _look(frame, self._earlier, is_analysed=frame.index % self._step == 0)
        if frame.index % (self._step * PICTURE_STRIDE) == 0:
            facts = replace(facts, picture=describe_picture(frame))
        self._earlier = frame
        if facts.is_analysed:
            view = View(frame.lab)
            past = future = None
            if self._view is not None:
                past, future = self._meter.match(self._view, view)
            yield from self._release(future)
            self._pair = None if past is None or self._view is None else _Pair(self._view, view, past)
            self._view = view
        self._waiting.append(facts)

    def finish(self) -> Iterator[FrameFacts]:
        """Yield what is left after the last frame."""
        yield from self._release(None)

    def _release(self, future: Match | None) -> Iterator[FrameFacts]:
        waiting, self._waiting = self._waiting, []
        for facts in waiting:
            if facts.is_analysed and self._pair is not None:
                pair = self._pair
                facts = replace(facts, motion=describe(pair.this, pair.earlier, pair.past, future))
            yield facts


@dataclass(frozen=True, eq=False)
class _Pair:
    earlier: View
    this: View
    past: Match


def observe(frames: Any, frame_rate: Fraction) -> list[FrameFacts]:
    """Return the facts of (T, H, W, 3) uint8 RGB frames."""
    observer = Observer(frame_rate)
    found: list[FrameFacts] = []
    for index, image in enumerate(frames):
        found += observer.update(AnalysisFrame(index=index, time_seconds=float(index / frame_rate), image=image))
    return [*found, *observer.finish()]


def _look(frame: AnalysisFrame, earlier: AnalysisFrame | None, *, is_analysed: bool) -> FrameFacts:
    import cv2

    lightness = frame.lab[:, :, 0]
    gray = cv2.cvtColor(frame.small, cv2.COLOR_RGB2GRAY)
    _, spread = cv2.meanStdDev(cv2.Laplacian(gray, cv2.CV_16S))
    change, unchanged, mean_change = float("nan"), 0.0, float("nan")
    if earlier is not None:
        change, unchanged = compare(earlier.image, frame.image)
        mean_change = float(cv2.absdiff(frame.lab, earlier.lab)[:, :, 0].mean())
    _, deviation = cv2.meanStdDev(frame.small)
    return FrameFacts(
        index=frame.index,
        time_seconds=frame.time_seconds,
        lightness=float(lightness.mean()),
        contrast=float(deviation.max()),
        dark_share=float((lightness < DARK_LIGHTNESS).mean()),
        thumb=np.asarray(cv2.resize(frame.lab, (THUMB_COLUMNS, THUMB_ROWS), interpolation=cv2.INTER_AREA), np.uint8),
        flash=_light(frame.small),
        change=change,
        unchanged=unchanged,
        mean_change=mean_change,
        sharpness=float(np.log1p(spread[0, 0] ** 2)),
        columns=_steps(frame.luma, axis=1),
        rows=_steps(frame.luma, axis=0),
        is_analysed=is_analysed,
        motion=None,
        picture=None,
    )


def compare(before: Image, after: Image) -> tuple[float, float]:
    """Return how two (H, W, 3) uint8 frames differ: most, and over how much of the picture not at all.

    The first figure is the mean absolute difference in levels of the 8x8 block that differs most; the second the share
    of pixels that are equal, 0 to 1, counted only where the first is small and 0 elsewhere.
    """
    import cv2

    difference = np.asarray(cv2.absdiff(before, after))
    if not difference.any():
        return 0.0, 1.0
    height, width = difference.shape[:2]
    size = (max(1, width // BLOCK), max(1, height // BLOCK))
    blocks = cv2.resize(difference.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    change = float(np.asarray(blocks).reshape(-1, 3).mean(axis=1).max())
    if change >= CODED_CHANGE:
        return change, 0.0
    return change, 1.0 - float(difference.any(axis=2).mean())


def _steps(luma: NDArray[np.uint8], axis: int) -> Floats:
    """Return the mean step in levels between neighbouring columns (axis 1) or rows (axis 0)."""
    import cv2

    first, second = (luma[:, :-1], luma[:, 1:]) if axis == 1 else (luma[:-1], luma[1:])
    if first.size == 0:
        return np.zeros(0, np.float32)
    means = cv2.reduce(cv2.absdiff(first, second), 0 if axis == 1 else 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)
    return np.asarray(means, np.float32).reshape(-1)


def _light(small: Image) -> Floats:
    """Return (18, 24, 4): relative luminance, R / (R + G + B) and CIE 1976 u', v' of linear sRGB, WCAG 2.2."""
    import cv2

    coarse = cv2.resize(small, (4 * FLASH_COLUMNS, 4 * FLASH_ROWS), interpolation=cv2.INTER_AREA)
    linear = cv2.resize(_linear()[coarse], (FLASH_COLUMNS, FLASH_ROWS), interpolation=cv2.INTER_AREA)
    xyz = np.asarray(linear) @ _XYZ_OF_SRGB.T
    divisor = xyz @ np.array([1.0, 15.0, 3.0], np.float32) + 1e-6
    red = linear[:, :, 0] / (linear.sum(axis=2) + 1e-6)
    parts = [xyz[:, :, 1], red, 4 * xyz[:, :, 0] / divisor, 9 * xyz[:, :, 1] / divisor]
    return np.stack(parts, axis=2).astype(np.float32)


@lru_cache(maxsize=1)
def _linear() -> Floats:
    """Return linear light, 0 to 1, of each sRGB level (IEC 61966-2-1)."""
    levels = np.arange(256) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4).astype(np.float32)


_XYZ_OF_SRGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
