"""The first and the last moments of the process: signals and standard streams, before anything else is loaded."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

CANCELED = 130


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    _mend_streams()
    sys.unraisablehook = _repeat_lost_interrupt
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # else nohup wants it so
            signal.signal(signal.SIGHUP, _interrupt)
        from ui.cli.entry import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = CANCELED
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(code)


def _mend_streams() -> None:
    """Give a process without standard streams some, and let no character break the others."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _repeat_lost_interrupt(unraisable: sys.UnraisableHookArgs) -> None:
    """Ask again when an interrupt fell into a callback from native code, where Python can only drop it."""
    if unraisable.exc_type is KeyboardInterrupt:
        timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
        timer.daemon = True
        timer.start()
    else:
        sys.__unraisablehook__(unraisable)
