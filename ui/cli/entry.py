"""Where the terminal comes in: runs a command and turns every outcome into an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import typer

from studio.errors import (
    Canceled,
    EnvironmentFault,
    GenerationFailed,
    RequestError,
    StudioError,
    VerificationFailed,
)
from ui.cli.console import print_error, print_json
from ui.cli.tree import app

# typer ships its own copy of click since 0.20 or so; this is that copy's class, or click's own before.
UsageError = typer.BadParameter.__mro__[1]

EXIT_CODES: tuple[tuple[type[StudioError], int], ...] = (
    (VerificationFailed, 1),
    (RequestError, 2),
    (EnvironmentFault, 3),
    (GenerationFailed, 4),
    (Canceled, 130),
)


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code (DESIGN.md, section 6)."""
    try:
        outcome = typer.main.get_command(app)(args=list(arguments), prog_name="studio", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read our output has gone; Python would complain once more while closing it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, typer.Abort):
        return _report(Canceled(), arguments)
    except typer.Exit as exit_request:
        return exit_request.exit_code
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _report(_as_studio_error(error), arguments)
    return outcome if isinstance(outcome, int) else 0


def exit_code(error: StudioError) -> int:
    """Return the exit code of the contract for an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 4)


def _as_studio_error(error: Exception) -> StudioError:
    if isinstance(error, StudioError):
        return error
    if isinstance(error, UsageError):
        message = str(getattr(error, "format_message", error.__str__)())
        return RequestError(message.rstrip("."), fix="`studio --help` and `studio COMMAND --help` show what there is")
    if isinstance(error, OSError):
        return EnvironmentFault(f"the system refused ({error.strerror or error})", got=error.filename)
    return GenerationFailed(
        f"an unexpected error ({type(error).__name__}: {error})",
        fix="run it again with --debug and report what it says",
    )


def _report(error: StudioError, arguments: Sequence[str]) -> int:
    code = exit_code(error)
    print_error(error)
    if "--json" in arguments:
        print_json({"error": error.as_json(), "exit_code": code})
    return code


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
