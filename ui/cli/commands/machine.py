"""`studio doctor`."""

from __future__ import annotations

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line


def doctor(as_json: argument.Json = False) -> None:
    """Say what works on this machine and how to mend the rest. Exit 3 if something is broken."""
    from studio.app import Studio

    checks = Studio().doctor()
    if as_json:
        print_json({"checks": [check.as_json() for check in checks]})
    else:
        for check in checks:
            print_line(f"{ {True: 'ok', False: 'FAULT', None: '-'}[check.ok]:<6}{check.id:<18}{check.detail}")
            if check.fix:
                print_line(f"{'':<24}-> {check.fix}")
    if any(check.ok is False for check in checks):
        raise typer.Exit(3)
