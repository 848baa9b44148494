"""Measure the watermark. Without options: every clip, attack and key, and the speed; about a quarter of an hour.

python -m benchmarks.watermark                       the studio's own mark; writes benchmarks/results/watermark.json
python -m benchmarks.watermark --false-positives     1,000 clips without a mark; writes watermark_false_positives.json
python -m benchmarks.watermark --libraries           published libraries; writes watermark_libraries.json
python -m benchmarks.watermark --table               nothing but the table in docs/provenance.md, from these files
python -m benchmarks.watermark --quick               4 clips, the main attacks, one key; writes nothing
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.watermark import false_positives, libraries, matrix, results, speed, table


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.watermark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--quick", action="store_true", help="4 clips, the main attacks, one key")
    what.add_argument("--false-positives", action="store_true")
    what.add_argument("--libraries", action="store_true")
    what.add_argument("--speed", action="store_true", help="print how long marking and reading take; writes nothing")
    what.add_argument("--table", action="store_true", help="only write the table again")
    parser.add_argument("--clips", type=Path, default=None, help="folder with the real footage; it is found if it is "
                        "in ../shared/clips, and clips are drawn where there is none")  # fmt: skip
    parser.add_argument("--only-clips", nargs="*", default=(), metavar="PART", help="clips whose name holds a part")
    parser.add_argument("--only-attacks", nargs="*", default=(), metavar="PART", help="attacks whose name holds a part")
    parser.add_argument("--keys", type=int, default=None, help="keys and payloads for each clip; 1")
    parser.add_argument("--strength", type=float, default=None, help="of the mark; by default the gate chooses it")
    parser.add_argument("--search-seconds", type=float, default=false_positives.Sampling.seconds,
                        help="for searches among clips without a mark, beyond the least number")  # fmt: skip
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "watermark-benchmark",
                        help="folder for finished rows; an interrupted run goes on from there")  # fmt: skip
    parser.add_argument("--fresh", action="store_true", help="forget the rows of an interrupted run")
    return parser.parse_args()


def main() -> None:
    """Run what was asked for, print it, and keep it if it is complete."""
    arguments = parse()
    started = time.perf_counter()
    if arguments.table:
        table.update_document()
    elif arguments.speed:
        print(table.format_speed(speed.measure()))
    elif arguments.false_positives:
        measure_false_positives(arguments)
    elif arguments.libraries:
        measure_libraries(arguments)
    else:
        measure_matrix(arguments)
    print(f"{time.perf_counter() - started:.0f} s")


def measure_matrix(arguments: argparse.Namespace) -> None:
    """Mark, attack, read; and write the results if nothing was left out."""
    plan = matrix.plan_of(
        is_quick=arguments.quick,
        footage=arguments.clips,
        keys=arguments.keys,
        strength=arguments.strength,
        clips=arguments.only_clips,
        attacks=arguments.only_attacks,
    )
    complete = matrix.plan_of(is_quick=False, footage=arguments.clips, keys=None, strength=None)
    environment = results.environment(arguments.clips)
    work = work_folder(arguments, plan, *results.WATERMARK_CODE, *results.BENCHMARK_CODE)
    rows = matrix.run(plan, work, arguments.processes)
    print(table.summary(rows))
    if plan != complete:
        return
    timings = speed.measure()
    print(table.format_speed(timings))
    results.write(results.MATRIX, {"environment": environment, "commands": results.commands(), "speed": timings}, rows)
    table.update_document()


def measure_false_positives(arguments: argparse.Namespace) -> None:
    """Read what carries no mark."""
    sampling = false_positives.Sampling(seconds=arguments.search_seconds, footage=arguments.clips)
    environment = results.environment(arguments.clips)
    code = (*results.WATERMARK_CODE, "benchmarks/watermark/clips.py", "benchmarks/watermark/false_positives.py")
    rows = false_positives.run(sampling, work_folder(arguments, sampling, *code), arguments.processes)
    found = [row for row in rows if row["is_found"]]
    about = {"environment": environment, "summary": false_positives.summarise(rows)}
    print(about["summary"], *found, sep="\n")
    results.write(results.FALSE_POSITIVES, about, rows)
    table.update_document()


def measure_libraries(arguments: argparse.Namespace) -> None:
    """Run the libraries that are installed here."""
    environment = results.environment(arguments.clips)
    work = work_folder(arguments, "libraries", *results.LIBRARY_CODE)
    rows, notes = libraries.run(arguments.clips, work, arguments.processes)
    for name, note in notes.items():
        print(name, note)
    if not any("left_out" in note for note in notes.values()):
        results.write(results.LIBRARIES, {"environment": environment, "libraries": notes}, rows)
        table.update_document()


def work_folder(arguments: argparse.Namespace, plan: object, *code: str) -> Path:
    """Return the folder for finished rows: another one for other code or another plan, so that rows never mix."""
    folder = Path(arguments.work) / hashlib.sha256(f"{results.code_digest(*code)} {plan!r}".encode()).hexdigest()[:12]
    if arguments.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"rows are kept in {folder}", flush=True)
    return folder


if __name__ == "__main__":
    main()
