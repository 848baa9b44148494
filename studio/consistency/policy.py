"""What happens to a clip that fails a check: a policy, the judge who applies it, and the ruling on record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from studio.errors import VerificationFailed

if TYPE_CHECKING:
    from studio.consistency.report import Report  # the settings read this module, and every command the settings

MAX_RETRIES = 20
POLICY_WORDS = f"flag, hold, refuse or retry:N with N from 1 to {MAX_RETRIES}"
_MAX_SEED = 2**63 - 1
_MAX_LINES = 3
_RETRY = re.compile(r"retry:(\d{1,3})", re.ASCII)


class Action(StrEnum):
    """What is done with a clip that fails a check.

    FLAG: it is sealed, and marked as failed wherever it is shown. HOLD: it waits, unsealed, until a person decides.
    REFUSE: it is not sealed and its job fails; the raw clip is kept until it is discarded.
    RETRY: it is made again with another seed; if none passes, the best is sealed as by FLAG.
    """

    FLAG = "flag"
    HOLD = "hold"
    REFUSE = "refuse"
    RETRY = "retry"


class Standing(StrEnum):
    """How a clip came into the library. INCONCLUSIVE: no check could tell. RELEASED: it failed and was let in."""

    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"
    FLAGGED = "flagged"
    RELEASED = "released"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What to do about failed checks. retries: how often a clip may be made again, above 0 for RETRY alone.

    Raises:
        ValueError: retries that do not go with the action.
    """

    action: Action = Action.FLAG
    retries: int = 0

    def __post_init__(self) -> None:
        least, most = (1, MAX_RETRIES) if self.action is Action.RETRY else (0, 0)
        if not least <= self.retries <= most:
            raise ValueError(f"retries: expected {least} to {most} with {self.action}, got {self.retries}")

    @classmethod
    def parse(cls, words: str) -> Policy:
        """Return the policy of this name, such as ``hold`` or ``retry:3``. Raises ValueError naming those there are."""
        if (found := _RETRY.fullmatch(words)) and 1 <= int(found[1]) <= MAX_RETRIES:
            return cls(action=Action.RETRY, retries=int(found[1]))
        if words in (Action.FLAG, Action.HOLD, Action.REFUSE):
            return cls(action=Action(words))
        raise ValueError(f"expected {POLICY_WORDS}, got {words}")

    def __str__(self) -> str:
        return f"{self.action}:{self.retries}" if self.retries else str(self.action)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What the checks said about one raw clip. failed: ids of the checks that said no. lowest_score: of all checks."""

    seed: int
    passed: bool | None
    failed: tuple[str, ...] = ()
    lowest_score: float | None = None

    @classmethod
    def of(cls, seed: int, report: Report) -> Attempt:
        """Sum up a report."""
        scores = [check.score for check in report.checks if check.score is not None]
        failed = tuple(check.id for check in report.checks if check.passed is False)
        lowest = float(f"{min(scores):.4g}") if scores else None
        return cls(seed=seed, passed=report.passed, failed=failed, lowest_score=lowest)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object. The seed is text: it may have 63 bits."""
        return {
            "seed": str(self.seed),
            "passed": self.passed,
            "failed": list(self.failed),
            "lowest_score": self.lowest_score,
        }


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What a policy led to. attempts: all that were made, oldest first. chosen: number of the one sealed, from 1."""

    policy: Policy
    standing: Standing
    attempts: tuple[Attempt, ...]
    chosen: int

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` turns back into an equal ruling."""
        return {
            "policy": str(self.policy),
            "standing": self.standing.value,
            "chosen": self.chosen,
            "attempts": [attempt.as_json() for attempt in self.attempts],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ruling:
        """Rebuild a ruling stored by `as_json`."""
        attempts = (
            Attempt(**{**item, "seed": int(item["seed"]), "failed": tuple(item["failed"])}) for item in data["attempts"]
        )
        return cls(
            policy=Policy.parse(data["policy"]),
            standing=Standing(data["standing"]),
            attempts=tuple(attempts),
            chosen=data["chosen"],
        )


class ChecksFailed(VerificationFailed):
    """A policy does not let a clip out that failed a check. report: what the checks said."""

    def __init__(self, message: str, *, report: Report, action: Action, got: str | None = None) -> None:
        super().__init__(message, got=got)
        self.report = report
        self.action = action


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Applies a policy to a raw clip. earlier: the attempts before this one. is_last: no other will follow.

    seed: the clip's. is_released: a person has looked at the clip and lets it in.
    """

    policy: Policy = field(default_factory=Policy)
    seed: int = 0
    earlier: tuple[Attempt, ...] = ()
    is_last: bool = True
    is_released: bool = False

    def __call__(self, report: Report) -> Ruling:
        """Return the ruling under which the clip may be sealed. Raises `ChecksFailed` when it may not."""
        attempts = (*self.earlier, Attempt.of(self.seed, report))
        standing = self._standing(report, attempts)
        return Ruling(policy=self.policy, standing=standing, attempts=attempts, chosen=len(attempts))

    def _standing(self, report: Report, attempts: Sequence[Attempt]) -> Standing:
        if report.passed is not False:
            return Standing.PASSED if report.passed else Standing.INCONCLUSIVE
        if self.is_released:
            return Standing.RELEASED
        is_best = self.is_last and best_of(attempts) == len(attempts) - 1
        if self.policy.action is Action.FLAG or (self.policy.action is Action.RETRY and is_best):
            return Standing.FLAGGED
        raise ChecksFailed(_refusal(self.policy.action, report), report=report, action=self.policy.action)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Seals the best of several attempts that all failed. number: its index."""

    policy: Policy
    attempts: tuple[Attempt, ...]
    number: int

    def __call__(self, report: Report) -> Ruling:
        """Return the ruling under which the clip is sealed."""
        standing = Standing.FLAGGED if report.passed is False else Standing.PASSED
        return Ruling(policy=self.policy, standing=standing, attempts=self.attempts, chosen=self.number + 1)


def best_of(attempts: Sequence[Attempt]) -> int:
    """Return the index of the attempt with the fewest failed checks; of several, the one with the best worst score."""

    def fault(index: int) -> tuple[int, float, int]:
        attempt = attempts[index]
        return len(attempt.failed), -(attempt.lowest_score or 0.0), index

    return min(range(len(attempts)), key=fault)


def next_seed(first: int, number: int, highest: int | None = None) -> int:
    """Return the seed of an attempt, 0 .. 2**63 - 1. number: 0 for the first, which keeps the seed it was given.

    highest: that the model takes, where that is less.
    """
    if number == 0:
        return first
    digest = hashlib.sha256(f"studio attempt {number} after seed {first}".encode()).digest()
    seed = int.from_bytes(digest[:8], "big") & _MAX_SEED
    return seed if highest is None else seed % (highest + 1)


def _refusal(action: Action, report: Report) -> str:
    from studio.consistency.wording import failure_lines

    lines = failure_lines(report.as_json())
    more = [f"and {len(lines) - _MAX_LINES} more"] if len(lines) > _MAX_LINES else []
    what = {
        Action.HOLD: "the clip failed a check and is held for review",
        Action.REFUSE: "the clip failed a check and was refused",
    }.get(action, "the clip failed a check")
    return f"{what} ({'; '.join([*lines[:_MAX_LINES], *more])})"
