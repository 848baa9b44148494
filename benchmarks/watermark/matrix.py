"""Marks clips, attacks them and reads the mark: one case for every clip, key and attack, kept as it is done."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.watermark import quality
from benchmarks.watermark.attacks import ATTACKS, BY_NAME, GATE_ENCODE, MAIN, Attack, Frames
from benchmarks.watermark.clips import Clip, all_clips
from benchmarks.watermark.journal import Journal, Row
from benchmarks.watermark.sealing import Mark, detector, embed, seal
from studio.provenance.watermark import WatermarkDetector

__all__ = ["Mark", "embed", "plan_of", "read", "run"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run.

    units: names of clips, each with the number of its key and payload. attacks: names; a second key gets only those
    with an aim. strength: of the mark, None for the gate's own choice. footage: folder of real clips, None for the
    usual place.
    """

    units: tuple[tuple[str, int], ...]
    attacks: tuple[str, ...]
    strength: float | None
    footage: Path | None

    def attacks_on(self, number: int) -> list[Attack]:
        """Return what is done to a clip with its key of this number."""
        chosen = [BY_NAME[name] for name in self.attacks]
        return [attack for attack in chosen if number == 0 or attack.target is not None]


def read(frames: Frames, mark: Mark, payload: int | None = None) -> Row:
    """Read the mark with nothing but the key, at once if that is enough and by searching otherwise; and where that
    fails, once more with the ids of a library of 1,000 clips to compare with.

    payload: what the frames carry, if it is not the mark's whole one. is_exact: it came back bit for bit.
    is_with_index: it was too faint to be read alone, and recognised among the ids of a library of 1,000 clips.
    how: "direct", "search" or "not found". seconds of either attempt, the frames' preparation counted with the first.
    """
    expected = mark.payload if payload is None else payload
    started = time.perf_counter()
    reader = _shown(detector(mark, with_index=False), frames)
    reading = reader.finish()
    row: Row = {"direct_seconds": time.perf_counter() - started, "search_seconds": None, "how": "direct"}
    if not reading.detected:
        started = time.perf_counter()
        reading = reader.finish(search=True)
        row |= {"search_seconds": time.perf_counter() - started, "how": "search" if reading.detected else "not found"}
    if not reading.detected:
        reading = _shown(detector(mark), frames).finish(search=True)
    return row | {
        "is_exact": reading.detected and reading.payload == expected,
        "is_wrong": reading.detected and reading.payload != expected,
        "is_with_index": reading.with_index,
        "confidence": reading.confidence,
        "transform": reading.transform,
    }


def _shown(reader: WatermarkDetector, frames: Frames) -> WatermarkDetector:
    for frame in frames:
        reader.update(frame)
    return reader


def run(plan: Plan, work: Path, processes: int) -> list[Row]:
    """Run what is not done yet, and return the rows of all cases and of the clips' quality, in the plan's order.

    work: folder with a file of finished rows for every clip and key; an interrupted run goes on from there.
    """
    job = partial(_run_unit, plan, work)
    rows: list[Row] = []
    # Threads of OpenCV do not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done, (unit, found) in enumerate(zip(plan.units, pool.map(job, plan.units), strict=True), 1):
            rows += found
            lost = [row["attack"] for row in found if row["kind"] == "case" and not row["is_exact"]]
            print(f"[{done}/{len(plan.units)}] {unit[0]} key {unit[1]}: lost {len(lost)} {lost}", flush=True)
    return rows


def _run_unit(plan: Plan, work: Path, unit: tuple[str, int]) -> list[Row]:
    """Do all cases of one clip and key that are not done yet, and return the rows of all."""
    import cv2

    cv2.setNumThreads(1)  # the other core is busy with another clip
    name, number = unit
    journal = Journal(work / f"{name}.{number}.jsonl")
    missing = [attack for attack in plan.attacks_on(number) if not journal.has(kind="case", attack=attack.name)]
    if missing or not journal.has(kind="quality"):
        clip = next(clip for clip in all_clips(plan.footage) if clip.name == name)
        for row in _cases(clip, number, missing, plan.strength, needs_quality=not journal.has(kind="quality")):
            journal.append(row)
    return journal.rows


def _cases(
    clip: Clip, number: int, attacks: Sequence[Attack], strength: float | None, *, needs_quality: bool
) -> Iterator[Row]:
    original, frame_rate = clip.read()
    mark = Mark.of(clip.name, number)
    sealed = seal(original, frame_rate, mark, strength)
    about = {"clip": clip.name, "group": clip.group, "key": number}
    if needs_quality:
        height, width = original.shape[1:3]
        measured = asdict(quality.measure(original, sealed.marked, frame_rate))
        bits = 0 if sealed.payload is None else sealed.bits
        yield {"kind": "quality", **about, "width": width, "height": height, "bits": bits, **measured}
    for attack in attacks:
        attacked = sealed.shown if attack is GATE_ENCODE else attack(sealed.shown, frame_rate)
        # A clip that the gate could not mark counts as lost in every case.
        yield {"kind": "case", **about, "attack": attack.name, **read(attacked, mark, sealed.payload)}


def plan_of(
    *,
    is_quick: bool,
    footage: Path | None,
    keys: int | None,
    strength: float | None,
    clips: Sequence[str] = (),
    attacks: Sequence[str] = (),
) -> Plan:
    """Fill in what was not asked for. clips, attacks: parts of names; none means all. Small clips get one key."""
    everything = all_clips(footage)
    if is_quick and not clips:
        everything = [clip for clip in everything if clip.group == "main"][:4]
    chosen = MAIN if is_quick and not attacks else ATTACKS
    wanted = [clip for clip in everything if not clips or any(part in clip.name for part in clips)]
    numbers = range(keys or 1)
    return Plan(
        units=tuple((clip.name, n) for n in numbers for clip in wanted if n == 0 or clip.group == "main"),
        attacks=tuple(item.name for item in chosen if not attacks or any(part in item.name for part in attacks)),
        strength=strength,
        footage=footage,
    )
