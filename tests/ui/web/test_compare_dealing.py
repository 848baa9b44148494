"""Pairs that are judged blind: addresses that tell nothing, one vote for each, nothing for strangers."""

from __future__ import annotations

from typing import cast

import pytest

from studio.comparing.comparison import Entry
from studio.comparing.voting import Pair
from ui.api.problems import Refusal
from ui.web.backstage.dealing import Deals


def entry(number: int) -> Entry:
    return Entry(
        number=number, label=f"entry {number}", model="m", job_id=f"job-{number}", changes={}, differences=(),
        error=None, job=None, asset=None,
    )  # fmt: skip


def pair(left: int = 2, right: int = 1) -> Pair:
    return Pair(comparison_id="c1", left=entry(left), right=entry(right), seen=0)


def status(error: pytest.ExceptionInfo[Refusal]) -> int:
    return cast(Refusal, error.value).status


def test_an_address_leads_to_its_clip_and_tells_nothing_of_it() -> None:
    deals = Deals()
    dealt = deals.deal(pair(), "alice")
    assert deals.number("c1", dealt.left_token, "alice") == 2
    assert deals.number("c1", dealt.right_token, "alice") == 1
    again = deals.deal(pair(), "alice")
    tokens = {item for deal in (dealt, again) for item in (deal.token, deal.left_token, deal.right_token)}
    assert len(tokens) == 6
    assert all(len(token) >= 32 for token in tokens)


@pytest.mark.parametrize(("comparison", "voter"), [("c2", "alice"), ("c1", "bob"), ("c1", "")])
def test_an_address_is_of_one_voter_and_one_comparison(comparison: str, voter: str) -> None:
    deals = Deals()
    dealt = deals.deal(pair(), "alice")
    with pytest.raises(Refusal) as error:
        deals.number(comparison, dealt.left_token, voter)
    assert status(error) == 404
    with pytest.raises(Refusal) as error, deals.judging(comparison, dealt.token, voter):
        pass
    assert status(error) == 404


def test_a_pair_is_voted_on_once_and_its_clips_go_on_playing() -> None:
    deals = Deals()
    dealt = deals.deal(pair(), "")
    with deals.judging("c1", dealt.token, "") as judged:
        assert (judged.left, judged.right) == (2, 1)
    with pytest.raises(Refusal) as error, deals.judging("c1", dealt.token, ""):
        pass
    assert status(error) == 409
    assert deals.number("c1", dealt.left_token, "") == 2


def test_a_vote_that_could_not_be_kept_can_be_cast_again() -> None:
    deals = Deals()
    dealt = deals.deal(pair(), "")
    with pytest.raises(ValueError, match="full"), deals.judging("c1", dealt.token, ""):
        raise ValueError("full")
    with deals.judging("c1", dealt.token, ""):
        pass


def test_the_oldest_pairs_are_forgotten_so_that_they_never_fill_the_memory() -> None:
    deals = Deals(most=2)
    first, *rest = (deals.deal(pair(), "") for _ in range(3))
    with pytest.raises(Refusal) as error:
        deals.number("c1", first.left_token, "")
    assert status(error) == 404
    assert [deals.number("c1", deal.right_token, "") for deal in rest] == [1, 1]
