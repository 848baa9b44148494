"""One word of four for every file, the asset where there is one, and what of it is not bound to the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from studio.app import Studio
from studio.inspection.conclusion import conclude
from studio.inspection.disclosures import disclosures
from studio.inspection.recovery import names_mark
from studio.library.tables import AssetRow
from studio.media import iter_frames
from studio.provenance.reading import C2paReading, IngredientReading, State
from studio.provenance.redaction import LEFT_OUT_NOTE
from studio.provenance.watermark import ALGORITHM, WatermarkReading
from studio.request import GenerationRequest
from tests.studio.inspection.conftest import Ffmpeg
from tests.studio.inspection.sealing import seal_frames
from tests.studio.media_files import texture, write_mp4


def test_a_sealed_file_is_intact_and_known_in_three_ways(studio: Studio, sealed: Path) -> None:
    found = studio.verify(sealed)
    assert found.conclusion.word == "intact"
    assert "signed by this studio" in found.conclusion.sentence
    assert found.library is not None
    assert found.library.by == ("file hash", "credentials", "watermark")
    assert found.library.recovered is None
    assert found.c2pa.trust_list == "this studio"
    assert found.c2pa.source_type == "trainedAlgorithmicMedia"
    assert [action.words for action in found.c2pa.actions][:1] == ["created"]


def test_a_remuxed_file_is_recovered_and_names_the_asset(studio: Studio, sealed: Path, ffmpeg: Ffmpeg) -> None:
    found = studio.verify(ffmpeg(sealed, "remuxed.mp4", "-c", "copy"))
    assert found.conclusion.word == "recovered"
    assert found.library is not None
    assert found.library.asset.id == sealed.stem == found.as_json()["asset"]
    assert found.library.asset.id in found.conclusion.sentence
    assert not found.library.is_same_file
    recovered = found.as_json()["library"]["recovered"]
    assert recovered["holds"]
    assert recovered["names_the_mark"]
    assert "not bound to this file" in recovered["note"]
    assert "state" not in recovered["record"]
    assert found.c2pa.state == "absent"
    assert found.c2pa.generation is None


@pytest.mark.parametrize("name", ["street_cuts_pans_bikes.mp4", "ai_ltx2_talk_audio.mp4"])
def test_a_clip_that_was_cropped_reencoded_and_remuxed_is_recovered(
    studio: Studio, clips: Path, ffmpeg: Ffmpeg, name: str
) -> None:
    """Crop 10 %, CRF 30, another container: what happens to clips on their way through the internet."""
    frames = np.stack([frame.image for frame in iter_frames(clips / name, max_frames=25)])
    asset = seal_frames(studio, frames)
    cropped = ffmpeg(asset, "cropped.mkv", "-vf", "crop=iw*0.9:ih*0.9", "-crf", "30", "-c:v", "libx264")
    found = studio.verify(ffmpeg(cropped, "remuxed.mp4", "-c", "copy"))
    assert found.conclusion.word == "recovered"
    assert found.library is not None
    assert found.library.asset.path == asset
    assert found.library.asset.id in found.conclusion.sentence
    assert found.was_searched
    assert found.watermark.transform
    assert found.library.recovered is not None
    assert found.library.recovered.names_the_mark


def test_a_stored_record_that_names_another_mark_is_said_to_confirm_nothing(
    studio: Studio, sealed: Path, ffmpeg: Ffmpeg
) -> None:
    mark = studio.verify(sealed).watermark.identifier
    other = studio.generate(GenerationRequest(model="scripted-moving", seed=2)).asset
    with studio.store.transaction() as session:
        session.execute(sa.update(AssetRow).where(AssetRow.id == sealed.stem).values(watermark_id=None))
        session.execute(sa.update(AssetRow).where(AssetRow.id == other.id).values(watermark_id=mark))
    found = studio.verify(ffmpeg(sealed, "remuxed.mp4", "-c", "copy"))
    assert found.conclusion.word == "recovered"
    assert "does not confirm" in found.conclusion.sentence
    assert found.library is not None
    assert found.library.recovered is not None
    assert found.library.recovered.names_the_mark is False


def test_a_stored_record_that_was_changed_does_not_hold(studio: Studio, sealed: Path, ffmpeg: Ffmpeg) -> None:
    with studio.store.transaction() as session:
        row = session.scalars(sa.select(AssetRow).where(AssetRow.id == sealed.stem)).one()
        row.manifest_store = row.manifest_store.replace(b"prompt_guided", b"fully_autonom")
    found = studio.verify(ffmpeg(sealed, "remuxed.mp4", "-c", "copy"))
    assert found.library is not None
    assert found.library.recovered is not None
    assert not found.library.recovered.holds
    assert "does not confirm" in found.conclusion.sentence


def test_an_altered_file_whose_mark_is_still_ours_says_both(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    content = bytearray(sealed.read_bytes())
    content[-20] ^= 1
    (tmp_path / "altered.mp4").write_bytes(content)
    found = studio.verify(tmp_path / "altered.mp4")
    assert found.conclusion.word == "altered"
    assert sealed.stem in found.conclusion.sentence
    assert "came from asset" in found.conclusion.sentence
    assert found.asset is not None


def test_a_file_nobody_knows_is_unknown_and_silence_is_not_an_acquittal(studio: Studio, tmp_path: Path) -> None:
    found = studio.verify(write_mp4(tmp_path / "any.mp4", np.stack([texture(160, 96, seed) for seed in range(9)])))
    assert found.conclusion.word == "unknown"
    assert "never means that no AI was used" in found.conclusion.sentence
    assert found.asset is None
    assert not found.is_intact


def test_another_install_sees_a_valid_file_and_no_mark(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    stranger = Studio(studio.settings.model_copy(update={"home": tmp_path / "stranger"}))
    found = stranger.verify(sealed)
    stranger.store.close()
    assert (found.conclusion.word, found.c2pa.state, found.c2pa.trust_list) == ("intact", "valid", None)
    assert "whom this studio does not know" in found.conclusion.sentence
    assert found.library is None


def test_an_expired_signer_is_no_alteration(studio: Studio) -> None:
    codes = ("signingCredential.expired", "signingCredential.untrusted")
    reading = C2paReading(state="invalid", codes=codes, failures=codes, problem="the certificate has expired")
    assert conclude(reading, None).word == "unknown"


def test_a_mark_is_compared_by_algorithm_and_value() -> None:
    mark = WatermarkReading(detected=True, payload=1, confidence=1.0)

    def manifest(alg: str, value: object) -> dict[str, object]:
        return {"assertions": [{"label": "c2pa.soft-binding", "data": {"alg": alg, "blocks": [{"value": value}]}}]}

    assert names_mark(manifest(ALGORITHM, "AAAAAAAAAAE="), mark)
    assert not names_mark(manifest("com.example.other", "AAAAAAAAAAE="), mark)
    assert not names_mark(manifest(ALGORITHM, "AAAAAAAAAAI="), mark)
    assert not names_mark(manifest(ALGORITHM, "no base64!"), mark)
    assert not names_mark({}, mark)


def test_the_report_is_one_json_object_with_everything(studio: Studio, sealed: Path) -> None:
    data = json.loads(json.dumps(studio.verify(sealed).as_json(), allow_nan=False))
    assert {"conclusion", "c2pa", "watermark", "asset", "library", "media", "checklist", "disclosures"} <= set(data)
    assert data["media"]["codec"] == "h264"
    assert data["media"]["faststart"] is True
    assert {"state", "codes", "generator", "ingredients", "actions", "time_stamp", "trust_list"} <= set(data["c2pa"])
    assert {"detected", "payload", "confidence", "bits", "transform"} <= set(data["watermark"])
    assert all(item["result"] in ("ok", "notice", "unknown") for item in data["checklist"])
    assert all(item["satisfied"] in ("yes", "no", "unknown") for item in data["disclosures"])


def test_the_prompt_of_a_sealed_file_is_not_in_the_report_by_default(studio: Studio, tmp_path: Path) -> None:
    request = GenerationRequest(model="scripted-moving", seed=1, prompt="a zebra nobody may know about")
    path = studio.generate(request, output=tmp_path / "secret.mp4").asset.path
    assert "zebra" not in json.dumps(studio.verify(path).as_json())


def test_what_the_law_wants_is_looked_up_in_the_file(studio: Studio, sealed: Path, ffmpeg: Ffmpeg) -> None:
    met = {item.duty: item.satisfied for item in studio.verify(sealed).disclosures}
    assert met["says in a machine-readable way that AI made or changed it"] == "yes"
    assert met["imperceptible watermark (1.1.2)"] == "yes"
    assert met["metadata that are time-stamped (1.1.1)"] == "no"
    assert met["latent: name and version of the system"] == "yes"
    assert met["latent: hard to remove, readable by the provider's tool"] == "yes"
    stripped = {item.duty: item for item in studio.verify(ffmpeg(sealed, "remuxed.mp4", "-c", "copy")).disclosures}
    source = stripped["says in a machine-readable way that AI made or changed it"]
    assert source.satisfied == "no"
    assert "not in this file" in source.where


@pytest.mark.parametrize(
    ("states", "warnings", "satisfied"),
    [
        (("trusted", "absent"), (), "yes"),
        (("absent", "absent"), (), "unknown"),
        (("trusted", "absent"), (LEFT_OUT_NOTE,), "no"),
    ],
)
def test_marks_of_inputs_are_called_kept_only_if_some_were_and_none_was_left_out(
    studio: Studio, sealed: Path, states: tuple[State, ...], warnings: tuple[str, ...], satisfied: str
) -> None:
    items = tuple(
        IngredientReading(title="x", mime_type=None, relationship="inputTo", state=state, codes=(), generator=None)
        for state in states
    )
    found = studio.verify(sealed, with_checklist=False)
    reading = replace(found.c2pa, ingredients=items, generation={"warnings": list(warnings)})
    met = {item.duty: item.satisfied for item in disclosures(replace(found, c2pa=reading))}
    assert met["marks found on inputs are kept (1.2)"] == satisfied


def test_a_format_of_a_format_of_a_clip_is_known_in_three_ways(studio: Studio, sealed: Path, tmp_path: Path) -> None:
    """The mark in it is still that of the clip it all began with."""
    studio.export(sealed.stem, tmp_path / "copy.mov")
    child = studio.verify(tmp_path / "copy.mov").asset
    assert child is not None
    studio.export(child.id, tmp_path / "copy.gif")
    found = studio.verify(tmp_path / "copy.gif")
    assert found.library is not None
    assert found.library.asset.parent_id == child.id
    assert found.library.by == ("file hash", "credentials", "watermark")


def test_a_signer_trusted_by_no_list_is_said_to_be_on_none() -> None:
    sentence = conclude(C2paReading(state="trusted", issuer="Somebody"), None).sentence
    assert "None" not in sentence
    assert "by Somebody" in sentence
