"""From an aligned view to the soft bits of a codeword, with several ways of weighing the frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.alignment import Alignment
from studio.provenance.watermark.pattern import TILE_UNITS, Gray, Pattern, band_pass, local_power
from studio.provenance.watermark.spectrum import transform
from studio.provenance.watermark.view import View

SoftBits = NDArray[np.float64]

_CLIP_SIGMA, _CLIP_FLOOR = 4.0, 0.03
# How well the pilot waves' phases must agree before more than the plain average is tried; noise gives 0 +- 1.
_PROMISING = 2.2
_LOADING = 0.1


def soft_bits(view: View, alignment: Alignment, pattern: Pattern, *, thorough: bool = True) -> Iterator[SoftBits]:
    """Yield estimates of the coded bits, the plain average of all frames first. -> (coded_bits,) each.

    A codec treats frames differently and a picture that moves carries parts of the mark away with it, so the first
    frame alone, frames weighted by their pilot waves, and the combination that cancels what the frames have in common
    apart from the waves (Capon 1969) are tried too, if `thorough` and where there are signs of a mark at all.
    """
    mean = alignment.rectify(view.mean)
    weight = matched(mean)
    yield _despread(mean * weight, pattern)
    if view.count == 1:
        return
    first = alignment.rectify(view.first)
    if not thorough:
        yield _despread(first * weight, pattern)
        return
    if max(_agreement(mean * weight, pattern), _agreement(first * weight, pattern)) < _PROMISING:
        return
    images = [alignment.rectify(group) * weight for group in view.groups()]
    bits = np.stack([_despread(image, pattern) for image in images])
    yield bits[0]
    waves = np.array([_waves(image, pattern).real.sum() for image in images])
    yield from (weights @ bits for weights in _weights(bits, np.maximum(waves, 0.0)))


def _weights(bits: NDArray[np.float64], waves: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    noise = bits.std(axis=1) + 1e-12
    gain = waves / noise
    if not gain.any():
        return
    yield gain / noise
    together = np.cov(bits / noise[:, None])
    loaded = together + np.eye(len(bits)) * (_LOADING * np.trace(together) / len(bits))
    yield np.linalg.solve(loaded, gain + 0.2 * gain.mean()) / noise


def matched(mean: Gray) -> Gray:
    """Weigh each place by how little picture is left in the average, as a matched filter does."""
    return np.asarray(1 / (local_power(mean, _CLIP_SIGMA) + _CLIP_FLOOR), np.float32)


def _despread(image: Gray, pattern: Pattern) -> SoftBits:
    return pattern.soft_bits(band_pass(image))


def _agreement(image: Gray, pattern: Pattern) -> float:
    """Return how far the pilot waves are from random phases, in standard deviations; at most about 5."""
    waves = _waves(image, pattern)
    return float(waves.real.sum() / (np.sqrt((np.abs(waves) ** 2).sum() / 2) + 1e-12))


def _waves(image: Gray, pattern: Pattern) -> NDArray[np.complex128]:
    """Return the pilot waves in a rectified picture; real and positive where they are as they were put in."""
    found = transform(image, pattern.cycles / TILE_UNITS)
    return np.asarray(found * np.exp(-1j * pattern.phases), np.complex128)
