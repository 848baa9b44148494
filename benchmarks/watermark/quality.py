"""How far a marked clip is from the original: PSNR, SSIM and, where ffmpeg has it, VMAF."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

# Wang, Bovik, Sheikh and Simoncelli 2004: constants and the Gaussian window (11 x 11, sigma 1.5), on 8-bit luma.
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW, _SIGMA = (11, 11), 1.5


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Marked frames against the original ones, before any encoder.

    psnr_db: over all pixels and channels of the clip. psnr_worst_db: of its worst frame. ssim: in [0, 1], mean of the
    frames. vmaf, vmaf_self: 0 to 100, mean of the frames, of the marked clip and of the original against itself, which
    is below 100 where little moves; None where this ffmpeg lacks libvmaf.
    """

    psnr_db: float
    psnr_worst_db: float
    ssim: float
    vmaf: float | None
    vmaf_self: float | None


def measure(original: Frames, marked: Frames, frame_rate: Fraction) -> Quality:
    """Compare two clips of the same shape: (T, H, W, 3) uint8 RGB."""
    errors = [float(np.mean((a.astype(np.float32) - b) ** 2)) for a, b in zip(original, marked, strict=True)]
    return Quality(
        psnr_db=_decibels(float(np.mean(errors))),
        psnr_worst_db=_decibels(max(errors)),
        ssim=float(np.mean([ssim(a, b) for a, b in zip(original, marked, strict=True)])),
        vmaf=vmaf(original, marked, frame_rate),
        vmaf_self=vmaf(original, original, frame_rate),
    )


def _decibels(mean_squared_error: float) -> float:
    return float(10 * np.log10(255**2 / max(mean_squared_error, 1e-9)))


def ssim(first: Frames, second: Frames) -> float:
    """Return the structural similarity of the luma of two frames (H, W, 3), in [-1, 1]."""
    import cv2

    x, y = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in (first, second))

    def mean(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(image, _WINDOW, _SIGMA), np.float32)

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    denominator = (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    return float(np.mean((numerator / denominator)[5:-5, 5:-5]))


@cache
def has_vmaf() -> bool:
    """Whether the ffmpeg at hand was built with libvmaf."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-filters"]
    return " libvmaf " in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def vmaf(reference: Frames, distorted: Frames, frame_rate: Fraction) -> float | None:
    """Return the mean of libvmaf's default model (vmaf_v0.6.1) over the frames, 0 to 100; None without libvmaf."""
    if not has_vmaf():
        return None
    height, width = reference.shape[1:3]
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}", "-framerate", str(frame_rate))
    with tempfile.TemporaryDirectory(prefix="watermark-vmaf-") as folder:
        first, second, log = (Path(folder) / name for name in ("distorted.rgb", "reference.rgb", "vmaf.json"))
        distorted.tofile(first)
        reference.tofile(second)
        graph = f"[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];[a][b]libvmaf=log_fmt=json:log_path={log}:n_threads=1"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostats"]
        command += [*raw, "-i", str(first), *raw, "-i", str(second), "-filter_complex", graph, "-f", "null", "-"]
        subprocess.run(command, capture_output=True, check=True)
        return float(json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"])
