"""How much better one contestant is than another, from who won against whom: the model of Bradley and Terry.

Contestant i beats j with probability 1 / (1 + exp(s_j - s_i)). The strengths s are those that make the votes most
likely (Hunter, MM algorithms for generalized Bradley-Terry models, Annals of Statistics 32, 2004; the same optimum,
found here by Newton's method, which also leaves the information that the intervals need). A tie counts as half a win
for each (ibid., section 4 names the alternatives; with it ties say "about equal" and need no parameter of their own).

Prior: each contestant has also fought `PRIOR_VOTES` ties against an imagined one of strength 0. That is half a vote in
all, and keeps the strength of whoever never lost finite, where the maximum of the likelihood lies at infinity.

Intervals: from the Fisher information, prior included, by the normal approximation. Not the sandwich estimate, which
takes the spread from the residuals: with few votes, and above all for somebody who always won, they are nearly zero,
and so would be the interval. With many ties the true spread is smaller than the one taken here, so that these
intervals are rather too wide than too narrow. `tests/studio/comparing/test_bradley_terry.py` measures how often they
hold the truth.

Own code, as choix, the library for this, knows no ties and gives no intervals, and wants scipy, which nothing else of
the studio needs; what would be left of its use is the forty lines below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PRIOR_VOTES = 0.5
_MOST_STEPS = 100
_TOLERANCE = 1e-10

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """strengths: (N,) in units of log odds. covariance: (N, N) of the strengths."""

    strengths: Matrix
    covariance: Matrix

    def difference(self, one: int, other: int) -> tuple[float, float]:
        """Return by how much one is stronger than the other, and the standard error of that."""
        spread = self.covariance[one, one] + self.covariance[other, other] - 2 * self.covariance[one, other]
        return float(self.strengths[one] - self.strengths[other]), float(np.sqrt(max(spread, 0.0)))

    def standing(self, one: int, group: list[int]) -> tuple[float, float]:
        """Return a strength measured from the mean of a group that it is in, and the standard error of that."""
        weights = np.zeros(len(self.strengths))
        weights[group] -= 1 / len(group)
        weights[one] += 1
        spread = float(weights @ self.covariance @ weights)
        return float(weights @ self.strengths), float(np.sqrt(max(spread, 0.0)))


def fit(wins: Matrix, prior_votes: float = PRIOR_VOTES) -> Fit:
    """Return the most likely strengths. wins: (N, N), how often i beat j, a tie as 0.5 for each."""
    number = len(wins)
    games = wins + wins.T
    strengths = np.zeros(number)
    information = np.eye(number)
    for _ in range(_MOST_STEPS):
        gradient, information = _derivatives(strengths, wins, games, prior_votes)
        step = np.linalg.solve(information, gradient)
        # A full step overshoots where a contestant is far from the others; what is left to go is still bounded.
        step *= min(1.0, 2.0 / max(float(np.abs(step).max(initial=0.0)), 1e-12))
        strengths = strengths + step
        if float(np.abs(step).max(initial=0.0)) < _TOLERANCE:
            break
    _, information = _derivatives(strengths, wins, games, prior_votes)
    return Fit(strengths=strengths, covariance=np.linalg.inv(information).astype(np.float64))


def probability(difference: float) -> float:
    """Return how likely the stronger of two wins. difference: of their strengths, in log odds."""
    return float(1 / (1 + np.exp(-difference)))


def components(games: Matrix) -> list[list[int]]:
    """Return the groups of contestants that votes connect, directly or by way of others."""
    left = set(range(len(games)))
    found = []
    while left:
        group, new = set[int](), {min(left)}
        while new:
            group |= new
            new = {other for one in new for other in left if games[one, other] > 0} - group
        left -= group
        found.append(sorted(group))
    return found


def _derivatives(strengths: Matrix, wins: Matrix, games: Matrix, prior_votes: float) -> tuple[Matrix, Matrix]:
    """Return the gradient of the log likelihood and the Fisher information, both with the prior's part."""
    odds = 1 / (1 + np.exp(-(strengths[:, None] - strengths[None, :])))
    against_prior = 1 / (1 + np.exp(-strengths))
    gradient = (wins - games * odds).sum(axis=1) + prior_votes * (0.5 - against_prior)
    weights = games * odds * (1 - odds)
    np.fill_diagonal(weights, 0.0)
    own = weights.sum(axis=1) + prior_votes * against_prior * (1 - against_prior)
    return gradient, np.diag(own) - weights
