"""The door of the library. Only the gate comes through it (an import contract sees to that)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from studio.disk import sync_folder
from studio.errors import StoreFault
from studio.library.asset import Asset, asset_of_row, file_sha256
from studio.library.store import Store
from studio.library.tables import AssetRow
from studio.provenance.sidecar import sidecar_of


def admit(store: Store, sealed: Path, *, relative_path: str, sidecar: Path | None = None, **columns: Any) -> Asset:
    """Move a sealed file into the library and write its row, both or neither.

    sidecar: the file's Content Credentials where they do not fit into it; moved to the same name ending in ``.c2pa``,
    before the file itself. The row is flushed before the move and committed after it: a crash in between leaves a file
    without a row, and sealing the same job again replaces that file, because both are named after the job.
    Raises `StoreFault` or OSError; then the files are where they were.
    """
    destination = store.folder / relative_path
    destination.parent.mkdir(parents=True, exist_ok=True)
    moves = [] if sidecar is None else [(sidecar, sidecar_of(destination))]
    moves.append((sealed, destination))
    moved: list[tuple[Path, Path]] = []
    row = AssetRow(path=relative_path, **columns)
    try:
        with store.transaction() as session:
            session.add(row)
            session.flush()
            for source, target in moves:
                os.replace(source, target)
                moved.append((source, target))
            sync_folder(destination.parent)
            asset = asset_of_row(row, store.folder)
    except BaseException:
        # An interrupt may come just after the commit; then the asset is in and stays in.
        if moved and not store.has_asset(columns["id"]):
            for source, target in moved:
                os.replace(target, source)
        raise
    return asset


def readmit(store: Store, asset: Asset, renewed: Path, *, before: Path, **columns: Any) -> Asset:
    """Put a renewed file in the place of an asset's, and what changed into its row, both or neither.

    before: a second name of the file as it was, kept until the caller knows that all went well: after a crash
    between the move and the commit, `undo_half_replacement` puts it back.
    columns: at least ``sha256`` and ``size_bytes``.
    Raises `StoreFault` or OSError; then file and row are as they were, save for such a crash.
    """
    try:
        with store.transaction() as session:
            unchanged = (AssetRow.id == asset.id) & (AssetRow.sha256 == asset.sha256)
            row = session.scalars(sa.select(AssetRow).where(unchanged)).one_or_none()
            if row is None:
                raise StoreFault("the asset was changed or removed in the meantime", got=asset.id)
            for name, value in columns.items():
                setattr(row, name, value)
            session.flush()
            os.replace(renewed, asset.path)
            sync_folder(asset.path.parent)
            result = asset_of_row(row, store.folder)
    except BaseException:
        # An interrupt may come just after the commit; then the renewed file stays.
        if store.has_asset(asset.id) and store.asset(asset.id).sha256 == asset.sha256:
            undo_half_replacement(asset, before)
        raise
    return result


def undo_half_replacement(asset: Asset, before: Path) -> None:
    """Put back the file as it was where a crash came between the new file and its row. before: its second name."""
    if before.is_file() and file_sha256(asset.path) != asset.sha256 and file_sha256(before) == asset.sha256:
        os.replace(before, asset.path)
        sync_folder(asset.path.parent)
