"""Files that went into a clip: whatever they are, the clip is sealed, and soon."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from studio.export import ingredients
from studio.provenance.certificates import SigningIdentity
from studio.provenance.inspect import read_c2pa
from studio.provenance.manifest import Ingredient, Origin, Provenance
from studio.provenance.trust import identity_list
from tests.studio.inspection.hostile import BUILT
from tests.studio.provenance.conftest import PROVENANCE, SignedFile, identity, signed_file, unsigned

__all__ = ["identity", "signed_file", "unsigned"]

MOST_SECONDS = 5.0


def made_from(*paths: Path) -> Provenance:
    items = tuple(
        Ingredient(path=path, title=path.name, mime_type="video/mp4", relationship="inputTo") for path in paths
    )
    return replace(PROVENANCE, origin=Origin.CONDITIONED_VIDEO, ingredients=items)


@pytest.mark.parametrize("name", ["million chunks.png", "million boxes.mp4", "large record.mp4", "many records.mp4"])
def test_a_hostile_ingredient_does_not_hold_up_sealing(
    name: str, signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(BUILT[name]())
    started = time.monotonic()
    child = signed_file(made_from(path), name="child.mp4")
    assert time.monotonic() - started < MOST_SECONDS
    reading = read_c2pa(child, lists=[identity_list(identity)])
    assert reading.state == "trusted"
    assert [(item.title, item.mime_type, item.state) for item in reading.ingredients] == [
        (name, "application/octet-stream", "absent")
    ]


def test_a_file_that_is_larger_than_any_honest_one_goes_in_as_plain_bytes(
    signed_file: SignedFile, identity: SigningIdentity, unsigned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = signed_file(name="first.mp4")
    monkeypatch.setattr(ingredients, "is_too_large", lambda path, _mime_type: path == honest)
    child = signed_file(made_from(honest, unsigned), name="child.mp4")
    first, second = read_c2pa(child, lists=[identity_list(identity)]).ingredients
    assert (first.mime_type, first.state) == ("application/octet-stream", "absent")
    assert second.mime_type == "video/mp4"


@pytest.mark.parametrize("place", ["clip.c2pa", "clip.webm.c2pa"])
def test_a_record_beside_an_ingredient_counts_under_both_names(
    place: str, signed_file: SignedFile, identity: SigningIdentity, unsigned: Path, tmp_path: Path
) -> None:
    from tests.studio.inspection.test_sidecar import record_for
    from tests.studio.provenance.conftest import run_ffmpeg

    clip = tmp_path / "clip.webm"
    run_ffmpeg("-i", str(unsigned), "-c:v", "libvpx-vp9", str(clip))
    (tmp_path / place).write_bytes(record_for(clip, identity))
    reading = read_c2pa(signed_file(made_from(clip), name="child.mp4"), lists=[identity_list(identity)])
    assert [item.state for item in reading.ingredients] == ["trusted"]


def test_a_record_beside_an_ingredient_that_holds_one_itself_is_passed_over(
    signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    first = signed_file(name="first.mp4")
    (tmp_path / "first.mp4.c2pa").write_bytes(b"rubbish" * 9)
    reading = read_c2pa(signed_file(made_from(first), name="child.mp4"), lists=[identity_list(identity)])
    assert [item.state for item in reading.ingredients] == ["trusted"]
