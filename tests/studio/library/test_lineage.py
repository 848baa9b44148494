"""Picture, clip, extension, export: where an asset comes from and what came of it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.config import Settings
from studio.export.derivation import Wish
from studio.library.lineage import MAX_DEPTH, MAX_NODES, OUTSIDE, Lineage
from studio.library.store import UnknownAsset
from studio.request import Conditioning, GenerationRequest, Role
from tests.studio.library.shelf_of_rows import FIRST, fill, row


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


def told(lineage: Lineage) -> set[tuple[str, str, str]]:
    return {(edge.parent, edge.how, edge.child) for edge in lineage.edges}


def depths(lineage: Lineage) -> dict[str, int]:
    return {node.key: node.depth for node in lineage.nodes}


def made_of(number: int, parents: list[int], how: str = "first-frame", **columns: Any) -> dict[str, Any]:
    """Return the row of a clip that was made of others."""
    items = [{"role": how, "path": f"/home/me/picture-{parent}.png", "sha256": f"{parent:064x}"} for parent in parents]
    return row(number, task="image-to-video", **columns) | {
        "request": {"model": "m", "conditionings": items, "options": {}, "warnings": []}
    }


def test_a_real_clip_its_last_frame_and_the_clip_made_of_that_are_one_family(studio: Studio, tmp_path: Path) -> None:
    clip = studio.generate(GenerationRequest(model="scripted-moving", seed=1, prompt="one")).asset
    still = studio.export(clip.id, tmp_path / "last.png", Wish(frame=-1)).asset
    picture = Conditioning(role=Role.FIRST_FRAME, path=tmp_path / "last.png")
    second = studio.generate(GenerationRequest(model="scripted-moving", seed=2, conditionings=(picture,))).asset
    other = studio.generate(GenerationRequest(model="scripted-moving", seed=3)).asset
    family = studio.curation.lineage(still.id)
    assert told(family) == {(clip.id, "derived_still", still.id), (still.id, "first-frame", second.id)}
    assert depths(family) == {clip.id: -1, still.id: 0, second.id: 1}
    assert [edge.frame for edge in family.edges if edge.how == "derived_still"] == [clip.num_frames - 1]
    assert depths(studio.curation.lineage(clip.id)) == {clip.id: 0, still.id: 1, second.id: 2}
    assert depths(studio.curation.lineage(second.id)) == {clip.id: -2, still.id: -1, second.id: 0}
    assert depths(studio.curation.lineage(other.id)) == {other.id: 0}
    studio.curation.bin([still.id])
    assert [node.in_bin for node in studio.curation.lineage(second.id).nodes] == [False, True, False]
    json.dumps(family.as_json())


def test_what_was_made_of_a_picture_from_elsewhere_says_so(studio: Studio) -> None:
    ids = fill(studio.store, [made_of(2, [900])])
    family = studio.curation.lineage(ids[0])
    outside = family.nodes[0]
    assert (outside.kind, outside.depth, outside.name) == (OUTSIDE, -1, "picture-900.png")
    assert told(family) == {(outside.key, "first-frame", ids[0])}


def test_an_extension_hangs_below_its_clip_and_its_windows(studio: Studio) -> None:
    ids = fill(studio.store, [row(1), made_of(2, [777])])
    extension = {
        "parent": {"id": ids[0], "sha256": f"{1:064x}"},
        "windows": [
            {"id": ids[1], "sha256": f"{2:064x}", "kept": True},
            {"id": "gone", "sha256": "f" * 64, "kept": False},
        ],
    }
    request = {"model": "m", "conditionings": [], "options": {}, "warnings": [], "extension": extension}
    timeline = {"origin": "timeline", "mime_type": "video/mp4", "notes": []}
    longer = row(3, task="image-to-video", request=request, parent_id=ids[0], derivation=timeline)
    # A copy in another format keeps the request of what it was made from; it is no extension itself.
    copy = longer | row(4, task="image-to-video", request=request, parent_id="a00003") | {
        "derivation": {"origin": "converted"}
    }  # fmt: skip
    fill(studio.store, [longer])
    fill(studio.store, [copy])
    family = studio.curation.lineage("a00003")
    assert told(family) >= {(ids[0], "extended", "a00003"), (ids[1], "window", "a00003"),
                            ("a00003", "converted", "a00004")}  # fmt: skip
    assert not [edge for edge in family.edges if edge.parent == "sha256:" + "f" * 64]
    assert depths(studio.curation.lineage(ids[0])) == {ids[0]: 0, "a00003": 1, "a00004": 2}


def test_an_export_whose_original_was_deleted_still_tells_that_there_was_one(studio: Studio) -> None:
    fill(studio.store, [row(1, parent_id=None, derivation={"origin": "trimmed"})])
    family = studio.curation.lineage("a00001")
    assert [(node.kind, node.name) for node in family.nodes] == [(OUTSIDE, "removed"), ("video", "")]


def test_a_clip_of_two_pictures_has_two_parents_and_a_diamond_is_walked_once(studio: Studio) -> None:
    rows = [row(1), made_of(2, [1]), made_of(3, [1]), made_of(4, [2, 3], "reference")]
    for item in rows:
        fill(studio.store, [item])
    family = studio.curation.lineage("a00004")
    assert len(family.nodes) == len({node.key for node in family.nodes}) == 4
    assert {child for parent, _, child in told(family) if parent == "a00001"} == {"a00002", "a00003"}
    assert depths(studio.curation.lineage("a00001"))["a00004"] == 2


def test_a_request_that_names_itself_ends_all_the_same(studio: Studio) -> None:
    """Nobody can make such a clip; a damaged library may tell of one."""
    fill(studio.store, [made_of(1, [1]), made_of(2, [3]), made_of(3, [2])])
    assert depths(studio.curation.lineage("a00001")) == {"a00001": 0}
    assert set(depths(studio.curation.lineage("a00002"))) == {"a00002", "a00003"}


def test_a_large_family_is_cut_and_says_so(studio: Studio) -> None:
    fill(studio.store, [row(0), row(1)])
    fill(studio.store, [made_of(number, [1]) for number in range(2, MAX_NODES + 50)])
    family = studio.curation.lineage("a00001")
    assert (len(family.nodes), family.is_cut) == (MAX_NODES, True)
    assert {edge.child for edge in family.edges} <= {node.key for node in family.nodes}
    assert not studio.curation.lineage("a00002").is_cut


def test_a_long_line_is_cut_and_says_so(studio: Studio) -> None:
    fill(studio.store, [made_of(number, [number - 1]) for number in range(1, MAX_DEPTH + 10)])
    family = studio.curation.lineage(f"a{MAX_DEPTH + 9:05}")
    assert (min(depths(family).values()), family.is_cut) == (-MAX_DEPTH, True)


def test_a_child_is_never_older_than_its_parent(studio: Studio) -> None:
    fill(studio.store, [row(5), made_of(6, [5], created_at=FIRST - timedelta(days=1))])
    assert depths(studio.curation.lineage("a00005")) == {"a00005": 0}


def test_an_unknown_asset_has_no_lineage(studio: Studio) -> None:
    with pytest.raises(UnknownAsset):
        studio.curation.lineage("nope")
