"""Whose a new thing is, written in the very transaction that enters it: no crash leaves it to nobody."""

from __future__ import annotations

from studio.library.people_tables import OwnerRow


def owner_rows(thing_id: str, owner: str | None) -> list[OwnerRow]:
    """Return what goes into the database beside a new job, batch or comparison. owner: an account, None for nobody."""
    return [] if owner is None else [OwnerRow(thing_id=thing_id, account=owner)]
