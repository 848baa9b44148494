"""What is whose: one row for each thing that somebody with an account made."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.library.comparison_tables import ComparisonRow
from studio.library.database import in_parts
from studio.library.people_tables import OwnerRow
from studio.library.store import Store
from studio.library.tables import AssetRow, JobRow
from studio.people.visitor import Action, Visitor


class Ownership:
    """Owners of jobs, assets and comparisons. A clip has the id of its job: one row stands for both.

    What has no owner belongs to whoever sits at this machine, and to admins.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def own(self, thing_id: str, account: str | None) -> None:
        """Say whose a thing is from now on. account: name of an account; None makes it nobody's.

        Raises `StoreFault` where there is no such account.
        """

        def work(session: Session) -> None:
            session.execute(sa.delete(OwnerRow).where(OwnerRow.thing_id == thing_id))
            if account is not None:
                session.add(OwnerRow(thing_id=thing_id, account=account))

        self._store.database.retrying(work)

    def owner(self, thing_id: str) -> str | None:
        """Return the name of whose a thing is, or None."""
        return self.owners([thing_id]).get(thing_id)

    def owners(self, thing_ids: Sequence[str]) -> dict[str, str]:
        """Return the owners of those things that have one, by id."""
        found: dict[str, str] = {}
        with self._store.database.read() as session:
            for part in in_parts(thing_ids):
                query = sa.select(OwnerRow.thing_id, OwnerRow.account).where(OwnerRow.thing_id.in_(part))
                found |= {row[0]: row[1] for row in session.execute(query)}
        return found

    def may_change(self, visitor: Visitor, thing_id: str) -> bool:
        """Say whether a thing is the visitor's to change: an admin's always, a creator's if they own it."""
        if visitor.is_admin or not visitor.may(Action.CHANGE):
            return visitor.is_admin  # without a look into the database
        return visitor.owns(self.owner(thing_id))


def disown_gone(store: Store, *thing_ids: str) -> None:
    """Forget in a transaction of its own whose these were; see `disown`."""
    with store.transaction() as session:
        disown(session, *thing_ids)


def disown(session: Session, *thing_ids: str) -> None:
    """Forget whose these were, as far as neither a job nor an asset nor a comparison has the id any more."""
    rows = (JobRow, AssetRow, ComparisonRow)
    is_gone = sa.and_(*(~sa.exists().where(row.id == OwnerRow.thing_id) for row in rows))
    session.execute(sa.delete(OwnerRow).where(OwnerRow.thing_id.in_(thing_ids), is_gone))
