"""How strong a mark may be in a given picture before anybody could see it or measure it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.pattern import Gray

# The bounds that every clip keeps: 44 dB, 0.99, and a VMAF of about 95.
MAX_SQUARED_ERROR = 255.0**2 / 10**4.42
MIN_SIMILARITY = 0.9915
# Motion masks: what moves may lose more before it is seen, as VMAF has it too.
MIN_FIDELITY_STILL, MIN_FIDELITY_MOVING = 0.935, 0.9
# Below so many lines little is left to average, and these two figures, made for large pictures, ask too much.
SMALL_LINES = 192
MIN_SIMILARITY_SMALL, MIN_FIDELITY_SMALL = 0.974, 0.8
FAST = 5.0  # mean change of luma from frame to frame, in levels
LARGEST = 1.6  # levels of luma, root mean square

# Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861: window and constants for 8 bits.
_WINDOW, _SIGMA = (11, 11), 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# Sheikh and Bovik 2006, https://doi.org/10.1109/TIP.2005.859378: noise of the eye, as VMAF sets it.
_EYE_NOISE = 2.0
_PLAIN = 0.05  # bits a pixel that a picture without any texture counts for
_ROUNDS = 3


def largest_amplitude(frame: NDArray[np.uint8], mark: Gray, motion: float = 0.0) -> float:
    """Return the factor for `mark` that just keeps all bounds in this frame.

    frame: (H, W, 3) uint8 RGB. mark: (H, W) levels to add to the luma, about 1 root mean square.
    motion: mean change of luma since the frame before, in levels.
    """
    import cv2

    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    is_small = min(gray.shape) < SMALL_LINES
    moving = float(np.interp(motion, (0.0, FAST), (MIN_FIDELITY_STILL, MIN_FIDELITY_MOVING)))
    min_similarity = MIN_SIMILARITY_SMALL if is_small else MIN_SIMILARITY
    min_fidelity = MIN_FIDELITY_SMALL if is_small else moving
    amplitude = min(LARGEST, float(np.sqrt(MAX_SQUARED_ERROR / max(float(np.mean(mark * mark)), 1e-6))))
    for _ in range(_ROUNDS):
        marked = np.clip(np.rint(gray + mark * np.float32(amplitude)), 0, 255).astype(np.float32)
        losses = _losses(gray, marked, min_similarity, min_fidelity)
        if max(losses) <= 1.0:
            return amplitude
        # Both losses grow with the square of the amplitude, rounding and clipping aside.
        amplitude *= float(np.sqrt(1.0 / max(losses))) * 0.99
    return amplitude


def _losses(before: Gray, after: Gray, min_similarity: float, min_fidelity: float) -> tuple[float, float]:
    """Return how much of each allowance is used up; 1.0 is the bound."""
    mean_before, mean_after = _mean(before), _mean(after)
    power_before = np.maximum(_mean(before * before) - mean_before**2, 0)
    power_after = np.maximum(_mean(after * after) - mean_after**2, 0)
    together = _mean(before * after) - mean_before * mean_after
    luminance = (2 * mean_before * mean_after + _C1) / (mean_before**2 + mean_after**2 + _C1)
    structure = (2 * together + _C2) / (power_before + power_after + _C2)
    similarity = float(np.mean(luminance * structure))
    added = np.maximum(power_after + power_before - 2 * together, 0)  # variance of the difference
    kept = float(np.log2(1 + power_before / (added + _EYE_NOISE)).mean())
    fidelity = (kept + _PLAIN) / (float(np.log2(1 + power_before / _EYE_NOISE).mean()) + _PLAIN)
    return (1 - similarity) / (1 - min_similarity), (1 - fidelity) / (1 - min_fidelity)


def _mean(image: Gray) -> Gray:
    import cv2

    return np.asarray(cv2.GaussianBlur(image, _WINDOW, _SIGMA), np.float32)
