"""Trees of ingredients, at any depth and however they were meant to mislead; strangers' words are made harmless."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.export.signer import sign
from studio.provenance.certificates import SigningIdentity
from studio.provenance.inspect import read_c2pa
from studio.provenance.manifest import GENERATION_LABEL, build_manifest
from studio.provenance.origin import Origin
from studio.provenance.record_tree import MAX_DEPTH, MAX_INGREDIENTS, interpret
from studio.provenance.shown import Plain, one_line
from studio.provenance.trust import identity_list
from tests.studio.provenance.conftest import PROVENANCE, SignedFile, provenance_of
from ui.cli.console import print_line
from ui.cli.verification_screen import lines

NASTY = "\x1b[31mred\x1b[0m \u202egnp.exe\u202c [bold]x[/bold]\r\n\x07\x00tail\u200b\ud800"


def test_a_grandparent_that_was_changed_is_named_although_the_file_is_trusted(
    signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    first = signed_file(name="first.mp4")
    content = bytearray(first.read_bytes())
    content[-20] ^= 1
    (tmp_path / "changed.mp4").write_bytes(content)
    second = signed_file(provenance_of(Origin.VIDEO_EDIT, parent=tmp_path / "changed.mp4"), name="second.mp4")
    third = signed_file(provenance_of(Origin.VIDEO_EDIT, parent=second), name="third.mp4")
    reading = read_c2pa(third, lists=[identity_list(identity)])
    assert reading.state == "trusted"
    (parent,) = reading.ingredients
    (grandparent,) = parent.ingredients
    assert parent.state == "trusted"
    assert grandparent.state == "invalid"
    assert "assertion.bmffHash.mismatch" in grandparent.codes
    assert "ingredient:assertion.bmffHash.mismatch" in reading.codes
    assert "not its ingredient parent, made from parent" in (reading.problem or "")
    assert grandparent.source_type == "trainedAlgorithmicMedia"
    assert reading.actions[0].words == "opened an existing file"


def test_ingredients_of_the_same_label_in_different_records_are_kept_apart(
    signed_file: SignedFile, identity: SigningIdentity, stranger: SigningIdentity
) -> None:
    """Every record numbers its ingredients anew: what is wrong with one must not be told of another."""
    foreign = signed_file(name="foreign.mp4", by=stranger)
    second = signed_file(provenance_of(Origin.VIDEO_EDIT, parent=foreign), name="second.mp4")
    third = signed_file(provenance_of(Origin.VIDEO_EDIT, parent=second), name="third.mp4")
    reading = read_c2pa(third, lists=[identity_list(identity)])
    assert reading.ingredients[0].state == "trusted"
    assert reading.ingredients[0].codes == ()
    assert reading.ingredients[0].ingredients[0].state == "valid"


def store_of(manifests: dict[str, Any]) -> dict[str, Any]:
    return {"active_manifest": "0", "manifests": manifests, "validation_results": {"activeManifest": {}}}


def test_a_record_that_leads_back_to_itself_ends() -> None:
    ring = {
        str(index): {"ingredients": [{"label": "a", "title": "x", "active_manifest": str((index + 1) % 3)}]}
        for index in range(3)
    }
    reading = interpret("valid", store_of(ring))
    below = reading.ingredients[0].ingredients[0].ingredients[0]
    assert below.is_cut
    assert below.ingredients == ()


def test_depth_and_number_are_bounded() -> None:
    deep = {str(i): {"ingredients": [{"label": "a", "active_manifest": str(i + 1)}]} for i in range(1000)}
    item, depth = interpret("valid", store_of(deep)).ingredients[0], 1
    while item.ingredients:
        item, depth = item.ingredients[0], depth + 1
    assert depth <= MAX_DEPTH
    assert item.is_cut
    # Every manifest has twenty ingredients, each with twenty: without a limit there are 20^8 of them.
    wide = {
        str(i): {"ingredients": [{"label": str(k), "active_manifest": str(i + 1)} for k in range(20)]}
        for i in range(50)
    }
    data = json.dumps(interpret("valid", store_of(wide)).as_json())
    assert data.count('"relationship"') <= MAX_INGREDIENTS


@pytest.mark.parametrize(
    "junk",
    [None, [], "text", 7, {"manifests": 3}, {"manifests": {"0": []}, "active_manifest": "0"},
     {"manifests": {"0": {"ingredients": "x", "assertions": [1, {"label": "c2pa.actions", "data": {"actions": [2]}}]}},
      "active_manifest": "0", "validation_results": {"activeManifest": {"failure": ["x", {"code": None}]}}},
     {"manifests": {"0": {"claim_generator_info": [3], "signature_info": [], "ingredients": [None]}},
      "active_manifest": "0", "validation_results": {"ingredientDeltas": [None, {"ingredientAssertionURI": 3}]}}],
)  # fmt: skip
def test_an_account_of_an_unexpected_shape_is_read_without_an_error(junk: Any) -> None:
    reading = interpret("valid", junk if isinstance(junk, dict) else {})
    json.dumps(reading.as_json(), allow_nan=False)


def test_words_of_strangers_reach_neither_terminal_nor_json_as_they_are(
    studio: Studio, unsigned: Path, stranger: SigningIdentity, tmp_path: Path
) -> None:
    """Escapes, bidirectional overrides, control characters, markup and absurd lengths."""
    nasty = NASTY.encode("utf-8", "ignore").decode().replace("\x00", "")
    manifest = build_manifest(PROVENANCE, title="x.mp4", watermark=None)
    manifest["title"] = nasty
    manifest["claim_generator_info"][0]["name"] = nasty + "y" * 5000
    data = {item["label"]: item["data"] for item in manifest["assertions"]}
    data["c2pa.actions.v2"]["actions"][0] |= {"softwareAgent": {"name": nasty * 50}, "digitalSourceType": nasty}
    data[GENERATION_LABEL] |= {"prompt": {"prompt": nasty * 1000}, "warnings": [nasty] * 3000}
    path = tmp_path / "nasty.mp4"
    sign(unsigned, path, mime_type="video/mp4", manifest=manifest, ingredients=(), identity=stranger)
    verification = studio.verify(path)
    assert verification.c2pa.state == "valid"
    screen = io.StringIO()
    with redirect_stdout(screen):
        for line in lines(verification, full=True):
            print_line(line)
    shown = screen.getvalue()
    assert not [letter for letter in shown if letter != "\n" and not letter.isprintable()]
    assert max(map(len, shown.splitlines())) <= 120
    report = json.dumps(verification.as_json(), ensure_ascii=False).replace("\\n", "")
    assert report.isprintable()
    assert "\\u00" not in report
    assert len(report) < 200_000


def test_a_line_holds_nothing_that_steers() -> None:
    line = one_line(NASTY)
    assert line.isprintable()
    assert "red" in line
    assert "tail" in line
    assert len(one_line("x" * 10**6)) == 200
    assert one_line("نص \u200dعربي") == "نص \u200dعربي"
    assert one_line(None) == ""


def test_data_are_cut_to_a_budget_and_to_what_json_holds() -> None:
    deep: Any = "bottom"
    for _ in range(100):
        deep = {"x": [deep]}
    data = Plain().data({"deep": deep, "nan": float("nan"), "big": 2**80, "many": list(range(10**5)), "text": NASTY})
    text = json.dumps(data, allow_nan=False)
    assert "bottom" not in text
    assert len(data["many"]) == 200
    assert "\x1b" not in data["text"]
    assert len(json.dumps(Plain(1000).data({str(i): "x" * 500 for i in range(100)}))) < 3000
