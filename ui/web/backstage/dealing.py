"""Pairs that are judged blind: which two clips hide behind addresses that tell nothing, until the vote is cast."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from studio.comparing.voting import Pair
from ui.api.problems import Refusal

MAX_KEPT = 2000


@dataclass(frozen=True, kw_only=True)
class Deal:
    """Two entries as they are shown to one voter. left, right: their numbers, which nobody is told before the vote.

    token: names the deal when the vote is cast. left_token, right_token: in the addresses of the clips.
    """

    token: str
    left_token: str
    right_token: str
    comparison_id: str
    left: int
    right: int
    voter: str


class Deals:
    """The pairs of one server that are on show. They need not outlive it: whoever loses one draws the next."""

    def __init__(self, most: int = MAX_KEPT) -> None:
        self._most = most
        self._deals: OrderedDict[str, Deal] = OrderedDict()
        self._used: set[str] = set()
        self._clips: dict[str, tuple[Deal, int]] = {}
        self._guard = threading.Lock()

    def deal(self, pair: Pair, voter: str) -> Deal:
        """Keep a pair for a voter, under names that were never used before."""
        token, left_token, right_token = (secrets.token_urlsafe(24) for _ in range(3))
        dealt = Deal(
            token=token,
            left_token=left_token,
            right_token=right_token,
            comparison_id=pair.comparison_id,
            left=pair.left.number,
            right=pair.right.number,
            voter=voter,
        )
        with self._guard:
            self._deals[token] = dealt
            self._clips |= {left_token: (dealt, dealt.left), right_token: (dealt, dealt.right)}
            while len(self._deals) > self._most:
                self._forget(self._deals.popitem(last=False)[1])
        return dealt

    def number(self, comparison_id: str, clip_token: str, voter: str) -> int:
        """Return which entry hides behind an address. Raises a `Refusal` with 404, also where it is somebody else's."""
        with self._guard:
            dealt, number = self._clips.get(clip_token, (None, 0))
        if dealt is None or (dealt.comparison_id, dealt.voter) != (comparison_id, voter):
            raise _gone()
        return number

    @contextmanager
    def judging(self, comparison_id: str, token: str, voter: str) -> Iterator[Deal]:
        """Yield a deal for as long as its vote is entered; it can be voted on once, unless that fails.

        Raises a `Refusal`: 404 for none of this voter's, 409 where the vote was cast.
        """
        with self._guard:
            dealt = self._deals.get(token)
            if dealt is None or (dealt.comparison_id, dealt.voter) != (comparison_id, voter):
                raise _gone()
            if token in self._used:
                raise Refusal(409, "this pair was voted on", field="token", fix="draw the next pair")
            self._used.add(token)
        try:
            yield dealt
        except BaseException:
            with self._guard:
                self._used.discard(token)
            raise

    def _forget(self, dealt: Deal) -> None:
        self._used.discard(dealt.token)
        for token in (dealt.left_token, dealt.right_token):
            self._clips.pop(token, None)


def _gone() -> Refusal:
    return Refusal(404, "this pair is not on show any more", field="token", fix="draw the next pair")
