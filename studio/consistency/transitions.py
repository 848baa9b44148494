"""How one picture gives way to another: fades, dissolves and cuts, told from a few figures per frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from studio.consistency.facts import THUMB_COLUMNS, THUMB_ROWS
from studio.consistency.spans import Span, runs

Numbers = NDArray[np.float64]
Target = Literal["black", "white"]

# A frame is all but plain, the far end of a fade, below this many levels of contrast or this share of what is around.
_PLAIN_CONTRAST = 6.0
_PLAIN_SHARE = 0.15
_BLACK_LIGHTNESS, _WHITE_LIGHTNESS = 40.0, 225.0
# A ramp rises by this share of itself with each frame, may pause for two frames, and no step makes up half of it.
_LEAST_GROWTH = 0.006
_LONGEST_PAUSE = 2
_LARGEST_STEP = 0.4
_LEAST_RISE = 8.0
_WRONG_WAY_SHARE = 0.15
_STEEP_SHARE = 0.7
_LEAST_FRAMES = 5
_LEAST_SECONDS = 0.2
# A ramp downwards whose end is not in sight yet counts once this share of light and contrast is gone.
_SHARE_LOST = 0.3
# The last frames of a ramp differ too little from the ones after it to be told apart, but flow sees the difference.
_MARGIN = 2

_CUT_NEIGHBOURS = 9
_STEP_FLOOR = 1.0
_LARGEST_STEP_RATIO = 8.0

_MOTION_SHARE, _BLEND_SHARE = 0.32, 0.45

BLEND_REACH = 6
BLEND_DISTANCE = 9.0


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """first, last: frames of the clip, both included."""

    first: int
    last: int

    @property
    def num_frames(self) -> int:
        """How many frames it has."""
        return self.last - self.first + 1


@dataclass(frozen=True, kw_only=True)
class Fade(Stretch):
    """A picture that comes out of black or white, or goes there."""

    target: Target
    is_in: bool


def find_fades(lightness: Numbers, contrast: Numbers, frame_rate: float, *, is_open: bool = False) -> list[Fade]:
    """Return the fades in (n,) mean lightness, 0 to 255, and contrast, levels, of frames in a row.

    Contrast ramps evenly to or from almost nothing over a fifth of a second or more, with lightness going along to
    black or white; so a dimmed or black moment between two bright frames is none. is_open: more frames will follow, and
    a ramp downwards that the last one is part of may count already.
    """
    least = max(_LEAST_FRAMES, round(frame_rate * _LEAST_SECONDS))
    found: list[Fade] = []
    for first, last in _plain_runs(lightness, contrast, max(least, round(2 * frame_rate))):
        for is_in, start, along in ((True, last, slice(last, None)), (False, first, slice(first, None, -1))):
            length = _ramp(lightness[along], contrast[along])
            if length >= least:
                end = start + length if is_in else start - length
                found.append(_fade(first, last, end, len(contrast), lightness[start], is_in=is_in))
    if is_open:
        length = _open_ramp(lightness[::-1], contrast[::-1])
        if length > least:
            last = len(contrast) - 1
            found.append(Fade(first=max(0, last - length - _MARGIN), last=last, target="black", is_in=False))
    return found


def _fade(first: int, last: int, end: int, count: int, lightness: float, *, is_in: bool) -> Fade:
    """Return the fade between a plain run and the frame where its ramp ends."""
    target: Target = "black" if lightness < (_BLACK_LIGHTNESS + _WHITE_LIGHTNESS) / 2 else "white"
    if is_in:
        return Fade(first=first, last=min(count - 1, end + _MARGIN), target=target, is_in=True)
    return Fade(first=max(0, end - _MARGIN), last=last, target=target, is_in=False)


def _plain_runs(lightness: Numbers, contrast: Numbers, reach: int) -> list[Span]:
    """Return (first, last) of each group of frames with next to nothing on them, black or white."""
    around = _windows(contrast, min(reach, len(contrast))).max(axis=1)
    plain = contrast < np.maximum(_PLAIN_CONTRAST, _PLAIN_SHARE * around)
    plain &= (lightness < _BLACK_LIGHTNESS) | (lightness > _WHITE_LIGHTNESS)
    return runs(plain)


def _ramp(lightness: Numbers, contrast: Numbers) -> int:
    """Return how many frames after the first contrast rises evenly for, 0 where it does not."""
    end, top = 0, float(contrast[0])
    for index in range(1, len(contrast)):
        if contrast[index] > top * (1 + _LEAST_GROWTH) + 0.05:
            end, top = index, float(contrast[index])
        elif index - end > _LONGEST_PAUSE or contrast[index] < 0.93 * top - 0.5:
            break
    rise = top - float(contrast[0])
    if end == 0 or rise < _LEAST_RISE or np.diff(contrast[: end + 1]).max() > _LARGEST_STEP * rise:
        return 0
    end = _knee(contrast[: end + 1])
    return end if _goes_one_way(lightness[: end + 1]) else 0


def _knee(contrast: Numbers) -> int:
    """Return where a ramp ends, rather than the picture itself gaining contrast: its steps fall below a third."""
    rise = contrast - contrast[0]
    end = int(np.argmax(rise >= _STEEP_SHARE * rise[-1]))
    steep = rise[end] / max(1, end)
    while end + 1 < len(contrast) and contrast[min(end + 2, len(contrast) - 1)] - contrast[end] > 2 * steep / 3:
        end += 1
    return end


def _goes_one_way(lightness: Numbers) -> bool:
    steps = np.diff(lightness)
    total = float(steps.sum())
    wrong = float(np.maximum(0, -steps * np.sign(total)).sum())
    return abs(total) >= _LEAST_RISE and wrong <= _WRONG_WAY_SHARE * abs(total)


def _open_ramp(lightness: Numbers, contrast: Numbers) -> int:
    """Return the length of a ramp upwards that begins anywhere above black; both arrays run backwards in time."""
    length = _ramp(lightness, contrast)
    if length == 0:
        return 0
    has_lost = contrast[0] < (1 - _SHARE_LOST) * contrast[length]
    return length if has_lost and lightness[0] < (1 - _SHARE_LOST) * lightness[length] else 0


def cut_scores(hidden: Numbers, step: Numbers) -> Numbers:
    """Return (n,) how much each frame looks like the first of another shot, 0 to 1.

    hidden: (n,) share of the picture that the frame before does not show, by optical flow. step: (n,) mean difference
    of thumbnails, Lab levels. The share that suddenly finds no match, times how far the step stands out.
    """
    if len(hidden) == 0:
        return np.zeros(0)
    collapse = np.maximum(0.0, hidden - usual_of(hidden, _CUT_NEIGHBOURS))
    ratio = step / (usual_of(step, _CUT_NEIGHBOURS) + _STEP_FLOOR)
    return np.asarray(collapse * np.minimum(1.0, ratio / _LARGEST_STEP_RATIO), np.float64)


def shot_step(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Return how two pictures differ, mean levels of Lab, but for their light: 0 for one dimmed or gone black.

    before, after: (27, 48, 3) float32 Lab.
    """
    black = np.array([0, 128, 128], np.float32)
    first, second = (before - black).ravel(), (after - black).ravel()
    common = float(first @ second)
    brighter = np.abs(second - common / (float(first @ first) + 1.0) * first).mean()
    darker = np.abs(first - common / (float(second @ second) + 1.0) * second).mean()
    return float(min(brighter, darker))


