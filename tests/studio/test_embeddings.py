"""Prompt embeddings go with the clips: a prompt can be guessed from them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from studio.app import Studio
from studio.embeddings import clear_embeddings
from studio.errors import SealFailed, StoreFault, StudioError
from studio.request import GenerationRequest

OURS = ("a.safetensors", ".b.safetensors.1-2.part")


def keep_some(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (*OURS, "note.txt"):
        (folder / name).write_bytes(b"x")


def wish() -> GenerationRequest:
    return GenerationRequest(model="scripted-moving", seed=1)


def test_they_go_when_a_clip_is_removed(studio: Studio) -> None:
    asset = studio.generate(wish()).asset
    keep_some(studio.settings.embeddings_folder)
    studio.remove(asset.id)
    assert [path.name for path in studio.settings.embeddings_folder.iterdir()] == ["note.txt"]


def test_they_go_when_a_clip_in_quarantine_is_given_up(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise SealFailed("no seal today")

    with monkeypatch.context() as patch:
        patch.setattr("studio.export.gate.Gate.seal", fail)
        with pytest.raises(StudioError):
            studio.generate(wish())
    (job_id,) = studio.waiting()
    keep_some(studio.settings.embeddings_folder)
    studio.discard(job_id)
    assert [path.name for path in studio.settings.embeddings_folder.iterdir()] == ["note.txt"]


def test_a_studio_that_keeps_none_has_none_to_remove(studio: Studio) -> None:
    studio.remove(studio.generate(wish()).asset.id)
    assert not studio.settings.embeddings_folder.exists()


def test_a_folder_that_cannot_be_emptied_is_told_and_the_clip_stays(studio: Studio) -> None:
    asset = studio.generate(wish()).asset
    (studio.settings.embeddings_folder / "a.safetensors").mkdir(parents=True)
    with pytest.raises(StoreFault, match="kept prompt embeddings cannot be removed"):
        studio.remove(asset.id)
    assert asset.path.exists()
    assert studio.store.asset(asset.id).id == asset.id


def test_what_cannot_be_removed_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(StoreFault, match="kept prompt embeddings cannot be removed") as caught:
        clear_embeddings(tmp_path)
    assert "\n" not in caught.value.sentence()


def test_the_folder_keeps_its_mode(tmp_path: Path) -> None:
    keep_some(tmp_path / "embeddings")
    clear_embeddings(tmp_path / "embeddings")
    assert stat.S_IMODE((tmp_path / "embeddings").stat().st_mode) == 0o700
