"""What checking costs: time per frame and check, and memory for a long file."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.consistency.clips import all_segments
from benchmarks.consistency.encoding import write
from benchmarks.watermark.results import REPOSITORY
from studio.media.images import fit_image
from studio.media.videos import iter_frames

Row = dict[str, Any]

_SIZE = (1024, 576)
_FRAMES = 120
_HOUR_SECONDS, _HOUR_RATE = 3600, 10


def measure(footage: Path | None) -> list[Row]:
    """Return process CPU milliseconds per frame at 1024x576 on one thread, of decoding, observing and each check."""
    import cv2

    from studio.consistency.check import ClipContext
    from studio.consistency.observer import observe
    from studio.consistency.panel import CheckPanel
    from studio.consistency.runner import available_checks

    cv2.setNumThreads(1)
    rate = Fraction(24)
    frames = _frames(footage)
    with tempfile.TemporaryDirectory(prefix="consistency-") as folder:
        path = Path(folder) / "clip.mp4"
        write(path, frames, rate)
        rows = [{"part": "decoding", "ms": _timed(lambda: sum(1 for _ in iter_frames(path)))}]
    rows.append({"part": "observing, shared by all checks", "ms": _timed(lambda: observe(frames, rate))})
    facts = observe(frames, rate)

    def judge(checks: Sequence[Any]) -> None:
        panel = CheckPanel(ClipContext(frame_rate=rate), checks)
        panel.take(facts)
        panel.finish()

    nothing = _timed(lambda: judge([]))
    times = {check.id: _timed(partial(judge, [check])) for check in available_checks()}
    rows += [{"part": name, "ms": max(0.0, spent - nothing)} for name, spent in times.items()]
    rows.append({"part": "all checks, observed already", "ms": _timed(lambda: judge(available_checks()))})
    rows.append({"part": "all but decoding", "ms": rows[1]["ms"] + rows[-1]["ms"]})
    return rows


def _timed(act: Any, repeats: int = 3) -> float:
    """Return the least CPU milliseconds per frame of several runs."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        act()
        times.append(1000 * (time.process_time() - started) / _FRAMES)
    return min(times)


def _frames(footage: Path | None) -> np.ndarray:
    """Return 120 frames of one shot, forwards, backwards and forwards."""
    segments = all_segments(footage)
    segment = next((item for item in segments if item.source == "fast_dog_frisbee"), segments[-1])
    frames = segment.read().frames
    loop = [*range(len(frames)), *range(len(frames) - 1, -1, -1)] * 2
    return np.stack([fit_image(frames[index], *_SIZE) for index in loop[:_FRAMES]])


def format_cost(rows: Sequence[Row]) -> str:
    """Return a Markdown table."""
    lines = ["| part | ms per frame at 1024x576, one core |", "|---|---|"]
    return "\n".join([*lines, *(f"| {row['part']} | {row['ms']:.2f} |" for row in rows)])


def measure_hour(seconds: int = _HOUR_SECONDS) -> Row:
    """Return the most memory that checking a file of an hour of 1080p takes, in a process of its own.

    The file is made of ten seconds that repeat, at 10 frames per second: 36,000 frames.
    """
    import imageio_ffmpeg

    tool = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
    with tempfile.TemporaryDirectory(prefix="consistency-") as folder:
        part, whole = Path(folder) / "part.mp4", Path(folder) / "hour.mp4"
        picture = f"testsrc2=size=1920x1080:rate={_HOUR_RATE}"
        coding = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "26", "-pix_fmt", "yuv420p")
        subprocess.run([*tool, "-f", "lavfi", "-i", picture, "-t", "10", *coding, str(part)], check=True)
        subprocess.run([*tool, "-stream_loop", str(seconds // 10 - 1), "-i", str(part), "-c", "copy", str(whole)],
                       check=True)  # fmt: skip
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", _CHECK, str(whole)], cwd=REPOSITORY, capture_output=True,
                              text=True, check=True)  # fmt: skip
        found: Row = json.loads(done.stdout.splitlines()[-1])
        return found | {"seconds": time.perf_counter() - started, "file_seconds": seconds}


_CHECK = """
import json, resource, sys
from studio.consistency.runner import check_file
report = check_file(sys.argv[1])
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"num_frames": report.num_frames, "most_mib": most}))
"""


def format_hour(row: Row) -> str:
    """Return one line."""
    return (f"{row['file_seconds'] / 3600:g} h of 1920x1080, {row['num_frames']} frames: at most {row['most_mib']:.0f} "
            f"MiB, {row['seconds']:.0f} s")  # fmt: skip
