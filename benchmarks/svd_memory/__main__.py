"""Count what SVD-XT takes at full size: python -m benchmarks.svd_memory. Needs no GPU and no weights.

Writes benchmarks/results/svd_memory.json. Exit code 1 where a target of 25 frames of 1024x576 is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.svd_memory.results import FOLDER, Results, environment

ARCHITECTURE = Path(__file__).resolve().parents[2] / "pipelines" / "architectures" / "svd-xt"
HOW = "counted on torch's meta device, not measured: real modules at full size, in float16, attention as a fused kernel"


def main() -> None:
    """Parse the command line, count, print, write the results, and check the targets."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.svd_memory", description=__doc__)
    parser.add_argument("--num-frames", type=int, default=25)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=576)
    parser.add_argument("--architecture", type=Path, default=ARCHITECTURE, help="folder with a model's config files")
    parser.add_argument(
        "--results", type=Path, help="where to write; svd_memory.json for the default shape, else nowhere"
    )
    arguments = parser.parse_args()

    from benchmarks.svd_memory.rows import all_rows
    from benchmarks.svd_memory.staged_svd import Shape

    shape = Shape(width=arguments.width, height=arguments.height, num_frames=arguments.num_frames)
    is_default = shape == Shape() and arguments.architecture == ARCHITECTURE
    path = arguments.results or (FOLDER / "svd_memory.json" if is_default else None)
    results = Results(path=path, about=environment() | {"how": HOW, "clip": str(shape)})
    sys.exit(0 if measure(results, arguments.architecture, shape, all_rows(), has_targets=is_default) else 1)


def measure(results: Results, folder: Path, shape: Any, rows: Sequence[Any], *, has_targets: bool) -> bool:
    """Count rows and print them. Returns whether the targets are met; true where there are none."""
    from benchmarks.svd_memory import table, targets
    from benchmarks.svd_memory.rows import described

    _quieten()
    print(f"{shape}: {HOW}\n\n{table.header()}")
    with TemporaryDirectory(prefix="svd-memory-") as home:
        for row in rows:
            results.add(described(row, folder, shape, Path(home)))
            print(table.line(results.rows[-1], results.rows[0]), flush=True)
    if not has_targets:
        return True
    found = targets.check(results.rows)
    results.more["targets"] = found
    results.write()
    print(f"\n{table.targets(found)}")
    return all(one["is_met"] or one["is_stretch"] for one in found)


def _quieten() -> None:
    import logging
    import warnings

    import diffusers
    import transformers

    warnings.simplefilter("ignore")
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
    logging.getLogger("torch").setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
