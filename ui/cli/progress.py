"""Progress of long work on stderr: a bar with ETA on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ui.cli.console import print_note

if TYPE_CHECKING:
    from studio.jobs.job import Progress as JobProgress
    from studio.weights import PullProgress


@contextmanager
def generation_progress() -> Iterator[Callable[[JobProgress], None]]:
    """Yield an observer for `Studio.generate`."""
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[eta]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None, eta="")

        def show(progress: JobProgress) -> None:
            eta = "" if progress.eta_seconds is None else f"{progress.eta_seconds:.0f} s left"
            words = f"{progress.stage} ({progress.detail})" if progress.detail else progress.stage
            bar.tasks[0].total = progress.total or None  # update() takes None for "as it is"
            bar.update(task, description=words, completed=progress.done, eta=eta)

        yield show


class _Lines:
    """One line for each stage and each tenth of the steps."""

    def __init__(self) -> None:
        self._last: tuple[str, str, int] | None = None

    def show(self, progress: JobProgress) -> None:
        tenth = 10 * progress.done // progress.total if progress.total else 0
        if (progress.stage, progress.detail, tenth) == self._last:
            return
        self._last = (progress.stage, progress.detail, tenth)
        steps = f" {progress.done}/{progress.total}" if progress.total else ""
        eta = f", {progress.eta_seconds:.0f} s left" if progress.eta_seconds is not None else ""
        detail = f" ({progress.detail})" if progress.detail else ""
        print_note(f"{progress.stage}{detail}{steps}{eta}")


@contextmanager
def pull_progress() -> Iterator[Callable[[PullProgress], None]]:
    """Yield an observer for `Studio.pull`."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {}

        def show(progress: PullProgress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bar.add_task(progress.stage, total=None)
            bar.update(tasks[progress.stage], completed=progress.done_bytes, total=progress.total_bytes)

        yield show
