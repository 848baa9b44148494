"""Measure local generation beside stock diffusers.

python -m benchmarks.local_speed --gpu    at full size with random weights; needs a CUDA device with 80 GB or more
python -m benchmarks.local_speed --tiny   the same code in miniature on the CPU, to see that it works
python -m benchmarks.local_speed --micro  the small models end to end, on the CPU

Writes benchmarks/results/local_speed.json (--gpu) or local_speed_micro.json (--micro), after every row.
Exit code 1 where a target of what was measured is missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.svd_memory.results import FOLDER, Results, environment

# Name on the command line -> module and function of the section; in the order in which they are most wanted.
SECTIONS = {
    "step": ("step", "rows"),
    "temporal": ("temporal", "rows"),
    "decode": ("decoding", "rows"),
    "clip": ("clip", "rows"),
    "caps": ("clip", "capped_rows"),
    "hunyuan": ("hunyuan", "rows"),
}


def main() -> None:
    """Parse the command line, measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.local_speed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--gpu", action="store_true")
    where.add_argument("--tiny", action="store_true")
    where.add_argument("--micro", action="store_true")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"of --gpu and --tiny, from: {', '.join(SECTIONS)}")
    parser.add_argument("--num-frames", type=int, default=25, help="of --gpu: frames of SVD's clip, such as 14")
    parser.add_argument("--rounds", type=int, default=7, help="of --micro: how often both sides take their turn")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="on the CPU")
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"--only: no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    if arguments.micro:
        sys.exit(0 if _micro(arguments) else 1)
    sys.exit(_ladder(arguments, names))


def _ladder(arguments: argparse.Namespace, names: list[str]) -> int:
    import torch

    if arguments.gpu and not torch.cuda.is_available():
        print(
            "--gpu: this machine has no CUDA device; run it on one, with a CUDA build of torch, "
            "or try the same code with --tiny",
            file=sys.stderr,
        )
        return 3
    _quieten()
    torch.set_num_threads(arguments.threads)
    bench = _bench(arguments.num_frames, is_cuda=arguments.gpu)
    from benchmarks.local_speed.bench import device_description

    about = environment() | device_description(bench.device) | {"size": bench.size.name}
    suffix = "" if arguments.num_frames == 25 else f"_{arguments.num_frames}_frames"
    path = FOLDER / f"local_speed{suffix}.json" if arguments.gpu else None
    results = Results(path=arguments.results or path, about=about)
    results.resume()
    with torch.inference_mode():
        for name in names:
            measure(results, name, bench)
    return 0 if not arguments.gpu or _are_met(results) else 1


def measure(results: Results, section: str, bench: Any) -> None:
    """Measure a section, keep its rows and print them."""
    from benchmarks.local_speed.bench import FAILURES, refusal

    module, function = SECTIONS[section]
    try:
        for row in getattr(importlib.import_module(f"benchmarks.local_speed.{module}"), function)(bench):
            results.add(row)
            print(_line(row), flush=True)
    except FAILURES as error:  # the other sections are worth having
        results.add({"section": section, "name": "the whole section", "failed": refusal(error)})
        print(_line(results.rows[-1]), flush=True)
    bench.free()


def _are_met(results: Results) -> bool:
    from benchmarks.local_speed.targets import check

    found = check(results.rows)
    results.more["targets"] = found
    results.write()
    for one in found:
        stretch = "(stretch) " if one["is_stretch"] else ""
        verdict = "met   " if one["is_met"] else "FAILED"
        print(f"{verdict} {stretch}{one['target']}: {one['found']}, wanted {one['wanted']}")
    return all(one["is_met"] or one["is_stretch"] for one in found)


def _bench(num_frames: int, *, is_cuda: bool) -> Any:
    import torch

    from benchmarks.local_speed.bench import Bench
    from benchmarks.local_speed.sizes import FULL, TINY

    if is_cuda:
        size = replace(FULL, shape=replace(FULL.shape, num_frames=num_frames))
        return Bench(device=torch.device("cuda", torch.cuda.current_device()), dtype=torch.float16, size=size)
    return Bench(device=torch.device("cpu"), dtype=torch.float32, size=TINY)


def _micro(arguments: argparse.Namespace) -> bool:
    import torch

    _quieten()
    torch.set_num_threads(arguments.threads)
    from benchmarks.local_speed.micro import CASES
    from benchmarks.local_speed.micro import measure as measure_case

    about = environment() | {"threads": arguments.threads, "load_before": round(os.getloadavg()[0], 2)}
    results = Results(path=arguments.results or FOLDER / "local_speed_micro.json", about=about)
    for case in CASES:
        results.add(measure_case(case, rounds=arguments.rounds))
        print(_line(results.rows[-1]), flush=True)
    return all(row["is_met"] for row in results.rows)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({name: round(value, 5) if isinstance(value, float) else value for name, value in row.items()})


def _quieten() -> None:
    import warnings

    import diffusers
    import transformers

    warnings.simplefilter("ignore")
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


if __name__ == "__main__":
    main()
