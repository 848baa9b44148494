"""Worker processes of one front end: started, watched, started again when they die, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from studio.errors import EnvironmentFault

# The command line, without the folder in which it is called coming first in the search for modules; the folder of
# this very package comes last, for a checkout that is not installed.
WORKER_COMMAND = (
    sys.executable,
    "-P",
    "-c",
    f"import sys; sys.path.append({str(Path(__file__).resolve().parents[2])!r}); from ui.cli import main; main()",
    "worker",
)
QUICK_SECONDS = 2.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
MAX_QUICK_DEATHS = 8
GRACE_SECONDS = 30.0
_SECONDS_TO_LEAVE = 5.0
_MAX_LOG_BYTES = 2**19
_TAIL_BYTES = 4096
# What a worker's exit status says of trouble with the disk or the database that outlasted its patience.
_TROUBLE_EXIT_CODE = 3
# Sent by a person, or by a system that wants its memory back: no sign that the worker cannot start.
_FROM_OUTSIDE = tuple(-number for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM), signal.SIGINT))


class Crew(Protocol):
    """Workers that somebody keeps at work for one batch."""

    @property
    def size(self) -> int:
        """How many work side by side."""

    def start(self) -> None:
        """Bring them to work."""

    def tend(self) -> None:
        """Look after them; to be called about once a second. Raises `EnvironmentFault` when none can be kept alive."""

    def stop(self) -> None:
        """Let each finish its step, put its job back and go; returns when all are gone."""

    def kill(self) -> None:
        """End all at once. No job is lost by it."""


@dataclass(frozen=True, kw_only=True)
class Post:
    """A place for one worker. name: of its log, such as ``cuda-0-1``. pool: of the jobs that it takes.

    arguments: of its command.
    """

    name: str
    pool: str = "local"
    arguments: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Slot:
    """A post and who is on it. due: when the next may start. log_from: where its log begins in the file."""

    post: Post
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    quick_deaths: int = 0
    pause: float = field(default_factory=lambda: FIRST_PAUSE_SECONDS)
    due: float = 0.0
    log_from: int = 0
    is_given_up: bool = False


class WorkerProcesses:
    """One process for each post, each in a session of its own, so that Ctrl-C in a terminal is not theirs to hear.

    They end when their standard input does: even after SIGKILL to this process no child is left behind.
    folder: of their logs. command: what each runs, before its post's arguments. tell: told in sentences for people.
    """

    def __init__(
        self,
        posts: Sequence[Post],
        folder: Path,
        *,
        command: Sequence[str] = WORKER_COMMAND,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._slots = [_Slot(post=post) for post in posts]
        self._folder = folder
        self._command = tuple(command)
        self._tell = tell
        self._last_words = ""
        self._is_over = False

    @property
    def size(self) -> int:
        return sum(not slot.is_given_up for slot in self._slots)

    @property
    def pids(self) -> list[int]:
        """The processes that live now."""
        return [slot.process.pid for slot in self._slots if slot.process is not None and slot.process.poll() is None]

    def start(self) -> None:
        """Start all of them."""
        for slot in self._slots:
            self._spawn(slot)

    def tend(self) -> None:
        """Start those again that died. Raises `EnvironmentFault` when all of a pool die as soon as they start."""
        for slot in self._slots:
            if slot.is_given_up:
                continue
            if slot.process is not None:
                code = slot.process.poll()
                if code is not None:
                    self._mourn(slot, code)
            elif time.monotonic() >= slot.due:
                self._spawn(slot)
        if self._is_over:
            return
        manned = {slot.post.pool for slot in self._slots if not slot.is_given_up}
        if any(slot.post.pool not in manned for slot in self._slots):
            raise EnvironmentFault(
                "the workers end as soon as they are started",
                got=self._last_words or None,
                fix=f"`studio worker` shows what is wrong; the logs are in {self._folder}",
            )

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Let each worker finish its step and go; whoever is not gone in time is ended at once."""
        self._is_over = True
        for slot in self._slots:
            slot.is_given_up = True
            if slot.process is not None and slot.process.stdin is not None:
                with suppress(OSError):
                    slot.process.stdin.close()
        if not self._await(grace_seconds):
            for slot in self._slots:
                if slot.process is not None:
                    slot.process.terminate()
            self._await(_SECONDS_TO_LEAVE)
        self.kill()

    def kill(self) -> None:
        """End all at once, with whatever they started."""
        self._is_over = True
        for slot in self._slots:
            slot.is_given_up = True
            process = slot.process
            if process is None:
                continue
            if process.poll() is None:
                _kill_group(process)
            process.wait()
            with suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
            slot.process = None

    def _await(self, seconds: float) -> bool:
        """Wait until all are gone; False if time is up before."""
        deadline = time.monotonic() + seconds
        while any(slot.process is not None and slot.process.poll() is None for slot in self._slots):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _spawn(self, slot: _Slot) -> None:
        slot.started_at = time.monotonic()
        log = self._open_log(slot)
        try:
            slot.process = subprocess.Popen(
                [*self._command, *slot.post.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if log is None else log,
                start_new_session=True,
            )
        except OSError as error:  # too many processes, or no memory for another
            self._postpone(slot, f"it cannot be started ({error.strerror or error})", is_quick=True)
        finally:
            if log is not None:
                log.close()

    def _mourn(self, slot: _Slot, code: int) -> None:
        """Take note of a death, and plan what comes after it."""
        process, slot.process = slot.process, None
        with suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        lived = time.monotonic() - slot.started_at
        words = self._tail(slot)
        if code == _TROUBLE_EXIT_CODE and lived > QUICK_SECONDS:
            slot.is_given_up = True
            self._last_words = words
            self._tell(f"worker {slot.post.name} gave up: {words}")
            return
        how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit status {code}"
        reason = f"{how}: {words}" if words and code >= 0 else how
        self._postpone(slot, reason, is_quick=lived < QUICK_SECONDS and code not in _FROM_OUTSIDE)

    def _postpone(self, slot: _Slot, reason: str, *, is_quick: bool) -> None:
        if is_quick:
            slot.quick_deaths += 1
        else:
            slot.quick_deaths, slot.pause = 0, FIRST_PAUSE_SECONDS
        if slot.quick_deaths >= MAX_QUICK_DEATHS:
            slot.is_given_up = True
            self._last_words = reason
            self._tell(f"worker {slot.post.name} {reason}; that was so {MAX_QUICK_DEATHS} times, it is given up")
            return
        self._tell(f"worker {slot.post.name} {reason}; it starts again")
        slot.due = time.monotonic() + slot.pause
        if is_quick:
            slot.pause = min(2 * slot.pause, LONGEST_PAUSE_SECONDS)

    # -- logs ---------------------------------------------------------------------------------------------------

    def _log_path(self, slot: _Slot) -> Path:
        return self._folder / f"{slot.post.name}.log"

    def _open_log(self, slot: _Slot) -> IO[bytes] | None:
        """Open a worker's log at its end; None where there can be none, which is no reason not to work."""
        path = self._log_path(slot)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
                os.replace(path, path.with_name(f"{path.name}.1"))
            log = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
            slot.log_from = os.fstat(log.fileno()).st_size
        except OSError:
            return None
        return log

    def _tail(self, slot: _Slot) -> str:
        """Return the last line that the worker who just died wrote."""
        with suppress(OSError), open(self._log_path(slot), "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(slot.log_from, size - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").split("\n")
            return next((line.strip().removeprefix("studio: ") for line in reversed(lines) if line.strip()), "")
        return ""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
