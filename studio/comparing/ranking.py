"""Who is better, as far as votes allow to say: strengths with intervals, and an order only where they bear it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from studio.comparing.bradley_terry import Fit, Matrix, components, fit, probability
from studio.comparing.voting import Verdict

# An order is claimed from so many votes on. The intervals are normal approximations, which below about ten votes for
# each contestant are too coarse to lean on; and with fewer than thirty in all, one of two that two people of three
# prefer is found out in less than half of the cases (simulated), so that what does stand out is too often luck.
MIN_VOTES = 30
MIN_VOTES_EACH = 10
CONFIDENCE = 0.95
# The scale that people know from chess: 400 points are odds of ten to one, 1000 is the mean.
_POINTS = 400 / np.log(10)
_MEAN_POINTS = 1000.0

RankBy = Literal["model", "entry"]


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """One vote as the ranking counts it. left, right: keys of contestants."""

    left: str
    right: str
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One contestant. key: model id, or an entry's number. rank: 1 is best, None where no order is claimed for it.

    strength: log odds against an average contestant of its group; low and high bound it at 95 %; None while nobody said
    anything of its order. rating: the same in points, 1000 for the average, 400 for odds of ten to one. votes: wins,
    losses and ties. both_bad_share: of all votes on it, those that found both clips bad; None without any. group:
    contestants of other groups were never compared with it, not even by way of others.
    """

    key: str
    label: str
    rank: int | None
    strength: float | None
    low: float | None
    high: float | None
    wins: int
    losses: int
    ties: int
    both_bad: int
    group: int

    @property
    def votes(self) -> int:
        """How many votes say something of its order."""
        return self.wins + self.losses + self.ties

    @property
    def both_bad_share(self) -> float | None:
        """How many of the votes on it found both clips bad, 0 to 1."""
        every = self.votes + self.both_bad
        return self.both_bad / every if every else None

    @property
    def rating(self) -> float | None:
        """Its strength in points."""
        return points(self.strength)

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        told = {"votes": self.votes, "both_bad_share": self.both_bad_share}
        figures = {name: getattr(self, name) for name in ("strength", "low", "high")}
        shown = {name: None if value is None else round(value, 4) for name, value in (figures | told).items()}
        ratings = {"rating": self.rating, "rating_low": points(self.low), "rating_high": points(self.high)}
        whole = {name: None if value is None else round(value) for name, value in ratings.items()}
        return {**self.__dict__, **shown, **whole}


@dataclass(frozen=True, kw_only=True)
class Duel:
    """Two contestants. better: key of the one that an order is claimed for, None where none is.

    probability: that the left one is preferred to the right one; low and high bound it at 95 % for all pairs together.
    None of them across groups. left_wins, right_wins, ties, both_bad: votes on the two themselves.
    """

    left: str
    right: str
    probability: float | None
    low: float | None
    high: float | None
    better: str | None
    left_wins: int
    right_wins: int
    ties: int
    both_bad: int

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in self.__dict__.items()}


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Contestants, the strongest first. by: model or entry. votes: that say something of the order; both_bad: do not.

    left_out: votes between two entries of one model, which say nothing of models. votes_needed, votes_needed_each: from
    which on an order is claimed. is_enough: whether there are so many in all. notes: sentences for people, what may not
    be read into it first.
    """

    by: RankBy
    ranks: tuple[Rank, ...]
    duels: tuple[Duel, ...]
    votes: int
    both_bad: int
    left_out: int
    notes: tuple[str, ...]
    votes_needed: int = MIN_VOTES
    votes_needed_each: int = MIN_VOTES_EACH

    @property
    def is_enough(self) -> bool:
        """Whether there are votes enough for an order to be claimed between anybody."""
        return self.votes >= self.votes_needed

    @property
    def claims(self) -> tuple[Duel, ...]:
        """The pairs between which an order is claimed."""
        return tuple(duel for duel in self.duels if duel.better is not None)

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {
            "by": self.by,
            "method": METHOD,
            "confidence": CONFIDENCE,
            "votes": self.votes,
            "votes_needed": self.votes_needed,
            "votes_needed_each": self.votes_needed_each,
            "is_enough": self.is_enough,
            "both_bad": self.both_bad,
            "left_out": self.left_out,
            "notes": list(self.notes),
            "ranks": [rank.as_json() for rank in self.ranks],
            "pairs": [duel.as_json() for duel in self.duels],
        }


METHOD = (
    "Bradley-Terry by maximum likelihood, a tie as half a win each, half a tied vote for each contestant against an "
    "average one as prior; intervals at 95 % from the Fisher information, for pairs widened to hold for all together"
)


def points(strength: float | None) -> float | None:
    """Return a strength on the scale of chess ratings. strength: log odds, None where nobody knows."""
    return None if strength is None else _MEAN_POINTS + float(_POINTS) * strength


def rank(labels: Mapping[str, str], ballots: Iterable[Ballot], by: RankBy = "model") -> Ranking:
    """Return the ranking that votes bear out. labels: of all contestants by key, those without votes too.

    Contestants of a ballot that `labels` does not know are added under their key.
    """
    found = list(ballots)
    own = [item for item in found if item.left == item.right]
    counted = [item for item in found if item.left != item.right]
    labels = dict(labels) | {key: key for item in counted for key in (item.left, item.right) if key not in labels}
    tally = _Tally.of(list(labels), counted)
    fitted = fit(tally.wins + tally.ties / 2)
    groups = components(tally.decisive)
    duels = _duels(tally, fitted, groups)
    ranks = _ranks(tally, fitted, groups, labels, duels)
    votes = sum(item.verdict is not Verdict.BOTH_BAD for item in counted)
    return Ranking(
        by=by,
        ranks=ranks,
        duels=duels,
        votes=votes,
        both_bad=len(counted) - votes,
        left_out=len(own),
        notes=tuple(_notes(tally, groups, votes, len(own), duels)),
    )


@dataclass(frozen=True)
class _Tally:
    """Votes counted. wins: (N, N), i over j. ties, both_bad: (N, N), symmetric."""

    keys: Sequence[str]
    wins: Matrix
    ties: Matrix
    both_bad: Matrix

    @classmethod
    def of(cls, keys: Sequence[str], ballots: Iterable[Ballot]) -> _Tally:
        place = {key: number for number, key in enumerate(keys)}
        wins, ties, both_bad = (np.zeros((len(keys), len(keys))) for _ in range(3))
        for item in ballots:
            left, right = place[item.left], place[item.right]
            match item.verdict:
                case Verdict.LEFT:
                    wins[left, right] += 1
                case Verdict.RIGHT:
                    wins[right, left] += 1
                case Verdict.TIE:
                    ties[left, right] += 1
                    ties[right, left] += 1
                case Verdict.BOTH_BAD:
                    both_bad[left, right] += 1
                    both_bad[right, left] += 1
        return cls(keys, wins, ties, both_bad)

    @property
    def decisive(self) -> Matrix:
        """(N, N): votes between two that say something of their order."""
        found: Matrix = self.wins + self.wins.T + self.ties
        return found

    def votes_of(self, number: int) -> int:
        """Return how many votes say something of a contestant's order."""
        return int(self.decisive[number].sum())


