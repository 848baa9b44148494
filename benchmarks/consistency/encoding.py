"""What a written file makes of frames: H.264 and back."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from studio.media.videos import iter_frames

CRF, LOW_CRF = 20, 36
_PRESET = "veryfast"


def coded(frames: NDArray[np.uint8], frame_rate: Fraction, crf: int = CRF) -> NDArray[np.uint8]:
    """Encode (T, H, W, 3) uint8 RGB as H.264 4:2:0, sides even, and decode it as any file is decoded here."""
    with tempfile.TemporaryDirectory(prefix="consistency-") as folder:
        path = Path(folder) / "clip.mp4"
        write(path, frames, frame_rate, crf)
        return np.stack([frame.image for frame in iter_frames(path)])


def write(path: Path, frames: NDArray[np.uint8], frame_rate: Fraction, crf: int = CRF) -> None:
    """Write a file with x264."""
    import av

    with av.open(str(path), "w") as container:
        stream = cast(Any, container.add_stream("libx264", rate=frame_rate))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": _PRESET, "threads": "1"}
        stream.time_base = 1 / frame_rate
        for index, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.pts, picture.time_base = index, 1 / frame_rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
