"""Many assets in one ZIP: byte for byte, with a manifest, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.config import PromptPolicy, Settings
from studio.errors import Canceled, DiskFull, OutputRefused, StoreFault, UnsupportedValue, VerificationFailed
from studio.export.derivation import Wish
from studio.library.asset import Asset
from studio.library.bundle import BundleProgress, Bundles
from studio.library.store import UnknownAsset
from studio.provenance.inspect import read_c2pa
from studio.provenance.prompts import prompt_digest
from studio.request import Conditioning, GenerationRequest, Role

PROMPT = "a lonely fox in the snow"


@pytest.fixture
def family(studio: Studio, tmp_path: Path) -> list[Asset]:
    """A clip, its last frame as a picture, an animation whose credentials lie beside it, and a clip of the picture."""
    clip = studio.generate(GenerationRequest(model="scripted-moving", seed=1, prompt=PROMPT)).asset
    still = studio.export(clip.id, tmp_path / "last.png", Wish(frame=-1)).asset
    beside = studio.export(clip.id, tmp_path / "moving.mkv").asset
    picture = Conditioning(role=Role.FIRST_FRAME, path=tmp_path / "last.png")
    second = studio.generate(GenerationRequest(model="scripted-moving", seed=2, conditionings=(picture,))).asset
    return [clip, still, beside, second]


def manifest_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        data: dict[str, Any] = json.loads(archive.read("manifest.json"))
    return data


def test_the_files_are_those_of_the_library_and_the_manifest_tells_of_them(
    studio: Studio, family: list[Asset], tmp_path: Path
) -> None:
    clip, still, beside, second = family
    studio.curation.rate([clip.id], 4)
    studio.curation.tag([clip.id], add=["snow"])
    studio.curation.caption(clip.id, "Lonely")
    seen: list[BundleProgress] = []
    bundled = studio.curation.bundles.bundle([item.id for item in family], tmp_path / "all.zip", seen.append)
    assert bundled.path == tmp_path / "all.zip"
    assert [progress.done for progress in seen] == [1, 2, 3, 4]
    assert seen[-1].done_bytes == seen[-1].total_bytes == sum(item.size_bytes for item in family)
    told = {item["id"]: item for item in manifest_of(bundled.path)["assets"]}
    assert list(told) == [item.id for item in family]
    with zipfile.ZipFile(bundled.path) as archive:
        assert archive.testzip() is None
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
        for asset in family:
            content = archive.read(told[asset.id]["file"])
            assert hashlib.sha256(content).hexdigest() == told[asset.id]["sha256"] == asset.sha256
        archive.extractall(tmp_path / "out")
    assert beside.sidecar is not None
    assert (tmp_path / "out" / told[beside.id]["sidecar"]).read_bytes() == beside.sidecar.read_bytes()
    assert studio.verify(tmp_path / "out" / told[beside.id]["file"]).c2pa.state == "trusted"
    assert read_c2pa(tmp_path / "out" / told[clip.id]["file"]).state in ("trusted", "valid")
    assert (told[clip.id]["caption"], told[clip.id]["rating"], told[clip.id]["tags"]) == ("Lonely", 4, ["snow"])
    assert told[clip.id]["checks"]["standing"] == clip.standing
    assert [item["id"] for item in told[clip.id]["checks"]["results"]] == [item["id"] for item in clip.report["checks"]]
    made_from = {asset_id: [(item["how"], item["id"]) for item in told[asset_id]["made_from"]] for asset_id in told}
    assert made_from == {
        clip.id: [],
        still.id: [("derived_still", clip.id)],
        beside.id: [("converted", clip.id)],
        second.id: [("first-frame", still.id)],
    }


@pytest.mark.parametrize("policy", list(PromptPolicy))
def test_the_manifest_tells_no_more_of_a_prompt_than_the_policy_allows(
    studio: Studio, family: list[Asset], tmp_path: Path, policy: PromptPolicy
) -> None:
    settings: Settings = studio.settings.model_copy(update={"prompt_policy": policy})
    path = Bundles(studio.store, settings).bundle([item.id for item in family], tmp_path / "a.zip").path
    text = json.dumps(manifest_of(path))
    prompt = manifest_of(path)["assets"][0]["prompt"]
    assert (PROMPT in text) == (policy is PromptPolicy.FULL)
    assert prompt["policy"] == policy.value
    if policy is PromptPolicy.HASH:
        proof = studio.prompt_proof(family[0])
        assert prompt["prompt_hmac_sha256"] == proof["prompt_hmac_sha256"]
        assert prompt_digest(proof["prompt_key"], "prompt", PROMPT) == prompt["prompt_hmac_sha256"]
    assert str(tmp_path) not in text


def test_an_existing_file_is_never_replaced(studio: Studio, family: list[Asset], tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(OutputRefused, match="exists already"):
        studio.curation.bundles.bundle([family[0].id], tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_text() == "mine"


def test_what_cannot_be_written_is_refused_before_any_work(studio: Studio, family: list[Asset], tmp_path: Path) -> None:
    bundles = studio.curation.bundles
    for ids, name, error in (
        ([], "a.zip", UnsupportedValue),
        (["nope"], "a.zip", UnknownAsset),
        ([family[0].id], "a.tar", OutputRefused),
        ([family[0].id], "no/a.zip", OutputRefused),
        ([family[0].id], str(studio.settings.home / "a.zip"), OutputRefused),
    ):
        with pytest.raises(error):
            bundles.bundle(ids, tmp_path / name)
    assert not list(tmp_path.glob("*.zip"))


def test_a_file_that_was_changed_or_is_gone_ends_it_and_leaves_nothing(
    studio: Studio, family: list[Asset], tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    content = family[0].path.read_bytes()
    family[0].path.write_bytes(content[:-1] + b"x")
    with pytest.raises(VerificationFailed, match="changed after it was sealed"):
        studio.curation.bundles.bundle([family[1].id, family[0].id], tmp_path / "a.zip")
    family[0].path.unlink()
    with pytest.raises(StoreFault, match=family[0].id):
        studio.curation.bundles.bundle([family[0].id], tmp_path / "a.zip")
    assert sorted(tmp_path.iterdir()) == before


def test_canceled_in_the_middle_it_leaves_nothing(studio: Studio, family: list[Asset], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    seen: list[BundleProgress] = []
    with pytest.raises(Canceled):
        studio.curation.bundles.bundle(
            [item.id for item in family], tmp_path / "a.zip", seen.append, lambda: len(seen) == 2
        )
    assert (len(seen), sorted(tmp_path.iterdir())) == (2, before)


def test_it_is_streamed_to_where_nobody_can_go_back(studio: Studio, family: list[Asset]) -> None:
    class Line:
        """Something like a network connection."""

        def __init__(self) -> None:
            self.pieces: list[bytes] = []

        def write(self, data: bytes, /) -> int:
            self.pieces.append(bytes(data))
            return len(data)

        def flush(self) -> None:
            pass

    line = Line()
    studio.curation.bundles.write(family, line)
    with zipfile.ZipFile(io.BytesIO(b"".join(line.pieces))) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 6
    assert max(map(len, line.pieces)) <= 2**20


PROGRAM = """
import resource, signal, sys
from pathlib import Path
from studio.app import Studio
from studio.errors import StudioError

studio = Studio()
studio.store.assets()
size = studio.store.asset(sys.argv[1]).size_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    studio.curation.bundles.bundle([sys.argv[1]], Path(sys.argv[2]))
except StudioError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
def test_a_disk_that_fills_up_on_the_way_is_said_to_be_full_and_nothing_is_left(
    studio: Studio, family: list[Asset], tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    environment = os.environ | {"STUDIO_HOME": str(studio.settings.home)}
    command = [sys.executable, "-c", PROGRAM, family[0].id, str(tmp_path / "a.zip")]
    root = Path(__file__).parents[3]
    said = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=60)
    assert said.stdout.startswith("DiskFull"), said.stdout + said.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_disk_without_room_is_told_before_anything_is_written(
    studio: Studio, family: list[Asset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    with pytest.raises(DiskFull, match="no room for the ZIP file"):
        studio.curation.bundles.bundle([family[0].id], tmp_path / "a.zip")
