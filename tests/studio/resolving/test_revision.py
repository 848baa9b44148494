"""A field that is changed takes the place of others that say the same in another way."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.errors import UnsupportedValue
from studio.recipe import Recipe
from studio.registry import Registry
from studio.request import GenerationRequest, Role
from tests.studio.resolving.rows import picture, write_cloud_row

CLOUD: dict[str, Any] = {"model": "scripted-cloud", "resolution": "288p", "aspect_ratio": "9:16", "duration_seconds": 3}


@pytest.fixture
def studio(studio: Studio, settings: Settings, tmp_path: Path) -> Studio:
    write_cloud_row(tmp_path / "rows")
    studio.__dict__["registry"] = Registry(load_catalog((tmp_path / "rows",)), settings)
    return studio


def changed(studio: Studio, changes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the request of a waiting job after changes."""
    job = studio.desk.submit(GenerationRequest(**{**CLOUD, **fields}))
    return studio.desk.change(job.id, changes).request


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"prompt": "a moon"}, {"width": 288, "height": 512, "num_frames": 24}),
        ({"duration_seconds": 1}, {"num_frames": 8}),
        ({"num_frames": 16}, {"num_frames": 16}),
        ({"num_frames": None}, {"num_frames": 16}),
        ({"frame_rate": Fraction(12)}, {"num_frames": 36, "frame_rate": "12"}),
        ({"frame_rate": Fraction(12), "num_frames": 12}, {"num_frames": 12}),
        ({"resolution": "144p"}, {"width": 144, "height": 256}),
        ({"aspect_ratio": "16:9"}, {"width": 512, "height": 288}),
        ({"resolution": "144p", "aspect_ratio": "16:9"}, {"width": 256, "height": 144}),
        ({"width": 256, "height": 144}, {"width": 256, "height": 144}),
    ],
    ids=str,
)
def test_a_waiting_job_is_changed_by_whatever_names_its_size_and_length(
    studio: Studio, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    request = changed(studio, changes)
    assert {name: request[name] for name in expected} == expected


def test_a_change_that_the_model_cannot_do_is_refused(studio: Studio) -> None:
    with pytest.raises(UnsupportedValue, match="duration_seconds"):
        changed(studio, {"duration_seconds": 4})
    with pytest.raises(UnsupportedValue, match="zoom"):
        changed(studio, {"options": {"zoom": "in"}})
    assert changed(studio, {"options": {"zoom": "in"}, "on_unsupported": "drop"})["warnings"] == [
        "option: scripted-cloud has no such option; zoom was left out"
    ]


def test_what_the_model_decided_does_not_go_along_to_another_one(studio: Studio) -> None:
    own_values = {"model": "scripted-moving", "width": 160, "height": 128, "num_frames": 9}
    request = changed(studio, own_values)
    assert (request["model"], request["generate_audio"]) == ("scripted-moving", False)


def test_the_other_end_of_a_clip_stays_when_one_is_changed(studio: Studio, tmp_path: Path) -> None:
    first, last, other = (picture(tmp_path, 144, 256 + n, Role.LAST_FRAME if n else Role.FIRST_FRAME) for n in range(3))
    both = changed(studio, {"conditionings": (last,)}, conditionings=(first,))
    assert both["task"] == "first-last-frame-to-video"
    assert [item["role"] for item in both["conditionings"]] == ["first-frame", "last-frame"]
    again = changed(studio, {"conditionings": (other,)}, conditionings=(first, last))
    assert [Path(item["path"]).name for item in again["conditionings"]] == [first.path.name, other.path.name]


def test_a_reference_takes_the_place_of_the_first_frame(studio: Studio, tmp_path: Path) -> None:
    first, reference = (picture(tmp_path, 144, 256, role) for role in (Role.FIRST_FRAME, Role.REFERENCE))
    request = changed(studio, {"conditionings": (reference,)}, conditionings=(first,))
    assert request["task"] == "reference-to-video"


def test_a_recipe_is_changed_in_the_same_way(studio: Studio) -> None:
    spec = studio.registry.catalog.get("scripted-cloud")
    recorded = GenerationRequest(model=spec.id, seed=5, width=288, height=512, num_frames=24, frame_rate=Fraction(8))
    again = Recipe(request=recorded).with_changes({"resolution": "144p", "duration_seconds": 1}, spec)
    resolved = studio.resolve(again)
    assert (resolved.width, resolved.height, resolved.num_frames) == (144, 256, 8)
