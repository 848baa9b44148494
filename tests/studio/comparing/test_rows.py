"""What is kept of comparisons is the same in both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from studio.comparing.rows import ComparisonRows, UnknownComparison
from studio.comparing.voting import Verdict, Vote
from studio.config import Settings
from studio.library.store import Store, new_id


@pytest.fixture
def rows(database_settings: Settings) -> Iterator[ComparisonRows]:
    with Store(database_settings) as store:
        yield ComparisonRows(store)


def entry(number: int, model: str, **columns: Any) -> dict[str, Any]:
    difference = {"field": "size", "asked": "100x100", "made": None, "sentence": "size: ünlike <b>it</b>"}
    return {"number": number, "label": model, "model": model, "job_id": None, "changes": {"seed": 2**62},
            "differences": [difference], "error": None} | columns  # fmt: skip


def vote(comparison_id: str, **columns: Any) -> Vote:
    kept = {"id": new_id(), "left": 1, "right": 2, "verdict": Verdict.TIE, "reasons": ("colour",), "was_blind": True,
            "voter": "", "created_at": datetime.now(UTC)}  # fmt: skip
    return Vote(comparison_id=comparison_id, **kept | columns)


def test_a_comparison_comes_back_as_it_was_kept(rows: ComparisonRows) -> None:
    error = {"type": "UnsupportedValue", "message": "no", "field": "image", "fix": None}
    first = rows.add(
        "a title", ["sky", "sea"], {"prompt": "ü", "seed": None}, [entry(1, "a"), entry(2, "b", error=error)]
    )
    found = rows.find(first)
    assert (found.title, found.tags, found.prompt, found.num_votes) == ("a title", ("sky", "sea"), "ü", 0)
    assert [item.model for item in found.entries] == ["a", "b"]
    assert found.entries[0].changes == {"seed": 2**62}
    assert found.entries[0].differences[0].sentence == "size: ünlike <b>it</b>"
    assert found.entries[1].error == error
    assert found.entries[1].state == "refused"


def test_pages_follow_one_another(rows: ComparisonRows) -> None:
    made = [rows.add(str(number), [], {}, [entry(1, "a")]) for number in range(7)]
    seen: list[str] = []
    while page := rows.all(3, seen[-1] if seen else None):
        seen += [item.id for item in page]
    assert seen == made[::-1]


def test_votes_go_with_their_comparison(rows: ComparisonRows) -> None:
    one, other = (rows.add("", [tag], {}, [entry(1, "a"), entry(2, "b")]) for tag in ("sky", "sea"))
    for number in range(3):
        rows.add_vote(vote(one, voter="ann" if number else ""))
    rows.add_vote(vote(other, verdict=Verdict.LEFT))
    assert [item.num_votes for item in rows.all(10, None)] == [1, 3]
    assert len(rows.votes([one, other])) == 4
    assert len(rows.votes([one, other], "ann")) == 2
    assert [rows.count_votes(one, voter) for voter in ("ann", "", "ben")] == [2, 1, 0]
    assert rows.votes([one])[0].reasons == ("colour",)
    assert rows.with_tag("sky") == [one]
    assert rows.tags() == ["sea", "sky"]
    rows.label(one, None, ["hill"])
    assert rows.find(one).tags == ("hill",)
    rows.remove(one)
    assert rows.votes([one, other], None)[0].comparison_id == other
    with pytest.raises(UnknownComparison):
        rows.find(one)
