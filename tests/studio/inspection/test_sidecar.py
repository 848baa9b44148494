"""Records kept beside a file: found, checked against it, and never taken for another file's."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from studio.app import Studio
from studio.inspection import LAYOUT_MISMATCH
from studio.provenance.certificates import SigningIdentity, load_or_create
from studio.provenance.manifest import build_manifest
from studio.provenance.trust import identity_list, offline_settings
from tests.studio.inspection.conftest import Ffmpeg
from tests.studio.media_files import pan, write_mp4
from tests.studio.provenance.conftest import PROVENANCE


def record_for(path: Path, identity: SigningIdentity, mime_type: str = "video/webm") -> bytes:
    """Return a record of ours for a file that cannot hold one."""
    from c2pa import Builder, C2paSignerInfo, Context, Settings, Signer

    context = Context(Settings.from_dict(offline_settings([identity_list(identity)])))
    builder = Builder(build_manifest(PROVENANCE, title=path.name, watermark=None), context)
    builder.set_no_embed()
    signer = Signer.from_info(C2paSignerInfo(b"es256", identity.chain_pem, identity.key_pem, None))
    with path.open("rb") as raw:
        return bytes(builder.sign(signer, mime_type, raw, io.BytesIO()))


@pytest.fixture
def webm(studio: Studio, tmp_path: Path, ffmpeg: Ffmpeg) -> Path:
    """A WebM clip with its record beside it, signed by this studio."""
    studio.settings.create_home()
    clip = ffmpeg(write_mp4(tmp_path / "clip.mp4", pan(9)), "film.webm", "-c:v", "libvpx-vp9", "-crf", "30")
    clip.with_suffix(".c2pa").write_bytes(record_for(clip, load_or_create(studio.settings.identity_folder)))
    return clip


def test_a_record_beside_a_webm_file_is_found_and_trusted(studio: Studio, webm: Path) -> None:
    found = studio.verify(webm)
    assert (found.c2pa.state, found.c2pa.place, found.conclusion.word) == ("trusted", "sidecar", "intact")
    webm.with_suffix(".c2pa").rename(webm.with_name("film.webm.c2pa"))
    assert studio.verify(webm).c2pa.state == "trusted"


@pytest.mark.parametrize("change", ["flip", "append", "truncate"])
def test_a_changed_webm_file_does_not_fit_its_record(studio: Studio, webm: Path, change: str) -> None:
    content = bytearray(webm.read_bytes())
    if change == "flip":
        content[len(content) // 2] ^= 1
    webm.write_bytes({"flip": content, "append": content + b"x", "truncate": content[:-1]}[change])
    found = studio.verify(webm)
    assert (found.c2pa.state, found.conclusion.word) == ("invalid", "altered")
    assert "assertion.dataHash.mismatch" in found.c2pa.codes


def test_a_swapped_record_is_noticed(studio: Studio, webm: Path, ffmpeg: Ffmpeg) -> None:
    other = ffmpeg(webm, "other.webm", "-c", "copy", "-metadata", "title=another")
    identity = load_or_create(studio.settings.identity_folder)
    other.with_suffix(".c2pa").write_bytes(record_for(other, identity))
    assert studio.verify(other).c2pa.state == "trusted"
    here, there = webm.with_suffix(".c2pa"), other.with_suffix(".c2pa")
    record = here.read_bytes()
    here.write_bytes(there.read_bytes())
    there.write_bytes(record)
    for path in (webm, other):
        found = studio.verify(path)
        assert (found.c2pa.state, found.conclusion.word) == ("invalid", "altered")
        assert "assertion.dataHash.mismatch" in found.c2pa.codes


def test_a_strangers_record_is_valid_and_not_trusted(studio: Studio, webm: Path, stranger: SigningIdentity) -> None:
    webm.with_suffix(".c2pa").write_bytes(record_for(webm, stranger))
    assert studio.verify(webm).c2pa.state == "valid"


def test_a_record_with_something_hidden_in_it_is_noticed(studio: Studio, webm: Path) -> None:
    sidecar = webm.with_suffix(".c2pa")
    content = bytearray(sidecar.read_bytes())
    content[content.index(b"jumdc2as") + 20] ^= 0x40
    sidecar.write_bytes(content)
    found = studio.verify(webm)
    assert found.c2pa.state == "invalid"
    assert LAYOUT_MISMATCH in found.c2pa.codes


def test_rubbish_beside_a_file_is_no_record(studio: Studio, webm: Path) -> None:
    sidecar = webm.with_suffix(".c2pa")
    sidecar.write_bytes(b"rubbish" * 100)
    assert studio.verify(webm).c2pa.state == "invalid"
    sidecar.unlink()
    sidecar.mkdir()
    assert studio.verify(webm).c2pa.state == "absent"
    sidecar.rmdir()
    with sidecar.open("wb") as file:
        file.truncate(2**30)
    assert studio.verify(webm).c2pa.state == "absent"


def test_the_record_of_another_file_of_the_same_stem_accuses_nobody(studio: Studio, webm: Path, tmp_path: Path) -> None:
    """An MP4 without a record lies beside a WebM of the same stem that has one."""
    found = studio.verify(write_mp4(tmp_path / "film.mp4", pan(9)))
    assert (found.c2pa.state, found.conclusion.word) == ("absent", "unknown")
