"""Votes on two clips of a comparison: blind, behind addresses that tell nothing, or with the names in view."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from studio.comparing.comparison import Comparison, Entry
from studio.comparing.voting import Verdict
from studio.library.asset import Asset
from studio.people.visitor import Action
from ui.api import asks
from ui.api.problems import Refusal
from ui.web.here import Asked, Here
from ui.web.routes.compare import one
from ui.web.views.comparisons import deal_view, entry_label, revealed_view, vote_view

router = APIRouter(prefix="/studio/comparisons")

MAX_SHOWN = 200
# These would tell one clip from another, or tell which it is.
_TELLING = (b"etag", b"content-disposition", b"cache-control", b"last-modified")
_TOLD_INSTEAD = [(b"cache-control", b"private, max-age=3600, immutable"), (b"content-disposition", b"inline")]


class VoteAsk(asks.Ask):
    """What somebody thought of two entries, by number, as they were shown."""

    left: int
    right: int
    verdict: Verdict
    reasons: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=16)


class BlindVoteAsk(asks.Ask):
    """What somebody thought of the two clips of a deal."""

    token: str
    verdict: Verdict
    reasons: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=16)


@router.get("/{comparison_id}/votes")
def list_votes(comparison_id: str, here: Here) -> dict[str, Any]:
    """Return the votes on a comparison, the newest first, and the reasons that are offered."""
    found = one(comparison_id, here)
    votes = here.studio.comparisons.votes(found.id)
    names = here.model_names
    labels = {entry.number: entry_label(entry, names) for entry in found.entries}
    shown = [vote_view(vote, labels) for vote in reversed(votes[-MAX_SHOWN:])]
    return {"votes": shown, "total": len(votes), "mine": _mine(found, here)}


@router.post("/{comparison_id}/votes")
def vote(comparison_id: str, asked: VoteAsk, here: Here) -> dict[str, Any]:
    """Keep a vote that was cast with the names in view."""
    here.require(Action.VOTE)
    found = one(comparison_id, here)
    voter = here.visitor.name or ""
    cast = here.studio.comparisons.vote(found.id, asked.left, asked.right, asked.verdict, asked.reasons, voter=voter)
    return {"id": cast.id, "votes": found.num_votes + 1, "mine": _mine(found, here)}


@router.delete("/{comparison_id}/votes/{vote_id}")
def take_back(comparison_id: str, vote_id: str, here: Here) -> dict[str, Any]:
    """Take back a vote of the visitor's own."""
    here.require(Action.VOTE)
    found = one(comparison_id, here)
    here.studio.comparisons.take_back(found.id, vote_id, voter=here.visitor.name or "")
    return {"votes": max(0, found.num_votes - 1), "mine": _mine(found, here)}


@router.post("/{comparison_id}/blind/next")
def deal(comparison_id: str, here: Here) -> dict[str, Any]:
    """Draw the pair that this voter judged least, its sides by chance, and tell nothing of who it is."""
    here.require(Action.VOTE)
    found = one(comparison_id, here)
    voter = here.visitor.name or ""
    pair = here.studio.comparisons.next_pair(found.id, voter)
    if pair is None:
        raise Refusal(409, "there are no two finished clips to be judged", field="comparison",
                      got=f"{len(found.finished)} finished", fix="wait until two of them are made")  # fmt: skip
    dealt = here.site.deals.deal(pair, voter)

    def side(entry: Entry, token: str) -> tuple[Asset, str]:
        return _asset(entry), f"/studio/comparisons/{found.id}/blind/{token}"

    return deal_view(
        side(pair.left, dealt.left_token),
        side(pair.right, dealt.right_token),
        token=dealt.token,
        prompt=found.prompt,
        seen=pair.seen,
        votes=_mine(found, here),
    )


@router.post("/{comparison_id}/blind/vote")
def vote_blind(comparison_id: str, asked: BlindVoteAsk, here: Here) -> dict[str, Any]:
    """Keep a blind vote, and only then tell who was who."""
    here.require(Action.VOTE)
    found = one(comparison_id, here)
    voter = here.visitor.name or ""
    with here.site.deals.judging(found.id, asked.token, voter) as dealt:
        cast = here.studio.comparisons.vote(
            found.id, dealt.left, dealt.right, asked.verdict, asked.reasons, was_blind=True, voter=voter
        )
    names = here.model_names
    sides = {"left": dealt.left, "right": dealt.right}
    told = {side: revealed_view(_entry(found, number), names) for side, number in sides.items()}
    counts = {"votes": found.num_votes + 1, "mine": _mine(found, here)}
    return {"id": cast.id, "verdict": asked.verdict.value, **counts, **told}


@router.get("/{comparison_id}/blind/{token}")
@router.head("/{comparison_id}/blind/{token}")
def blind_clip(comparison_id: str, token: str, request: Request, here: Here) -> Response:
    """Return a sealed clip, byte for byte, under an address and with headers that tell nothing of which it is."""
    number = here.site.deals.number(comparison_id, token, here.visitor.name or "")
    asset = _asset(_entry(one(comparison_id, here), number))
    wanted = {name: value for name, value in request.headers.items() if name == "range"}
    answer = here.services.sealed_file(asset, wanted)
    kept = [(name, value) for name, value in answer.raw_headers if name not in _TELLING]
    answer.raw_headers = [*kept, *_TOLD_INSTEAD]
    return answer


def _asset(entry: Entry) -> Asset:
    if entry.asset is None:
        raise Refusal(404, "this clip is in the library no more", field="token", fix="draw the next pair")
    return entry.asset


def _entry(found: Comparison, number: int) -> Entry:
    entry = found.entry(number)
    if entry is None:
        raise Refusal(404, "there is no such entry", field="entry", got=number)
    return entry


def _mine(found: Comparison, here: Asked) -> int:
    return here.studio.comparisons.count_votes(found.id, here.visitor.name or "")
