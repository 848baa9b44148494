"""A library of thousands of clips, made of one sealed clip whose file stands under as many names."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from studio.app import Studio
from studio.library.asset import Asset
from studio.library.tables import AssetRow

_PER_TRANSACTION = 500
_SUBJECTS = ("a red square", "a green triangle", "a yellow star", "a blue circle", "a white ring")


def fill(studio: Studio, asset: Asset, count: int) -> None:
    """Let the library hold `count` clips: the sealed one again and again, with times and prompts of their own.

    Each row has a file (a hard link where the disk has them), so that everything that is shown is really there.
    """
    with studio.store.database.read() as session:
        row = session.get(AssetRow, asset.id)
        assert row is not None
        columns = {column.name: getattr(row, column.name) for column in AssetRow.__table__.columns}
    there = studio.store.database
    rows = [_row(columns, number, asset.path) for number in range(count - 1)]
    for start in range(0, len(rows), _PER_TRANSACTION):
        with there.write() as session:
            session.execute(sa.insert(AssetRow), rows[start : start + _PER_TRANSACTION])


def _row(columns: dict[str, object], number: int, file: Path) -> dict[str, object]:
    name = f"copy-{number:06d}"
    path = file.with_name(f"{name}{file.suffix}")
    try:
        os.link(file, path)
    except OSError:
        shutil.copyfile(file, path)
    folder = Path(str(columns["path"])).parent
    created = columns["created_at"] - timedelta(minutes=number + 1)  # type: ignore[operator]
    prompt = f"{_SUBJECTS[number % len(_SUBJECTS)]}, number {number}"
    own = {"id": name, "job_id": None, "path": str(folder / path.name), "created_at": created, "prompt": prompt}
    return {**columns, **own, "model": "micro-wan" if number % 3 else "micro-svd", "checks_passed": number % 7 != 0}
