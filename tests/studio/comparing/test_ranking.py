"""A ranking claims no more than the votes bear out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from studio.comparing.bradley_terry import probability
from studio.comparing.ranking import MIN_VOTES, MIN_VOTES_EACH, Ballot, points, rank
from studio.comparing.voting import Verdict


def votes(left: str, right: str, lefts: int = 0, rights: int = 0, ties: int = 0, both_bad: int = 0) -> list[Ballot]:
    counts = {Verdict.LEFT: lefts, Verdict.RIGHT: rights, Verdict.TIE: ties, Verdict.BOTH_BAD: both_bad}
    return [Ballot(left=left, right=right, verdict=verdict) for verdict, n in counts.items() for _ in range(n)]


LABELS = {"a": "Model A", "b": "Model B", "c": "Model C"}


def test_ten_votes_give_figures_and_no_order() -> None:
    found = rank(LABELS, [*votes("a", "b", 4), *votes("b", "c", 3), *votes("c", "a", 0, 3)])
    assert found.notes[0] == f"not enough votes to claim an order: 10 of {MIN_VOTES}"
    assert not found.is_enough
    assert [item.key for item in found.ranks] == ["a", "b", "c"]
    assert [item.rank for item in found.ranks] == [None, None, None]
    assert found.claims == ()
    assert found.ranks[0].wins == 7
    assert all(item.low is not None and item.strength is not None and item.low < item.strength for item in found.ranks)


def test_enough_clear_votes_claim_an_order() -> None:
    found = rank(LABELS, [*votes("a", "b", 18, 2), *votes("b", "c", 18, 2), *votes("a", "c", 20, 0)])
    assert [(item.key, item.rank) for item in found.ranks] == [("a", 1), ("b", 2), ("c", 3)]
    assert {(duel.left, duel.right, duel.better) for duel in found.duels} == {
        ("a", "b", "a"), ("a", "c", "a"), ("b", "c", "b"),
    }  # fmt: skip
    assert found.notes == ()


def test_enough_even_votes_claim_none_and_say_why() -> None:
    found = rank(LABELS, [*votes("a", "b", 10, 10), *votes("b", "c", 10, 10), *votes("a", "c", 9, 11)])
    assert found.is_enough
    assert found.claims == ()
    assert "no order is claimed" in found.notes[0]
    assert [item.rank for item in found.ranks] == [None, None, None]


def test_one_that_was_hardly_seen_is_not_placed() -> None:
    seldom = MIN_VOTES_EACH - 1
    found = rank(LABELS, [*votes("a", "b", 30, 5), *votes("a", "c", seldom)])
    by_key = {item.key: item for item in found.ranks}
    assert by_key["a"].rank == 1
    assert by_key["c"].rank is None
    assert any("c: fewer than" in note for note in found.notes)


def test_both_bad_says_nothing_of_the_order_and_is_counted() -> None:
    found = rank(LABELS, [*votes("a", "b", 2, both_bad=6), *votes("b", "c", 2)])
    by_key = {item.key: item for item in found.ranks}
    assert found.votes == 4
    assert found.both_bad == 6
    assert by_key["a"].both_bad_share == pytest.approx(6 / 8)
    assert by_key["b"].both_bad_share == pytest.approx(6 / 10)
    assert by_key["c"].both_bad_share == 0
    without = rank(LABELS, [*votes("a", "b", 2), *votes("b", "c", 2)])
    assert by_key["a"].strength == next(item.strength for item in without.ranks if item.key == "a")


def test_contestants_that_no_vote_connects_are_not_ordered() -> None:
    labels = LABELS | {"d": "Model D", "e": "Model E"}
    found = rank(labels, [*votes("a", "b", 40), *votes("c", "d", 40)])
    across = [duel for duel in found.duels if {duel.left, duel.right} == {"a", "c"}]
    assert across[0].probability is None
    assert across[0].better is None
    assert any("no vote connects" in note and "a, b; c, d" in note for note in found.notes)
    alone = next(item for item in found.ranks if item.key == "e")
    assert (alone.strength, alone.low, alone.rating, alone.rank) == (None, None, None, None)
    assert len({item.group for item in found.ranks}) == 3


def test_two_small_groups_do_not_add_up_to_enough() -> None:
    found = rank(LABELS | {"d": "D"}, [*votes("a", "b", 16), *votes("c", "d", 16)])
    assert found.is_enough
    assert found.claims == ()


def test_votes_between_two_entries_of_one_model_are_left_out_and_told() -> None:
    found = rank(LABELS, [*votes("a", "a", 3), *votes("a", "b", 1)])
    assert (found.left_out, found.votes) == (3, 1)
    assert "3 votes between entries of one model" in found.notes[-1]


def test_the_sides_do_not_matter() -> None:
    one = rank(LABELS, votes("a", "b", 12, 3, 2))
    other = rank(LABELS, votes("b", "a", 3, 12, 2))
    assert [item.strength for item in one.ranks] == pytest.approx([item.strength for item in other.ranks], nan_ok=True)


def test_points_are_those_of_chess() -> None:
    assert points(0.0) == 1000
    assert points(float(np.log(10))) == pytest.approx(1400)
    assert points(None) is None


def test_an_empty_ranking_is_json_too() -> None:
    told = json.loads(json.dumps(rank({}, []).as_json(), allow_nan=False))
    assert told["ranks"] == []
    assert told["votes_needed"] == MIN_VOTES


def test_false_orders_are_rare() -> None:
    """Among four equals, an order is claimed between anybody in no more than about one of twenty rankings."""
    rng = np.random.default_rng(3)
    keys = ("a", "b", "c", "d")
    wrong = 0
    for _ in range(200):
        ballots = []
        for _vote in range(60):
            left, right = rng.choice(4, 2, replace=False)
            verdict = Verdict.LEFT if rng.random() < probability(0.0) else Verdict.RIGHT
            ballots.append(Ballot(left=keys[left], right=keys[right], verdict=verdict))
        wrong += bool(rank({key: key for key in keys}, ballots).claims)
    assert wrong / 200 <= 0.075
