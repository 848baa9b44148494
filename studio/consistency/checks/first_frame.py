"""The first frame against the picture that the clip was made from."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.check import Check, ClipContext, inconclusive, verdict_of
from studio.consistency.facts import THUMB_COLUMNS, THUMB_ROWS, Floats, FrameFacts
from studio.consistency.frame import AnalysisFrame
from studio.consistency.report import CheckResult, Event
from studio.consistency.timeline import Timeline

# Where each of the three alone is too much; see the class.
_LOST_STRUCTURE = 0.4
_SHIFTED_COLOUR = 14.0
_SHIFTED_LIGHT = 40.0
# Levels squared: plain pictures have no structure to compare.
_PLAIN_POWER = 1.0


class FirstFrame(Check):
    """Compares a clip's first frame with the input picture of an image-to-video clip.

    value: the greatest of three, each as a share of what is allowed. Structure: one less the correlation of L between
    the two, finer than a twelfth of the picture's width, over 0.4. Colour: the mean distance in the plane of a and b,
    over 14 levels. Light: the difference of mean L, over 40 levels. All on (27, 48) Lab, OpenCV's 8-bit levels.
    Threshold 1, between these, measured on 37 clips and stills. The same picture blurred (sigma 2), as JPEG at quality
    30, softened and noisy as by an autoencoder, 8 % lighter, 10 % darker, moved by 1 % or enlarged by 2 %: structure at
    most .1, colour at most 12 and light at most 18 in 95 of 100. Other pictures: structure .7 or more in 99 of 100. Red
    and blue a quarter off: colour 16 in the median. Half the light: 55.
    """

    id: ClassVar[str] = "first_frame"
    title: ClassVar[str] = "First frame against the input picture"
    unit: ClassVar[str] = "times the difference allowed"
    threshold: ClassVar[float] = 1.0

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._input = None if clip.input_image is None else _thumb(clip.input_image)
        self._first: Floats | None = None
        self._num_frames = 0

    def update(self, facts: FrameFacts) -> None:
        if facts.index == 0:
            self._first = facts.thumb.astype(np.float32)
        self._num_frames = facts.index + 1

    def finish(self, timeline: Timeline) -> CheckResult:
        if self._input is None:
            return inconclusive(self, "there is no input picture")
        if self._first is None:
            return inconclusive(self, "there is no first frame")
        parts = differences(self._input, self._first)
        value = max(parts.values())
        names = " and ".join(name for name, part in parts.items() if part >= self.threshold)
        reason = f"the first frame differs from the input picture in {names}"
        series: list[float | None] = [value, *([None] * (self._num_frames - 1))]
        event = Event(first_frame=0, last_frame=0, value=value, reason=reason)
        return verdict_of(self, value, series=series, series_unit=self.unit, events=(event,), worst_frames=(0,))


def differences(picture: Floats, other: Floats) -> dict[str, float]:
    """Return how two (27, 48, 3) Lab pictures differ, each as a share of what is allowed."""
    offset = (picture - other).astype(np.float64)
    return {
        "structure": (1 - _correlation(_details(picture), _details(other))) / _LOST_STRUCTURE,
        "colour": float(np.hypot(offset[:, :, 1], offset[:, :, 2]).mean()) / _SHIFTED_COLOUR,
        "light": abs(float(offset[:, :, 0].mean())) / _SHIFTED_LIGHT,
    }


def _details(picture: Floats) -> NDArray[np.float64]:
    import cv2

    lightness = np.ascontiguousarray(picture[:, :, 0], np.float64)
    return np.asarray(cv2.GaussianBlur(lightness, (0, 0), 1.0) - cv2.GaussianBlur(lightness, (0, 0), 4.0))


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    power = ((first**2).mean() * (second**2).mean()) ** 0.5
    return float(((first * second).mean() + _PLAIN_POWER) / (power + _PLAIN_POWER))


def _thumb(image: NDArray[np.uint8]) -> Floats:
    import cv2

    lab = AnalysisFrame(index=0, time_seconds=0.0, image=image).lab
    return np.asarray(cv2.resize(lab, (THUMB_COLUMNS, THUMB_ROWS), interpolation=cv2.INTER_AREA), np.float32)
