"""`studio verify` and `studio check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_table

if TYPE_CHECKING:
    from studio.consistency.report import Report

File = Annotated[Path, typer.Argument(help="A video, a picture or a sound.", metavar="FILE")]
Full = Annotated[bool, typer.Option("--full", help="Also print every check of the file and every disclosure.")]
NoSearch = Annotated[
    bool, typer.Option("--no-search", help="Skip the slow search for a watermark in a changed picture.")
]


def verify(file: File, full: Full = False, no_search: NoSearch = False, as_json: argument.Json = False) -> None:
    """Say what may be trusted about a file: credentials, watermark, library record. Exit 1 unless it is intact."""
    from studio.app import Studio
    from ui.cli.verification_screen import lines

    verification = Studio().verify(file, search=not no_search)
    if as_json:
        print_json(verification.as_json())
    else:
        for line in lines(verification, full=full):
            print_line(line)
    if not verification.is_intact:
        raise typer.Exit(1)


def check(file: File, as_json: argument.Json = False) -> None:
    """Check a video for temporal faults. Exit 1 if one is found."""
    from studio.app import Studio

    report = Studio().check(file)
    if as_json:
        print_json(report.as_json())
    else:
        _present(report)
    if report.passed is False:
        raise typer.Exit(1)


def _present(report: Report) -> None:
    words = {True: "passed", False: "failed", None: "inconclusive"}
    rows = [
        (
            item["title"],
            words[item["passed"]],
            "-" if item["score"] is None else f"{item['score']:.2f}",
            "-" if item["value"] is None else f"{item['value']:.3g} {item['unit']}",
            ", ".join(map(str, item["worst_frames"][:5])) if item["passed"] is False else (item.get("reason") or ""),
        )
        for item in report.as_json()["checks"]
    ]
    print_table("", ("check", "result", "score", "measured", "frames or reason"), rows)
