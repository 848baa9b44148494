"""Rows of assets, with files of no worth or with none: for tests of what is found, counted and noted, at any number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from studio.library.store import Store
from studio.library.tables import AssetRow

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def row(number: int, **columns: Any) -> dict[str, Any]:
    """Return the row of asset ``a<number>``, made so many minutes after the first. columns: what is otherwise."""
    asset_id = f"a{number:05}"
    request = {"model": "m", "conditionings": [], "options": {}, "warnings": []}
    plain = {
        "id": asset_id, "path": f"2026-01/{asset_id}.mp4", "mime_type": "video/mp4", "sha256": f"{number:064x}",
        "frames_sha256": "0" * 64, "size_bytes": 1000, "width": 320, "height": 240, "num_frames": 16,
        "frame_rate": "8", "model": "m", "task": "text-to-video", "prompt": "", "seed": "1", "request": request,
        "report": {"checks": []}, "checks_passed": None, "manifest_store": b"x", "generation_seconds": 1.0,
        "created_at": FIRST + timedelta(minutes=number),
    }  # fmt: skip
    return plain | columns


def fill(store: Store, rows: list[dict[str, Any]]) -> list[str]:
    """Write rows, and return their ids. All must have the same columns."""
    with store.transaction() as session:
        session.execute(sa.insert(AssetRow), rows)
    return [item["id"] for item in rows]


def put_files(store: Store, rows: list[dict[str, Any]]) -> list[Path]:
    """Write a file for each of these rows, which say too much of it, and return where they are."""
    paths = [store.shelf.local(item["path"], item["sha256"]) for item in rows]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a clip")
    return paths
