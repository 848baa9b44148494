"""Whose list a signer is on, and files that are no MP4."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studio.app import Studio
from studio.inspection.conclusion import conclude
from studio.inspection.recovery import asset_of_credentials
from studio.media import iter_frames
from studio.provenance.certificates import SigningIdentity
from studio.provenance.inspect import read_c2pa
from studio.provenance.trust import OWN_LIST, TrustList, identity_list
from tests.studio.inspection.conftest import Ffmpeg
from tests.studio.inspection.sealing import seal_frames
from tests.studio.provenance.conftest import SignedFile


def test_the_list_that_knows_the_signer_is_named_and_no_other(
    signed_file: SignedFile, identity: SigningIdentity, stranger: SigningIdentity
) -> None:
    official = TrustList(name="C2PA trust list", uri="https://example.org", pem=stranger.anchors_pem, dated=None)
    lists = [identity_list(identity), official]
    ours, theirs = signed_file(name="ours.mp4"), signed_file(name="theirs.mp4", by=stranger)
    own, other = read_c2pa(ours, lists=lists), read_c2pa(theirs, lists=lists)
    assert (own.trust_list, other.trust_list) == (OWN_LIST, "C2PA trust list")
    assert "signed by this studio" in conclude(own, None).sentence
    assert "who is on the C2PA trust list" in conclude(other, None).sentence
    assert "this studio" not in conclude(other, None).sentence
    assert read_c2pa(theirs, lists=lists[:1]).trust_list is None


def test_a_trusted_strangers_word_about_a_job_of_ours_counts_for_nothing(studio: Studio, sealed: Path) -> None:
    reading = studio.verify(sealed).c2pa
    assert asset_of_credentials(reading, studio.store) is not None
    assert asset_of_credentials(replace(reading, trust_list="C2PA trust list"), studio.store) is None
    assert asset_of_credentials(replace(reading, state="valid", trust_list=None), studio.store) is None


@pytest.mark.parametrize("ending", ["mov", "gif", "webp", "png", "jpg", "webm", "mkv"])
def test_every_format_of_ours_is_intact_and_known(studio: Studio, sealed: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"copy.{ending}"
    studio.export(sealed.stem, path)
    found = studio.verify(path)
    assert (found.c2pa.state, found.conclusion.word) == ("trusted", "intact")
    assert found.c2pa.place == ("sidecar" if ending in ("webm", "mkv") else "embedded")
    assert found.library is not None
    assert found.library.is_same_file
    assert found.media is not None
    assert found.media.width == 160
    assert found.disclosures[0].satisfied == "yes"


def test_a_webm_file_that_lost_its_record_is_recovered_byte_for_byte(
    studio: Studio, sealed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "copy.webm"
    studio.export(sealed.stem, path)
    path.with_suffix(".c2pa").unlink()
    found = studio.verify(path)
    assert (found.c2pa.state, found.conclusion.word) == ("absent", "recovered")
    assert "byte for byte" in found.conclusion.sentence
    assert found.library is not None
    assert found.library.recovered is not None
    assert found.library.recovered.holds


@pytest.mark.parametrize("ending", ["png", "gif", "webm"])
def test_a_copy_in_another_format_by_another_program_is_recovered(
    studio: Studio, clips: Path, ffmpeg: Ffmpeg, ending: str
) -> None:
    source = clips / "street_cuts_pans_bikes.mp4"
    sealed = seal_frames(studio, np.stack([frame.image for frame in iter_frames(source, max_frames=17)]))
    found = studio.verify(ffmpeg(sealed, f"foreign.{ending}", *(["-frames:v", "1"] if ending == "png" else [])))
    assert found.conclusion.word == "recovered"
    assert found.asset is not None
    assert found.asset.id == sealed.stem


@pytest.mark.parametrize("content", [b"hello, I am a text\n" * 50, b"\0" * 4096, b"%PDF-1.7\n", b""])
def test_what_is_no_medium_at_all_is_unknown(studio: Studio, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    found = studio.verify(path)
    assert (found.conclusion.word, found.c2pa.state) == ("unknown", "absent")
    assert found.media is not None
    assert found.media.problem
    assert found.as_json()["checklist"]
