"""Finding the reading grid in a picture that was cropped, scaled, squeezed, mirrored or turned, from the pilot waves.

The waves are peaks of the picture's spectrum. An affine change of the picture moves them by the inverse transposed
map whatever the shift (Pereira and Pun 2000, https://doi.org/10.1109/83.846253); their phases then give the shift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.alignment import Alignment
from studio.provenance.watermark.codeword import FULL
from studio.provenance.watermark.pattern import TILE_UNITS, Gray, Grid, Pattern, pattern_of
from studio.provenance.watermark.spectrum import transform
from studio.provenance.watermark.view import View

# Scale along each side against what the picture's size suggests; squeeze; turn.
_SCALES = np.exp(np.arange(np.log(0.5), np.log(1.7), 0.011))
_MOST_SQUEEZED = 1.45
_TURNS = np.radians(np.arange(-6, 7) * 0.5)
_LIMIT = 10.0  # of a single peak's power over its surroundings: a fence must not outvote the others
_KEPT_PLAIN, _KEPT_STRAIGHT, _KEPT_FREE = 8, 6, 8  # maps that are looked at more closely
_RANKED = 400
_SHIFTS = 3  # tried for each
_BESIDE = np.array([[5, 0], [-5, 0], [0, 5], [0, -5], [4, 4], [-4, -4], [4, -4], [-4, 4]])  # cycles across a view
_FINER = 2  # of the spectrum, and of the shift


@dataclass(frozen=True, eq=False)
class Candidate:
    """A possible alignment. strength: of the waves that agree on the shift, against their surroundings."""

    alignment: Alignment
    strength: float


def find_alignments(view: View, image: Gray, key: bytes) -> Iterator[Candidate]:
    """Yield the likeliest alignments, at most 66. image: the view's mean or its first frame."""
    pattern = pattern_of(key, FULL, view.grain)
    windowed = image * _window(view.size)
    for linear in _likely(windowed, view.pixels_per_unit, pattern):
        refined = _refined(windowed, linear, pattern)
        for origin, strength in _origins(windowed, refined, pattern):
            yield Candidate(Alignment.covering(refined, origin, view.size), strength)


def _likely(image: Gray, pixels_per_unit: float, pattern: Pattern) -> list[NDArray[np.float64]]:
    """Return the maps, (2, 2) units to pixels, under which the pilot waves meet most power."""
    power = _spectrum(image)
    parameters, inverses = _candidates()
    waves = pattern.cycles.T / TILE_UNITS  # cycles per unit, (2, PILOTS)
    score = np.zeros(len(inverses), np.float32)
    for across, down in (inverses @ (waves / pixels_per_unit)).transpose(2, 1, 0):
        score += _look_up(power, across, down)
    chosen: list[int] = []
    is_plain, is_straight = parameters[:, 4] > 0, parameters[:, 2] == 0
    # What people do most is looked at first: the more freedom, the more maps fit some texture by chance.
    for allowed, kept in ((is_plain, _KEPT_PLAIN), (is_straight, _KEPT_STRAIGHT), (is_plain | True, _KEPT_FREE)):
        ranked = np.flatnonzero(allowed)[np.argsort(score[allowed])[::-1][:_RANKED]]
        before = len(chosen)
        for index in ranked:
            if len(chosen) - before == kept:
                break
            if all(_differ(parameters[index], parameters[other]) for other in chosen):
                chosen.append(int(index))
    return [np.linalg.inv(inverses[index]).T * pixels_per_unit for index in chosen]


@lru_cache(maxsize=1)
def _candidates() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (n, 5) log scales, turn, mirroring and whether that is all, and the (n, 2, 2) inverse transposed maps."""
    across, down, turn, mirror = np.meshgrid(_SCALES, _SCALES, _TURNS, [1.0, -1.0], indexing="ij")
    is_likely = np.maximum(across / down, down / across) <= _MOST_SQUEEZED
    across, down, turn, mirror = (values[is_likely] for values in (across, down, turn, mirror))
    is_plain = (np.abs(np.log(across / down)) < 1e-6) & (turn == 0)
    parameters = np.stack([np.log(across), np.log(down), turn, mirror, is_plain], axis=1)
    return parameters, _inverse_transposed(across * mirror, down, turn)


def _inverse_transposed(
    across: NDArray[np.float64], down: NDArray[np.float64], turn: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return R(turn) diag(1 / across, 1 / down), the inverse transposed of R(turn) diag(across, down). -> (n, 2, 2)."""
    cosine, sine = np.cos(turn), np.sin(turn)
    rows = [np.stack([cosine / across, -sine / down], -1), np.stack([sine / across, cosine / down], -1)]
    return np.stack(rows, axis=-2)


