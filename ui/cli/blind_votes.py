"""Votes at a terminal with the names hidden: two copies in a folder, a question, and only then who was who."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from studio.errors import OutputRefused, RequestError
from ui.cli.console import print_note

if TYPE_CHECKING:
    from studio.comparing.comparer import Comparer
    from studio.comparing.comparison import Comparison, Entry
    from studio.comparing.voting import Verdict, Vote

_SIDES = ("left", "right")
_QUESTION = "Which is better: left, right, tie or both_bad?"


def blind_votes(
    comparisons: Comparer, comparison: Comparison, folder: Path, *, rounds: int, voter: str, overwrite: bool
) -> list[Vote]:
    """Ask for some verdicts and return the votes. folder: of the copies; they stay there until the next round.

    Raises a `RequestError`, or `OutputRefused` where a copy would replace another file.
    """
    found: list[Vote] = []
    folder = _folder(folder)
    for number in range(rounds):
        pair = comparisons.next_pair(comparison.id, voter)
        if pair is None:
            raise RequestError("fewer than two of its clips are there", field="comparison", got=comparison.id,
                               fix=f"`studio compare show {comparison.id}` says what became of them")  # fmt: skip
        sides = (pair.left, pair.right)
        _copy(sides, folder, overwrite=overwrite or number > 0)
        print_note(f"{folder / 'left.mp4'} and {folder / 'right.mp4'}: look at both")
        verdict, reasons = _verdict(), _reasons()
        found.append(
            comparisons.vote(
                comparison.id, pair.left.number, pair.right.number, verdict, reasons, was_blind=True, voter=voter
            )
        )
        print_note(f"left was {pair.left.number} {pair.left.label}, right was {pair.right.number} {pair.right.label}")
    return found


def _folder(folder: Path) -> Path:
    folder = folder.expanduser().absolute()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputRefused(f"no folder can be made there ({error.strerror})", field="into", got=folder) from error
    return folder


def _copy(sides: tuple[Entry, Entry], folder: Path, *, overwrite: bool) -> None:
    from studio.delivery import deliver

    for name, entry in zip(_SIDES, sides, strict=True):
        if entry.asset is not None:
            deliver(entry.asset.path, folder / f"{name}.mp4", overwrite=overwrite)


def _verdict() -> Verdict:
    """Ask until the answer is a verdict; the end of input is a no to the whole."""
    from studio.comparing.voting import parse_verdict

    while True:
        answer = str(typer.prompt(_QUESTION, err=True)).strip().lower().replace(" ", "_")
        try:
            return parse_verdict(answer)
        except RequestError as error:
            print_note(error.sentence())


def _reasons() -> list[str]:
    from studio.comparing.voting import REASONS, clean_reasons

    print_note(f"such as {', '.join(REASONS)}; or your own words")
    while True:
        answer = str(typer.prompt("Why (separated by ;, or nothing)?", default="", show_default=False, err=True))
        try:
            return clean_reasons(answer.split(";"))
        except RequestError as error:
            print_note(error.sentence())
