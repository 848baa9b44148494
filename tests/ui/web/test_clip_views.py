"""What a page shows of a file of the library and of its report, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from studio.app import Studio
from studio.library.asset import Asset
from studio.people.account import Role
from studio.people.visitor import LOCAL, Visitor
from studio.request import GenerationRequest
from ui.web.views.clips import ClipSurroundings, clip_view, ruling_view
from ui.web.views.reports import report_view
from ui.web.words import words

MARKUP = "A fox <img src=x onerror=alert(1)>"


@pytest.fixture
def asset(studio: Studio) -> Asset:
    request = GenerationRequest(model="scripted-moving", seed=2**63 - 1, prompt=MARKUP, negative_prompt="rain")
    return studio.generate(request).asset


@pytest.fixture
def flagged(studio: Studio) -> Asset:
    return studio.generate(GenerationRequest(model="scripted-unlucky", seed=2, num_frames=17)).asset


def view(asset: Asset, studio: Studio, visitor: Visitor = LOCAL, **around: Any) -> dict[str, Any]:
    item = studio.curation.items([asset.id])[0]
    return clip_view(asset, ClipSurroundings(model_name="Moving", item=item, **around), visitor)


def check(**told: Any) -> dict[str, Any]:
    blank = {"id": "x", "title": "X", "score": None, "value": None, "unit": "px", "threshold": None, "passed": None}
    blank |= {"reason": "", "worst_frames": [], "events": [], "series": [], "series_unit": "px", "series_step": 1}
    return blank | told


def test_a_seed_of_63_bits_keeps_all_its_digits(asset: Asset, studio: Studio) -> None:
    assert view(asset, studio)["seed"] == "9223372036854775807"


def test_facts_are_those_of_the_sealed_file(asset: Asset, studio: Studio) -> None:
    told = view(asset, studio)
    assert (told["sha256"], told["size_bytes"]) == (asset.sha256, asset.path.stat().st_size)
    assert told["seconds"] == pytest.approx(asset.num_frames / asset.frame_rate)
    assert (told["prompt"], told["negative_prompt"]) == (MARKUP, "rain")
    assert told["file_name"] == asset.path.name


def test_no_path_of_this_machine_is_told(asset: Asset, studio: Studio) -> None:
    assert str(studio.settings.home) not in str(view(asset, studio))


def test_whoever_sits_at_this_machine_may_do_everything(asset: Asset, studio: Studio) -> None:
    assert {"last-frame", "again", "extend", "export", "bin", "download"} <= set(view(asset, studio)["can"])


def test_a_viewer_may_only_look_and_download(asset: Asset, studio: Studio) -> None:
    told = view(asset, studio, Visitor(name="vera", role=Role.VIEWER))
    assert set(told["can"]) == {"compare", "download", "inspect", "library"}
    assert told["is_mine"] is False


def test_a_creator_may_use_what_is_somebody_elses_and_not_delete_it(asset: Asset, studio: Studio) -> None:
    told = view(asset, studio, Visitor(name="carl", role=Role.CREATOR))
    assert "again" in told["can"]
    assert "bin" not in told["can"]


def test_what_is_in_the_bin_can_be_taken_out_of_it(asset: Asset, studio: Studio) -> None:
    studio.curation.bin([asset.id])
    told = view(asset, studio)
    assert told["in_bin"] is True
    assert "unbin" in told["can"]
    assert "bin" not in told["can"]


def test_the_terms_of_its_job_say_what_the_file_tells(asset: Asset, studio: Studio) -> None:
    told = view(asset, studio, terms={"training_use": "notAllowed", "prompt_policy": "hash"})["provenance"]
    assert told["training_text"] == "not allowed"
    assert "fingerprint" in told["prompt_text"]
    assert told["watermark_id"] == asset.watermark_id


def test_without_its_job_nothing_is_made_up(asset: Asset, studio: Studio) -> None:
    told = view(asset, studio)
    assert told["provenance"]["training_text"] is None
    assert told["cost"] is None


def test_every_standing_kind_and_task_has_words(asset: Asset, studio: Studio) -> None:
    told = view(asset, studio)
    assert told["standing_text"] == words()["clip.standing.passed"]
    for standing in ("passed", "flagged", "released", "inconclusive"):
        ruling = {"policy": "retry:3", "standing": standing, "chosen": 1, "attempts": []}
        assert ruling_view(ruling)["sentence"]  # type: ignore[index]


def test_attempts_are_told_when_there_were_several() -> None:
    attempt = {"passed": False, "failed": ["black"], "lowest_score": 0.1}
    ruling = {"policy": "retry:2", "standing": "flagged", "chosen": 2,
              "attempts": [attempt | {"seed": "1"}, attempt | {"seed": "2"}]}  # fmt: skip
    told = ruling_view(ruling)
    assert told is not None
    assert [item["is_this"] for item in told["attempts"]] == [False, True]
    assert "2 times" in told["policy_text"]


def test_what_failed_is_shown_first_with_its_worst_frame(flagged: Asset, studio: Studio) -> None:
    report = view(flagged, studio)["report"]
    first = report["checks"][0]
    assert (first["word"], first["tone"]) == ("flagged", "warn")
    assert next(item for item in report["checks"] if item["id"] == "black")["worst_frames"] == [3]
    assert report["sentence"].startswith(str(report["counts"]["flagged"]))
    order = [item["passed"] for item in report["checks"]]
    assert order == sorted(order, key=[False, None, True].index)


def test_a_check_that_could_not_tell_is_not_called_passed() -> None:
    told = report_view({"passed": None, "checks": [check(reason="there is no sound")]})
    assert told is not None
    assert told["checks"][0]["word"] == "not_assessed"
    assert told["checks"][0]["text"] == "There is no sound."


def test_a_threshold_is_drawn_only_in_the_unit_of_the_curve() -> None:
    same = check(threshold=1.0, unit="share", series_unit="share of the picture")
    other = check(threshold=1.0, unit="seconds", series_unit="1 for a repeat")
    told = report_view({"passed": True, "checks": [same, other]})
    assert told is not None
    assert [item["threshold_fits"] for item in told["checks"]] == [True, False]


def test_old_reports_without_newer_fields_can_still_be_shown() -> None:
    old = {"id": "old", "title": "Old", "passed": False}
    told = report_view({"passed": False, "checks": [old]})
    assert told is not None
    assert told["checks"][0]["series"] == []
    assert told["not_assessed"] == []


def test_a_file_that_no_check_looked_at_has_no_report() -> None:
    assert report_view({"checks": []}) is None
    assert report_view(None) is None
