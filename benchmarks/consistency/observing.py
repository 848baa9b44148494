"""Records every variant of every segment, in several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from benchmarks.consistency import benign, faults, journal
from benchmarks.consistency.clips import Segment, all_segments, donor_of
from benchmarks.consistency.faults import STRENGTHS, Strength
from benchmarks.consistency.recording import Variant, fitted, record
from benchmarks.watermark.results import REPOSITORY, code_digest

CACHE = REPOSITORY / "build" / "consistency-cache"
# Files whose frames are checked before they are encoded, where a repeated frame is repeated exactly.
RAW_FAULTS = ("freeze", "duplicates")
_CODE = (
    *(f"studio/consistency/{name}.py" for name in ("facts", "frame", "motion", "observer", "picture")),
    *(
        f"benchmarks/consistency/{name}.py"
        for name in ("clips", "material", "pasting", "timing", "light", "objects", "faults", "benign", "encoding")
    ),
    "benchmarks/consistency/recording.py",
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run looks at. folder: for the recordings. footage: None for the usual place."""

    segments: tuple[str, ...]
    variants: tuple[Variant, ...]
    folder: Path
    footage: Path | None = None


def all_variants(only_strength: Strength | None = None, only: Sequence[str] = ()) -> tuple[Variant, ...]:
    """Return clean, then faults with medium strength first, benign edits and raw ones. only: names of faults."""
    order: tuple[Strength, ...] = ("medium", *(item for item in STRENGTHS if item != "medium"))
    strengths = order if only_strength is None else (only_strength,)
    found = [
        Variant(group="fault", name=name, strength=strength)
        for strength in strengths
        for name in faults.FAULTS
        if strength in faults.strengths_of(name) and (not only or name in only)
    ]
    edits = [Variant(group="benign", name=name) for name in benign.EDITS]
    raw = [Variant(group="raw", name=item.name, strength=item.strength) for item in found if item.name in RAW_FAULTS]
    return (Variant(group="clean"), *found, *edits, Variant(group="raw"), *raw)


def cache_folder(root: Path | None = None) -> Path:
    """Return the folder for recordings: another one for other code, so that they never mix."""
    return (root or CACHE) / code_digest(*_CODE)


def path_of(plan: Plan, segment: str, variant: Variant) -> Path:
    """Return where a recording is."""
    return plan.folder / segment / f"{variant.stem}.npz"


def recorded(plan: Plan) -> Plan:
    """Return the plan for those segments of which every recording is there."""
    done = [name for name in plan.segments if all(path_of(plan, name, item).exists() for item in plan.variants)]
    return replace(plan, segments=tuple(done))


def observe_all(plan: Plan, workers: int, say: Callable[[str], None]) -> None:
    """Make the recordings that are missing."""
    missing = [name for name in plan.segments if any(not path_of(plan, name, item).exists() for item in plan.variants)]
    say(f"{len(plan.segments)} segments, {len(plan.variants)} variants; {len(missing)} segments to observe")
    if not missing:
        return
    # Processes that are started anew inherit no threads of OpenCV's.
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", OPENBLAS_NUM_THREADS="1")
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=_alone) as pool:
        for count, name in enumerate(pool.imap_unordered(_observe_one, [(plan, name) for name in missing]), 1):
            say(f"{count:3d}/{len(missing)} {name}")


def _alone() -> None:
    import cv2

    cv2.setNumThreads(1)


def _observe_one(task: tuple[Plan, str]) -> str:
    plan, name = task
    segments = _segments(plan.footage)
    segment = next(item for item in segments if item.name == name)
    footage = segment.read()
    donor = fitted(donor_of(segment, segments).read().frames, footage.frames)
    for variant in plan.variants:
        path = path_of(plan, name, variant)
        if not path.exists():
            journal.save(path, record(segment.name, footage, donor, variant))
    return name


@lru_cache(maxsize=1)
def _segments(footage: Path | None) -> list[Segment]:
    return all_segments(footage)
