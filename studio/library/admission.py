"""The door of the library. Only the gate comes through it (an import contract sees to that)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from studio.disk import sync_folder
from studio.library.asset import Asset, asset_of_row
from studio.library.store import Store
from studio.library.tables import AssetRow


def admit(store: Store, sealed: Path, *, relative_path: str, **columns: Any) -> Asset:
    """Move a sealed file into the library and write its row, both or neither.

    The row is flushed before the move and committed after it: a crash in between leaves a file without a row,
    and sealing the same job again replaces that file, because both are named after the job.
    Raises `StoreFault` or OSError; then the file is where it was.
    """
    destination = store.folder / relative_path
    destination.parent.mkdir(parents=True, exist_ok=True)
    row = AssetRow(path=relative_path, **columns)
    moved = False
    try:
        with store.transaction() as session:
            session.add(row)
            session.flush()
            os.replace(sealed, destination)
            moved = True
            sync_folder(destination.parent)
            asset = asset_of_row(row, store.folder)
    except BaseException:
        # An interrupt may come just after the commit; then the asset is in and stays in.
        if moved and not store.has_asset(columns["id"]):
            os.replace(destination, sealed)
        raise
    return asset
