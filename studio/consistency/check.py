"""The one interface of all checks, and what they are shown of each frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from studio.consistency.report import CheckResult, score_of, worst_indices
from studio.media import Image

ANALYSIS_PIXELS = 320 * 180
Direction = Literal["higher_is_worse", "lower_is_worse"]


@dataclass(frozen=True, kw_only=True, eq=False)
class AnalysisFrame:
    """One frame as the checks see it; what several checks need is computed once, when the first asks.

    index: 0 for the first. time_seconds: since the first frame. image: (H, W, 3) uint8 RGB, full size.
    """

    index: int
    time_seconds: float
    image: Image

    @cached_property
    def small(self) -> Image:
        """(h, w, 3) uint8 RGB of about 320x180 pixels: the mean of whole blocks, so that no pattern aliases."""
        import cv2

        height, width = self.image.shape[:2]
        factor = max(1, round((width * height / ANALYSIS_PIXELS) ** 0.5))
        if factor == 1:
            return self.image
        size = (max(1, width // factor), max(1, height // factor))
        return _array(cv2.resize(self.image, size, interpolation=cv2.INTER_AREA))

    @cached_property
    def lab(self) -> Image:
        """(h, w, 3) uint8 Lab of `small` after a 3x3 blur, OpenCV's 8-bit levels: L 0..255, a and b around 128."""
        import cv2

        return _array(cv2.cvtColor(cv2.blur(self.small, (3, 3)), cv2.COLOR_RGB2LAB))

    @cached_property
    def mean_lightness(self) -> float:
        """Mean L of the frame in 8-bit levels, 0 to 255."""
        return float(self.lab[:, :, 0].mean())

    @cached_property
    def contrast(self) -> float:
        """How much there is to see: the largest standard deviation over the frame of R, G or B, in levels."""
        return float(self.small.reshape(-1, 3).astype(np.float32).std(axis=0).max())

    @property
    def is_blank(self) -> bool:
        """Whether the frame is one plain colour, black included, but for coding noise."""
        return self.contrast < BLANK_CONTRAST


# A shape of 1 % of the frame that differs by 20 levels gives 2.0; x264 at CRF 36 leaves plain colour below 0.5.
BLANK_CONTRAST = 1.5


class Check(Protocol):
    """Looks at a clip frame by frame, keeping at most a few frames, and gives a verdict at the end.

    id: as in reports. title: for people. unit: of value and threshold.
    threshold: the value at which the score is 0.5; values on the worse side of it fail.
    A check is made for one clip, with its frame rate in frames per second.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str]
    direction: ClassVar[Direction]
    threshold: ClassVar[float]

    def __init__(self, frame_rate: Fraction) -> None: ...

    def update(self, frame: AnalysisFrame) -> None:
        """Look at the next frame. Do not keep `frame` itself beyond the next call."""

    def finish(self) -> CheckResult:
        """Return the verdict; called once, after the last frame."""


def result(
    check: Check | type[Check],
    value: float,
    *,
    series: list[float | None],
    series_unit: str,
    frame_threshold: float,
    reason: str = "",
) -> CheckResult:
    """Judge a value where higher is worse. frame_threshold: from where a frame counts as one of the worst.

    reason: kept only if the check fails.
    """
    passed = value < check.threshold
    return CheckResult(
        id=check.id,
        title=check.title,
        unit=check.unit,
        threshold=check.threshold,
        score=score_of(value, check.threshold),
        value=value,
        passed=passed,
        reason="" if passed else reason,
        series=tuple(series),
        series_unit=series_unit,
        worst_frames=worst_indices(series, frame_threshold),
    )


def inconclusive(check: Check | type[Check], reason: str) -> CheckResult:
    """Say that nothing can be said, and why."""
    return CheckResult(
        id=check.id,
        title=check.title,
        unit=check.unit,
        threshold=check.threshold,
        score=None,
        value=None,
        passed=None,
        reason=reason,
    )


def _array(value: Any) -> NDArray[np.uint8]:
    """Give OpenCV's result the type that its stubs do not state."""
    return np.asarray(value, np.uint8)
