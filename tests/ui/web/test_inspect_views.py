"""What the tab Inspect shows of a file, without a server: nothing of a stranger's text steers the page."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from studio.app import Studio
from studio.library.asset import Asset
from studio.media.boxes import top_level_boxes
from studio.provenance.reading import C2paReading, IngredientReading
from studio.request import GenerationRequest
from ui.web.views.verification import findings, manifest_tree, seal_view, training_entries, verification_view
from ui.web.words import words

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def asset(studio: Studio) -> Asset:
    return studio.generate(GenerationRequest(model="scripted-moving", seed=1, prompt="A fox")).asset


def changed(asset: Asset, tmp_path: Path) -> Path:
    content = bytearray(asset.path.read_bytes())
    with asset.path.open("rb") as file:
        start, size = next((start, size) for kind, start, size in top_level_boxes(file) if kind == b"mdat")
    content[start + size // 2] ^= 1
    path = tmp_path / "changed.mp4"
    path.write_bytes(content)
    return path


def foreign(tmp_path: Path, **tags: str) -> Path:
    path = tmp_path / "foreign.mp4"
    given = [part for name, value in tags.items() for part in ("-metadata", f"{name}={value}")]
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-y",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=160x120:rate=10:duration=1",
    ]
    subprocess.run([*command, *given, "-pix_fmt", "yuv420p", str(path)], check=True, timeout=60)
    return path


def test_a_sealed_file_is_intact_and_can_be_made_again(asset: Asset, studio: Studio) -> None:
    told = verification_view(studio.verify(asset.path), studio.settings.home, name="clip.mp4")
    assert (told["word"], told["tone"], told["has_recipe"]) == ("intact", "good", True)
    assert told["library"]["is_same_file"] is True
    assert {entry["use"] for entry in told["record"]["training"]} == {"not allowed"}
    assert [code["kind"] for code in told["tree"]["codes"][:3]] == ["success"] * 3
    assert told["problem"] is None
    assert str(studio.settings.home) not in json.dumps(told)


def test_a_changed_file_is_altered_and_names_where_it_came_from(asset: Asset, studio: Studio, tmp_path: Path) -> None:
    told = verification_view(studio.verify(changed(asset, tmp_path)), studio.settings.home, name="changed.mp4")
    assert (told["word"], told["tone"]) == ("altered", "bad")
    failures = [code for code in told["tree"]["codes"] if code["kind"] == "failure"]
    assert any("changed after signing" in code["words"] for code in failures)
    assert not any(code["kind"] == "success" for code in told["tree"]["codes"])
    assert told["library"]["asset"] == asset.id


def test_a_file_without_a_record_is_unknown_and_told_not_to_be_a_fake(studio: Studio, tmp_path: Path) -> None:
    told = verification_view(studio.verify(foreign(tmp_path), search=False), studio.settings.home, name="a.mp4")
    assert (told["word"], told["record"], told["tree"], told["has_recipe"]) == ("unknown", None, None, False)
    assert "fake" in told["not_means"]
    assert [law["law"] for law in told["disclosures"]]


def test_tags_of_a_strangers_file_stay_text(studio: Studio, tmp_path: Path) -> None:
    path = foreign(tmp_path, title=MARKUP, comment="left\u202eright")
    told = verification_view(studio.verify(path, search=False), studio.settings.home, name=f"{MARKUP}\u202e.mp4")
    assert told["media"]["tags"]["title"] == MARKUP
    assert "\u202e" not in json.dumps(told, ensure_ascii=False)
    assert told["name"].startswith(MARKUP)


def test_a_file_that_is_no_media_file_is_said_to_be_none(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "words.mp4"
    path.write_text("only words\n" * 50)
    told = verification_view(studio.verify(path), studio.settings.home, name="words.mp4")
    assert told["problem"] == words()["inspect.problem.not_media"]


def test_the_seal_of_a_stranger_is_not_called_this_studios(clips: Path, studio: Studio) -> None:
    found = studio.verify(clips / "portrait_river_c2pa.mp4", search=False, with_checklist=False)
    told = seal_view(found)
    assert (told["state"], told["is_own"], told["tone"]) == ("valid", False, "warn")


def test_ingredients_are_a_tree_that_ends(clips: Path, studio: Studio) -> None:
    found = studio.verify(clips / "portrait_river_c2pa.mp4", search=False)
    tree = manifest_tree(found.c2pa, "river.mp4")
    assert tree is not None
    assert "failure" not in [code["kind"] for code in tree["codes"]]  # an unknown signer is no fault of the file
    assert [child["title"] for child in tree["children"]] == ["video1.mp4"]
    item = IngredientReading(
        title="a", mime_type=None, relationship="parentOf", state="absent", codes=(), generator=None
    )
    many = C2paReading(state="valid", ingredients=(item,) * 5000)
    cut = manifest_tree(many, "many")
    assert cut is not None
    assert len(cut["children"]) <= 300


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("assertion.bmffHash.mismatch", "failure"),
        ("signingCredential.untrusted", "informational"),
        ("signingCredential.ocsp.skipped", "informational"),
        ("ingredient:signingCredential.untrusted", "informational"),
        ("ingredient:claimSignature.mismatch", "failure"),
        ("a.code.of.tomorrow", "informational"),
    ],
)
def test_every_code_has_words_and_a_weight(code: str, kind: str) -> None:
    (told,) = findings((code,))
    assert told["kind"] == kind
    assert told["words"]


@pytest.mark.parametrize("manifest", [None, {}, {"assertions": [1, {"label": 5}, {"label": "cawg.training-mining"}]}])
def test_nonsense_in_place_of_training_entries_is_passed_over(manifest: dict[str, object] | None) -> None:
    assert training_entries(manifest) == []


def test_training_entries_of_a_stranger_are_one_line_each() -> None:
    entries = {"cawg.ai_training": {"use": "allowed"}, f"x.{MARKUP}\n": {"use": "a\nb"}}
    told = training_entries({"assertions": [{"label": "cawg.training-mining", "data": {"entries": entries}}]})
    assert told[0] == {"name": "Training of AI", "use": "allowed"}
    assert "\n" not in told[1]["name"] + told[1]["use"]
