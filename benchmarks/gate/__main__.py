"""Measure the gate: python -m benchmarks.gate [--long-seconds 300]. Writes benchmarks/results/gate.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

RESULTS = Path(__file__).parents[1] / "results" / "gate.json"
_RUNS = 5
_TARGET_SECONDS = 4.0


def main() -> None:
    """Parse the command line, measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--long-seconds", type=int, default=0, help="also seal a 1080p file of this length (minutes!)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(_seal_file(arguments.one)))
        return
    results: dict[str, Any] = json.loads(arguments.results.read_text()) if arguments.results.is_file() else {}
    results |= {"environment": _environment(), "speed": _speed(), "memory": _memory()}
    if arguments.long_seconds:
        results["long_file"] = _long_file(arguments.long_seconds)
    print(json.dumps(results, indent=2))
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(results, indent=2) + "\n")


def _environment() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _speed() -> dict[str, Any]:
    """Seal 25 frames of 1024x576 several times; the first run loads what later ones find loaded."""
    from benchmarks.gate.clips import drawn_frames
    from benchmarks.gate.sealing import seal
    from studio.media import FrameClip

    frames = np.stack(list(drawn_frames(25, 1024, 576)))
    runs = [seal(FrameClip(frames=frames, frame_rate=Fraction(25))) for _ in range(_RUNS)]
    totals = sorted(run["seconds"]["total"] for run in runs)
    fastest = min(runs, key=lambda run: run["seconds"]["total"])
    return {
        "clip": "25 frames, 1024x576",
        "first_seconds": runs[0]["seconds"]["total"],
        "median_seconds": totals[len(totals) // 2],
        "fastest": fastest["seconds"],
        "target_seconds": _TARGET_SECONDS,
    }


def _memory() -> list[dict[str, Any]]:
    """Seal a short and a long clip of 1280x720, each in a process of its own."""
    from benchmarks.gate.clips import write_array

    found = []
    with TemporaryDirectory(prefix="gate-") as folder:
        for num_frames in (50, 400):
            path = write_array(Path(folder) / "frames.npy", num_frames, 1280, 720)
            found.append(_in_a_process_of_its_own(path))
    return found


def _long_file(seconds: int) -> dict[str, Any]:
    from benchmarks.gate.clips import write_long_file

    with TemporaryDirectory(prefix="gate-") as folder:
        return _in_a_process_of_its_own(write_long_file(Path(folder) / "long.mp4", seconds))


def _in_a_process_of_its_own(path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.gate", "--one", str(path)]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


def _seal_file(path: Path) -> dict[str, Any]:
    from benchmarks.gate.sealing import seal
    from studio.media import EncodedClip, FrameClip

    if path.suffix == ".npy":
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
        return seal(FrameClip(frames=frames, frame_rate=Fraction(25)))
    return seal(EncodedClip(path=path, mime_type="video/mp4"), verifies=True)


if __name__ == "__main__":
    main()
