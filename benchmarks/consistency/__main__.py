"""Measure the consistency checks: faults of known strength in clean clips, harmless edits, false alarms.

python -m benchmarks.consistency                       everything; writes benchmarks/results/consistency.json
python -m benchmarks.consistency --write-thresholds    the same, and studio/consistency/calibration.json
python -m benchmarks.consistency --observe-only        only make the recordings that the rest works on
python -m benchmarks.consistency --cost                milliseconds per frame at 1024x576, of one core
python -m benchmarks.consistency --models              how often what the shipped model makes is flagged
python -m benchmarks.consistency --docs                the tables of docs/consistency.md, from the results file
python -m benchmarks.consistency --hour                memory for an hour of 1080p
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.consistency import calibrating, cost, judging, models, observing, page, renders, results, scoring, table
from benchmarks.consistency.clips import Segment, all_segments
from benchmarks.consistency.detectors import EXPECTED, NOT_JUDGED
from benchmarks.consistency.faults import FAULTS, STRENGTHS
from studio.consistency.runner import available_checks


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.consistency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--observe-only", action="store_true", help="make the recordings and stop")
    parser.add_argument("--judge-only", action="store_true", help="work on the segments that are recorded completely")
    parser.add_argument("--write-thresholds", action="store_true", help="write studio/consistency/calibration.json")
    parser.add_argument("--cost", action="store_true", help="measure nothing but the cost per frame")
    parser.add_argument("--hour", action="store_true", help="measure nothing but the memory for an hour of 1080p")
    parser.add_argument("--models", action="store_true", help="measure nothing but how often micro-wan is flagged")
    parser.add_argument(
        "--docs", action="store_true", help="put the tables of the results file into docs/consistency.md"
    )
    parser.add_argument("--only-strength", choices=STRENGTHS, default=None)
    parser.add_argument("--faults", default="", metavar="A,B", help="only these faults: " + ", ".join(FAULTS))
    parser.add_argument("--clips", type=Path, default=None, help="folder with the real footage; it is found if it is "
                        "in ../shared/clips; without it only drawn clips are used")  # fmt: skip
    parser.add_argument("--clips-limit", type=int, default=None, metavar="N", help="only N segments")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=observing.CACHE, help="folder for recordings; an interrupted run "
                        "goes on from there")  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Do what was asked for."""
    arguments = parse()
    started = time.perf_counter()
    if arguments.docs:
        page.rewrite(results.load())
    elif arguments.models:
        found = models.measure()
        models.write(found)
        print(models.format_models(found))
    elif arguments.cost:
        print(cost.format_cost(cost.measure(arguments.clips)))
    elif arguments.hour:
        print(cost.format_hour(cost.measure_hour()))
    else:
        measure(arguments)
    print(f"{time.perf_counter() - started:.0f} s")


def measure(arguments: argparse.Namespace) -> None:
    """Observe, judge, print; and write the results if nothing was left out."""
    known = all_segments(arguments.clips)
    plan = plan_of(arguments, _chosen(known, arguments.clips_limit))
    print(f"recordings are kept in {plan.folder}", flush=True)
    if arguments.judge_only:
        plan = observing.recorded(plan)
    else:
        observing.observe_all(plan, arguments.workers, lambda text: print(text, flush=True))
    if arguments.observe_only:
        return
    print(f"judging {len(plan.segments)} segments in {len(plan.variants)} variants", flush=True)
    checks = available_checks()
    evidence, thresholds = assess(plan, known, arguments.workers)
    found = results.collect(plan, evidence, thresholds, checks)
    print(table.summary(found))
    is_complete = len(plan.segments) == len(known) and plan.variants == observing.all_variants()
    if is_complete:
        results.write(found)
    if arguments.write_thresholds:
        results.write_thresholds(evidence, thresholds, checks)


def assess(plan: observing.Plan, known: list[Segment], workers: int) -> tuple[scoring.Evidence, dict[str, float]]:
    """Return every case, judged by thresholds that its source had no part in, and the thresholds of all sources."""
    segments = {segment.name: segment for segment in known}
    sources = {name: segment.source for name, segment in segments.items()}
    checks = [check.id for check in available_checks()]
    values = tuple(item for item in plan.variants if item.group != "raw" and item.strength in ("", "medium"))
    first = scoring.Evidence(
        cases=judging.judge_all(replace(plan, variants=values), sources, {}, workers), segments=segments, checks=checks
    )
    calibrated = [check for check in checks if check in calibrating.calibrated_ids() - NOT_JUDGED]
    least = renders.least_thresholds(available_checks())
    folds = {
        source: {check: threshold_without(first, check, source, least) for check in calibrated}
        for source in {sources[name] for name in plan.segments}
    }
    cases = judging.judge_all(plan, sources, folds, workers)
    thresholds = {check: threshold_without(first, check, "", least) for check in calibrated}
    return scoring.Evidence(cases=cases, segments=segments, checks=checks), thresholds


def threshold_without(evidence: scoring.Evidence, check: str, source: str, least: Mapping[str, float]) -> float:
    """Return the threshold that all sources but one ask for. least: what the renders ask for, by check."""

    def others(group: str, name: str = "", strength: str = "") -> dict[str, list[float]]:
        found = evidence.values(check, group, name, strength)
        return {key: numbers for key, numbers in found.items() if key != source}

    faulty: dict[str, list[float]] = {}
    for fault in (name for name, expected in EXPECTED.items() if expected.check == check):
        for key, numbers in others("fault", fault, "medium").items():
            faulty.setdefault(key, []).extend(numbers)
    benign = {name: others("benign", name) for name in evidence.edits}
    floor = float("-inf") if source == renders.SOURCE else least.get(check, float("-inf"))
    return calibrating.threshold_of(others("clean"), benign, faulty, floor)


def plan_of(arguments: argparse.Namespace, segments: list[Segment]) -> observing.Plan:
    """Return what was asked for."""
    only = tuple(name for name in arguments.faults.split(",") if name)
    return observing.Plan(
        segments=tuple(segment.name for segment in segments),
        variants=observing.all_variants(arguments.only_strength, only),
        folder=observing.cache_folder(arguments.cache),
        footage=arguments.clips,
    )


def _chosen(segments: list[Segment], limit: int | None) -> list[Segment]:
    """Return `limit` segments, spread over the list."""
    if limit is None or limit >= len(segments):
        return segments
    return [segments[index * len(segments) // limit] for index in range(limit)]


if __name__ == "__main__":
    main()
