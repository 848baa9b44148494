"""Comparisons and rankings for the terminal: tables for people, and how far a comparison is while it is made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ui.cli.console import print_line, print_note, print_table
from ui.cli.job_lines import progress_text

if TYPE_CHECKING:
    from studio.comparing.comparison import Comparison, Entry
    from studio.comparing.planning import PlannedEntry
    from studio.comparing.ranking import Duel, Ranking
    from studio.jobs.job import Progress

Show = Callable[["Comparison", dict[str, "Progress"]], None]


def print_plan(planned: Iterable[PlannedEntry]) -> None:
    """Say on stderr what each contestant will do otherwise than was asked, and which cannot be made."""
    for item in planned:
        if item.error is not None:
            print_note(f"note: {item.number} {item.label}: cannot be made: {item.error.sentence()}")
        for difference in item.differences:
            print_note(f"note: {item.number} {item.label}: {difference.sentence}")


def print_comparison(comparison: Comparison, *, with_differences: bool = True) -> None:
    """Print a comparison with its entries. with_differences: also what each does otherwise than was asked."""
    title = comparison.title or comparison.prompt or "no prompt"
    print_line(f"comparison {comparison.id}  {title[:200]}")
    if comparison.tags:
        print_line(f"tags {', '.join(comparison.tags)}")
    columns = ("#", "entry", "state", "checks", "took", "cost", "clip")
    print_table("", columns, [_row(entry) for entry in comparison.entries])
    for entry in comparison.entries:
        for difference in entry.differences if with_differences else ():
            print_note(f"{entry.number} {entry.label}: {difference.sentence}")
        if entry.error is not None:
            fix = f"; {entry.error['fix']}" if entry.error.get("fix") else ""
            print_note(f"{entry.number} {entry.label}: {entry.error.get('message')}{fix}")


def _row(entry: Entry) -> tuple[str, ...]:
    took = "-" if entry.seconds is None else f"{entry.seconds:.1f} s"
    return (str(entry.number), entry.label, entry.state, entry.checks or "-", took, _money(entry),
            entry.job_id if entry.asset is not None and entry.job_id else "-")  # fmt: skip


def _money(entry: Entry) -> str:
    cost = entry.cost
    if cost is None or cost.get("amount") is None:
        return "-"
    if not cost["amount"]:
        return "none"
    return f"{cost['amount']:.2f} {cost['currency']}{'' if entry.is_billed else ' (estimate)'}"


def print_ranking(ranking: Ranking) -> None:
    """Print a ranking, and on stderr what may not be read into it."""
    columns = ("rank", "contestant", "points", "95 %", "won", "lost", "even", "both bad")
    print_table("", columns, [_rank_row(rank.as_json()) for rank in ranking.ranks])
    labels = {rank.key: rank.label for rank in ranking.ranks}
    for duel in ranking.claims:
        print_line(_claim(duel, labels))
    for note in ranking.notes:
        print_note(f"note: {note}")
    print_note(
        f"{ranking.votes} votes, and {ranking.both_bad} that found both clips bad; 400 points: odds of ten to one"
    )


def _rank_row(rank: dict[str, Any]) -> tuple[str, ...]:
    share = "" if rank["both_bad_share"] is None else f" ({rank['both_bad_share']:.0%})"
    is_known = rank["rating"] is not None
    return (
        "-" if rank["rank"] is None else str(rank["rank"]),
        rank["label"],
        str(rank["rating"]) if is_known else "-",
        f"{rank['rating_low']} to {rank['rating_high']}" if is_known else "-",
        str(rank["wins"]),
        str(rank["losses"]),
        str(rank["ties"]),
        f"{rank['both_bad']}{share}",
    )


def _claim(duel: Duel, labels: dict[str, str]) -> str:
    is_left = duel.better == duel.left
    share = duel.probability or 0.0
    winner, loser = (duel.left, duel.right) if is_left else (duel.right, duel.left)
    return f"{labels[winner]} is preferred to {labels[loser]} in {share if is_left else 1 - share:.0%} of the cases"


@contextmanager
def comparison_progress() -> Iterator[Show]:
    """Yield somebody who shows how far a comparison is, for as long as the context lasts."""
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[state]}"))
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bars:
        tasks: dict[int, Any] = {}

        def show(comparison: Comparison, progress: dict[str, Progress]) -> None:
            for entry in comparison.entries:
                if entry.number not in tasks:
                    name = "".join(letter if letter.isprintable() else "?" for letter in entry.label[:40])
                    tasks[entry.number] = bars.add_task(f"{entry.number} {name}", total=None, state="")
                now = _progress_of(entry, progress)
                done, total = (1, 1) if entry.is_over else (now.done, now.total or None) if now else (0, None)
                bars.update(tasks[entry.number], completed=done, total=total, state=_state(entry, now))

        yield show


def _progress_of(entry: Entry, progress: dict[str, Progress]) -> Progress | None:
    return None if entry.is_over else progress.get(entry.job_id or "") or entry.progress


def _state(entry: Entry, progress: Progress | None) -> str:
    return entry.state if progress is None else progress_text(progress)


class _Lines:
    """One line for each state, each stage and each tenth of the steps of an entry."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[str, str, int]] = {}

    def show(self, comparison: Comparison, progress: dict[str, Progress]) -> None:
        total = len(comparison.entries)
        for entry in comparison.entries:
            found = _progress_of(entry, progress)
            tenth = 10 * found.done // found.total if found is not None and found.total else 0
            now = (entry.state, "" if found is None else found.stage, tenth)
            if self._last.get(entry.number) != now:
                self._last[entry.number] = now
                print_note(f"[{entry.number}/{total}] {entry.label[:60]}: {_state(entry, found)}")