def blend_score(before: NDArray[Any], quarters: NDArray[Any], after: NDArray[Any]) -> float:
    """Return how much pictures look like a blend of the two they lie between, 0 to 1.

    before, after: (27, 48, 3) float32 Lab. quarters: (3, 27, 48, 3) a quarter, half and three quarters of the way.
    """
    change = after - before
    distance = float(np.abs(change).mean())
    if distance < BLEND_DISTANCE / 2:
        return 0.0
    shares = np.array([0.25, 0.5, 0.75], np.float32)[:, None, None, None]
    errors = np.abs(quarters - (before + shares * change)).mean(axis=(1, 2, 3))
    return max(0.0, 1.0 - float(errors.max()) / distance) * min(1.0, distance / BLEND_DISTANCE)


def unexplained(residuals: NDArray[Any], before: NDArray[Any], after: NDArray[Any]) -> float:
    """Return 1 where motion does not explain how one picture became another over some frames, 0 where it does.

    residuals: (n, r, c, 3) what is left of each frame's change after motion, mean Lab levels of tiles. before, after:
    (27, 48, 3) float32 Lab. Their sum over the frames is .5 to 1 of the whole change in dissolves, where nothing moves
    there, and .3 or less in pans and zooms, whose errors cancel.
    """
    share = float(np.abs(residuals.sum(axis=0)).mean()) / (float(np.abs(after - before).mean()) + 1e-6)
    return float(np.clip((share - _MOTION_SHARE) / (_BLEND_SHARE - _MOTION_SHARE), 0.0, 1.0))


def usual_of(values: Numbers, reach: int) -> Numbers:
    """Return what is usual around each item: the median, over `reach` on either side, of the largest of each three.

    Of three, as up to two frames in three may be repeats, which change by nothing. Mirrored at the ends.
    """
    largest = _windows(values, 1).max(axis=1)
    return np.asarray(np.median(_windows(largest, reach), axis=1), np.float64)


def _windows(values: Numbers, reach: int) -> Numbers:
    padded = np.pad(values, reach, mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)


def held_still(thumbs: NDArray[Any], moves: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return (n, 27, 48, ...) thumbnails moved back to where the first one is.

    moves: (n, 2, 3) the camera's move to each from the one before, pixels of the analysed picture,
    which is of `shape` (h, w).
    """
    import cv2

    across, down = THUMB_COLUMNS / shape[1], THUMB_ROWS / shape[0]
    centred = np.array([[across, 0, (THUMB_COLUMNS - 1) / 2], [0, down, (THUMB_ROWS - 1) / 2], [0, 0, 1]])
    position, held = np.eye(3), [thumbs[0]]
    for thumb, move in zip(thumbs[1:], moves[1:], strict=True):
        step: NDArray[Any] = np.eye(3)
        step[:2] += move
        position = step @ position
        where = (centred @ position @ np.linalg.inv(centred))[:2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (THUMB_COLUMNS, THUMB_ROWS)
        held.append(np.asarray(cv2.warpAffine(thumb, where, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)))
    return np.stack(held).astype(np.float32)
