"""How well faults stand out, how often clean clips are accused, and whether the place is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.consistency.clips import Segment
from benchmarks.consistency.detectors import EXPECTED, NOT_JUDGED, REPEAT_CHECKS
from benchmarks.consistency.faults import FAULTS, STRENGTHS, Strength
from benchmarks.consistency.judging import LOWEST, Case

Row = dict[str, Any]
KINDS = {"static": ("static",), "moving": ("moving",), "generated": ("generated", "animation"), "micro": ("micro",)}


def roc_auc(faulty: Iterable[float], clean: Iterable[float]) -> float | None:
    """Return the chance that a faulty value is above a clean one, ties counting half; None if either has none."""
    high, low = np.array(list(faulty), np.float64), np.array(list(clean), np.float64)
    if not len(high) or not len(low):
        return None
    ranks = _mid_ranks(np.concatenate([high, low]))
    return float((ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def _mid_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Every case, and what is known of the segments. checks: ids in the panel's order."""

    cases: Sequence[Case]
    segments: Mapping[str, Segment]
    checks: Sequence[str]

    def of(self, group: str, name: str = "", strength: str = "", check: str = "") -> list[Case]:
        """Return the cases of a variant; for a check that looks for repeats without clips that hold some."""
        return [
            case
            for case in self.cases
            if case.variant.group == group
            and case.variant.name == name
            and case.variant.strength == strength
            and not (check in REPEAT_CHECKS and self.segments[case.segment].has_repeats)
        ]

    def edited(self, check: str = "") -> list[Case]:
        """Return the cases of all benign edits."""
        return [case for name in self.edits for case in self.of("benign", name, check=check)]

    @property
    def edits(self) -> list[str]:
        """The benign edits that were looked at."""
        return list(dict.fromkeys(case.variant.name for case in self.cases if case.variant.group == "benign"))

    def values(self, check: str, group: str = "clean", name: str = "", strength: str = "") -> dict[str, list[float]]:
        """Return what the clips of a variant measure, by source."""
        found: dict[str, list[float]] = {}
        for case in self.of(group, name, strength, check):
            found.setdefault(self.segments[case.segment].source, []).append(case.values.get(check, LOWEST))
        return found


def fault_rows(evidence: Evidence) -> list[Row]:
    """Return a row for each fault and strength that was looked at."""
    return [
        _fault_row(evidence, group, fault, strength)
        for group in ("fault", "raw")
        for fault in FAULTS
        for strength in STRENGTHS
        if evidence.of(group, fault, strength)
    ]


def _fault_row(evidence: Evidence, group: str, fault: str, strength: Strength) -> Row:
    expected = EXPECTED[fault]
    check = expected.check
    faulty = evidence.of(group, fault, strength, check)
    clean = evidence.of("clean" if group == "fault" else "raw", check=check)
    benign = evidence.edited(check) if group == "fault" else []
    rightly = {check, *expected.others}
    caught = [case for case in faulty if case.failed & rightly]
    located = [case for case in caught if case.is_located]
    return {
        "kind": group,
        "fault": fault,
        "strength": strength,
        "check": check,
        "clips": len(faulty),
        "told": len(_told(faulty, check)) / max(len(faulty), 1),
        "auc": _auc(faulty, clean, check),
        "auc_all": roc_auc((case.values.get(check, LOWEST) for case in faulty),
                           (case.values.get(check, LOWEST) for case in clean)),
        "auc_with_benign": _auc(faulty, [*clean, *benign], check) if group == "fault" else None,
        "target": expected.targets.get(strength),
        "recall": sum(check in case.failed for case in faulty) / max(len(faulty), 1),
        "recall_any_right": len(caught) / max(len(faulty), 1),
        "recall_any": sum(bool(case.failed - NOT_JUDGED) for case in faulty) / max(len(faulty), 1),
        "placed": sum(bool(case.placed & rightly) for case in located) / len(located) if located else None,
        "auc_vbench_flicker": roc_auc([case.flicker for case in faulty], [case.flicker for case in clean]),
        "auc_warp_error": roc_auc([case.warp_error for case in faulty], [case.warp_error for case in clean]),
        "auc_by_kind": {name: _auc(_of_kind(evidence, faulty, kinds), _of_kind(evidence, clean, kinds), check)
                        for name, kinds in KINDS.items()},
        "missed": sorted(case.segment for case in faulty if check not in case.failed),
    }  # fmt: skip


def _auc(faulty: Sequence[Case], clean: Sequence[Case], check: str) -> float | None:
    """Return the AUC over the clips that a check says something about."""
    return roc_auc(*([case.values[check] for case in _told(cases, check)] for cases in (faulty, clean)))


def _told(cases: Sequence[Case], check: str) -> list[Case]:
    """Return the cases of which the check could say something."""
    return [case for case in cases if case.values.get(check, LOWEST) > LOWEST]


def _of_kind(evidence: Evidence, cases: Sequence[Case], kinds: Sequence[str]) -> list[Case]:
    return [case for case in cases if evidence.segments[case.segment].kind in kinds]


def alarm_rows(evidence: Evidence) -> list[Row]:
    """Return a row for clean clips, raw ones and each benign edit: the share that each check accuses, and any."""
    groups = [("clean", ""), ("raw", "")]
    groups += [("benign", name) for name in evidence.edits]
    return [_alarm_row(evidence, group, name) for group, name in groups if evidence.of(group, name)]


def _alarm_row(evidence: Evidence, group: str, name: str) -> Row:
    judged = [check for check in evidence.checks if check not in NOT_JUDGED]
    by_check = {}
    for check in judged:
        cases = evidence.of(group, name, check=check)
        names = sorted(case.segment for case in cases if check in case.failed)
        by_check[check] = {"share": len(names) / max(len(cases), 1), "clips": names}
    cases = evidence.of(group, name)
    accused = [case for case in cases if _accused(evidence, case)]
    by_kind = {
        kind: sum(case in accused for case in mine) / len(mine)
        for kind, kinds in KINDS.items()
        if (mine := _of_kind(evidence, cases, kinds))
    }
    return {"kind": "alarms", "group": group, "edit": name, "clips": len(cases), "any": len(accused) / len(cases),
            "any_by_kind": by_kind, "by_check": by_check}  # fmt: skip


def _accused(evidence: Evidence, case: Case) -> bool:
    """Say whether a clean clip fails: repeats that are really there are no false alarm."""
    excused = REPEAT_CHECKS if evidence.segments[case.segment].has_repeats else frozenset()
    return bool(case.failed - NOT_JUDGED - excused)


def dissolve_f1(evidence: Evidence) -> float | None:
    """Return the F1 of dissolves: found ones, against those missed and clean clips or hard cuts taken for one."""
    dissolves = evidence.of("fault", "dissolve", "medium")
    others = [*evidence.of("clean"), *evidence.of("fault", "hard_cut", "medium")]
    if not dissolves or "dissolve" not in evidence.checks:
        return None
    found = sum("dissolve" in case.failed for case in dissolves)
    wrong = sum("dissolve" in case.failed for case in others)
    return 2 * found / (2 * found + wrong + len(dissolves) - found)
