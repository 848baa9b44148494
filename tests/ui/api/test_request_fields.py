"""Size, length, sound and pictures of a clip, asked for over HTTP."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.registry import Registry
from tests.studio.media_files import texture, write_mp4
from tests.studio.resolving.rows import write_cloud_row
from tests.ui.api.conftest import MODEL, Served, refusal

CLOUD = "scripted-cloud"


@pytest.fixture
def studio(studio: Studio, settings: Settings, tmp_path: Path) -> Studio:
    write_cloud_row(tmp_path / "rows")
    studio.__dict__["registry"] = Registry(load_catalog((tmp_path / "rows",)), settings)
    return studio


def asked(served: Served, **fields: Any) -> dict[str, Any]:
    """Return the request as it would be run."""
    answer = served.client.post("/v1/estimate", json={"model": CLOUD, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["request"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"resolution": "288p"}, {"width": 512, "height": 288}),
        ({"resolution": "288p", "aspect_ratio": "9:16"}, {"width": 288, "height": 512}),
        ({"size": "144x256"}, {"width": 144, "height": 256}),
        ({"seconds": "3"}, {"num_frames": 24}),
        ({"seconds": 1, "duration_seconds": 1.0, "fps": 12}, {"num_frames": 12}),
        ({"num_frames": 16}, {"num_frames": 16}),
        ({"generate_audio": None}, {"generate_audio": True, "warnings": []}),
        (
            {"seed": 3, "on_unsupported": "drop"},
            {"warnings": ["seed: scripted-cloud takes no seed; 3 was left out"]},
        ),
    ],
    ids=str,
)
def test_a_provider_s_formats_and_seconds_are_asked_for(
    served: Served, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    request = asked(served, **fields)
    assert {name: request[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"seconds": 2.5}, "duration_seconds"),
        ({"seconds": 2, "duration_seconds": 3}, "seconds"),
        ({"seconds": 2, "num_frames": 24}, "duration_seconds"),
        ({"duration_seconds": 0}, "duration_seconds"),
        ({"aspect_ratio": "4:3"}, "aspect_ratio"),
        ({"aspect_ratio": "wide"}, "aspect_ratio"),
        ({"resolution": "8k"}, "resolution"),
        ({"seed": 3}, "seed"),
        ({"on_unsupported": "ignore"}, "on_unsupported"),
        ({"on_unsupported": None}, "on_unsupported"),
        ({"source_video": "clip.mp4"}, "source_video"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_by_name(served: Served, fields: dict[str, Any], field: str) -> None:
    answer = served.client.post("/v1/videos", json={"model": CLOUD, **fields})
    assert refusal(answer, 422)["field"] == field


def test_a_local_length_is_the_nearest_and_told(served: Served) -> None:
    request = asked(served, model=MODEL, duration_seconds=2.5)
    assert request["num_frames"] == 21
    assert "this model makes 21" in request["warnings"][0]


def test_references_come_as_data_urls_or_as_files(served: Served, picture: bytes) -> None:
    digest = {"role": "reference", "sha256": hashlib.sha256(picture).hexdigest()}
    item = {"image_url": "data:image/png;base64," + base64.b64encode(picture).decode()}
    assert asked(served, references=[item, item])["conditionings"] == [digest] * 2
    files = [("references", (f"{n}.png", picture, "image/png")) for n in range(3)]
    answer = served.client.post("/v1/estimate", data={"model": CLOUD, "duration_seconds": "3"}, files=files)
    request = answer.json()["request"]
    assert (request["conditionings"], request["task"]) == ([digest] * 3, "reference-to-video")
    assert request["num_frames"] == 24
    too_many = served.client.post("/v1/estimate", data={"model": CLOUD}, files=[*files, files[0]])
    assert refusal(too_many, 422)["field"] == "references"


def test_a_video_comes_as_a_file(served: Served, tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "source.mp4", texture(640, 96)[None, :, :160].repeat(8, axis=0))
    files = {"source_video": ("source.mp4", path.read_bytes(), "video/mp4")}
    answer = served.client.post("/v1/videos", data={"model": CLOUD, "generate_audio": "true"}, files=files)
    assert answer.status_code == 200, answer.text
    job = served.client.get(f"/v1/jobs/{answer.json()['id']}").json()
    assert [item["role"] for item in job["request"]["conditionings"]] == ["source-video"]


def test_a_waiting_job_changes_its_length_and_its_format(served: Served) -> None:
    answer = served.client.post("/v1/videos", json={"model": CLOUD, "aspect_ratio": "9:16"})
    job_id = answer.json()["id"]
    changes = {"duration_seconds": 3, "resolution": "288p"}
    request = served.client.patch(f"/v1/jobs/{job_id}", json=changes).json()["request"]
    assert (request["width"], request["height"], request["num_frames"]) == (288, 512, 24)
