"""Turns results into text for a terminal and into the tables of docs/provenance.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.watermark import results
from benchmarks.watermark.attacks import ATTACKS, BY_NAME
from benchmarks.watermark.journal import Row

DOCUMENT = results.REPOSITORY / "docs" / "provenance.md"
BEGIN = "<!-- measured: begin (python -m benchmarks.watermark --table) -->"
END = "<!-- measured: end -->"

# Of how little the mark shows, what is aimed at for every clip.
_PSNR_DB, _SSIM, _VMAF = 44.0, 0.99, 95.0


def summary(rows: Sequence[Row]) -> str:
    """Return plain text: recoveries of each attack with the clips that were lost, then each clip's quality."""
    cases = [row for row in rows if row["kind"] == "case"]
    lines = []
    for attack in ATTACKS:
        mine = [row for row in cases if row["attack"] == attack.name]
        if mine:
            lines.append(_summary_line(attack.name, mine))
    exact, wrong = sum(row["is_exact"] for row in cases), sum(row["is_wrong"] for row in cases)
    lines.append(f"  exact {exact}/{len(cases)}, wrong payloads {wrong}")
    lines += [
        f"  {row['clip']:34s} {row['width']}x{row['height']} key {row['key']}: {row['bits']} bit, "
        f"PSNR {row['psnr_db']:.2f} (worst {row['psnr_worst_db']:.2f}) SSIM {row['ssim']:.4f} VMAF {_vmaf(row)}"
        for row in rows
        if row["kind"] == "quality"
    ]
    return "\n".join(lines)


def _summary_line(attack: str, rows: Sequence[Row]) -> str:
    target = BY_NAME[attack].target
    main = [row for row in rows if row["group"] == "main"]
    flag = "!" * (_is_short(main, target) + _is_short(main, target, with_index=True))
    lost = " ".join(sorted({f"{row['clip']}.{row['key']}" for row in rows if not row["is_exact"]}))
    seconds = max(row["search_seconds"] or 0.0 for row in rows)
    direct = sum(row["how"] == "direct" for row in rows)
    return f"{flag:2s} {attack:48s} {_share(rows):>12s}  direct {direct:3d}  search <= {seconds:4.1f} s  {lost}"


def format_speed(timings: Sequence[Row]) -> str:
    """Return a Markdown table of the times of 25 frames."""
    lines = [
        "| size | embed, ms a frame | read 25 frames | read after a crop of 10 % | give up on an unmarked clip |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['width']}x{row['height']} | {row['embed_ms_per_frame']:.0f} | {row['direct_seconds']:.2f} s"
        f"{'' if row['is_direct_found'] else ' (not found)'} | {row['search_seconds_cropped']:.1f} s"
        f"{'' if row['is_cropped_found'] else ' (not found)'} | {row['search_seconds_unmarked']:.1f} s |"
        for row in timings
    ]
    return "\n".join(lines)


