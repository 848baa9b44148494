"""Processes that check videos side by side, so that none of them can bring down the others."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from studio.checking import Checked, CheckingProgress, CheckWish, Watch, check_one
from studio.config import Settings
from studio.errors import EnvironmentFault, GenerationFailed, OutOfMemory, StudioError, UnreadableMedia

_SECONDS_BETWEEN_REPORTS = 0.2
_SECONDS_TO_LEAVE = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Remark:
    """A line of a process's log on its way to this one's."""

    name: str
    level: int
    message: str


@dataclass(kw_only=True)
class _Member:
    process: BaseProcess
    connection: Connection
    path: Path | None = None


class Crew:
    """Checks files in processes. watch: is told how far each file is, in the process that asked."""

    def __init__(self, settings: Settings, wish: CheckWish, watch: Watch) -> None:
        self._settings = settings
        self._wish = wish
        self._watch = watch
        self._members: list[_Member] = []

    def work(self, paths: Sequence[Path], size: int) -> Iterator[Checked]:
        """Yield what came of each file, as it is finished. size: how many are checked at a time."""
        waiting = deque(paths)
        try:
            for _ in range(size):
                self._give(self._hire(), waiting)
            while busy := [member for member in self._members if member.path is not None]:
                for ready in wait([member.connection for member in busy]):
                    member = next(item for item in busy if item.connection is ready)
                    finished = self._hear(member)
                    if finished is None:
                        continue
                    yield finished
                    if member in self._members:
                        self._give(member, waiting)
                    elif waiting:
                        self._give(self._hire(), waiting)
        finally:
            self._dismiss()

    def _hire(self) -> _Member:
        # Not forked: a copy of a process that has threads may find their locks held for ever.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._settings, self._wish), daemon=True)
        with _without_interrupts():
            process.start()
        theirs.close()
        member = _Member(process=process, connection=ours)
        self._members.append(member)
        return member

    def _give(self, member: _Member, waiting: deque[Path]) -> None:
        member.path = waiting.popleft() if waiting else None
        if member.path is not None:
            with suppress(OSError):  # it has died; the next time it is heard, that is noticed
                member.connection.send(member.path)

    def _hear(self, member: _Member) -> Checked | None:
        """Take one message; return what came of the member's file once that is known."""
        path = member.path
        if path is None:  # nobody asked it anything
            return None
        try:
            message = member.connection.recv()
        except (EOFError, OSError):
            return Checked(path=path, error=self._bury(member, path))
        if isinstance(message, CheckingProgress):
            self._watch(message)
        elif isinstance(message, _Remark):
            logging.getLogger(message.name).log(message.level, message.message)
        elif isinstance(message, Checked):
            return message
        return None

    def _bury(self, member: _Member, path: Path) -> StudioError:
        """Forget a process that died, and say what its file is to be told about it."""
        self._members.remove(member)
        member.connection.close()
        member.process.join(_SECONDS_TO_LEAVE)
        code = member.process.exitcode
        if code is not None and code == -getattr(signal, "SIGKILL", 9):
            return OutOfMemory("the process that checked this file was killed, most likely for want of memory",
                               field="video", got=path, fix="check fewer files at a time: --jobs 1")  # fmt: skip
        return UnreadableMedia(f"decoding it crashed the process that did (exit status {code})", field="video",
                               got=path, fix="fetch or export the file again")  # fmt: skip

    def _dismiss(self) -> None:
        for member in self._members:
            member.connection.close()
            member.process.terminate()
        for member in self._members:
            member.process.join(_SECONDS_TO_LEAVE)
            if member.process.is_alive():
                member.process.kill()
        self._members.clear()


class _ToParent(logging.Handler):
    """Sends what is logged to the process that asked, without tracebacks."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            remark = _Remark(name=record.name, level=record.levelno, message=record.getMessage())
            self._connection.send(remark)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C back, here for a moment and in a process that is started meanwhile for good.

    It reaches all processes of a terminal; what becomes of the others is for the one that was asked to decide.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Abandoned(Exception):
    """Nobody listens any more."""


class _Reporter:
    """Sends progress now and then. Raises `_Abandoned` when that is in vain."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last = 0.0

    def show(self, progress: CheckingProgress) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_REPORTS:
            self._last = now
            try:
                self._connection.send(progress)
            except OSError as error:
                raise _Abandoned from error


def _serve(connection: Connection, settings: Settings, wish: CheckWish) -> None:
    """Check file after file until nobody asks any more; runs in a process of its own."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    logging.getLogger().addHandler(_ToParent(connection))
    with suppress(EOFError, OSError, _Abandoned):
        while True:
            path = connection.recv()
            connection.send(_check(path, settings, wish, _Reporter(connection)))


def _check(path: Path, settings: Settings, wish: CheckWish, reporter: _Reporter) -> Checked:
    try:
        return Checked(path=path, report=check_one(path, settings, wish, reporter.show))
    except StudioError as error:
        return Checked(path=path, error=error)
    except _Abandoned:
        raise
    except OSError as error:
        reason = f"the system refused ({error.strerror or error})"
        return Checked(path=path, error=EnvironmentFault(reason, field="video", got=path, fix="check the disk"))
    except MemoryError:
        return Checked(path=path, error=OutOfMemory("checking this file takes more memory than there is",
                                                    field="video", got=path, fix="scale it down"))  # fmt: skip
    except Exception as error:
        reason = f"an unexpected error ({type(error).__name__}: {error})"
        fix = "check it alone with --debug and report what it says"
        return Checked(path=path, error=GenerationFailed(reason, field="video", got=path, fix=fix))
