"""How long the watermark takes on this machine, with all its cores: one clip at a time, nothing else running."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.watermark.attacks import Frames
from benchmarks.watermark.clips import NUM_FRAMES
from benchmarks.watermark.sealing import Mark, detector

SIZES = ((1024, 576), (1920, 1080))
_ROUNDS = 3


def measure() -> list[dict[str, Any]]:
    """Return for each size the best of three rounds.

    embed_ms_per_frame; direct_seconds and search_seconds: reading 25 frames from the first to the answer, of the marked
    clip, of the marked clip with 10 % cut off, and of an unmarked one, for which the search goes to its end.
    """
    return [_measure(width, height) for width, height in SIZES]


def _measure(width: int, height: int) -> dict[str, Any]:
    from studio.provenance.watermark import WatermarkEmbedder

    frames = _textured_clip(width, height)
    mark = Mark.of("speed", 0)
    times, marked = [], frames
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        embedder = WatermarkEmbedder(mark.key, mark.payload, height, width, 1.0)
        marked = np.stack([embedder.apply(frame) for frame in frames])
        times.append((time.perf_counter() - started) / len(frames))
    cropped = marked[:, height // 20 : -height // 20, width // 20 : -width // 20]
    direct, is_found = _read(marked, mark, search=False)
    search, is_crop_found = _read(np.ascontiguousarray(cropped), mark, search=True)
    nothing, _ = _read(frames, mark, search=True)
    return {
        "width": width,
        "height": height,
        "embed_ms_per_frame": round(1000 * min(times), 1),
        "direct_seconds": round(direct, 3),
        "is_direct_found": is_found,
        "search_seconds_cropped": round(search, 3),
        "is_cropped_found": is_crop_found,
        "search_seconds_unmarked": round(nothing, 3),
    }


def _read(frames: Frames, mark: Mark, *, search: bool) -> tuple[float, bool]:
    times, is_found = [], False
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        reader = detector(mark)
        for frame in frames:
            reader.update(frame)
        reading = reader.finish()
        if search and not reading.detected:
            reading = reader.finish(search=True)
        times.append(time.perf_counter() - started)
        is_found = reading.detected
    return min(times), is_found


def _textured_clip(width: int, height: int) -> Frames:
    """Draw a drifting texture of several scales; the time does not depend on the picture."""
    import cv2

    rng = np.random.default_rng(5)
    field = np.zeros((height, width + 4 * NUM_FRAMES, 3), np.float32)
    for sigma in (1.5, 6.0, 24.0):
        layer = cv2.GaussianBlur(rng.standard_normal(field.shape).astype(np.float32), (0, 0), sigma)
        field += layer / layer.std()
    image = np.clip(128 + 20 * field, 0, 255).astype(np.uint8)
    return np.stack([image[:, 4 * step : 4 * step + width] for step in range(NUM_FRAMES)])
