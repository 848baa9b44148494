"""What somebody thought of two clips side by side, and which two to show next."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from typing import Any

from studio.comparing.comparison import Comparison, Entry
from studio.errors import RequestError, UnsupportedValue
from studio.provenance.shown import one_line

MAX_VOTER_CHARACTERS = 40
MAX_REASONS = 8
MAX_REASON_CHARACTERS = 200
# What front ends offer; somebody's own words do as well.
REASONS = (
    "prompt followed",
    "overall look",
    "motion",
    "steadiness",
    "detail",
    "faces and hands",
    "colour and light",
    "composition",
    "physics",
    "sound",
    "artefacts",
    "start from the picture",
)


class Verdict(StrEnum):
    """LEFT, RIGHT: that one is better. TIE: neither is. BOTH_BAD: neither will do, which says nothing of an order."""

    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"
    BOTH_BAD = "both_bad"


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One judgement. left, right: numbers of entries, as they were shown. voter: account, empty for whoever sits here.

    was_blind: the names were hidden and the sides drawn.
    """

    id: str
    comparison_id: str
    left: int
    right: int
    verdict: Verdict
    reasons: tuple[str, ...]
    was_blind: bool
    voter: str
    created_at: datetime

    @property
    def winner(self) -> int | None:
        """The number of the entry that was better, None where neither was."""
        return {Verdict.LEFT: self.left, Verdict.RIGHT: self.right}.get(self.verdict)

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        told = {"verdict": self.verdict.value, "reasons": list(self.reasons), "winner": self.winner}
        return {**self.__dict__, **told, "created_at": self.created_at.isoformat()}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two finished entries to be judged, their sides drawn by chance. seen: how often this voter judged the two."""

    comparison_id: str
    left: Entry
    right: Entry
    seen: int

    def as_json(self) -> dict[str, Any]:
        """Return what may be shown blind: numbers of entries and ids of clips, no names."""
        sides = {"left": self.left, "right": self.right}
        ids = {f"{side}_asset_id": entry.job_id for side, entry in sides.items()}
        return {"comparison_id": self.comparison_id, "left": self.left.number, "right": self.right.number,
                "seen": self.seen} | ids  # fmt: skip


def parse_verdict(text: str) -> Verdict:
    """Return the verdict of this name, or raise `UnsupportedValue` naming those there are."""
    try:
        return Verdict(text)
    except ValueError:
        allowed = ", ".join(item.value for item in Verdict)
        raise UnsupportedValue("no such verdict", field="verdict", got=text, allowed=allowed) from None


def require_name(voter: str) -> None:
    """Raise `UnsupportedValue` unless this can be kept as the name of a voter."""
    if len(voter) > MAX_VOTER_CHARACTERS:
        allowed = f"up to {MAX_VOTER_CHARACTERS} characters"
        raise UnsupportedValue("too long", field="voter", got=f"{len(voter)} characters", allowed=allowed)


def clean_reasons(reasons: Iterable[str]) -> list[str]:
    """Return reasons as they are kept: one line each, each once. Raises `UnsupportedValue`."""
    if isinstance(reasons, str):
        raise UnsupportedValue("reasons are a list of words", field="reasons", got=reasons)
    found = []
    for reason in reasons:
        if len(reason) > MAX_REASON_CHARACTERS:
            raise UnsupportedValue(
                "too long", field="reasons", got=f"{len(reason)} characters",
                allowed=f"up to {MAX_REASON_CHARACTERS} each",
            )  # fmt: skip
        found.append(one_line(reason, MAX_REASON_CHARACTERS))
    found = list(dict.fromkeys(filter(None, found)))
    if len(found) > MAX_REASONS:
        raise UnsupportedValue("too many", field="reasons", got=len(found), allowed=f"up to {MAX_REASONS}")
    return found


def require_judgeable(comparison: Comparison, left: int, right: int) -> None:
    """Raise a `RequestError` unless these are two contestants whose clips are there."""
    if left == right:
        raise UnsupportedValue("a clip is compared with another one", field="right", got=right, fix="name two entries")
    ready = ", ".join(str(entry.number) for entry in comparison.finished)
    for field, number in (("left", left), ("right", right)):
        entry = comparison.entry(number)
        if entry is None:
            allowed = ", ".join(str(item.number) for item in comparison.entries)
            raise UnsupportedValue("no such entry", field=field, got=number, allowed=allowed)
        if not entry.is_finished:
            raise RequestError(f"entry {number} has no clip to be judged: it is {entry.state}", field=field,
                               got=number, allowed=ready or "none yet")  # fmt: skip


def next_pair(comparison: Comparison, votes: Sequence[Vote], voter: str, rng: random.Random) -> Pair | None:
    """Return the pair of finished entries that this voter judged least, its sides drawn; None with fewer than two.

    Of several such pairs one is drawn.
    """
    seen = Counter(frozenset((vote.left, vote.right)) for vote in votes if vote.voter == voter)
    both = combinations(comparison.finished, 2)
    pairs = [(one, other, seen[frozenset((one.number, other.number))]) for one, other in both]
    if not pairs:
        return None
    least = min(count for *_, count in pairs)
    one, other, count = rng.choice([pair for pair in pairs if pair[2] == least])
    left, right = (one, other) if rng.random() < 0.5 else (other, one)
    return Pair(comparison_id=comparison.id, left=left, right=right, seen=count)
