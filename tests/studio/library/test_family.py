"""Files made from other files: the old library is taken over, and families are found."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from studio.app import Studio
from studio.config import Settings
from studio.export.derivation import Wish
from studio.library import schema
from studio.library.database import Database
from studio.library.store import HEAD_REVISION, Store
from studio.request import GenerationRequest


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


def test_a_library_of_the_first_schema_is_taken_over(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {
        "id": "a", "path": "2026-01/a.mp4", "mime_type": "video/mp4", "sha256": "0" * 64, "frames_sha256": "0" * 64,
        "size_bytes": 1, "width": 2, "height": 2, "num_frames": 1, "frame_rate": "24", "model": "m", "task": "t",
        "prompt": "", "seed": "1", "request": "{}", "report": "{}", "watermark_id": "00ff", "manifest_store": b"x",
        "generation_seconds": 2.0, "created_at": "2026-01-01 00:00:00",
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(schema, "HEAD_REVISION", "0001")
        with Database(settings) as database, database.write() as session:
            names = ", ".join(columns)
            session.execute(sa.text(f"INSERT INTO assets ({names}) VALUES (:{', :'.join(columns)})"), columns)
    with Store(settings) as store:
        asset = store.asset("a")
        assert (asset.derivation, asset.parent_id, asset.kind, asset.sidecar) == (None, None, "video", None)
        assert [item.id for item in store.assets_with_watermark("00ff")] == ["a"]
        assert [seconds for _request, seconds in store.timings("m")] == [2.0]
        with store.transaction() as session:
            assert session.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == HEAD_REVISION


def test_children_outlive_their_parent_but_are_never_taken_for_it(studio: Studio, tmp_path: Path) -> None:
    asset = studio.generate(GenerationRequest(model="scripted-moving", seed=1)).asset
    child = studio.export(asset.id, tmp_path / "a.mov").asset
    still = studio.export(asset.id, tmp_path / "a.png", Wish(frame=0)).asset
    assert [item.id for item in studio.store.children(asset.id)] == [child.id, still.id]
    assert studio.store.asset_of_job(asset.id) == asset
    assert studio.store.asset_of_job(child.id) == child
    studio.remove(asset.id)
    orphan = studio.store.asset(child.id)
    assert (orphan.parent_id, orphan.path.is_file()) == (None, True)
    assert orphan.derivation is not None
    assert studio.store.timings(asset.model) == []
    assert studio.verify(orphan.path).c2pa.state == "trusted"
