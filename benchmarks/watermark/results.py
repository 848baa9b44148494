"""What a complete run leaves behind: the rows, and when, on what and of which code they were taken."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.watermark.attacks import ATTACKS, Attack
from benchmarks.watermark.clips import FOOTAGE
from benchmarks.watermark.journal import Row

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "benchmarks" / "results"
MATRIX, FALSE_POSITIVES, LIBRARIES = (
    FOLDER / f"watermark{part}.json" for part in ("", "_false_positives", "_libraries")
)

# What a row depends on: rows taken with other code are of no use.
WATERMARK_CODE = ("studio/provenance/watermark/**/*.py",)
BENCHMARK_CODE = (
    *(f"studio/export/{name}.py" for name in ("marking", "encoder", "ffmpeg", "source")),  # as the gate does it
    *(f"benchmarks/watermark/{name}.py" for name in ("attacks", "clips", "quality", "matrix", "sealing")),
)
LIBRARY_CODE = tuple(f"benchmarks/watermark/{name}.py" for name in ("attacks", "clips", "quality", "libraries"))
_PACKAGES = ("numpy", "opencv-python-headless", "av", "pillow", "imageio-ffmpeg")
_DIGITS = 4  # kept of every measured number


def code_digest(*patterns: str) -> str:
    """Return 12 hex digits that change with the code of the files; those of the watermark if none are named."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns or WATERMARK_CODE for path in REPOSITORY.glob(pattern)}):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def environment(footage: Path | None) -> dict[str, Any]:
    """When, on what and of which code the numbers are."""
    from studio.provenance.watermark import ALGORITHM

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "algorithm": ALGORITHM,
        "watermark_code_sha256": code_digest(),
        "footage": "real" if footage or FOOTAGE.is_dir() else "drawn",
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "ffmpeg": _ffmpeg_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def commands() -> dict[str, str]:
    """Return for each attack the ffmpeg command for a clip of 25 frames of 1024 x 576 at 25 frames a second."""
    from fractions import Fraction

    def text(attack: Attack) -> str:
        command = attack.command((25, 576, 1024), Fraction(25), f"attacked{attack.encoding.suffix}")
        return " ".join(["ffmpeg", *command[1:]])

    return {attack.name: text(attack) for attack in ATTACKS}


def write(path: Path, about: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write a file with one line for each row, so that changes can be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps(about, indent=1)[:-2]
    lines = ",\n".join("  " + json.dumps(_rounded(row)) for row in rows)
    path.write_text(f'{head},\n "rows": [\n{lines}\n ]\n}}\n')


def load(path: Path) -> dict[str, Any] | None:
    """Return what a complete run wrote, or None if there was none yet."""
    return json.loads(path.read_text()) if path.exists() else None


def _rounded(row: Row) -> Row:
    return {name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in row.items()}


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _ffmpeg_version() -> str:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[2]
