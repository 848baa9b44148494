"""Turns results into text for a terminal, in rows that are Markdown as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.consistency.detectors import ANY_LIMIT, BENIGN_LIMIT, CLEAN_LIMIT
from benchmarks.consistency.faults import STRENGTHS
from benchmarks.consistency.scoring import KINDS

Row = dict[str, Any]


def summary(results: Mapping[str, Any]) -> str:
    """Return all tables. results: as they are written to the file."""
    rows = results["rows"]
    parts = [
        faults(results),
        _by_kind([row for row in rows if row["kind"] == "fault" and row["strength"] == "medium"]),
        _raw([row for row in rows if row["kind"] == "raw"]),
        alarms(results),
        _accused(results),
        _thresholds(results["thresholds"]),
    ]
    f1 = results.get("dissolve_f1")
    return "\n\n".join([*(part for part in parts if part), "" if f1 is None else f"F1 of dissolves: {f1:.2f}"])


def faults(results: Mapping[str, Any]) -> str:
    """Return a line for each fault. `!` marks an AUC below what is aimed at."""
    rows = [row for row in results["rows"] if row["kind"] == "fault"]
    head = ("fault", "check", "AUC weak", "AUC medium", "AUC strong", "medium, with benign edits", "recall w/m/s",
            "any right check", "within 1 frame", "told, AUC of all", "VBench flicker", "warp error")  # fmt: skip
    lines = []
    for fault in dict.fromkeys(row["fault"] for row in rows):
        mine = {row["strength"]: row for row in rows if row["fault"] == fault}
        main = mine.get("medium") or next(iter(mine.values()))
        lines.append(
            (
                fault,
                main["check"],
                *(_with_target(mine.get(strength)) for strength in STRENGTHS),
                _number(main["auc_with_benign"]),
                " ".join(_number(mine[strength]["recall"]) for strength in STRENGTHS if strength in mine),
                _number(main["recall_any_right"]),
                _number(main["placed"]),
                f"{main['told']:.0%} {_number(main['auc_all'], 3)}" if main["told"] < 1 else "",
                _number(main["auc_vbench_flicker"]),
                _number(main["auc_warp_error"]),
            )
        )
    return _table(head, lines)


def _with_target(row: Row | None) -> str:
    if row is None:
        return "-"
    auc, target = row["auc"], row["target"]
    is_short = target is not None and (auc is None or round(auc, 3) < target)
    return _number(auc, 3) + (f" ! {target:g}" if is_short else "")


def _by_kind(rows: Sequence[Row]) -> str:
    lines = [(row["fault"], *(_number(row["auc_by_kind"].get(kind), 3) for kind in KINDS)) for row in rows]
    return _table(("AUC at medium strength", *KINDS), lines)


def _raw(rows: Sequence[Row]) -> str:
    head = ("before encoding", "check", "AUC weak", "AUC medium", "AUC strong")
    lines = []
    for fault in dict.fromkeys(row["fault"] for row in rows):
        mine = {row["strength"]: row for row in rows if row["fault"] == fault}
        lines.append((fault, next(iter(mine.values()))["check"],
                      *(_number(mine[item]["auc"], 3) if item in mine else "-" for item in STRENGTHS)))  # fmt: skip
    return _table(head, lines) if lines else ""


def alarms(results: Mapping[str, Any]) -> str:
    """Return false alarms: a column for each group of clips. `!` marks a share above what is allowed."""
    rows = [row for row in results["rows"] if row["kind"] == "alarms"]
    columns = [row["edit"] or row["group"] for row in rows]
    checks = list(dict.fromkeys(check for row in rows for check in row["by_check"]))
    lines = [("any", *(_share(row["any"], ANY_LIMIT if row["group"] == "clean" else 1.0) for row in rows))]
    for check in checks:
        shares = [(row["by_check"][check]["share"], CLEAN_LIMIT if row["group"] == "clean" else BENIGN_LIMIT)
                  for row in rows]  # fmt: skip
        lines.append((check, *(_share(share, limit) for share, limit in shares)))
    return _table(("clips accused", *columns), lines)


def _accused(results: Mapping[str, Any]) -> str:
    """Return which kinds of clean clips, and which of them, are accused by what."""
    kinds = [row for row in results["rows"] if row["kind"] == "alarms" and row["group"] == "clean"]
    by_kind = "\n".join("any, clean, by kind: " + ", ".join(f"{kind} {share:.0%}" for kind, share in
                                                            row["any_by_kind"].items()) for row in kinds)  # fmt: skip
    accused = [
        f"{check}: {', '.join(row['by_check'][check]['clips'])}"
        for row in kinds
        for check in row["by_check"]
        if row["by_check"][check]["clips"]
    ]
    return "\n".join([by_kind, "clean clips accused by", *accused])


def _thresholds(thresholds: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        (name, f"{row['threshold']:g} {row['unit']}", "from clean clips" if row["is_calibrated"] else "fixed",
         _number(row["clean_median"]), _number(row["clean_most"]))
        for name, row in thresholds.items()
    ]  # fmt: skip
    return _table(("check", "threshold", "", "median of clean", "most of clean"), lines)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [list(head), *(list(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def _share(share: float, limit: float) -> str:
    text = "" if share == 0 else f"{share:.0%}"
    return f"{text} !" if share > limit + 1e-9 else text


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
