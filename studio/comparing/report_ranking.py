"""A ranking as a part of a page: what may not be read into it, a table, and the intervals drawn on one scale."""

from __future__ import annotations

from html import escape

from studio.comparing.ranking import METHOD, Duel, Rank, Ranking, points
from studio.provenance.shown import one_line

_WIDTH, _HEIGHT, _MARGIN = 220, 18, 8


def ranking_part(ranking: Ranking) -> str:
    """Return a ranking as HTML."""
    notes = "".join(f'<p class="notice">{_text(note, 600)}</p>' for note in ranking.notes)
    known = [rank for rank in ranking.ranks if rank.low is not None and rank.high is not None]
    bounds = [value for rank in known for value in (points(rank.low), points(rank.high)) if value is not None]
    low, high = (min(bounds), max(bounds)) if bounds else (900.0, 1100.0)
    rows = "".join(_row(rank, low, high) for rank in ranking.ranks)
    count = f"{ranking.votes} votes, and {ranking.both_bad} that found both clips bad"
    return (
        f"{notes}<div class=wide><table><thead><tr><th>Rank</th><th>Contestant</th><th>Points</th><th>95 %</th>"
        "<th>Interval</th><th>Won</th><th>Lost</th><th>Even</th><th>Both bad</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{_claims(ranking)}"
        f'<p class="soft">{_text(count)}. {_text(METHOD, 600)}. An order is claimed from {ranking.votes_needed} votes '
        f"and {ranking.votes_needed_each} for each contestant on. 400 points are odds of ten to one.</p>"
    )


def _row(rank: Rank, low: float, high: float) -> str:
    value, least, most = points(rank.strength), points(rank.low), points(rank.high)
    is_known = value is not None and least is not None and most is not None
    share = "" if rank.both_bad_share is None else f" ({rank.both_bad_share:.0%})"
    cells = [
        "–" if rank.rank is None else str(rank.rank),
        rank.label,
        "–" if value is None else f"{value:.0f}",
        f"{least:.0f} to {most:.0f}" if is_known else "–",
    ]
    drawn = (
        _drawing(value, least, most, low, high) if value is not None and least is not None and most is not None else ""
    )
    counts = [str(rank.wins), str(rank.losses), str(rank.ties), f"{rank.both_bad}{share}"]
    before, after = ("".join(f"<td>{_text(cell)}</td>" for cell in part) for part in (cells, counts))
    return f"<tr>{before}<td>{drawn}</td>{after}</tr>"


def _drawing(value: float, least: float, most: float, low: float, high: float) -> str:
    """Return an interval with its middle on the scale from low to high, in points."""
    scale = (_WIDTH - 2 * _MARGIN) / max(high - low, 1e-9)
    at = [round(_MARGIN + (item - low) * scale, 1) for item in (value, least, most)]
    middle = _HEIGHT / 2
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{value:.0f}, {least:.0f} to {most:.0f}">'
        f'<line x1="{at[1]}" y1="{middle}" x2="{at[2]}" y2="{middle}"/><circle cx="{at[0]}" cy="{middle}" r="4"/></svg>'
    )


def _claims(ranking: Ranking) -> str:
    labels = {rank.key: rank.label for rank in ranking.ranks}
    items = "".join(f"<li>{_claim(duel, labels)}</li>" for duel in ranking.claims)
    return f"<h4>What the votes bear out</h4><ul>{items}</ul>" if items else ""


def _claim(duel: Duel, labels: dict[str, str]) -> str:
    loser = duel.left if duel.better == duel.right else duel.right
    share, bounds = duel.probability or 0.0, sorted((duel.low or 0.0, duel.high or 0.0))
    if duel.better == duel.right:
        share, bounds = 1 - share, [1 - bounds[1], 1 - bounds[0]]
    return (
        f"<b>{_text(labels[duel.better or ''])}</b> is preferred to {_text(labels[loser])} in {share:.0%} of the cases "
        f"({bounds[0]:.0%} to {bounds[1]:.0%})"
    )


def _text(value: object, limit: int = 200) -> str:
    return escape(one_line(value, limit))
