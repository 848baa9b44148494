"""What is shown of comparisons: names for people, no folders of this machine, figures that a browser can hold."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from studio.app import Studio
from studio.comparing.comparison import Comparison
from studio.comparing.voting import REASONS, Verdict
from studio.comparing.wish import CompareWish, Variant
from studio.people.account import Role
from studio.people.visitor import LOCAL, Visitor
from studio.request import Conditioning, GenerationRequest
from studio.request import Role as MediaRole
from tests.fakes import write_scripted_row, write_scripted_rows
from ui.web.views.comparisons import (
    base_view,
    comparison_view,
    deal_view,
    entry_label,
    model_view,
    plan_view,
    ranking_view,
    vote_view,
)
from ui.web.views.errors import error_view

BIG_SEED = 2**62 + 1
HOME = Path("/nowhere")


@pytest.fixture
def made(studio: Studio) -> Comparison:
    """Two finished clips of one model, and one that cannot be made."""
    base = GenerationRequest(model="", prompt="a <b>square</b>", seed=BIG_SEED, frame_rate=Fraction(8))
    variants = [
        Variant(model="scripted-moving", changes={"options": {"shade": 40}}),
        Variant(model="scripted-moving", label="mine", changes={"num_inference_steps": 2}),
        Variant(model="scripted-raises"),
    ]
    begun = studio.comparisons.start(CompareWish(base=base, variants=variants))
    return studio.comparisons.make(begun.id)


def names(studio: Studio) -> dict[str, str]:
    return {spec.id: spec.name for spec in studio.registry.catalog}


def test_an_entry_is_called_by_its_models_name_unless_somebody_named_it(studio: Studio, made: Comparison) -> None:
    labels = [entry_label(entry, names(studio)) for entry in made.entries]
    assert labels == ["Scripted scripted-moving shade=40", "mine", "Scripted scripted-raises"]
    told = comparison_view(made, LOCAL, HOME, names(studio), owner=None, my_votes=0)
    assert [entry["own_label"] for entry in told["entries"]] == ["", "mine", ""]


def test_a_seed_keeps_all_its_digits(studio: Studio, made: Comparison) -> None:
    told = comparison_view(made, LOCAL, HOME, names(studio), owner=None, my_votes=0)
    assert told["request"]["seed"] == str(BIG_SEED)
    assert told["entries"][0]["clip"]["seed"] == str(BIG_SEED)
    assert base_view(made.finished[0].asset, 0)["seed"] == str(BIG_SEED)  # type: ignore[arg-type]


def test_what_became_of_each_stands_beside_it(studio: Studio, made: Comparison) -> None:
    told = comparison_view(made, LOCAL, HOME, names(studio), owner=None, my_votes=0)
    first, _, last = told["entries"]
    assert (first["state"], first["percent"], first["checks"]) == ("succeeded", 100, "passed")
    assert (first["clip"]["num_frames"], first["clip"]["frame_rate"], first["clip"]["seconds"]) == (9, 8.0, 1.125)
    assert (last["state"], last["tone"], last["clip"]) == ("failed", "bad", None)
    assert last["error"]["message"] == "the script says so"
    assert told["reasons"] == list(REASONS)


@pytest.mark.parametrize(("role", "may_vote", "may_make"), [(Role.VIEWER, False, False), (Role.CREATOR, True, True)])
def test_a_visitor_is_offered_what_they_may_do(
    studio: Studio, made: Comparison, role: Role, may_vote: bool, may_make: bool
) -> None:
    visitor = Visitor(name="bob", role=role)
    told = comparison_view(made, visitor, HOME, names(studio), owner="alice", my_votes=0)
    assert (told["can_vote"], told["can_make"], told["is_mine"]) == (may_vote, may_make, False)
    own = comparison_view(made, visitor, HOME, names(studio), owner="bob", my_votes=0)
    assert own["is_mine"] == (role is Role.CREATOR)


def test_a_blind_pair_tells_no_name_no_id_and_no_digest(made: Comparison) -> None:
    left, right = (entry.asset for entry in made.finished)
    assert left is not None
    assert right is not None
    told = deal_view((left, "/a"), (right, "/b"), token="t", prompt=made.prompt, seen=1, votes=2)
    text = json.dumps(told)
    for asset in (left, right):
        for secret in (asset.id, asset.model, asset.sha256, asset.frames_sha256):
            assert secret not in text
    assert (told["left"]["url"], told["right"]["url"], told["seen"], told["votes"]) == ("/a", "/b", 1, 2)
    assert set(told["left"]) == {"url", "width", "height", "num_frames", "frame_rate", "seconds"}


def test_a_plan_tells_costs_differences_and_why_one_cannot_be_made(studio: Studio, tmp_path: Path) -> None:
    rows = write_scripted_rows(tmp_path / "priced")
    write_scripted_row(rows, "scripted-priced", "price = 0.25")
    write_scripted_row(rows, "scripted-unpriced", 'price = "unknown"')
    from studio.catalog.loader import load_catalog
    from studio.registry import Registry

    studio.__dict__["registry"] = Registry(load_catalog((rows,)), studio.settings)
    wanted = ("scripted-priced", "scripted-priced", "scripted-unpriced", "svd")
    base = GenerationRequest(model="", prompt="x", width=100, height=100)
    planned = studio.comparisons.plan(CompareWish(base=base, variants=[Variant(model=model) for model in wanted]))
    told = plan_view(planned, names(studio), studio.settings.home)
    assert told["cost"] == [{"amount": 0.5, "currency": "USD"}]
    assert (told["unknown"], told["remote"], told["can_start"]) == (1, 3, True)
    assert any("100x100 was asked for" in item["sentence"] for item in told["entries"][0]["differences"])
    assert told["entries"][3]["clip"] is None
    assert told["entries"][3]["error"]["message"]
    assert int(told["seed"]) == planned[0].resolved.seed  # type: ignore[union-attr]
    json.dumps(told, allow_nan=False)


def test_errors_tell_no_folder_and_no_argument_of_the_command_line() -> None:
    error = {"type": "UnreadableMedia", "message": f"not there: {HOME}/x", "field": "image", "got": "/home/bob/cat.png",
             "allowed": None, "fix": "add --image FILE"}  # fmt: skip
    told = error_view(error, HOME)
    assert told == {
        "message": "not there: STUDIO_HOME/x",
        "field": "image",
        "got": "cat.png",
        "allowed": None,
        "fix": None,
    }


def test_pictures_of_a_request_are_told_without_their_folders(studio: Studio, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    picture = tmp_path / "private" / "cat.png"
    picture.parent.mkdir()
    cv2.imwrite(str(picture), np.full((128, 160, 3), 90, np.uint8))
    item = Conditioning(role=MediaRole.FIRST_FRAME, path=picture)
    base = GenerationRequest(model="", prompt="x", conditionings=(item,))
    wish = CompareWish(base=base, variants=[Variant(model="scripted-moving"), Variant(model="scripted-frozen")])
    begun = studio.comparisons.start(wish)
    told = json.dumps(comparison_view(begun, LOCAL, studio.settings.home, names(studio), owner=None, my_votes=0))
    assert "private" not in told
    assert "first-frame" in told


def test_a_vote_is_told_in_a_sentence(studio: Studio, made: Comparison) -> None:
    vote = studio.comparisons.vote(made.id, 2, 1, Verdict.LEFT, ["motion"])
    told = vote_view(vote, {1: "One", 2: "Two"})
    assert told["sentence"] == "Two was found better than One"
    assert (told["reasons"], told["was_blind"]) == (["motion"], False)


def test_a_ranking_says_how_many_votes_are_missing_before_it_claims_anything(studio: Studio, made: Comparison) -> None:
    for _ in range(3):
        studio.comparisons.vote(made.id, 1, 2, Verdict.LEFT)
    labels = {"1": "One", "2": "Two", "3": "Three"}
    few = ranking_view(studio.comparisons.ranking("entry", comparison_id=made.id), labels)
    assert (few["votes"], few["missing"], few["is_enough"], few["claims"]) == (3, 27, False, 0)
    for _ in range(27):
        studio.comparisons.vote(made.id, 1, 2, Verdict.LEFT)
    many = ranking_view(studio.comparisons.ranking("entry", comparison_id=made.id), labels)
    assert (many["missing"], many["is_enough"], many["claims"]) == (0, True, 1)
    assert [(rank["label"], rank["rank"]) for rank in many["ranks"]] == [("One", 1), ("Two", 2), ("Three", None)]
    certain = [pair for pair in many["pairs"] if pair["better"]]
    assert [(pair["left_label"], pair["right_label"]) for pair in certain] == [("One", "Two")]


def test_a_model_comes_with_the_rules_of_its_parameters(studio: Studio) -> None:
    told = {entry.spec.id: model_view(entry) for entry in studio.models()}["scripted-moving"]
    assert (told["where"], told["ready"], told["steps"]["max"], told["guidance"]["default"]) == ("remote", True, 50, 4)
    assert told["options"]["mode"]["choices"] == ["soft", "hard"]
    json.dumps(told)
