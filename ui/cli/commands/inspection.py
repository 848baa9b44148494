"""`studio verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line

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
