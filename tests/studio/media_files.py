"""Real media files made on the spot: every test of reading starts from one of these."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from studio.export.encoder import encode_mp4
from studio.media import Audio

Images = NDArray[np.uint8]


def ffmpeg(*arguments: object) -> None:
    """Run the ffmpeg that the studio ships with; paths and options as on a command line."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def texture(width: int, height: int, seed: int = 0) -> Images:
    """Return (height, width, 3) soft colourful clouds that use the whole range."""
    noise = np.random.default_rng(seed).random((height, width, 3), np.float32)
    clouds = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 5), None, 0, 255, cv2.NORM_MINMAX)
    return np.asarray(clouds).round().astype(np.uint8)


def pan(num_frames: int = 24, width: int = 160, height: int = 96, step: int = 2) -> Images:
    """Return (T, H, W, 3) frames of a camera that pans over a texture."""
    wide = texture(max(400, width + step * num_frames), height)
    return np.stack([wide[:, step * index : step * index + width] for index in range(num_frames)])


def bouncing_shape(num_frames: int = 24, size: int = 96) -> Images:
    """Return frames of a small red disc that bounces over a plain background."""
    frames = np.full((num_frames, size, size, 3), (14, 20, 72), np.uint8)
    for index, frame in enumerate(frames):
        height = abs((index * 3) % 60 - 30)
        cv2.circle(frame, (size // 2, size - 20 - height), 9, (225, 35, 35), -1, cv2.LINE_AA)
    return frames


def tone(seconds: float, sample_rate: int = 48_000, silent_until: float = 0.0) -> Audio:
    """Return a stereo tone of 440 Hz at half loudness that sets in after `silent_until` seconds."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    wave = 0.5 * np.sin(2 * np.pi * 440 * time) * (time >= silent_until)
    return Audio(samples=np.repeat(wave[:, None], 2, axis=1).astype(np.float32), sample_rate=sample_rate)


def write_mp4(path: Path, frames: Images, frame_rate: Fraction = Fraction(24), **options: Any) -> Path:
    """Write frames through the studio's own encoder."""
    height, width = frames.shape[1:3]
    encode_mp4(frames, path, width=width, height=height, frame_rate=frame_rate, **options)
    return path


def psnr(a: Images, b: Images) -> float:
    """Return the peak signal-to-noise ratio in dB."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)
