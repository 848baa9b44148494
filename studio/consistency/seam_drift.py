"""How far a clip that was made in windows drifts from the first one, and how much it jumps where two meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.consistency.calibration import threshold_of
from studio.consistency.check import ClipContext
from studio.consistency.checks.appearance_drift import AppearanceDrift
from studio.consistency.checks.drifts import agreed
from studio.consistency.facts import FrameFacts
from studio.consistency.frame import AnalysisFrame
from studio.consistency.observer import Observer, analysis_step
from studio.consistency.panel import CheckPanel
from studio.consistency.report import CheckResult
from studio.consistency.tiles import always_lit
from studio.consistency.timeline import Timeline
from studio.consistency.transitions import usual_of
from studio.consistency.window import WINDOW_FRAMES, Window
from studio.media import Image

Floats = NDArray[np.float64]

# As the check for jump cuts weighs a change: against nine frames on either side, plus a tenth of a level.
_NEIGHBOURS = 9
_CHANGE_FLOOR = 0.1
# As the check for sharpness weighs light and contrast, which raise the Laplacian's energy by the square.
_CONTRAST_FLOOR = 2.0
_NAMES = {
    "exposure": "exposure_drift",
    "colour": "colour_drift",
    "appearance": "appearance_drift",
    "sharpness": "sharpness",
    "seam_jump": "jump_cut",
}


@dataclass(frozen=True, kw_only=True)
class WindowDrift:
    """One window of a clip held against the first, window 0. None where nothing can be said.

    window: 1 for the first that was added. seam_frame: index of its first frame that was not there before.
    exposure: levels of L, 0 to 255, by which the whole picture has grown lighter since window 0 ended, darker below 0.
    colour: levels of Lab's a and b by which its tint has moved since then. Of both, what motion explains is left out,
    and only what three quarters of the picture agree on counts; across a cut the whole pictures are compared.
    appearance: coherence, 0 to 1, of what changed within the window: high where a surface turns into another.
    sharpness: natural logarithm of the Laplacian's energy, median of the window less that of window 0's last frames;
    what light and contrast account for is left out.
    seam_jump: the change at the seam, in multiples of what is usual from frame to frame around it.
    flagged: those that reach the threshold of the check that measures the same (`calibration.json`).
    """

    window: int
    seam_frame: int
    exposure: float | None
    colour: float | None
    appearance: float | None
    sharpness: float | None
    seam_jump: float | None
    flagged: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object with rounded figures."""
        figures = {name: _rounded(getattr(self, name)) for name in _NAMES}
        return asdict(self) | figures | {"flagged": list(self.flagged)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WindowDrift:
        """Return what `as_json` wrote, as far as it was rounded."""
        return cls(**{**data, "flagged": tuple(data["flagged"])})


class DriftMeter:
    """Looks at every frame of a clip once, as the checks do, and holds its windows against the first.

    frame_rate: frames per second. seams: index of the first new frame of each window, ascending, above 0.
    A few kilobytes are kept of each frame.
    """

    def __init__(self, frame_rate: Fraction, seams: Sequence[int]) -> None:
        if list(seams) != sorted(set(seams)) or (seams and seams[0] < 1):
            raise ValueError(f"seams: expected ascending indices above 0, got {list(seams)}")
        self._frame_rate = frame_rate
        self._seams = tuple(seams)
        self._observer = Observer(frame_rate)
        self._panel = CheckPanel(ClipContext(frame_rate=frame_rate), (AppearanceDrift,))
        self._timeline = Timeline(frame_rate)
        self._facts: list[FrameFacts] = []
        self._count = 0

    def see(self, image: Image) -> None:
        """Look at the next frame, (H, W, 3) uint8 RGB, all of one size."""
        seconds = float(self._count / self._frame_rate)
        self._take(self._observer.update(AnalysisFrame(index=self._count, time_seconds=seconds, image=image)))
        self._count += 1

    def finish(self) -> tuple[WindowDrift, ...]:
        """Return the drift of each window; called once, after the last frame. Raises ValueError for one without any."""
        if self._seams and self._count <= self._seams[-1]:
            raise ValueError(f"seams: expected less than the {self._count} frames there are, got {self._seams[-1]}")
        self._take(self._observer.finish())
        appearance = self._panel.finish().checks[0]
        jumps = self._jumps()
        first = self._facts[max(0, self._seams[0] - WINDOW_FRAMES) : self._seams[0]] if self._seams else []
        position: Floats = np.zeros(3)
        found = []
        for number, (start, end) in enumerate(pairwise((*self._seams, self._count)), 1):
            facts = self._facts[start:end]
            position = position + self._moved(facts)
            drift = WindowDrift(
                window=number,
                seam_frame=start,
                exposure=float(position[0]),
                colour=float(np.linalg.norm(position[1:])),
                appearance=_highest(appearance, start, end),
                sharpness=_sharper(first, facts),
                seam_jump=float(jumps[start]),
            )
            found.append(_judged(drift, (end - self._seams[0]) / analysis_step(self._frame_rate)))
        return tuple(found)

    def _take(self, facts: Iterable[FrameFacts]) -> None:
        for item in facts:
            self._panel.take((item,))
            self._timeline.update(item)
            self._facts.append(item)

    def _jumps(self) -> Floats:
        change = np.array([item.mean_change for item in self._facts])
        change[0] = change[1] if len(change) > 1 else 0.0
        return np.asarray(change / (usual_of(change, _NEIGHBOURS) + _CHANGE_FLOOR), np.float64)

    def _moved(self, facts: Sequence[FrameFacts]) -> Floats:
        """Return (3,) by how much Lab moves over a window's frames, from the frame before them on."""
        analysed = [item for item in facts if item.is_analysed]
        if not analysed:
            return np.zeros(3)
        indices = np.array([item.index for item in analysed])
        step = analysis_step(self._frame_rate)
        window = Window(analysed, self._timeline.fading(indices), self._timeline.broken(indices), step,
                        float(self._frame_rate) / step)  # fmt: skip
        moved: Floats = np.zeros(3)
        lit = always_lit(window)
        if window.has_motion and lit.any():
            residual = window.motion("residual")[:, lit][window.usable]
            moved = agreed(residual.sum(axis=0)) if len(residual) else moved
        return moved + sum((self._across(int(index)) for index in indices[~window.usable]), np.zeros(3))

    def _across(self, index: int) -> Floats:
        """Return (3,) by how much the mean of Lab differs from that of the frame analysed before."""
        before = index - analysis_step(self._frame_rate)
        if before < 0:
            return np.zeros(3)
        means = [self._facts[place].thumb.mean(axis=(0, 1), dtype=np.float64) for place in (before, index)]
        return np.asarray(means[1] - means[0], np.float64)


def measure_drift(frames: Iterable[Image], frame_rate: Fraction, seams: Sequence[int]) -> tuple[WindowDrift, ...]:
    """Return the drift of each window of a clip; see `DriftMeter`. frames: (H, W, 3) uint8 RGB each."""
    meter = DriftMeter(frame_rate, seams)
    for image in frames:
        meter.see(image)
    return meter.finish()


def drift_lines(drifts: Iterable[WindowDrift]) -> Iterator[str]:
    """Yield one line in plain words for each window that drifts further than clean clips do."""
    for drift in drifts:
        told = [_words(name, float(getattr(drift, name))) for name in drift.flagged]
        if told:
            yield f"window {drift.window} (from frame {drift.seam_frame}): {', '.join(told)}"


def _words(name: str, value: float) -> str:
    match name:
        case "exposure":
            return f"{abs(value):.1f} levels {'lighter' if value > 0 else 'darker'} than the clip"
        case "colour":
            return f"its tint is {value:.1f} levels off the clip's"
        case "appearance":
            return f"a part of the picture turns into something else (coherence {value:.2f})"
        case "sharpness":
            return f"{'sharper' if value > 0 else 'softer'} than the clip by {abs(value):.2f} (logarithm of energy)"
        case _:
            return f"it jumps at the join, {value:.1f} times the usual change"


def _judged(drift: WindowDrift, span: float) -> WindowDrift:
    """Enter which figures reach their threshold. span: analysed frames since window 0 ended.

    The errors of sums over longer spans than a check's own grow with the square root of their length.
    """
    patience = max(1.0, span / WINDOW_FRAMES) ** 0.5
    flagged = []
    for name, check in _NAMES.items():
        value, allowed = getattr(drift, name), threshold_of(check)
        allowed *= patience if name in ("exposure", "colour") else 1.0
        if value is not None and abs(value) >= allowed:
            flagged.append(name)
    return WindowDrift(**{**asdict(drift), "flagged": tuple(flagged)})


def _highest(result: CheckResult, start: int, end: int) -> float | None:
    step = result.series_step
    known = [item for item in result.series[start // step : -(-end // step)] if item is not None]
    return max(known, default=None)


def _sharper(before: Sequence[FrameFacts], after: Sequence[FrameFacts]) -> float | None:
    """Return the smaller of two differences: of the energy, and of the energy for its contrast."""
    if not before or not after:
        return None
    energy = [np.array([item.sharpness for item in side]) for side in (before, after)]
    contrast = [2 * np.log(np.array([item.contrast for item in side]) + _CONTRAST_FLOOR) for side in (before, after)]
    plain = float(np.median(energy[1]) - np.median(energy[0]))
    relative = float(np.median(energy[1] - contrast[1]) - np.median(energy[0] - contrast[0]))
    return min(plain, relative, key=abs) if plain * relative > 0 else 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, 3)
