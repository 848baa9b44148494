"""A policy decides from a report alone whether a clip may be sealed, and the ruling says under which one it was."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from studio.consistency.policy import (
    Action,
    Attempt,
    ChecksFailed,
    Choice,
    Judge,
    Policy,
    Ruling,
    Standing,
    best_of,
    next_seed,
)
from studio.consistency.report import CheckResult, Event, Report, verdict
from studio.consistency.wording import failure_lines, frames_of

RETRY = Policy(action=Action.RETRY, retries=2)


def check(name: str, passed: bool | None, score: float | None = 0.2, **more: object) -> CheckResult:
    return CheckResult(id=name, title=name.title(), unit="share", threshold=0.5, score=score, value=score,
                       passed=passed, **more)  # type: ignore[arg-type]  # fmt: skip


def report(*checks: CheckResult) -> Report:
    return Report(checks=checks, num_frames=9, frame_rate=Fraction(8), width=64, height=64, passed=verdict(checks))


GOOD, UNSURE = report(check("black", True, 0.9)), report(check("black", None, None))
BAD = report(check("black", False, 0.2), check("frozen", True, 0.9))
WORSE = report(check("black", False, 0.1), check("frozen", False, 0.2))


@pytest.mark.parametrize("words", ["flag", "hold", "refuse", "retry:1", "retry:20"])
def test_a_policy_is_written_as_it_is_read(words: str) -> None:
    assert str(Policy.parse(words)) == words


@pytest.mark.parametrize(
    "words", ["", "retry", "retry:0", "retry:21", "retry:-1", "retry:2.5", "Flag", "drop", "hold:1"]
)
def test_other_words_are_refused_naming_those_there_are(words: str) -> None:
    with pytest.raises(ValueError, match="expected flag, hold, refuse or retry:N"):
        Policy.parse(words)


@pytest.mark.parametrize(("action", "retries"), [(Action.HOLD, 1), (Action.RETRY, 0), (Action.RETRY, 21)])
def test_retries_belong_to_one_action_alone(action: Action, retries: int) -> None:
    with pytest.raises(ValueError, match="retries"):
        Policy(action=action, retries=retries)


@pytest.mark.parametrize("words", ["flag", "hold", "refuse", "retry:2"])
@pytest.mark.parametrize(("seen", "standing"), [(GOOD, Standing.PASSED), (UNSURE, Standing.INCONCLUSIVE)])
def test_no_policy_stops_a_clip_that_did_not_fail(words: str, seen: Report, standing: Standing) -> None:
    ruling = Judge(policy=Policy.parse(words), seed=5, is_last=False)(seen)
    assert ruling.standing == standing
    assert [attempt.seed for attempt in ruling.attempts] == [5]


def test_a_failed_clip_is_sealed_and_flagged_by_default() -> None:
    assert Judge()(BAD).standing == Standing.FLAGGED


@pytest.mark.parametrize("action", [Action.HOLD, Action.REFUSE])
def test_a_failed_clip_is_stopped_with_the_reason(action: Action) -> None:
    with pytest.raises(ChecksFailed, match="Black") as caught:
        Judge(policy=Policy(action=action))(BAD)
    assert caught.value.action is action
    assert caught.value.report is BAD


def test_a_released_clip_is_sealed_and_says_so() -> None:
    assert Judge(policy=Policy(action=Action.HOLD), is_released=True)(BAD).standing == Standing.RELEASED
    assert Judge(policy=Policy(action=Action.HOLD), is_released=True)(GOOD).standing == Standing.PASSED


def test_another_attempt_is_asked_for_until_the_last_one_is_judged_against_all() -> None:
    earlier = (Attempt.of(1, WORSE),)
    with pytest.raises(ChecksFailed):
        Judge(policy=RETRY, earlier=earlier, seed=2, is_last=False)(BAD)
    ruling = Judge(policy=RETRY, earlier=earlier, seed=2)(BAD)
    assert (ruling.standing, ruling.chosen, len(ruling.attempts)) == (Standing.FLAGGED, 2, 2)
    with pytest.raises(ChecksFailed):  # the earlier one is better
        Judge(policy=RETRY, earlier=(Attempt.of(1, BAD),), seed=2)(WORSE)


def test_the_best_attempt_fails_least_then_scores_highest_then_came_first() -> None:
    slightly = report(check("black", False, 0.4))
    attempts = [Attempt.of(seed, seen) for seed, seen in enumerate((WORSE, BAD, slightly, slightly))]
    assert best_of(attempts) == 2
    assert Choice(policy=RETRY, attempts=tuple(attempts), number=2)(slightly).chosen == 3


def test_seeds_of_further_attempts_follow_from_the_first_and_differ() -> None:
    seeds = [next_seed(7, number) for number in range(20)]
    assert seeds[0] == 7
    assert seeds == [next_seed(7, number) for number in range(20)]
    assert all(0 <= next_seed(7, number, 99) <= 99 for number in range(20))
    assert len(set(seeds)) == 20
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert next_seed(8, 1) != seeds[1]


def test_a_ruling_survives_being_stored() -> None:
    ruling = Judge(policy=RETRY, earlier=(Attempt.of(2**62, WORSE),), seed=2)(BAD)
    assert Ruling.from_json(json.loads(json.dumps(ruling.as_json()))) == ruling


def test_a_failure_is_told_with_its_frames_and_its_reason() -> None:
    events = tuple(Event(first_frame=a, last_frame=b, value=1.0, reason="dark") for a, b in ((7, 7), (2, 4)))
    seen = report(check("black", False, reason="dark", events=events), check("frozen", True)).as_json()
    assert failure_lines(seen) == ["Black, frames 2 to 4, frame 7: dark"]
    named = report(check("black", False, reason="dark in frames 2 to 4", events=events)).as_json()
    assert failure_lines(named) == ["Black: dark in frames 2 to 4"]


def test_frames_of_a_report_without_events_are_joined_and_many_are_counted() -> None:
    assert frames_of({"worst_frames": [5, 4, 9]}) == "frames 4 to 5, frame 9"
    assert frames_of({"worst_frames": list(range(0, 20, 2))}) == "frame 0, frame 2, frame 4, frame 6, 6 more places"
    assert frames_of({"worst_frames": []}) == ""
