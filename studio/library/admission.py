"""The door of the library. Only the gate comes through it (an import contract sees to that)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.disk import sync_folder
from studio.errors import StoreFault, StudioError
from studio.library.asset import MASTER_SUFFIX, Asset, asset_of_row, file_sha256
from studio.library.store import Store
from studio.library.tables import AssetRow
from studio.provenance.sidecar import SIDECAR_SUFFIX


def admit(
    store: Store,
    sealed: Path,
    *,
    relative_path: str,
    sidecar: Path | None = None,
    original: Path | None = None,
    admitted: Callable[[Session], None] = lambda _session: None,
    **columns: Any,
) -> Asset:
    """Move a sealed file into the library and write its row, both or neither.

    sidecar: the file's Content Credentials where they do not fit into it; moved to the same name ending in ``.c2pa``,
    before the file itself. original: the clip as a provider sent it; moved likewise, to a name ending in ``.master``.
    The row is flushed before the move and committed after it: a crash in between leaves a file without a row, and
    sealing the same job again replaces that file, because both are named after the job. In a folder that machines
    share the file is there before the transaction begins; see `SharedShelf`.
    admitted: writes in the same transaction, before the file is moved; it refuses the asset by raising.
    Raises `StoreFault` or OSError; then the files are where they were.
    """
    files = {relative_path: sealed}
    if sidecar is not None:
        files[str(PurePosixPath(relative_path).with_suffix(SIDECAR_SUFFIX))] = sidecar
    if original is not None:
        files[str(PurePosixPath(relative_path).with_suffix(MASTER_SUFFIX))] = original
    placing = store.shelf.offer(files)
    row = AssetRow(path=placing.name, **columns)
    try:
        with store.transaction() as session:
            session.add(row)
            session.flush()
            admitted(session)
            placing.publish()
            asset = asset_of_row(row, store.shelf)
    except BaseException:
        # An interrupt may come just after the commit; then the asset is in and stays in.
        if not store.has_file(columns["id"], placing.name):
            placing.withdraw()
        raise
    return asset


def readmit(store: Store, asset: Asset, renewed: Path, *, before: Path, **columns: Any) -> Asset:
    """Put a renewed file in the place of an asset's, and what changed into its row, both or neither.

    before: a second name of the file as it was, kept until the caller knows that all went well: after a crash
    between the move and the commit, `undo_half_replacement` puts it back.
    columns: at least ``sha256`` and ``size_bytes``.
    Raises `StoreFault` or OSError; then file and row are as they were, save for such a crash.
    """
    placing = store.shelf.offer({asset.name: renewed})
    try:
        with store.transaction() as session:
            unchanged = (AssetRow.id == asset.id) & (AssetRow.sha256 == asset.sha256)
            row = session.scalars(sa.select(AssetRow).where(unchanged).with_for_update()).one_or_none()
            if row is None:
                raise StoreFault("the asset was changed or removed in the meantime", got=asset.id)
            for name, value in {**columns, "path": placing.name}.items():
                setattr(row, name, value)
            session.flush()
            placing.publish()
            result = asset_of_row(row, store.shelf)
    except BaseException:
        # An interrupt may come just after the commit; then the renewed file stays.
        if store.has_asset(asset.id) and store.asset(asset.id).sha256 == asset.sha256:
            if placing.name != asset.name:
                placing.withdraw()
            undo_half_replacement(asset, before)
        raise
    if placing.name != asset.name:
        with suppress(StudioError):  # what no row tells of is swept up some time
            store.shelf.remove(asset.name)
    return result


def undo_half_replacement(asset: Asset, before: Path) -> None:
    """Put back the file as it was where a crash came between the new file and its row. before: its second name.

    Where new files do not take the place of old ones, there is never anything to put back.
    """
    if before.is_file() and file_sha256(asset.path) != asset.sha256 and file_sha256(before) == asset.sha256:
        os.replace(before, asset.path)
        sync_folder(asset.path.parent)