def _differ(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    far = np.abs(one - other)[:4] > (0.03, 0.03, np.radians(1.1), 0.5)
    return bool(far.any())


def _spectrum(image: Gray) -> Gray:
    """Return the power of a picture's waves over that of their surroundings, limited. Rows are cycles down."""
    import cv2

    shape = tuple(cv2.getOptimalDFTSize(_FINER * size) for size in image.shape)
    power = np.abs(np.fft.fft2(image, shape)).astype(np.float32) ** 2
    power = cv2.GaussianBlur(power, (3, 3), 0)  # a peak between two places counts where either is looked up
    around = cv2.blur(power, (31, 31), borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.minimum(power / (around + 1e-9), _LIMIT), np.float32)


def _look_up(power: Gray, across: NDArray[np.float64], down: NDArray[np.float64]) -> Gray:
    rows, columns = power.shape
    row, column = np.rint(down * rows).astype(np.int32), np.rint(across * columns).astype(np.int32)
    is_inside = (np.abs(across) < 0.5) & (np.abs(down) < 0.5)
    return np.where(is_inside, power[row % rows, column % columns], np.float32(1.0))


def _refined(image: Gray, linear: NDArray[np.float64], pattern: Pattern) -> NDArray[np.float64]:
    """Move a map to where the pilot waves meet still more power, in ever smaller steps of its four entries."""
    waves = pattern.cycles / TILE_UNITS
    inverse = np.linalg.inv(linear).T
    best = _power(image, waves @ inverse.T)
    reach = TILE_UNITS * np.abs(linear).max()
    step = 0.35 * np.abs(np.diag(inverse)).mean() * reach / max(image.shape)
    for _ in range(4):
        for row, column in ((0, 0), (1, 1), (0, 1), (1, 0)):
            for sign in (1.0, -1.0):
                trial = inverse.copy()
                trial[row, column] += sign * step
                found = _power(image, waves @ trial.T)
                while found > best:
                    inverse, best = trial, found
                    trial = inverse.copy()
                    trial[row, column] += sign * step
                    found = _power(image, waves @ trial.T)
        step /= 2
    return np.linalg.inv(inverse).T


def _power(image: Gray, waves: NDArray[np.float64]) -> float:
    """Return the power of the picture in these waves; a single one counts at most three times the average."""
    found = np.abs(transform(image, waves)) ** 2
    return float(np.minimum(found, 3 * found.mean()).sum())


def _origins(image: Gray, linear: NDArray[np.float64], pattern: Pattern) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Yield the likeliest corners of a tile, in pixels, from the waves' phases, and how strong those are that agree."""
    waves = pattern.cycles / TILE_UNITS @ np.linalg.inv(linear)
    found = transform(image, waves)
    beside = np.concatenate([waves + step / np.array(image.shape[::-1]) for step in _BESIDE])
    noise = np.sqrt((np.abs(transform(image, beside).reshape(len(_BESIDE), -1)) ** 2).mean(axis=0)) + 1e-9
    power = np.abs(found) / noise
    turned = np.minimum(power, 4.0) / np.maximum(power, 1e-9) * found / noise * np.exp(-1j * pattern.phases)
    size = TILE_UNITS * _FINER
    plane = np.zeros((size, size), np.complex128)
    plane[pattern.cycles[:, 1] % size, pattern.cycles[:, 0] % size] = turned
    surface = np.fft.ifft2(plane).real
    for _ in range(_SHIFTS):
        row, column = np.unravel_index(int(np.argmax(surface)), surface.shape)
        yield linear @ (np.array([column, row]) / _FINER), float(surface[row, column])
        rows, columns = (np.arange(-4, 5) + row) % size, (np.arange(-4, 5) + column) % size
        surface[np.ix_(rows, columns)] = -np.inf


@lru_cache(maxsize=8)
def _window(size: Grid) -> Gray:
    """Return a window that fades out at the edges, so that they do not smear the peaks."""
    sides = [np.clip(np.minimum(np.arange(n) + 1, n - np.arange(n)) / (0.12 * n), 0, 1) for n in size]
    rows, columns = (0.5 - 0.5 * np.cos(np.pi * side) for side in sides)
    return np.outer(rows, columns).astype(np.float32)
