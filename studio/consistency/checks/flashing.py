"""Flashes that can set off seizures: general and red flashes after WCAG 2.2."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.check import Check, ClipContext, inconclusive, verdict_of
from studio.consistency.facts import FLASH_COLUMNS, FLASH_ROWS, Floats, FrameFacts
from studio.consistency.observer import analysis_step
from studio.consistency.report import CheckResult, Event, Region, worst_indices
from studio.consistency.spans import runs
from studio.consistency.timeline import Timeline
from studio.consistency.window import tile_region

# WCAG 2.2, "general flash and red flash thresholds": shares of the maximum relative luminance.
LEAST_CHANGE = 0.10
LIGHTEST_DARK_STATE = 0.80
SATURATED_RED = 0.8
LEAST_COLOUR_CHANGE = 0.2
# Of any 341x256 rectangle where the picture is shown at 1024x768: a third of its width and of its height.
LARGEST_SHARE = 0.25
WINDOW_ROWS, WINDOW_COLUMNS = FLASH_ROWS // 3, FLASH_COLUMNS // 3
ALLOWED_FLASHES = 3
# WCAG 2.1 asked for a change of 20 in (R - G - B) x 320: darker reds than that are codec noise in black.
_DARKEST_RED = 20 / 320 * 0.2126
_RED = np.array([0.4507, 0.5229], np.float32)
_SECOND = 1.0 - 1e-6

# (2, r, c) tiles that turn up and that turn down, or to red and from it.
Turns = NDArray[np.bool_]


class Flashing(Check):
    """Counts general and red flashes as WCAG 2.2 defines them (success criterion 2.3.1).

    value: the most flashes that lie in one second, at once, over more than a quarter of any rectangle of a third of the
    frame's width by a third of its height (341x256 at 1024x768), measured on 18x24 tiles. A general flash is a pair of
    opposing changes of relative luminance by 10 % of its maximum or more, the darker state below 0.80; a red flash a
    pair of opposing changes to and from a saturated red, R / (R + G + B) >= 0.8 in linear light, by more than 0.2 in
    the CIE 1976 u'v' diagram. Fails at more than three. Threshold 4, as flashes are counted in whole numbers: given by
    the definition, not calibrated.

    ITU-R BT.1702 and broadcasters' rules differ: there a flash is a change of 20 cd/m2 or more with the darker state
    below 160 cd/m2 on a given display, and a sequence passes if its leading edges lie 9 frames or more apart.
    This is no certified test: broadcasters ask for one.
    """

    id: ClassVar[str] = "flashing"
    title: ClassVar[str] = "Flashes that can set off seizures"
    unit: ClassVar[str] = "flashes per second"
    threshold: ClassVar[float] = ALLOWED_FLASHES + 1.0

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        # Above 30 frames per second, what turns within two or more frames turns at once.
        self._step = analysis_step(clip.frame_rate)
        self._light = _LightSwings()
        self._red = _RedSwings()
        self._general_count, self._red_count = _LastSecond(), _LastSecond()
        self._series: list[float] = []
        self._is_red: list[bool] = []
        self._regions: dict[int, Region] = {}

    def update(self, facts: FrameFacts) -> None:
        light, red = facts.flash[:, :, 0], facts.flash[:, :, 1]
        is_last = facts.index % self._step == self._step - 1
        general = self._general_count.add(facts.time_seconds, self._light.follow(light), is_last)
        reds = self._red_count.add(facts.time_seconds, self._red.follow(light, red, facts.flash[:, :, 2:]), is_last)
        general_flashes, general_place = _concurrent(general)
        red_flashes, red_place = _concurrent(reds)
        is_red = red_flashes > general_flashes
        flashes, place = (red_flashes, red_place) if is_red else (general_flashes, general_place)
        self._series.append(float(flashes))
        self._is_red.append(is_red)
        if flashes >= self.threshold and place is not None:
            self._regions[len(self._series) - 1] = tile_region(
                place[0], place[1], WINDOW_ROWS, WINDOW_COLUMNS, light.shape
            )

    def finish(self, timeline: Timeline) -> CheckResult:
        if len(self._series) < 2:
            return inconclusive(self, "a single picture cannot flash")
        series = self._series
        return verdict_of(self, max(series), series=series, series_unit=self.unit, events=self._events(),
                          worst_frames=worst_indices(series, self.threshold))  # fmt: skip

    def _events(self) -> list[Event]:
        """Return one event per run of frames that look back on too many flashes, the second before it included."""
        events = []
        for first, last in runs([value >= self.threshold for value in self._series]):
            worst = max(range(first, last + 1), key=lambda index: self._series[index])
            start = max(0, first - round(float(self.clip.frame_rate)))
            kind = "red flashes" if self._is_red[worst] else "flashes"
            reason = (
                f"{round(self._series[worst])} {kind} within a second in frames {start} to {last}; more than "
                f"{ALLOWED_FLASHES} can set off seizures (WCAG 2.2; this is no certified test)"
            )
            events.append(Event(first_frame=start, last_frame=last, value=self._series[worst], reason=reason,
                                region=self._regions.get(worst)))  # fmt: skip
        return sorted(events, key=lambda event: -event.value)


class _LightSwings:
    """Follows the turning points of each tile's luminance; smaller swings than a flash's do not count."""

    def __init__(self) -> None:
        self._highest: Floats | None = None
        self._lowest = np.zeros(0, np.float32)
        self._direction = np.zeros(0, np.int8)

    def follow(self, light: Floats) -> Turns:
        """Return which tiles turn up and which turn down with this frame. light: (r, c) relative luminance."""
        if self._highest is None:
            self._highest, self._lowest = light.copy(), light.copy()
            self._direction = np.zeros(light.shape, np.int8)
            return _no_turns(light.shape)
        self._highest = np.maximum(self._highest, light)
        self._lowest = np.minimum(self._lowest, light)
        least = np.float32(LEAST_CHANGE)
        rises = (self._direction <= 0) & (light - self._lowest >= least) & (self._lowest < LIGHTEST_DARK_STATE)
        falls = (self._direction >= 0) & (self._highest - light >= least) & (light < LIGHTEST_DARK_STATE) & ~rises
        turned = rises | falls
        self._direction = np.where(rises, 1, np.where(falls, -1, self._direction)).astype(np.int8)
        self._highest = np.where(turned, light, self._highest)
        self._lowest = np.where(turned, light, self._lowest)
        return np.asarray(np.stack([rises, falls]))


class _RedSwings:
    """Follows each tile between saturated red and other colours."""

    def __init__(self) -> None:
        self._colour: Floats | None = None
        self._was_red = np.zeros(0, bool)

    def follow(self, light: Floats, red: Floats, colour: Floats) -> Turns:
        """Return which tiles turn red and which cease to be with this frame. red: (r, c). colour: (r, c, 2) u', v'."""
        is_red = (red >= SATURATED_RED) & (light >= _DARKEST_RED)
        if self._colour is None:
            self._colour, self._was_red = colour.copy(), is_red
            return _no_turns(light.shape)
        distance = np.hypot(*np.moveaxis(colour - self._colour, 2, 0))
        turned = (is_red != self._was_red) & (distance > LEAST_COLOUR_CHANGE)
        now, before = (np.hypot(*np.moveaxis(item - _RED, 2, 0)) for item in (colour, self._colour))
        further = (is_red == self._was_red) & np.where(is_red, now < before, now > before)
        keep = turned | further
        self._colour = np.where(keep[:, :, None], colour, self._colour)
        self._was_red = np.where(turned, is_red, self._was_red)
        return np.asarray(np.stack([turned & is_red, turned & ~is_red]))


def _no_turns(shape: tuple[int, ...]) -> Turns:
    return np.zeros((2, *shape), bool)


@dataclass(frozen=True, eq=False)
class _Moment:
    seconds: float
    turned: NDArray[np.int32]


class _LastSecond:
    """Counts each tile's turns within the last second, but for those that no other tiles share.

    A flash changes an area at once; where things move through the picture, each tile turns at a time of its own.
    """

    def __init__(self) -> None:
        self._moments: deque[_Moment] = deque()
        self._pending: Turns | None = None
        self._counts: NDArray[np.int32] | None = None

    def add(self, seconds: float, turns: Turns, is_last: bool) -> NDArray[np.int32]:
        """Return the counts, (r, c). is_last: of the frames that count as one moment."""
        if self._counts is None:
            self._counts = np.zeros(turns.shape[1:], np.int32)
        self._pending = turns if self._pending is None else self._pending | turns
        while self._moments and seconds - self._moments[0].seconds >= _SECOND:
            self._counts -= self._moments.popleft().turned
        if is_last:
            turned = _shared(self._pending[0]).astype(np.int32) + _shared(self._pending[1])
            self._pending = None
            if turned.any():
                self._moments.append(_Moment(seconds, turned))
                self._counts += turned
        return self._counts


def _shared(turned: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the tiles that turn together with more than a quarter of a rectangle around them."""
    shares = _window_shares(turned)
    kept = np.zeros(turned.shape, bool)
    if shares is not None:
        for row, column in np.argwhere(shares > LARGEST_SHARE):
            kept[row : row + WINDOW_ROWS, column : column + WINDOW_COLUMNS] = True
    return kept & turned


