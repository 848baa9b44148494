"""The rows of comparisons, their entries and votes in the library's database."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from studio.comparing.comparison import Comparison, Entry
from studio.comparing.differences import Difference
from studio.comparing.voting import Verdict, Vote
from studio.errors import NotFound
from studio.jobs.job import Job, job_of_row
from studio.jobs.owning import owner_rows
from studio.library.asset import Asset, asset_of_row
from studio.library.comparison_tables import ComparisonRow, EntryRow, VoteRow
from studio.library.database import in_parts
from studio.library.store import Store
from studio.library.tables import AssetRow, JobRow


class UnknownComparison(NotFound):
    """The library has no comparison by this id."""


class ComparisonRows:
    """Comparisons, entries and votes of one library."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # -- comparisons --------------------------------------------------------------------------------------------

    def add(
        self,
        title: str,
        tags: list[str],
        request: dict[str, Any],
        entries: Iterable[dict[str, Any]],
        owner: str | None = None,
    ) -> str:
        """Enter a comparison and return its id. entries: columns of `EntryRow` but for the comparison's id.

        owner: the account whose it is.
        """
        now = datetime.now(UTC)
        comparison_id = f"{now:%Y%m%d-%H%M%S}-c{secrets.token_hex(4)}"
        listed = list(entries)

        def work(session: Session) -> None:
            row = ComparisonRow(id=comparison_id, title=title, tags=tags, request=request, created_at=now)
            session.add(row)
            session.flush()
            session.add_all([EntryRow(comparison_id=comparison_id, **columns) for columns in listed])
            session.add_all(owner_rows(comparison_id, owner))

        self._store.database.retrying(work)
        return comparison_id

    def find(self, words: str) -> Comparison:
        """Return the comparison with this id or unambiguous beginning of one. Raises `UnknownComparison`."""
        query = sa.select(ComparisonRow).where(ComparisonRow.id.startswith(words, autoescape=True)).limit(2)
        with self._store.database.read() as session:
            rows = list(session.scalars(query)) if words else []
            if len(rows) != 1:
                message = "several comparisons begin like this" if rows else "no such comparison"
                fix = "`studio compare list` shows the ids"
                raise UnknownComparison(message, field="comparison", got=words or "an empty id", fix=fix)
            return self._told(session, rows)[0]

    def all(self, limit: int, after: str | None) -> list[Comparison]:
        """Return comparisons, newest first. after: only those that follow the one with this id."""
        query = sa.select(ComparisonRow).order_by(ComparisonRow.created_at.desc(), ComparisonRow.id.desc())
        with self._store.database.read() as session:
            if after is not None:
                last = session.get(ComparisonRow, after)
                if last is None:
                    raise UnknownComparison("no such comparison", field="after", got=after)
                is_same_time = (ComparisonRow.created_at == last.created_at) & (ComparisonRow.id < last.id)
                query = query.where((ComparisonRow.created_at < last.created_at) | is_same_time)
            return self._told(session, list(session.scalars(query.limit(limit))))

    def with_tag(self, tag: str | None) -> list[str]:
        """Return the ids of the comparisons that have a tag, or of all of them."""
        with self._store.database.read() as session:
            found = session.execute(sa.select(ComparisonRow.id, ComparisonRow.tags)).all()
        return [row[0] for row in found if tag is None or tag in row[1]]

    def tags(self) -> list[str]:
        """Return the tags that comparisons have, in the order of the alphabet."""
        with self._store.database.read() as session:
            return sorted({tag for tags in session.scalars(sa.select(ComparisonRow.tags)) for tag in tags})

    def label(self, comparison_id: str, title: str | None, tags: list[str] | None) -> None:
        """Give a comparison another title, or other tags. None leaves them."""
        changes = {name: value for name, value in (("title", title), ("tags", tags)) if value is not None}

        def work(session: Session) -> None:
            session.execute(sa.update(ComparisonRow).where(ComparisonRow.id == comparison_id).values(**changes))

        if changes:
            self._store.database.retrying(work)

    def remove(self, comparison_id: str) -> None:
        """Delete a comparison with its entries and votes; jobs and clips stay."""

        def work(session: Session) -> None:
            for table in (VoteRow, EntryRow):
                session.execute(sa.delete(table).where(table.comparison_id == comparison_id))
            session.execute(sa.delete(ComparisonRow).where(ComparisonRow.id == comparison_id))

        self._store.database.retrying(work)

    # -- votes --------------------------------------------------------------------------------------------------

    def add_vote(self, vote: Vote) -> None:
        """Keep a vote."""
        columns = dict(vote.__dict__) | {"verdict": vote.verdict.value, "reasons": list(vote.reasons)}

        def work(session: Session) -> None:
            session.add(VoteRow(**columns))

        self._store.database.retrying(work)

    def votes(self, comparison_ids: Sequence[str], voter: str | None = None) -> list[Vote]:
        """Return the votes on some comparisons, oldest first; of one voter, or of all."""
        found: list[Vote] = []
        with self._store.database.read() as session:
            for part in in_parts(list(comparison_ids)):
                query = sa.select(VoteRow).where(VoteRow.comparison_id.in_(part))
                if voter is not None:
                    query = query.where(VoteRow.voter == voter)
                found += [_vote_of(row) for row in session.scalars(query)]
        return sorted(found, key=lambda vote: (vote.created_at, vote.id))

    def count_votes(self, comparison_id: str, voter: str) -> int:
        """Return how many votes one voter cast on a comparison."""
        is_theirs = (VoteRow.comparison_id == comparison_id) & (VoteRow.voter == voter)
        with self._store.database.read() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(VoteRow).where(is_theirs)) or 0

    def remove_vote(self, vote_id: str) -> bool:
        """Delete a vote. Returns False if somebody did before."""

        def work(session: Session) -> bool:
            return bool(session.execute(sa.delete(VoteRow).where(VoteRow.id == vote_id).returning(VoteRow.id)).all())

        return self._store.database.retrying(work)

    def models_of(self, comparison_ids: Sequence[str]) -> dict[tuple[str, int], str]:
        """Return the model of each entry, by comparison and number."""
        found: dict[tuple[str, int], str] = {}
        with self._store.database.read() as session:
            for part in in_parts(list(comparison_ids)):
                query = sa.select(EntryRow.comparison_id, EntryRow.number, EntryRow.model)
                rows = session.execute(query.where(EntryRow.comparison_id.in_(part)).order_by(EntryRow.number))
                found |= {(row[0], row[1]): row[2] for row in rows}
        return found

    # -- inside -------------------------------------------------------------------------------------------------

    def _told(self, session: Session, rows: Sequence[ComparisonRow]) -> list[Comparison]:
        """Return comparisons with what has become of their entries, in a few queries for all of them."""
        ids = [row.id for row in rows]
        entries = sa.select(EntryRow).where(EntryRow.comparison_id.in_(ids)).order_by(EntryRow.number)
        by_comparison: dict[str, list[EntryRow]] = {}
        for entry in session.scalars(entries):
            by_comparison.setdefault(entry.comparison_id, []).append(entry)
        job_ids = [item.job_id for listed in by_comparison.values() for item in listed if item.job_id is not None]
        jobs, assets = self._made(session, job_ids)
        counts = sa.select(VoteRow.comparison_id, sa.func.count()).where(VoteRow.comparison_id.in_(ids))
        votes = {row[0]: int(row[1]) for row in session.execute(counts.group_by(VoteRow.comparison_id))}
        return [
            Comparison(
                id=row.id,
                title=row.title,
                tags=tuple(row.tags),
                request=row.request,
                entries=tuple(_entry_of(item, jobs, assets) for item in by_comparison.get(row.id, [])),
                num_votes=votes.get(row.id, 0),
                created_at=row.created_at,
            )
            for row in rows
        ]

    def _made(self, session: Session, job_ids: Sequence[str]) -> tuple[dict[str, Job], dict[str, Asset]]:
        jobs: dict[str, Job] = {}
        assets: dict[str, Asset] = {}
        for part in in_parts(job_ids):
            jobs |= {row.id: job_of_row(row) for row in session.scalars(sa.select(JobRow).where(JobRow.id.in_(part)))}
            query = sa.select(AssetRow).options(defer(AssetRow.manifest_store)).where(AssetRow.id.in_(part))
            assets |= {row.id: asset_of_row(row, self._store.shelf) for row in session.scalars(query)}
        return jobs, assets


def _entry_of(row: EntryRow, jobs: dict[str, Job], assets: dict[str, Asset]) -> Entry:
    job = jobs.get(row.job_id or "")
    asset = assets.get(row.job_id or "")
    error = None if asset is not None else (job.error if job is not None else None) or row.error
    return Entry(
        number=row.number,
        label=row.label,
        model=row.model,
        job_id=row.job_id,
        changes=row.changes,
        differences=tuple(Difference.from_json(item) for item in row.differences),
        error=error,
        job=job,
        asset=asset,
    )


def _vote_of(row: VoteRow) -> Vote:
    return Vote(
        id=row.id,
        comparison_id=row.comparison_id,
        left=row.left,
        right=row.right,
        verdict=Verdict(row.verdict),
        reasons=tuple(row.reasons),
        was_blind=row.was_blind,
        voter=row.voter,
        created_at=row.created_at,
    )
