"""The service of comparisons: plans and starts them, keeps votes, ranks, and writes reports."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from studio.comparing.comparison import Comparison
from studio.comparing.planning import PlannedEntry, plan_entries, require_enough, require_money
from studio.comparing.ranking import Ballot, RankBy, Ranking, rank
from studio.comparing.rows import ComparisonRows
from studio.comparing.voting import (
    Pair,
    Verdict,
    Vote,
    clean_reasons,
    next_pair,
    parse_verdict,
    require_judgeable,
    require_name,
)
from studio.comparing.wish import CompareWish, base_as_json, clean_tag, clean_tags, clean_title
from studio.delivery import check_destination
from studio.errors import NotFound, RequestError, StoreFault, UnsupportedValue
from studio.jobs.desk import JobDesk
from studio.jobs.job import Job, Progress
from studio.jobs.workshop import Workshop
from studio.library.store import new_id
from studio.people.ownership import disown_gone
from studio.request import Conditioning, GenerationRequest

if TYPE_CHECKING:
    from studio.comparing.report import CompareReport

MAX_LISTED = 1000
Show = Callable[[Comparison, dict[str, Progress]], None]


class Comparer:
    """Comparisons of one library. Nothing here loads a model, but for `make`, which works as any worker does."""

    def __init__(self, shop: Workshop, desk: JobDesk) -> None:
        self._shop = shop
        self._desk = desk
        self._rows = ComparisonRows(shop.store)

    # -- making -------------------------------------------------------------------------------------------------

    def plan(self, wish: CompareWish) -> Sequence[PlannedEntry]:
        """Return what would become of each contestant, with what each does otherwise than asked. Queues nothing.

        Raises a `RequestError` where the wish makes no sense; what one model does not take is its entry's error.
        """
        return plan_entries(self._shop, wish)

    def start(self, wish: CompareWish, planned: Sequence[PlannedEntry] | None = None) -> Comparison:
        """Put the jobs of all contestants that can be made into the queue, all or none, and enter the comparison.

        planned: what `plan` returned for this very wish; a seed that it drew is kept.
        Raises a `RequestError`, `OverBudget`, or an `EnvironmentFault` where that leaves fewer than two.
        """
        entries = list(self.plan(wish) if planned is None else planned)
        require_enough(entries)
        require_money(self._shop, wish, entries)
        requests = [item.resolved for item in entries if item.resolved is not None]
        jobs = self._desk.submit_many([(request, wish.job_wish()) for request in requests])
        try:
            comparison_id = self._enter(wish, entries, jobs)
        except BaseException:
            self._cancel([job.id for job in jobs])
            raise
        return self.get(comparison_id)

    def make(
        self,
        comparison_id: str,
        *,
        show: Show = lambda _comparison, _progress: None,
        is_canceled: Callable[[], bool] = lambda: False,
    ) -> Comparison:
        """Make the clips of a comparison here and now; where a worker takes such jobs, that one does.

        Local and remote clips are made at the same time. show: told again and again how far it is, with the progress of
        the jobs that run in this process. What fails is its entry's error. Raises `Canceled` with Ctrl-C or
        `is_canceled`; then all jobs that had not ended are canceled.
        """
        from studio.comparing.making import Making

        comparison = self.get(comparison_id)
        Making(self._shop, self._desk, lambda: self.get(comparison.id), show, is_canceled).work(comparison)
        return self.get(comparison.id)

    def _enter(self, wish: CompareWish, entries: Sequence[PlannedEntry], jobs: Sequence[Job]) -> str:
        queued = [item.number for item in entries if item.resolved is not None]
        if len(jobs) != len(queued):
            raise StoreFault("jobs of the comparison were gone as soon as they were queued",
                             got=f"{len(jobs)} of {len(queued)}", fix="compare again")  # fmt: skip
        job_ids = {number: job.id for number, job in zip(queued, jobs, strict=True)}
        columns = [
            {
                "number": item.number,
                "label": item.label,
                "model": item.model,
                "job_id": job_ids.get(item.number),
                "changes": dict(item.changes),
                "differences": [difference.as_json() for difference in item.differences],
                "error": None if item.error is None else item.error.as_json(),
            }
            for item in entries
        ]
        base = _as_asked(wish.base, entries)
        title, tags = clean_title(wish.title), clean_tags(wish.tags)
        return self._rows.add(title, tags, base_as_json(base), columns, wish.owner)

    def _cancel(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            with suppress(RequestError):  # it has just come to its end
                self._desk.cancel(job_id)

    # -- looking ------------------------------------------------------------------------------------------------

    def get(self, comparison_id: str) -> Comparison:
        """Return the comparison with this id or unambiguous beginning of one. Raises `UnknownComparison`."""
        return self._rows.find(comparison_id)

    def list(self, limit: int = 100, after: str | None = None) -> Sequence[Comparison]:
        """Return comparisons, newest first. limit: 1 to 1000. after: only those that follow the one with this id."""
        if not 1 <= limit <= MAX_LISTED:
            raise UnsupportedValue("out of range", field="limit", got=limit, allowed=f"1 to {MAX_LISTED}")
        return self._rows.all(limit, after)

    def tags(self) -> Sequence[str]:
        """Return the tags that comparisons have."""
        return self._rows.tags()

    def relabel(self, comparison_id: str, *, title: str | None = None, tags: Iterable[str] | None = None) -> Comparison:
        """Give a comparison another title, or other tags."""
        found = self.get(comparison_id)
        cleaned = None if tags is None else clean_tags(tags)
        self._rows.label(found.id, None if title is None else clean_title(title), cleaned)
        return self.get(found.id)

    def remove(self, comparison_id: str) -> Comparison:
        """Forget a comparison and its votes. Its jobs and clips stay. Returns it as it was."""
        found = self.get(comparison_id)
        self._rows.remove(found.id)
        disown_gone(self._shop.store, found.id)
        return found

    # -- judging ------------------------------------------------------------------------------------------------

    def vote(
        self,
        comparison_id: str,
        left: int,
        right: int,
        verdict: Verdict | str,
        reasons: Iterable[str] = (),
        *,
        was_blind: bool = False,
        voter: str = "",
    ) -> Vote:
        """Keep what somebody thought of two finished entries. left, right: their numbers, as they were shown.

        reasons: up to 8, of `studio.comparing.voting.REASONS` or words of their own of up to 200 characters each.
        Raises a `RequestError`.
        """
        found = self.get(comparison_id)
        require_judgeable(found, left, right)
        require_name(voter)
        vote = Vote(
            id=new_id(),
            comparison_id=found.id,
            left=left,
            right=right,
            verdict=parse_verdict(verdict),
            reasons=tuple(clean_reasons(reasons)),
            was_blind=was_blind,
            voter=voter,
            created_at=datetime.now(UTC),
        )
        self._rows.add_vote(vote)
        return vote

    def take_back(self, comparison_id: str, vote_id: str | None = None, *, voter: str = "") -> Vote:
        """Delete a vote as if it had never been cast, and return it. vote_id: None for the newest of this voter.

        Raises `NotFound` if there is no such vote, or it is somebody else's.
        """
        found = self.get(comparison_id)
        theirs = [vote for vote in self._rows.votes([found.id], voter) if vote_id in (None, vote.id)]
        if not theirs or not self._rows.remove_vote(theirs[-1].id):
            whose = f"a vote of {voter}" if voter else "a vote of somebody without a name"
            raise NotFound("there is no such vote to be taken back", field="vote", got=vote_id or "none on it",
                           allowed=f"{whose} on comparison {found.id}")  # fmt: skip
        return theirs[-1]

    def votes(self, comparison_id: str) -> Sequence[Vote]:
        """Return the votes on a comparison, oldest first."""
        return self._rows.votes([self.get(comparison_id).id])

    def count_votes(self, comparison_id: str, voter: str) -> int:
        """Return how many votes somebody cast on the comparison with exactly this id. voter: empty at this machine."""
        return self._rows.count_votes(comparison_id, voter)

    def next_pair(self, comparison_id: str, voter: str = "", rng: random.Random | None = None) -> Pair | None:
        """Return two finished entries that this voter judged least, their sides drawn; None with fewer than two."""
        found = self.get(comparison_id)
        chance = rng or random.SystemRandom()
        return next_pair(found, self._rows.votes([found.id], voter), voter, chance)

    def ranking(
        self,
        by: RankBy = "model",
        *,
        comparison_id: str | None = None,
        tag: str | None = None,
        voter: str | None = None,
    ) -> Ranking:
        """Return who is better, of models over all comparisons or some, or of the entries of a single one.

        comparison_id: only its votes; `by="entry"` needs one. tag: only comparisons that have it. voter: only theirs.
        """
        if by not in ("model", "entry"):
            raise UnsupportedValue("this cannot be ranked", field="by", got=by, allowed="model or entry")
        if by == "entry" and comparison_id is None:
            raise UnsupportedValue("entries are ranked within one comparison", field="comparison", got="none",
                                   fix="name one, or rank models")  # fmt: skip
        if comparison_id is not None:
            found = self.get(comparison_id)
            ids = [found.id] if tag is None or clean_tag(tag) in found.tags else []
            if by == "entry":
                return _rank_entries(found, self._rows.votes(ids, voter))
        else:
            ids = self._rows.with_tag(None if tag is None else clean_tag(tag))
        return self.ranking_of_models(ids, voter)

    def ranking_of_models(self, ids: Sequence[str], voter: str | None = None) -> Ranking:
        """Return who is better of the models of some comparisons. ids: whole ones."""
        models = self._rows.models_of(ids)
        ballots = [
            Ballot(left=models[vote.comparison_id, vote.left], right=models[vote.comparison_id, vote.right],
                   verdict=vote.verdict)
            for vote in self._rows.votes(ids, voter)
        ]  # fmt: skip
        return rank({model: model for model in models.values()}, ballots, "model")

    # -- telling others -----------------------------------------------------------------------------------------

    def report(self, ids: Sequence[str], destination: Path, *, overwrite: bool = False) -> CompareReport:
        """Write one self-contained HTML file about comparisons, with their sealed clips; see `studio.comparing.report`.

        Raises `OutputRefused`, `DiskFull`, or a `RequestError`; then the destination is as it was.
        """
        home = self._shop.settings.home
        target = check_destination(destination, suffix=".html", overwrite=overwrite, home=home)
        return self.write_report(ids, target, overwrite=overwrite)

    def write_report(self, ids: Sequence[str], path: Path, *, overwrite: bool = False) -> CompareReport:
        """Do as `report` does, wherever that is: a place that the studio chose itself may be within its home."""
        from studio.comparing.report import Told, write_report

        found = {item.id: item for item in map(self.get, ids)}
        told = [
            Told(comparison=item, votes=self.votes(item.id), ranking=self.ranking("entry", comparison_id=item.id))
            for item in found.values()
        ]
        models = self.ranking_of_models(list(found)) if len(found) > 1 else None
        return write_report(told, models, path, overwrite=overwrite)


def _rank_entries(comparison: Comparison, votes: Sequence[Vote]) -> Ranking:
    labels = {str(entry.number): entry.label for entry in comparison.entries}
    ballots = [Ballot(left=str(vote.left), right=str(vote.right), verdict=vote.verdict) for vote in votes]
    return rank(labels, ballots, "entry")


def _as_asked(base: GenerationRequest, entries: Sequence[PlannedEntry]) -> GenerationRequest:
    """Return the request as it is kept: with the digests of its pictures, which were read for some entry."""
    made = [item.resolved for item in entries if item.resolved is not None]
    known = {(item.role, item.path): item for resolved in made for item in resolved.conditionings}

    def told(item: Conditioning) -> Conditioning:
        path = item.path.absolute()
        return known.get((item.role, path), replace(item, path=path))

    return replace(base, conditionings=tuple(told(item) for item in base.conditionings))


__all__ = ["Comparer", "Show"]
