"""Draws frames of sealed clips side by side: ``python -m benchmarks.contact_sheet CLIP ... --output SHEET.png``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from studio.media import iter_frames

COLUMNS = 6
GAP = 4


def strip(path: Path) -> NDArray[np.uint8]:
    """Return frames spread evenly over a clip, side by side: (H, W, 3) uint8 RGB."""
    frames = [frame.image for frame in iter_frames(path)]
    chosen = [frames[round(index)] for index in np.linspace(0, len(frames) - 1, COLUMNS)]
    padded = [np.pad(frame, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for frame in chosen]
    return np.concatenate(padded, axis=1)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows = [strip(path) for path in arguments.clips]
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    Image.fromarray(np.concatenate(rows)).save(arguments.output, optimize=True)


if __name__ == "__main__":
    main()
