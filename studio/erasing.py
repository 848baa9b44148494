"""Deletes sealed files for good: a file, its row and the request that made it go together, or stay together."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.config import Settings
from studio.embeddings import clear_embeddings
from studio.jobs.spending import drop_job
from studio.library.asset import Asset, asset_of_row
from studio.library.store import Store
from studio.library.tables import AssetRow
from studio.people.ownership import disown
from studio.provenance.stamp_queue import StampQueue


class Eraser:
    """Erases assets of one library.

    The row is held from the first look at it until the file is gone, so that whoever else wants to change the asset
    (restore, rate, erase it too) comes either before all of that, or after it and finds no asset. Nothing is noted that
    a killed process could leave behind: the database lets go of what it held, and the row is where it was. If the file
    went just before, everything but that is still there to be erased once more.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def erase(self, asset_id: str, is_wanted: Callable[[Session], bool]) -> Asset | None:
        """Delete an asset and the request that made it. Returns None where it is gone, or not wanted to go any more.

        is_wanted: asked while the row is held. Kept prompt embeddings go too, those of all prompts: nothing tells which
        of them are this clip's. Raises OSError or a `StudioError`; then the row is as it was.
        """

        def work(session: Session) -> Asset | None:
            row = session.scalars(sa.select(AssetRow).where(AssetRow.id == asset_id).with_for_update()).one_or_none()
            if row is None or not is_wanted(session):
                return None
            clear_embeddings(self._settings.embeddings_folder)
            asset = asset_of_row(row, self._store.shelf)
            session.execute(sa.delete(AssetRow).where(AssetRow.id == asset_id))
            if asset.job_id is not None:
                drop_job(session, asset.job_id)
            disown(session, asset.id, asset.job_id or asset.id)
            # The only step that a rollback does not undo comes when the database has agreed to all others.
            asset.delete_file()
            StampQueue(self._settings).done(asset.id)
            return asset

        return self._store.database.retrying(work)
