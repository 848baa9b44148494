"""The Fourier transform of a picture at a few chosen frequencies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.pattern import Gray


def transform(image: Gray, waves: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Return the Fourier transform of a picture at any frequencies. waves: (n, 2) cycles per pixel across, down."""
    import cv2

    count = len(waves)
    along = _cosines_and_sines(np.outer(np.arange(image.shape[1]), waves[:, 0]))
    down = _cosines_and_sines(np.outer(np.arange(image.shape[0]), waves[:, 1]))
    # By OpenCV: numpy's product starts threads, and these wait for each other where the machine is busy.
    rows = np.asarray(cv2.gemm(image, along, 1.0, None, 0.0), np.float32)
    (cosine, sine), (real, imaginary) = np.split(down, 2, axis=1), np.split(rows, 2, axis=1)
    total = (real * cosine - imaginary * sine).sum(axis=0) - 1j * (imaginary * cosine + real * sine).sum(axis=0)
    return np.asarray(total, np.complex64).reshape(count)


def _cosines_and_sines(turns: NDArray[np.float64]) -> Gray:
    angles = 2 * np.pi * turns
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