def _concurrent(turns: NDArray[np.int32]) -> tuple[int, tuple[int, int] | None]:
    """Return the most flashes that more than a quarter of some rectangle has, and the rectangle's first tile.

    turns: (r, c) changes of each tile, two to a flash.
    """
    flashes, place = 0, None
    while True:
        shares = _window_shares(turns >= 2 * (flashes + 1))
        if shares is None or shares.max() <= LARGEST_SHARE:
            return flashes, place
        flashes += 1
        row, column = np.unravel_index(int(shares.argmax()), shares.shape)
        place = (int(row), int(column))


def _window_shares(flags: NDArray[np.bool_]) -> Floats | None:
    """Return the share of true tiles in each rectangle; None where there are too few for any."""
    if flags.sum() <= LARGEST_SHARE * WINDOW_ROWS * WINDOW_COLUMNS:
        return None
    sums = np.zeros((flags.shape[0] + 1, flags.shape[1] + 1), np.float32)
    sums[1:, 1:] = flags.cumsum(axis=0).cumsum(axis=1)
    below, right = sums[WINDOW_ROWS:], slice(WINDOW_COLUMNS, None)
    inside = below[:, right] - sums[:-WINDOW_ROWS, right] - below[:, :-WINDOW_COLUMNS]
    inside += sums[:-WINDOW_ROWS, :-WINDOW_COLUMNS]
    return np.asarray(inside / (WINDOW_ROWS * WINDOW_COLUMNS), np.float32)
