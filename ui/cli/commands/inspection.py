"""`studio verify` and `studio check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from studio.verification import Verification

File = Annotated[Path, typer.Argument(help="A video or a picture.", metavar="FILE")]

HEADLINES = {
    "trusted": "trusted: signed by this studio and unchanged since",
    "valid": "valid: unchanged since it was signed, by somebody this studio does not know",
    "invalid": "invalid: not as it was signed",
    "absent": "absent: no Content Credentials. That says nothing about how it was made",
}


def verify(file: File, as_json: argument.Json = False) -> None:
    """Say what may be trusted about a file: credentials, watermark, library record. Exit 1 unless it is intact."""
    from studio.app import Studio

    verification = Studio().verify(file)
    if as_json:
        print_json(verification.as_json())
    else:
        _present(verification)
    if not verification.is_intact:
        raise typer.Exit(1)


def check(file: File, as_json: argument.Json = False) -> None:
    """Check a video for temporal faults. Exit 1 if one is found."""
    from studio.app import Studio

    report = Studio().check(file)
    data = report.as_json()
    if as_json:
        print_json(data)
    else:
        words = {True: "passed", False: "failed", None: "inconclusive"}
        rows = [
            (
                item["title"],
                words[item["passed"]],
                "-" if item["score"] is None else f"{item['score']:.2f}",
                "-" if item["value"] is None else f"{item['value']:.3g} {item['unit']}",
                ", ".join(map(str, item["worst_frames"][:5]))
                if item["passed"] is False
                else (item.get("reason") or ""),
            )
            for item in data["checks"]
        ]
        print_table("", ("check", "result", "score", "measured", "frames or reason"), rows)
    if report.passed is False:
        raise typer.Exit(1)


def _present(verification: Verification) -> None:
    reading = verification.c2pa
    print_line(HEADLINES[reading.state])
    if verification.reason:
        print_line(f"  reason: {verification.reason}")
    if reading.generator:
        print_line(f"  made with: {reading.generator}, signed by {reading.issuer or 'unknown'}")
    for item in reading.ingredients:
        print_line(f"  from: {item.title or 'unnamed'} ({item.problem or item.state})")
    mark = verification.watermark
    print_line(f"  watermark: {f'{mark.payload:016x}' if mark.payload is not None else 'none found'}")
    if verification.asset is not None:
        print_line(f"  library: asset {verification.asset.id}")
    if reading.codes:
        print_note(f"  codes: {', '.join(reading.codes)}")
