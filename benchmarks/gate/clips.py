"""Clips to seal: drawn on the spot, so that everybody measures the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray


def drawn_frames(num_frames: int, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """Yield (H, W, 3) uint8 RGB frames of a camera that pans over a textured ground behind a disc, with fine grain."""
    rng = np.random.default_rng(0)
    step = 3
    wide = rng.random((height, width + 512, 3), np.float32)
    ground = cv2.normalize(cv2.GaussianBlur(wide, (0, 0), 4), None, 20, 235, cv2.NORM_MINMAX)
    grain = rng.normal(0, 2.0, (height, width + 64, 1)).astype(np.float32)
    for index in range(num_frames):
        at = step * index % 512
        shift = int(rng.integers(0, 64))
        frame = ground[:, at : at + width] + grain[:, shift : shift + width]
        image = np.clip(frame, 0, 255).astype(np.uint8)
        centre = (width // 4 + 4 * index % (width // 2), height // 2)
        yield np.asarray(cv2.circle(image, centre, height // 6, (230, 60, 40), -1, cv2.LINE_AA), np.uint8)


def write_array(path: Path, num_frames: int, width: int, height: int) -> Path:
    """Write a drawn clip as quarantine keeps one, a frame at a time, so that writing takes no memory of note."""
    shape = (num_frames, height, width, 3)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for frame in drawn_frames(num_frames, width, height):
            file.write(frame.data)
    return path


def write_long_file(path: Path, seconds: int, width: int = 1920, height: int = 1080) -> Path:
    """Write ffmpeg's test picture with a tone as a provider might send it: H.264 at 30 frames per second, and AAC."""
    command = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"),
        *("-f", "lavfi", "-i", f"testsrc2=size={width}x{height}:rate=30", "-f", "lavfi", "-i", "sine=frequency=330"),
        *("-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", "-movflags", "+faststart", str(path)),
    ]
    subprocess.run(command, check=True)
    return path