def update_document() -> None:
    """Replace the measured part of docs/provenance.md by what the result files say."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{measured_part()}\n{END}{after}")


def measured_part() -> str:
    """Return the Markdown between the two markers; as much of it as was measured."""
    own, false, others = (results.load(path) for path in (results.MATRIX, results.FALSE_POSITIVES, results.LIBRARIES))
    parts = [] if own is None else [_about(own), robustness(own["rows"], others), _quality(own["rows"])]
    if own is not None:
        parts.append(format_speed(own["speed"]))
    if own is not None and others is not None:
        parts.append(_library_quality(others))
    if false is not None:
        parts.append(_false(false["summary"]))
    return "\n\n".join(parts) or "Not measured yet."


def robustness(rows: Sequence[Row], others: dict[str, Any] | None) -> str:
    """Return the table of attacks. others: the libraries' results, beside ours on the same clips."""
    cases = [row for row in rows if row["kind"] == "case"]
    names = [name for name, note in others["libraries"].items() if "clips" in note] if others else []
    shared = {row["clip"] for row in others["rows"]} if others else set()
    columns = ["what happened", "aim", "main clips", "small clips", *(["same clips: ours", *names] if names else [])]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for attack in ATTACKS:
        mine = [row for row in cases if row["attack"] == attack.name]
        main, small = ([row for row in mine if row["group"] == group] for group in ("main", "small"))
        cells = [
            attack.name,
            "-" if attack.target is None else f"{100 * attack.target:.0f} %",
            _marked(main, attack.target),
        ]
        cells.append(_share(small) if small else "-")
        if others and names:
            cells.append(_share([row for row in mine if row["clip"] in shared]))
            cells += [_library(others["rows"], name, attack.name) for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _library(rows: Sequence[Row], library: str, attack: str) -> str:
    mine = [r for r in rows if r["kind"] == "case" and r["library"] == library and r["attack"] == attack]
    if not mine:
        return "-"
    shares = [row["bit_accuracy"] for row in mine]
    return f"{_share(mine)} ({min(shares):.2f} to {max(shares):.2f})"


def _library_quality(others: dict[str, Any]) -> str:
    """Return what the libraries cost and show, on the clips of the comparison."""
    lines = [
        "| library | clips | PSNR, dB | SSIM of the luma | VMAF | embed, ms a frame, two clips at a time |",
        "|---|---|---|---|---|---|",
    ]
    for name, note in others["libraries"].items():
        mine = [row for row in others["rows"] if row["kind"] == "quality" and row["library"] == name]
        cells = [f"{name} ({note['package']})", ", ".join(note["clips"]), _range(mine, "psnr_db", 1)]
        cells += [_range(mine, "ssim", 3), "-" if mine[0]["vmaf"] is None else _range(mine, "vmaf", 1)]
        lines.append("| " + " | ".join([*cells, _range(mine, "embed_ms_per_frame", 0)]) + " |")
    return "\n".join(lines)


def _range(rows: Sequence[Row], name: str, digits: int) -> str:
    values = [float(row[name]) for row in rows]
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def _marked(rows: Sequence[Row], target: float | None) -> str:
    """Return the share, bold where it is below what is aimed at."""
    return _bold(_share(rows), is_short=_is_short(rows, target))


def _is_short(rows: Sequence[Row], target: float | None, *, with_index: bool = False) -> bool:
    return target is not None and len(_exact(rows, with_index=with_index)) < target * len(rows)


def _exact(rows: Sequence[Row], *, with_index: bool) -> list[Row]:
    """Return the recoveries; of ids too faint to be read alone only where the library's index is allowed to help."""
    return [row for row in rows if row["is_exact"] and (with_index or not row.get("is_with_index"))]


def _share(rows: Sequence[Row]) -> str:
    """Return what was read without the index, and in brackets what was read with it if that is more."""
    alone, together = len(_exact(rows, with_index=False)), len(_exact(rows, with_index=True))
    return f"{alone}/{len(rows)}" + (f" ({together})" if together > alone else "")


def _quality(rows: Sequence[Row]) -> str:
    lines = [
        "| clip | size | PSNR, dB | SSIM | VMAF (of the original) | length of the id |",
        "|---|---|---|---|---|---|",
    ]
    measured = [row for row in rows if row["kind"] == "quality"]
    for name in dict.fromkeys(row["clip"] for row in measured):
        mine = [row for row in measured if row["clip"] == name]
        worst = min(mine, key=lambda row: float(row["psnr_db"]))
        least = min(mine, key=lambda row: float(row["vmaf"] or 0.0))
        length = " or ".join(f"{bits} bit" if bits else "none" for bits in sorted({row["bits"] for row in mine}))
        psnr = _bold(f"{worst['psnr_db']:.1f}", is_short=worst["psnr_db"] < _PSNR_DB)
        ssim = _bold(f"{min(row['ssim'] for row in mine):.3f}", is_short=min(row["ssim"] for row in mine) < _SSIM)
        vmaf = _bold(_vmaf(least), is_short=least["vmaf"] is not None and least["vmaf"] < _VMAF)
        lines.append(f"| {name} | {worst['width']}x{worst['height']} | {psnr} | {ssim} | {vmaf} | {length} |")
    return "\n".join(lines)


def _bold(text: str, *, is_short: bool) -> str:
    return f"**{text}**" if is_short else text


def _vmaf(row: Row) -> str:
    return "-" if row["vmaf"] is None else f"{row['vmaf']:.1f} ({row['vmaf_self']:.1f})"


def _about(own: dict[str, Any]) -> str:
    about, cases = own["environment"], [row for row in own["rows"] if row["kind"] == "case"]
    clips = len({row["clip"] for row in cases})
    return (
        f"Measured on {about['date'][:10]} with {about['algorithm']} (code {about['watermark_code_sha256']}), {clips} "
        f"clips of {about['footage']} footage, {len(cases)} cases; ffmpeg {about['ffmpeg'].split('-')[0]}, OpenCV "
        f"{about['versions']['opencv-python-headless']}, {about['cpu_count']} cores of {about['cpu']}. A cell counts "
        "exact recoveries of the whole id, in brackets those with the help of 1,000 known ids if it is more; bold "
        f"falls short of the aim. In {sum(row['is_wrong'] for row in cases)} cases a wrong id was read."
    )


def _false(summary: Row) -> str:
    other, searched = summary["marked_with_another_key"], summary["searched"]
    return (
        f"False positives: **{summary['found']} of {summary['clips']:,}** ({summary['unmarked']} excerpts without a "
        f"mark, {other} with a mark under another key; {searched} of all also by searching)."
    )
