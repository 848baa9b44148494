"""Measure the queue: python -m benchmarks.queue [--jobs 10000]. Writes benchmarks/results/queue.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "queue.json"


def main() -> None:
    """Parse the command line, measure, print, and write the results."""
    from benchmarks.queue import many, workers

    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="how many jobs wait in the long queue")
    parser.add_argument("--database-url", help="measure the long queue on this PostgreSQL as well")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    environment = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    results: dict[str, Any] = {"environment": environment}
    results["long_queue"] = {"sqlite": in_a_home(lambda home: many.measure(home, arguments.jobs, None))}
    if arguments.database_url:
        postgres = in_a_home(lambda home: many.measure(home, arguments.jobs, arguments.database_url))
        results["long_queue"]["postgresql"] = postgres
    results["overhead"] = in_a_home(workers.overhead)
    results["throughput"] = in_a_home(workers.throughput)
    results["idle_worker"] = in_a_home(workers.idle_memory)
    print(json.dumps(results, indent=2))
    arguments.results.write_text(json.dumps(results, indent=2) + "\n")


def in_a_home(measure: Callable[[Path], Any]) -> Any:
    """Measure in a home folder that is deleted afterwards."""
    with TemporaryDirectory(prefix="queue-") as folder:
        return measure(Path(folder) / "home")


if __name__ == "__main__":
    main()
