"""Traces that encoding, cropping and scaling leave in the picture. Each is a hint with its own uncertainty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.inspection.report import ChecklistItem, MediaFacts
from studio.media import Image

PICTURE_FRAMES = 8
_EVERY = 6
_MAX_SIDE = 1920

# Measured on 38 real and generated files, and on crops and enlargements of some of them.
GRID_NOTICE = 6.0  # standard errors above the other phases
_AHEAD = 1.5  # times the next one
DETAIL_NOTICE = 0.012  # energy of the finest detail, relative to that of coarser detail
_ENOUGH_TEXTURE = 1.0  # levels of luma

Gray = NDArray[np.float32]


class PictureViewer:
    """Measures the grid of blocks and the finest detail in a few frames."""

    def __init__(self) -> None:
        self._seen = 0
        self._count = 0
        self._columns = np.zeros(8)
        self._rows = np.zeros(8)
        self._fine = self._coarse = 0.0

    @property
    def is_done(self) -> bool:
        return self._count >= PICTURE_FRAMES

    def look(self, image: Image) -> None:
        """Look at the next frame, (H, W, 3) uint8 RGB; only every sixth is measured."""
        if self._seen % _EVERY == 0:
            gray = _middle(image)
            if min(gray.shape) >= 64:
                self._measure(gray)
        self._seen += 1

    def _measure(self, gray: Gray) -> None:
        self._columns += grid_phases(gray)
        self._rows += grid_phases(np.ascontiguousarray(gray.T))
        fine, coarse = detail(gray)
        self._fine += fine
        self._coarse += coarse
        self._count += 1

    def items(self, facts: MediaFacts) -> list[ChecklistItem]:
        """Return what the frames that were seen tell."""
        return [self._grid(), self._detail(facts)]

    def _grid(self) -> ChecklistItem:
        title, item_id = "grid of coding blocks", "picture.grid"
        if self._count == 0:
            return _unknown(item_id, title, "no frame could be measured")
        shifted = {
            "left": shifted_phase(self._columns / self._count),
            "top": shifted_phase(self._rows / self._count),
        }
        found = [f"{phase} pixels from the {side}" for side, phase in shifted.items() if phase is not None]
        if not found:
            return ChecklistItem(id=item_id, title=title, result="ok",
                                 detail="no grid that is out of place; a strong re-encode removes it")  # fmt: skip
        return ChecklistItem(
            id=item_id,
            title=title,
            result="notice",
            detail=f"edges of blocks lie {' and '.join(found)} edge: it was probably cropped after it had been "
            "encoded once. Patterns in the scene can look alike",
        )

    def _detail(self, facts: MediaFacts) -> ChecklistItem:
        title, item_id = "finest detail", "picture.detail"
        if self._count == 0 or self._coarse / self._count < _ENOUGH_TEXTURE:
            return _unknown(item_id, title, "too little texture to tell")
        if self._fine / self._coarse >= DETAIL_NOTICE:
            return ChecklistItem(id=item_id, title=title, result="ok", detail="the picture uses its resolution")
        return ChecklistItem(
            id=item_id,
            title=title,
            result="notice",
            detail=f"no detail is finer than about two pixels of its {facts.width} x {facts.height}: it may have been "
            "enlarged or encoded hard, and soft scenes look the same",
        )


def shifted_phase(phases: NDArray[np.float64]) -> int | None:
    """Return the phase at which a grid that does not start at the edge stands out, None without one.

    phases: (8,), as `grid_phases` measures them. Encoders work in steps of four pixels from the edge, so 0 and 4 are
    where a grid belongs; the colour planes, at half the resolution, raise all even phases alike.
    """
    order = np.argsort(phases)[::-1]
    best, second = int(order[0]), float(phases[order[1]])
    stands_out = phases[best] >= GRID_NOTICE and phases[best] >= _AHEAD * second
    return best if best % 4 and stands_out else None


def grid_phases(gray: Gray) -> NDArray[np.float64]:
    """Return how much stronger edges between columns are at each of eight phases than at their neighbours.

    -> (8,), in standard errors. gray: (H, W) luma. After Fan and de Queiroz 2003 (https://doi.org/10.1109/TIP.2002.807361).
    """
    step = np.minimum(np.abs(np.diff(gray, axis=1)), 12.0)
    excess = step[:, 1:-1] - 0.5 * (step[:, :-2] + step[:, 2:])
    per_column = excess.mean(axis=0, dtype=np.float64)  # column k: the edge before pixel k + 2
    position = (np.arange(per_column.size) + 2) % 8
    means = np.array([np.median(per_column[position == phase]) for phase in range(8)])
    spread = np.array([_spread(per_column[position == phase]) for phase in range(8)])
    others = np.median(means)
    return np.asarray((means - others) / np.maximum(spread, 1e-3), np.float64)


def _spread(values: NDArray[np.float64]) -> float:
    """Return the standard error of the median, by the median deviation, which lone edges do not disturb."""
    deviation = float(np.median(np.abs(values - np.median(values))))
    return float(1.86 * deviation / max(values.size, 1) ** 0.5)


def detail(gray: Gray) -> tuple[float, float]:
    """Return the energy of the finest detail (0.36 to 0.5 cycles a pixel) and of coarser (0.12 to 0.25), both axes."""
    fine = coarse = 0.0
    for picture in (gray, gray.T):
        window = np.hanning(picture.shape[1]).astype(np.float32)
        power = (np.abs(np.fft.rfft((picture - picture.mean(axis=1, keepdims=True)) * window, axis=1)) ** 2).mean(
            axis=0
        )
        frequency = np.linspace(0.0, 0.5, power.size)
        scale = picture.shape[1]
        fine += float(power[frequency >= 0.36].sum() / scale**2)
        coarse += float(power[(frequency >= 0.12) & (frequency < 0.25)].sum() / scale**2)
    return fine, coarse


def _middle(image: Image) -> Gray:
    """Return the luma of the frame, at most 1920 x 1920 of it, cut at multiples of eight so that phases stay."""
    import cv2

    height, width = image.shape[:2]
    top, left = (max(0, (side - _MAX_SIDE) // 2) // 8 * 8 for side in (height, width))
    part = np.ascontiguousarray(image[top : top + _MAX_SIDE, left : left + _MAX_SIDE])
    return np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), np.float32)


def _unknown(item_id: str, title: str, detail_words: str) -> ChecklistItem:
    return ChecklistItem(id=item_id, title=title, result="unknown", detail=detail_words)
