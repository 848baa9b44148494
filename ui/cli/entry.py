"""Where the terminal comes in: runs a command and turns every outcome into an exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

import typer

from studio.errors import Canceled, EnvironmentFault, GenerationFailed, RequestError, StudioError
from studio.redaction import RedactingFilter, RedactingFormatter, redact, redacted
from ui.cli.console import print_error, print_json, print_note
from ui.cli.exit_codes import exit_code
from ui.cli.tree import app

# typer ships its own copy of click in newer versions; this is that copy's class, or click's own.
UsageError = typer.BadParameter.__mro__[1]


class _SentenceFormatter(RedactingFormatter):
    """Logs without tracebacks: those are for ``--debug``."""

    def formatException(self, _exc_info: object) -> str:  # noqa: N802
        return ""


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. ``--debug`` may stand anywhere and lets tracebacks through."""
    debug = "--debug" in arguments
    as_json = "--json" in arguments
    _configure_logging(debug)
    try:
        command = typer.main.get_command(app)
        rest = [item for item in arguments if item != "--debug"]
        outcome = command(args=rest, prog_name="studio", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()  # whoever read our output has gone
        return 0
    except typer.Exit as wish:
        return wish.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _report(Canceled(), as_json)
    except Exception as error:
        if debug:
            sys.excepthook = _print_traceback
            raise
        return _report(_as_studio_error(error), as_json)
    return outcome if isinstance(outcome, int) else 0


def _print_traceback(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(error))))


def _as_studio_error(error: Exception) -> StudioError:
    if isinstance(error, StudioError):
        return error
    if isinstance(error, UsageError):
        return _usage_error(error)
    if isinstance(error, UnicodeEncodeError):
        return RequestError("an argument holds bytes that are not text", got=repr(error.object)[:80], allowed="text")
    if isinstance(error, OSError):
        return EnvironmentFault(f"the system refused ({error.strerror or error})", got=error.filename)
    return GenerationFailed(
        f"an unexpected error ({type(error).__name__}: {error})",
        fix="run it again with --debug and report what it says",
    )


def _usage_error(error: Exception) -> RequestError:
    message = str(getattr(error, "format_message", error.__str__)()).strip().rstrip(".")
    if not message:  # a group without a command: its help says more than any sentence
        print_note(getattr(error, "ctx").get_help())  # noqa: B009
        message = "a command is missing"
    return RequestError(message, fix="`studio --help` and `studio COMMAND --help` show what there is")


def _report(error: StudioError, as_json: bool) -> int:
    code = exit_code(error)
    for interruption in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):  # not in the main thread: there are no signals to keep out
            signal.signal(interruption, signal.SIG_IGN)
    with suppress(OSError):  # the streams may be what failed
        print_error(error)
        if as_json:
            print_json({"error": redacted(error.as_json()), "exit_code": code})
        sys.stdout.flush()
        return code
    _silence_stdout()
    return code


def _silence_stdout() -> None:
    """Keep Python from complaining once more when it closes a stream that cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _configure_logging(debug: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter() if debug else _SentenceFormatter())
    handler.addFilter(RedactingFilter())  # on the handler: those of loggers do not see what comes from below them
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