def _duels(tally: _Tally, fitted: Fit, groups: Sequence[Sequence[int]]) -> tuple[Duel, ...]:
    group_of = {number: place for place, group in enumerate(groups) for number in group}
    pairs = list(combinations(range(len(tally.keys)), 2))
    together = [pair for pair in pairs if group_of[pair[0]] == group_of[pair[1]]]
    # Each of many pairs would be wrong once in twenty times: they share that once (Bonferroni).
    width = _quantile(len(together))
    in_group = [sum(tally.votes_of(number) for number in group) // 2 for group in groups]
    found = []
    for one, other in pairs:
        estimate: tuple[float | None, float | None, float | None] = (None, None, None)
        better = None
        if group_of[one] == group_of[other]:
            value, error = fitted.difference(one, other)
            low, high = value - width * error, value + width * error
            estimate = (probability(value), probability(low), probability(high))
            is_enough = in_group[group_of[one]] >= MIN_VOTES
            if is_enough and min(tally.votes_of(one), tally.votes_of(other)) >= MIN_VOTES_EACH:
                better = tally.keys[one] if low > 0 else tally.keys[other] if high < 0 else None
        found.append(
            Duel(
                left=tally.keys[one],
                right=tally.keys[other],
                probability=estimate[0],
                low=estimate[1],
                high=estimate[2],
                better=better,
                left_wins=int(tally.wins[one, other]),
                right_wins=int(tally.wins[other, one]),
                ties=int(tally.ties[one, other]),
                both_bad=int(tally.both_bad[one, other]),
            )
        )
    return tuple(found)


def _quantile(pairs: int) -> float:
    """Return how many standard errors to either side hold at 95 %, for so many intervals together."""
    return NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * max(pairs, 1)))


def _ranks(
    tally: _Tally, fitted: Fit, groups: Sequence[list[int]], labels: Mapping[str, str], duels: Sequence[Duel]
) -> tuple[Rank, ...]:
    losers = [duel.left if duel.better == duel.right else duel.right for duel in duels if duel.better is not None]
    claimed = {key for duel in duels if duel.better is not None for key in (duel.left, duel.right)}
    found = []
    for place, group in enumerate(groups):
        for number in group:
            key = tally.keys[number]
            strength, low, high = _strength(fitted, number, group)
            found.append(
                Rank(
                    key=key,
                    label=labels[key],
                    rank=1 + losers.count(key) if key in claimed else None,
                    strength=strength,
                    low=low,
                    high=high,
                    wins=int(tally.wins[number].sum()),
                    losses=int(tally.wins[:, number].sum()),
                    ties=int(tally.ties[number].sum()),
                    both_bad=int(tally.both_bad[number].sum()),
                    group=place,
                )
            )
    return tuple(sorted(found, key=lambda item: (item.strength is None, item.group, -(item.strength or 0.0), item.key)))


def _strength(fitted: Fit, number: int, group: list[int]) -> tuple[float | None, float | None, float | None]:
    """Return a contestant's strength and its bounds; nothing of one that was compared with nobody."""
    if len(group) < 2:
        return None, None, None
    value, error = fitted.standing(number, group)
    width = _quantile(1)
    return value, value - width * error, value + width * error


def _notes(
    tally: _Tally, groups: Sequence[Sequence[int]], votes: int, left_out: int, duels: Sequence[Duel]
) -> Iterable[str]:
    """Yield what may not be read into the figures."""
    if votes < MIN_VOTES:
        yield f"not enough votes to claim an order: {votes} of {MIN_VOTES}"
    few = [key for number, key in enumerate(tally.keys) if tally.votes_of(number) < MIN_VOTES_EACH]
    if votes >= MIN_VOTES and few:
        yield f"not enough votes to place {', '.join(few)}: fewer than {MIN_VOTES_EACH} each"
    voted = [group for group in groups if len(group) > 1]
    if len(groups) > 1 and len(voted) > 1:
        names = "; ".join(", ".join(tally.keys[number] for number in group) for group in voted)
        yield f"no vote connects these groups, and no order is claimed between them: {names}"
    if votes >= MIN_VOTES and not any(duel.better for duel in duels):
        yield "no order is claimed: every interval of a difference includes none"
    if left_out:
        yield f"{left_out} votes between entries of one model say nothing of models"
