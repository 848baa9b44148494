"""Progress of checking videos on stderr: a bar with ETA for each on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ui.cli.console import print_note

if TYPE_CHECKING:
    from studio.checking import CheckingProgress

Show = Callable[["CheckingProgress"], None]
# Short clips are done before anybody asks how far they are.
_QUIET_SECONDS = 5.0


@contextmanager
def checking_progress() -> Iterator[Show]:
    """Yield an observer for `studio.checking`."""
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[Path, object] = {}

        def show(progress: CheckingProgress) -> None:
            if progress.path not in tasks:
                tasks[progress.path] = bar.add_task(escape(_short(progress.path)), total=progress.total)
            task = tasks[progress.path]
            bar.update(task, completed=progress.done, total=progress.total)  # type: ignore[arg-type]
            if progress.total is not None and progress.done >= progress.total:
                bar.update(task, visible=False)  # type: ignore[arg-type]

        yield show


class _Lines:
    """One line for each tenth of a file, or each 500 frames where nobody knows how many there are."""

    def __init__(self) -> None:
        self._started: dict[Path, tuple[float, int]] = {}
        self._last: dict[Path, tuple[float, int]] = {}

    def show(self, progress: CheckingProgress) -> None:
        now = time.monotonic()
        started, first = self._started.setdefault(progress.path, (now, progress.done))
        step = 10 * progress.done // progress.total if progress.total else progress.done // 500
        last_shown, last_step = self._last.get(progress.path, (started, 0))
        if step == last_step or now - last_shown < _QUIET_SECONDS:
            return
        self._last[progress.path] = now, step
        frames = f"{progress.done}/{progress.total}" if progress.total else str(progress.done)
        pace = (progress.done - first) / (now - started)
        is_ending = progress.total is None or pace <= 0 or progress.done > progress.total
        left = "" if is_ending else f", {((progress.total or 0) - progress.done) / pace:.0f} s left"
        print_note(f"{_short(progress.path)}: frame {frames}{left}")


def _short(path: Path) -> str:
    return path.name if len(path.name) <= 40 else f"{path.name[:39]}…"
