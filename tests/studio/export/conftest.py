"""A library with one sealed clip in it: 30 frames of a pan with a tone, through the real gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.config import Settings
from studio.export import selftest
from studio.export.derivation import Wish
from studio.export.gate import Gate
from studio.exports import Exported
from studio.generator import RawClip
from studio.library.asset import Asset
from studio.library.store import new_id
from studio.media import FrameClip
from studio.provenance.inspect import C2paReading, read_c2pa
from studio.provenance.trust import own_list
from tests.studio.media_files import pan, tone


@dataclass
class Library:
    """A studio of its own, with what tests of the gate keep doing."""

    studio: Studio
    folder: Path

    def seal(self, clip: RawClip, **provenance: Any) -> Asset:
        job_id = new_id()
        self.studio.store.add_job(job_id, selftest._request().as_json())
        material = selftest._material(job_id)
        material = replace(material, clip=clip, provenance=replace(material.provenance, **provenance))
        return Gate(self.studio.settings, self.studio.store).seal(material, self.folder / "work")

    def export(self, asset: Asset, name: str, **wish: Any) -> Exported:
        return self.studio.export(asset.id, self.folder / name, Wish(**wish))

    def read(self, exported: Exported, *, knows_us: bool = True) -> C2paReading:
        own = own_list(self.studio.settings.identity_folder)
        store = None if exported.sidecar is None else exported.sidecar.read_bytes()
        return read_c2pa(exported.path, lists=[own] if own and knows_us else [], manifest_store=store)

    def leftovers(self) -> list[Path]:
        """Return every file in the home that no finished work should leave."""
        folders = (self.studio.settings.quarantine_folder, self.studio.settings.library_folder, self.folder / "work")
        assets = self.studio.store.assets()
        kept = {asset.path for asset in assets} | {asset.sidecar for asset in assets}
        return [path for folder in folders for path in folder.rglob("*") if path.is_file() and path not in kept]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("library")
    studio = Studio(Settings(home=folder / "home"))
    yield Library(studio, folder)
    studio.store.close()


@pytest.fixture(scope="module")
def clip(library: Library) -> Asset:
    """30 frames of 384x288 at 24 per second, with sound."""
    frames = FrameClip(frames=pan(30, 384, 288), frame_rate=Fraction(24), audio=tone(1.25))
    return library.seal(frames, model_name="Micro Test", repository="someone/micro", revision="0123abc")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return file names that no other test uses."""
    stem = "".join(letter for letter in request.node.name if letter.isalnum())
    return lambda suffix: f"{stem}{suffix}"
