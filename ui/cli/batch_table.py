"""A batch under way on stderr: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ui.cli.console import print_note

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from studio.batch.entry import BatchEntry
    from studio.batch.plan import Plan
    from studio.batching import BatchView, BatchWatch
    from studio.jobs.batches import Glance

_STYLES = {
    "succeeded": "green",
    "failed": "bold red",
    "interrupted": "bold red",
    "held": "yellow",
    "paused": "yellow",
    "canceled": "dim",
    "running": "bold cyan",
    "queued": "dim",
}
_WORDS = {"succeeded": "done", "queued": "waits"}
_FEW = 3
_STAGE_WIDTH, _ASIDE_WIDTH = 9, 11  # so that columns stand still
_LINES_AROUND = 6
_WIDE, _MEDIUM, _NARROW = 100, 76, 52


@contextmanager
def batch_watch() -> Iterator[BatchWatch]:
    """Yield somebody who shows a batch for as long as the context lasts."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=4, transient=True, vertical_overflow="crop") as live:
        yield _LiveTable(live, console)


def plan_rows(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield what a run would do with each entry of a file."""
    fresh = {item.entry.number: item for item in plan.fresh}
    for entry in plan.file.entries:
        new = fresh.get(entry.number)
        job = plan.known.get(entry.key)
        request = None if new is None else new.resolved.as_json()
        yield {
            "id": None if job is None else job.id,
            "entry": entry.number,
            "where": entry.where,
            "name": entry.name,
            "state": "new" if job is None else job.status,
            "model": entry.request.model,
            "seed": entry.request.seed if new is None else new.resolved.seed,
            "prompt": entry.request.prompt,
            "output": None if entry.output is None else str(entry.output),
            "estimate": None if new is None or new.cost is None else new.cost.as_json(),
            "request": request,
        }


def duration(seconds: float) -> str:
    """Return a time as people say it: 8 s, 3:05 min, 2:10 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def label_of(entry: BatchEntry) -> str:
    """Return what people know an entry by: its name, else its prompt; nothing in it steers a terminal."""
    words = entry.name or entry.request.prompt or entry.where
    return "".join(character if character.isprintable() else " " for character in words)


class _Lines:
    """One line for each change of state."""

    def __init__(self) -> None:
        self._last: dict[int, str] | None = None

    def tell(self, text: str) -> None:
        print_note(f"note: {text}")

    def show(self, view: BatchView) -> None:
        total = len(view.entries)
        if self._last is None:
            self._last = {number: job.status if job.is_final else "queued" for number, job in view.jobs.items()}
            known = f", {view.done} of them done already" if view.done else ""
            print_note(f"batch {view.batch.id}: {total} jobs{known}{_crew(view)}")
        done = sum(job.is_final and self._last.get(number) == job.status for number, job in view.jobs.items())
        for entry in view.entries:
            job = view.jobs.get(entry.number)
            if job is None or self._last.get(entry.number) == job.status:
                continue
            self._last[entry.number] = job.status
            done += job.is_final
            print_note(f"[{done}/{total}] {entry.number} {label_of(entry)[:60]}: {_ending(job)}")


def _crew(view: BatchView) -> str:
    return "" if not view.workers else ", 1 worker" if view.workers == 1 else f", {view.workers} workers"


def _ending(job: Glance) -> str:
    took = f", {duration(job.seconds)}" if job.is_final and job.seconds is not None else ""
    reason = f": {job.error['message']}" if job.error and job.error.get("message") else ""
    return f"{job.status}{took}{reason}"


class _LiveTable:
    """The jobs that run, the last that ended and the next ones, and how far the whole is."""

    def __init__(self, live: Any, console: Console) -> None:
        self._live = live
        self._console = console

    def tell(self, text: str) -> None:
        from rich.text import Text

        shown = "".join(character if character.isprintable() else "?" for character in text)
        self._console.print(Text(f"note: {shown}"), soft_wrap=True)

    def show(self, view: BatchView) -> None:
        self._live.update(render(view, self._console.width, self._console.height), refresh=True)


def render(view: BatchView, width: int, height: int) -> RenderableType:
    """Return the picture of a batch for a terminal of this many columns and lines."""
    from rich.console import Group

    room = max(height - _LINES_AROUND, 4)
    rows = shown_entries(view, room)
    parts: list[RenderableType] = [_headline(view), _jobs_table(view, rows, width)]
    hidden = len(view.entries) - len(rows)
    if hidden > 0:
        parts.append(_dim(f"... and {hidden} more"))
    parts.append(_total(view, width))
    return Group(*parts)


def shown_entries(view: BatchView, room: int) -> list[BatchEntry]:
    """Return the entries to be shown: all if there is room, else those around what happens now."""
    if len(view.entries) <= room:
        return list(view.entries)
    known = [(entry, view.jobs[entry.number]) for entry in view.entries if entry.number in view.jobs]
    running = [entry for entry, job in known if job.state == "running"][:room]
    ended = [(entry, job) for entry, job in known if job.is_final and job.ended_at is not None]
    ended.sort(key=lambda item: (item[1].ended_at, item[0].number))
    waiting = [entry for entry, job in known if job.state == "queued"]
    free = room - len(running)
    last = [entry for entry, _ in ended[-min(max(_FEW, free - len(waiting)), free) :]] if free else []
    following = waiting[: room - len(running) - len(last)]
    return sorted([*running, *last, *following], key=lambda entry: entry.number)


def _headline(view: BatchView) -> Text:
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(view.batch.path.name, style="bold")
    line.append(f"  {view.batch.id}{_crew(view)}", style="dim")
    return line


def _jobs_table(view: BatchView, entries: Sequence[BatchEntry], width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    if width >= _WIDE:
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=24)
    table.add_column(no_wrap=True, min_width=_STAGE_WIDTH if width >= _NARROW else 0)
    if width >= _NARROW:
        table.add_column(no_wrap=True, width=_bar_width(width))
    table.add_column(no_wrap=True, justify="right", min_width=_ASIDE_WIDTH if width >= _MEDIUM else 0)
    for entry in entries:
        job = view.jobs.get(entry.number)
        status = "canceled" if job is None else job.status
        style = _STYLES.get(status, "")
        cells: list[RenderableType] = [Text(str(entry.number), style="dim")]
        cells.append(Text(label_of(entry), style="dim" if status in ("queued", "canceled") else ""))
        if width >= _WIDE:
            cells.append(Text(entry.request.model, style="dim"))
        cells.append(Text(_stage(job, status), style=style))
        if width >= _NARROW:
            cells.append(_bar(job, _bar_width(width)))
        cells.append(Text(_aside(job), style="" if job is not None and job.state == "running" else "dim"))
        table.add_row(*cells)
    return table


def _bar_width(width: int) -> int:
    return 20 if width >= _MEDIUM else 10


def _stage(job: Glance | None, status: str) -> str:
    if job is not None and status == "running" and job.progress is not None:
        return job.progress.stage
    return _WORDS.get(status, status)


def _bar(job: Glance | None, width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    if job is None or job.state != "running" or job.progress is None:
        return Text("")
    progress = job.progress
    if not progress.total:
        return ProgressBar(total=None, width=width, pulse=True)
    return ProgressBar(total=progress.total, completed=progress.done, width=width)


def _aside(job: Glance | None) -> str:
    """Return what stands at the end of a job's line: its steps and what is left, or how long it took."""
    if job is None or job.state == "queued":
        return ""
    if job.is_final:
        return "" if job.seconds is None or job.state == "canceled" else duration(job.seconds)
    progress = job.progress
    if progress is None or not progress.total:
        return ""
    left = "" if progress.eta_seconds is None else f" {duration(progress.eta_seconds)}"
    return f"{progress.done}/{progress.total}{left}"


def _total(view: BatchView, width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    total = len(view.entries)
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True, overflow="ellipsis")
    left = f", about {duration(view.seconds_left)} left" if view.seconds_left and view.seconds_left >= 1 else ""
    troubled = [job.status for job in view.jobs.values() if job.status not in ("succeeded", "queued", "running")]
    words = f"{view.done}/{total}  {duration(view.seconds)}{left}"
    text = Text(words, style="bold")
    for status in sorted(set(troubled)):
        text.append(f"  {troubled.count(status)} {status}", style=_STYLES.get(status, ""))
    bar = ProgressBar(total=total, completed=view.done, width=min(30, max(width - len(words) - 4, 5)))
    line.add_row(bar, text)
    return line


def _dim(text: str) -> Text:
    from rich.text import Text

    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")
