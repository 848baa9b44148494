"""Print how accurate the micro models are, and keep the numbers: python -m benchmarks.micro_models [--clips N]."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.micro_models import wan

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "micro_models.json"


def environment(num_threads: int) -> dict[str, Any]:
    """When and on what the numbers were taken."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "diffusers", "transformers", "numpy")}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "num_threads": num_threads,
        "versions": versions,
    }


def measure_photographs() -> tuple[dict[str, Any], str] | None:
    """The second table, of micro-svd on photographs; None while that model or its benchmark is not there."""
    if not (REPOSITORY / "weights" / "micro-svd" / "model_index.json").exists():
        return None
    try:
        photographs = importlib.import_module("benchmarks.micro_models.photographs")
    except ModuleNotFoundError:
        return None
    result = photographs.measure()
    return result, photographs.format_table(result)


def main() -> None:
    """Parse the command line, measure, print, and write benchmarks/results/micro_models.json."""
    defaults = wan.SamplingSettings()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro_models", description=__doc__)
    parser.add_argument("--clips", type=int, default=100, help="held-out prompts to measure micro-wan on")
    parser.add_argument("--model", type=Path, default=REPOSITORY / "weights" / "micro-wan")
    parser.add_argument("--steps", type=int, default=defaults.num_inference_steps)
    parser.add_argument("--guidance-scale", type=float, default=defaults.guidance_scale)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only-wan", action="store_true", help="leave out the second table (micro-svd)")
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(arguments.threads)
    settings = wan.SamplingSettings(num_inference_steps=arguments.steps, guidance_scale=arguments.guidance_scale)
    results: dict[str, Any] = {"environment": environment(arguments.threads)}
    results["micro_wan"] = wan.measure(arguments.model, num_clips=arguments.clips, settings=settings)
    print(wan.format_table(results["micro_wan"]))
    second = None if arguments.only_wan else measure_photographs()
    if second is not None:
        results["micro_svd"], table = second
        print(f"\n{table}")
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
