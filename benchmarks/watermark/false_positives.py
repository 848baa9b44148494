"""Reads clips that carry no mark, or another key's, and counts how often one is found: it must be never."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.watermark.clips import FOOTAGE, drawn_clips, packaged_clips
from benchmarks.watermark.journal import Journal, Row
from benchmarks.watermark.sealing import Mark, detector, embed

Frames = NDArray[np.uint8]

_ENDINGS = {".mp4", ".webm", ".mkv", ".avi", ".gif"}
_SOURCE_FRAMES = 120  # of a source held in memory
_MOST_FRAMES = 12  # of an excerpt
_SIDES = (128, 720)  # shortest and longest short side of an excerpt, in pixels


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What is read. total: excerpts. searches: at least so many also by searching. seconds: time for further searches.

    Every fifth excerpt carries a mark under another key. footage: folder of real clips, or None.
    """

    total: int = 1000
    searches: int = 200
    seconds: float = 240.0
    footage: Path | None = None


def run(sampling: Sampling, work: Path, processes: int) -> list[Row]:
    """Read all excerpts and return a row for each; an interrupted run goes on from the files in `work`."""
    sources = _source_names(sampling.footage)
    shares = [(name, range(index, sampling.total, len(sources))) for index, name in enumerate(sources)]
    seconds = sampling.seconds * processes / len(sources)
    job = partial(_read_source, sampling, work, -(-sampling.searches // len(sources)), seconds)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        rows = []
        for done, found in enumerate(pool.map(job, shares), 1):
            rows += found
            wrong = sum(row["is_found"] for row in rows)
            print(f"[{done}/{len(sources)}] {len(rows)} clips read, {wrong} marks found", flush=True)
    return rows


def summarise(rows: Sequence[Row]) -> Row:
    """Return the counts."""
    return {
        "clips": len(rows),
        "unmarked": sum(not row["is_other_key"] for row in rows),
        "marked_with_another_key": sum(row["is_other_key"] for row in rows),
        "searched": sum(row["is_searched"] for row in rows),
        "found": sum(row["is_found"] for row in rows),
        "longest_search_seconds": round(max((row["search_seconds"] or 0.0 for row in rows), default=0.0), 2),
    }


def _source_names(footage: Path | None) -> list[str]:
    folder = footage or FOOTAGE
    real = sorted(path.name for path in folder.iterdir() if path.suffix in _ENDINGS) if folder.is_dir() else []
    generated = [clip.name for clip in (*drawn_clips(), *packaged_clips())]
    return [*(name for name in real if name != "corrupted.mp4"), *generated]


def _source_frames(name: str, footage: Path | None) -> Frames:
    from studio.media.videos import iter_frames

    for clip in (*drawn_clips(), *packaged_clips()):
        if clip.name == name:
            return clip.read()[0]
    frames = iter_frames((footage or FOOTAGE) / name)
    return np.stack([frame.image for frame in islice(frames, 0, 2 * _SOURCE_FRAMES, 2)])


def _read_source(
    sampling: Sampling, work: Path, searches: int, seconds: float, share: tuple[str, Sequence[int]]
) -> list[Row]:
    """Read the excerpts of one source. searches: the least number; seconds: for all searches of this source."""
    import cv2

    cv2.setNumThreads(1)
    name, numbers = share
    journal = Journal(work / f"{name}.jsonl")
    missing = [number for number in numbers if not journal.has(number=number)]
    if not missing:
        return journal.rows
    source = _source_frames(name, sampling.footage)
    for number in missing:
        spent = sum(row["search_seconds"] or 0.0 for row in journal.rows)
        is_searched = sum(row["is_searched"] for row in journal.rows) < searches or spent < seconds
        journal.append({"number": number, "source": name, **_read_excerpt(source, number, is_searched=is_searched)})
    return journal.rows


def _read_excerpt(source: Frames, number: int, *, is_searched: bool) -> Row:
    rng = np.random.default_rng(number)
    frames = excerpt(source, rng)
    is_other_key = number % 5 == 0
    if is_other_key:
        frames = embed(frames, Mark.of(f"other {number}", 0), 1.0)
    reader = detector(Mark.of(f"reader {number}", 0))  # told the ids of a library, which must not help
    for frame in frames:
        reader.update(frame)
    reading = reader.finish()
    seconds = None
    if is_searched and not reading.detected:
        started = time.perf_counter()
        reading = reader.finish(search=True)
        seconds = time.perf_counter() - started
    return {
        "height": frames.shape[1],
        "width": frames.shape[2],
        "frames": len(frames),
        "is_other_key": is_other_key,
        "is_searched": seconds is not None,
        "search_seconds": seconds,
        "is_found": reading.detected,
        "bits": reading.bits if reading.detected else None,
    }


def excerpt(source: Frames, rng: np.random.Generator) -> Frames:
    """Return a random run of frames, cut, scaled and perhaps mirrored at random. -> (T, H, W, 3) uint8 RGB."""
    import cv2

    count = int(rng.integers(1, min(_MOST_FRAMES, len(source)) + 1))
    start = int(rng.integers(0, len(source) - count + 1))
    height, width = source.shape[1:3]
    keep = rng.uniform(0.5, 1.0, 2)
    part_height, part_width = max(round(height * keep[0]), 32), max(round(width * keep[1]), 32)
    top = int(rng.integers(0, max(height - part_height, 0) + 1))
    left = int(rng.integers(0, max(width - part_width, 0) + 1))
    part = source[start : start + count, top : top + part_height, left : left + part_width]
    scale = np.exp(rng.uniform(*np.log(_SIDES))) / min(part.shape[1:3])
    size = (2 * round(part.shape[2] * scale / 2), 2 * round(part.shape[1] * scale / 2))
    if rng.random() < 0.5:
        part = part[:, :, ::-1]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.stack([cv2.resize(np.ascontiguousarray(frame), size, interpolation=how) for frame in part])
