"""What a clip does as a whole, and what explains frames away from the other checks: fades, dissolves, cuts, cadence."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from studio.consistency.facts import FrameFacts
from studio.consistency.transitions import (
    BLEND_REACH,
    Fade,
    Numbers,
    Stretch,
    blend_score,
    cut_scores,
    find_fades,
    shot_step,
    unexplained,
    usual_of,
)

# How many analysed frames the timeline looks ahead before it says what a frame belongs to.
LOOKAHEAD = 24
# Where nothing changes by more than this many levels, a frame is the one before again, whatever the clip.
SAME_CHANGE = 0.25
# After lossy coding: less than this many levels, and this share of the usual change. Laxer than for a single repeat,
# as a cadence is only believed when repeats come on time again and again.
CODED_SAME_CHANGE = 9.0
SAME_SHARE = 1 / 3
# From here on a frame begins another shot, and half of one is another picture; clean clips stay below .06.
BROKEN_SCORE = 0.15
# A blend of pictures to this degree is a dissolve: real ones measure .63 and more, clean clips less than .46.
BLEND_SCORE = 0.6
# One plain colour, black included, but for coding noise: a shape of 1 % of the frame that differs by 20 levels has a
# contrast of 2.0; x264 at CRF 36 leaves plain colour below 0.5.
PLAIN_CONTRAST = 1.5

_PIECE = 256
_REPEAT_NEIGHBOURS = 6
_PERIODS = range(2, 31)
_LEAST_PERIODS = 4
_ON_TIME_SHARE = 0.85
_STILL_SHARE = 0.85


@dataclass(frozen=True, kw_only=True)
class Cadence:
    """Frames repeat in a regular pattern. period: frames after which it starts again. share: of frames that repeat."""

    period: int
    share: float


class Timeline:
    """Finds what masks others. Asked about frames once `LOOKAHEAD` more of them were seen, or at the end.

    It keeps a few figures per frame, 40 bytes, and no pictures but the last dozen thumbnails.
    """

    def __init__(self, frame_rate: Fraction) -> None:
        self.frame_rate = frame_rate
        self._lightness, self._contrast, self._change = array("f"), array("f"), array("f")
        self._analysed, self._hidden, self._step, self._blend = array("l"), array("f"), array("f"), array("f")
        self._thumbs: deque[NDArray[np.float32]] = deque(maxlen=2 * BLEND_REACH + 1)
        self._residuals: deque[NDArray[np.float32] | None] = deque(maxlen=2 * BLEND_REACH + 1)

    def update(self, facts: FrameFacts) -> None:
        """Take the next frame."""
        self._lightness.append(facts.lightness)
        self._contrast.append(facts.contrast)
        self._change.append(facts.change)
        if facts.is_analysed:
            self._update_analysed(facts)

    def _update_analysed(self, facts: FrameFacts) -> None:
        thumb = facts.thumb.astype(np.float32)
        step = shot_step(self._thumbs[-1], thumb) if self._thumbs else 0.0
        self._analysed.append(facts.index)
        self._hidden.append(0.0 if facts.motion is None else 1.0 - float(facts.motion.valid.mean()))
        self._step.append(step)
        self._blend.append(0.0)
        self._thumbs.append(thumb)
        self._residuals.append(None if facts.motion is None else facts.motion.residual)
        if len(self._thumbs) > 2 * BLEND_REACH:
            self._blend[-1 - BLEND_REACH] = self._blend_score()

    def _blend_score(self) -> float:
        half = BLEND_REACH // 2
        quarters = np.stack([self._thumbs[half], self._thumbs[2 * half], self._thumbs[3 * half]])
        likeness = blend_score(self._thumbs[0], quarters, self._thumbs[-1])
        known = [item for item in list(self._residuals)[1:] if item is not None]
        if likeness < BLEND_SCORE / 2 or not known:
            return likeness if known else 0.0
        return likeness * unexplained(np.stack(known), self._thumbs[0], self._thumbs[-1])

    def fading(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of each frame whether it is part of a fade or a dissolve."""
        first, last = int(indices.min()), int(indices.max())
        margin = max(_PIECE, round(4 * float(self.frame_rate)))
        start = max(0, first - margin)
        masked = np.zeros(last + 1, bool)
        for stretch in [*self._fades_from(start, is_open=True), *self._dissolves_from(start)]:
            masked[stretch.first : stretch.last + 1] = True
        return np.asarray(masked[indices], bool)

    def broken(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of each frame whether it does not follow from the one before: another shot, or plain beside a picture."""
        first, last = int(indices.min()), int(indices.max())
        start = max(0, first - _PIECE)
        marks = np.zeros(last + 1, bool)
        plain = self._numbers(self._contrast, start)[: last + 1 - start] < PLAIN_CONTRAST
        marks[start:] = plain | np.concatenate([[False], plain[:-1]])
        places, scores = self.cuts_from(start)
        cut = places[scores >= BROKEN_SCORE]
        marks[cut[cut <= last]] = True
        return np.asarray(marks[indices], bool)

    def cuts_from(self, start: int) -> tuple[NDArray[np.int64], Numbers]:
        """Return the analysed frames from `start` on, and to what degree each is the first of another shot, 0 to 1."""
        analysed = self.analysed
        place = int(np.searchsorted(analysed, start))
        hidden, step = self._numbers(self._hidden, place), self._numbers(self._step, place)
        if place == 0 and len(step) > 1:
            step[0] = step[1]  # the first frame follows nothing
        return analysed[place:], cut_scores(hidden, step)

    @property
    def analysed(self) -> NDArray[np.int64]:
        """(m,) the indices of the frames that were analysed for motion."""
        return np.array(self._analysed, np.int64)

    @property
    def contrast(self) -> Numbers:
        """(n,) contrast of every frame, levels."""
        return self._numbers(self._contrast)

    @property
    def blends(self) -> Numbers:
        """(m,) to what degree each analysed frame blends those half a dozen before and after it, 0 to 1.

        0 for what is part of a fade.
        """
        scores, analysed = self._numbers(self._blend), self.analysed
        for fade in self.fades:
            scores[(analysed >= fade.first - BLEND_REACH) & (analysed <= fade.last + BLEND_REACH)] = 0.0
        return scores

    @property
    def fades(self) -> list[Fade]:
        """The fades of the clip, in order of time; asked at the end."""
        return sorted(self._fades_from(0, is_open=False), key=lambda fade: fade.first)

    @cached_property
    def repeats(self) -> NDArray[np.bool_]:
        """(n,) whether a frame may be the one before again; asked at the end."""
        change = self._numbers(self._change)
        if len(change) < 2:
            return np.zeros(len(change), bool)
        change[0] = change[1]
        most = np.minimum(CODED_SAME_CHANGE, SAME_SHARE * usual_of(change, _REPEAT_NEIGHBOURS))
        same = change < np.maximum(SAME_CHANGE, most)
        same[0] = False
        return np.asarray(same & (self.contrast >= PLAIN_CONTRAST), bool)

    @cached_property
    def cadence(self) -> Cadence | None:
        """The regular pattern in which frames repeat, if there is one; asked at the end."""
        same = self.repeats
        share = float(same.mean()) if len(same) else 0.0
        if share == 0 or share > _STILL_SHARE:
            return None
        for period in _PERIODS:
            later = np.flatnonzero(same)
            later = later[later >= period]
            is_enough = len(later) >= _LEAST_PERIODS and later[-1] - later[0] >= (_LEAST_PERIODS - 2) * period
            if is_enough and same[later - period].mean() >= _ON_TIME_SHARE:
                return Cadence(period=period, share=share)
        return None

    @cached_property
    def on_time(self) -> NDArray[np.bool_]:
        """(n,) whether a frame is a repeat that the clip's cadence explains; asked at the end."""
        same, cadence = self.repeats, self.cadence
        explained = np.zeros(len(same), bool)
        if cadence is not None:
            both = same[: -cadence.period] & same[cadence.period :]
            explained[cadence.period :] = both
            explained[: -cadence.period] |= both
        return explained

    def _fades_from(self, start: int, *, is_open: bool) -> list[Fade]:
        lightness, contrast = self._numbers(self._lightness, start), self._numbers(self._contrast, start)
        if len(contrast) < 2:
            return []
        found = find_fades(lightness, contrast, float(self.frame_rate), is_open=is_open)
        return [
            Fade(first=fade.first + start, last=fade.last + start, target=fade.target, is_in=fade.is_in)
            for fade in found
        ]

    def _dissolves_from(self, start: int) -> list[Stretch]:
        place = int(np.searchsorted(self.analysed, start))
        scores, analysed = self._numbers(self._blend, place), self.analysed[place:]
        found: list[Stretch] = []
        for index in np.flatnonzero(scores >= BLEND_SCORE).tolist():
            first = int(analysed[max(0, index - BLEND_REACH + 1)])
            last = int(analysed[min(len(analysed) - 1, index + BLEND_REACH - 1)])
            if found and first <= found[-1].last:
                first = found.pop().first
            found.append(Stretch(first=first, last=last))
        return found

    @staticmethod
    def _numbers(values: array[float], start: int = 0) -> Numbers:
        return np.array(values[start:], np.float64)
