"""Strengths from votes: against values worked out by hand, and against a truth that votes were drawn from."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from studio.comparing.bradley_terry import Matrix, components, fit, probability


def test_two_contestants_have_the_odds_of_their_votes() -> None:
    wins = np.array([[0.0, 15.0], [5.0, 0.0]])
    found = fit(wins, prior_votes=1e-9)
    difference, error = found.difference(0, 1)
    assert difference == pytest.approx(np.log(3))  # 15 to 5
    assert error == pytest.approx(np.sqrt(1 / (20 * 0.75 * 0.25)), rel=1e-6)  # of a logit: 1 / (n p q)


def test_three_contestants_have_the_strengths_that_hunters_mm_algorithm_finds() -> None:
    wins = np.array([[0.0, 8.0, 6.0], [2.0, 0.0, 7.0], [4.0, 3.0, 0.0]])
    strengths = fit(wins, prior_votes=1e-9).strengths
    expected = mm(wins)
    assert strengths - strengths.mean() == pytest.approx(expected - expected.mean(), abs=1e-6)


def mm(wins: Matrix) -> Matrix:
    """Hunter (2004), equation 3: gamma_i = W_i / sum over j of N_ij / (gamma_i + gamma_j)."""
    games, gamma = wins + wins.T, np.ones(len(wins))
    for _ in range(5000):
        gamma = wins.sum(axis=1) / (games / (gamma[:, None] + gamma[None, :])).sum(axis=1)
        gamma /= gamma.sum()
    return np.log(gamma)


def test_a_tie_is_half_a_win_for_each() -> None:
    ties = np.array([[0.0, 10.0], [10.0, 0.0]])
    assert fit(ties).difference(0, 1)[0] == pytest.approx(0.0)


def test_whoever_never_lost_has_a_finite_strength_and_a_wide_interval() -> None:
    clear, close = (fit(np.array([[0.0, 10.0], [lost, 0.0]])) for lost in (0.0, 8.0))
    difference, error = clear.difference(0, 1)
    assert 2 < difference < 10
    assert error > 2 * close.difference(0, 1)[1]


def test_nobody_voting_is_no_strength() -> None:
    found = fit(np.zeros((3, 3)))
    assert list(found.strengths) == [0.0, 0.0, 0.0]


def test_thousands_of_one_sided_votes_still_converge() -> None:
    wins = np.zeros((8, 8))
    for one, other in combinations(range(8), 2):
        wins[one, other] = 5000.0
    found = fit(wins)
    assert np.all(np.isfinite(found.strengths))
    assert list(np.argsort(-found.strengths)) == list(range(8))


def test_groups_are_those_that_votes_connect() -> None:
    games = np.zeros((5, 5))
    for one, other in ((0, 1), (1, 2)):
        games[one, other] = games[other, one] = 1
    assert components(games) == [[0, 1, 2], [3], [4]]
    assert components(np.zeros((0, 0))) == []


@pytest.mark.parametrize(
    ("truth", "votes"),
    [([0.0, 0.0], 30), ([0.7, 0.0], 30), ([1.5, 0.0], 30), ([0.7, 0.0, -0.7], 30), ([1.2, 0.4, -0.4, -1.2], 60)],
)
def test_intervals_hold_the_truth_as_often_as_they_promise(truth: list[float], votes: int) -> None:
    rng = np.random.default_rng(7)
    pairs = list(combinations(range(len(truth)), 2))
    held = total = 0
    for _ in range(500):
        found = fit(drawn(truth, votes, pairs, rng))
        for one, other in pairs:
            difference, error = found.difference(one, other)
            held += abs(difference - (truth[one] - truth[other])) <= 1.96 * error
            total += 1
    assert 0.93 <= held / total <= 0.995


def test_ties_make_intervals_too_wide_rather_than_too_narrow() -> None:
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(400):
        wins = drawn([0.0, 0.0], 15, [(0, 1)], rng)
        difference, error = fit(wins + np.array([[0.0, 7.5], [7.5, 0.0]])).difference(0, 1)
        held += abs(difference) <= 1.96 * error
    assert held / 400 >= 0.97


def drawn(truth: list[float], votes: int, pairs: list[tuple[int, int]], rng: np.random.Generator) -> Matrix:
    wins = np.zeros((len(truth), len(truth)))
    for number in range(votes):
        one, other = pairs[number % len(pairs)]
        first, second = (one, other) if rng.random() < probability(truth[one] - truth[other]) else (other, one)
        wins[first, second] += 1
    return wins
