"""A clip that came from a provider keeps its own file, and its own Content Credentials come along."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.app import Studio
from studio.config import Settings
from studio.library.asset import Asset
from studio.request import GenerationRequest
from tests.fakes import write_delivering_row, write_scripted_rows
from tests.studio.media_files import ffmpeg


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A clip that somebody else made and signed: another studio, of which this one knows nothing."""
    catalog = write_scripted_rows(tmp_path / "elsewhere-catalog")
    studio = Studio(Settings(home=tmp_path / "elsewhere"), catalog=catalog)
    try:
        return studio.generate(GenerationRequest(model="scripted-moving", seed=3)).asset.path
    finally:
        studio.store.close()


def delivered(settings: Settings, file: Path, tmp_path: Path) -> tuple[Studio, Asset]:
    folder = tmp_path / "delivering"
    folder.mkdir()
    write_delivering_row(folder, file)
    studio = Studio(settings, catalog=folder)
    outcome = studio.generate(GenerationRequest(model="delivering", seed=5, prompt="a fox"))
    assert "acme made it a little different" in outcome.notices
    assert outcome.verification.c2pa.state == "trusted"
    return studio, outcome.asset


def plain(elsewhere: Path, tmp_path: Path) -> Path:
    """Return the same clip without its credentials, as most providers send it."""
    ffmpeg("-i", elsewhere, "-c", "copy", "-map_metadata", "-1", tmp_path / "plain.mp4")
    return tmp_path / "plain.mp4"


def test_what_the_provider_signed_is_the_parent_and_tells_how_the_clip_came_to_be(
    settings: Settings, elsewhere: Path, tmp_path: Path
) -> None:
    studio, asset = delivered(settings, elsewhere, tmp_path)
    reading = studio.verify(asset.path).c2pa
    assert [(item.relationship, item.state) for item in reading.ingredients] == [("parentOf", "valid")]
    assert reading.generation is not None
    assert (reading.generation["origin"], reading.generation["provider"]) == ("provider_output", "acme")
    assert reading.generation["provider_job_id"] == "job-42"
    assert reading.source_type is not None
    assert reading.source_type.endswith("trainedAlgorithmicMedia")
    studio.store.close()


def test_without_credentials_the_studio_tells_what_it_knows(
    settings: Settings, elsewhere: Path, tmp_path: Path
) -> None:
    studio, asset = delivered(settings, plain(elsewhere, tmp_path), tmp_path)
    reading = studio.verify(asset.path).c2pa
    assert reading.generation is not None
    assert reading.generation["origin"] == "provider_output_unsigned"
    assert [item.relationship for item in reading.ingredients] == ["parentOf"]
    assert reading.source_type is not None
    assert reading.source_type.endswith("trainedAlgorithmicMedia")
    studio.store.close()


def test_the_bytes_of_the_provider_are_kept_and_go_when_the_clip_goes(
    settings: Settings, elsewhere: Path, tmp_path: Path
) -> None:
    studio, asset = delivered(settings, elsewhere, tmp_path)
    assert asset.master is not None
    assert asset.master_path is not None
    assert asset.master_path.read_bytes() == elsewhere.read_bytes()
    assert asset.master["attribution"] == "Powered by Acme"
    assert studio.desk.gc().removed == ()
    assert asset.master_path.is_file()
    studio.remove(asset.id)
    assert not asset.master_path.exists()
    studio.store.close()
