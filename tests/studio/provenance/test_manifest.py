"""A manifest says what happened, in the vocabulary of C2PA, and no more of the prompt than its policy allows."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from studio.config import PromptPolicy
from studio.provenance.manifest import GENERATION_LABEL, Ingredient, Origin, Provenance, build_manifest
from studio.provenance.origin import COMPOSITE, RECIPES, TRAINED
from studio.request import Task
from tests.studio.provenance.conftest import MARK, PROMPT, PROVENANCE, provenance_of

ANYWHERE = Path("parent.mp4")


def assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    (found,) = [item["data"] for item in manifest["assertions"] if item["label"] == label]
    return dict(found)


def actions(provenance: Provenance, **parts: Any) -> list[dict[str, Any]]:
    manifest = build_manifest(provenance, title="clip.mp4", **{"watermark": MARK, **parts})
    return list(assertion(manifest, "c2pa.actions.v2")["actions"])


@pytest.mark.parametrize("origin", list(Origin))
def test_every_origin_survives_json(origin: Origin) -> None:
    provenance = provenance_of(origin, parent=ANYWHERE)
    assert Provenance.from_json(json.loads(json.dumps(provenance.as_json()))) == provenance


@pytest.mark.parametrize("origin", list(Origin))
def test_the_first_action_is_created_with_a_source_type_or_opened_without(origin: Origin) -> None:
    first = actions(provenance_of(origin, parent=ANYWHERE))[0]
    if first["action"] == "c2pa.opened":
        assert "digitalSourceType" not in first
        assert first["parameters"] == {"ingredientIds": ["ingredient_0"]}
    else:
        assert first["action"] == "c2pa.created"
        assert first["digitalSourceType"] in (TRAINED, COMPOSITE)
    assert first["when"] == "2026-11-22T12:00:00Z"


def test_a_clip_made_from_a_picture_names_it() -> None:
    first = actions(provenance_of(Origin.CONDITIONED_VIDEO, parent=ANYWHERE))[0]
    assert first["digitalSourceType"] == TRAINED
    assert first["softwareAgent"] == {"name": "Micro Wan", "version": "0123abc"}
    assert first["parameters"] == {"ingredientIds": ["ingredient_0"]}


def test_an_edit_names_the_clip_it_opened_and_the_picture_it_looked_at() -> None:
    parent = Ingredient(path=ANYWHERE, title="clip", mime_type="video/mp4", relationship="parentOf")
    picture = replace(parent, title="picture", mime_type="image/png", relationship="inputTo")
    opened, edited, marked = actions(replace(PROVENANCE, origin=Origin.VIDEO_EDIT, ingredients=(picture, parent)))
    assert opened["parameters"] == {"ingredientIds": ["ingredient_1"]}
    assert edited["parameters"] == {"ingredientIds": ["ingredient_0"]}
    assert edited["digitalSourceType"] == COMPOSITE
    assert marked["action"] == "c2pa.watermarked.bound"


@pytest.mark.parametrize("task", list(Task))
def test_every_task_has_an_origin(task: Task) -> None:
    assert Origin.of_task(task) in RECIPES


def test_only_a_mark_that_was_read_back_is_claimed() -> None:
    marked = build_manifest(PROVENANCE, title="clip.mp4", watermark=MARK)
    block = assertion(marked, "c2pa.soft-binding")["blocks"][0]
    assert base64.b64decode(block["value"]) == MARK.payload.to_bytes(8, "big")
    plain = build_manifest(PROVENANCE, title="clip.mp4", watermark=None)
    assert "watermark" not in json.dumps(plain)
    assert "soft-binding" not in json.dumps(plain)


def test_numbers_too_large_for_the_record_are_written_as_text() -> None:
    provenance = replace(PROVENANCE, seed=2**70, options={"salt": 2**64, "steps": 4})
    generation = assertion(build_manifest(provenance, title="c", watermark=None), GENERATION_LABEL)
    assert generation["seed"] == str(2**70)
    assert generation["options"] == {"salt": str(2**64), "steps": 4}


def test_what_nobody_knows_is_left_out() -> None:
    provenance = replace(PROVENANCE, seed=None, revision=None, weights_sha256=None, guidance_scale=None)
    text = json.dumps(build_manifest(provenance, title="c", watermark=None))
    assert "null" not in text.replace('"identity"', "")
    generation = assertion(build_manifest(provenance, title="c", watermark=None), GENERATION_LABEL)
    assert not {"seed", "guidance_scale", "provider"} & generation.keys()
    assert generation["checks"] == [{"id": "flicker", "passed": True, "score": 0.91}, {"id": "identity"}]


@pytest.mark.parametrize("policy", list(PromptPolicy))
def test_the_prompt_policy_rules_both_prompts(policy: PromptPolicy) -> None:
    manifest = build_manifest(replace(PROVENANCE, prompt_policy=policy), title="c", watermark=None)
    digest = hashlib.sha256(PROMPT.encode()).hexdigest()
    text = json.dumps(manifest)
    assert assertion(manifest, GENERATION_LABEL)["prompt"]["policy"] == policy.value
    assert (PROMPT in text, "blurry stripes" in text) == ((policy is PromptPolicy.FULL),) * 2
    assert (digest in text) == (policy is not PromptPolicy.NONE)


def test_training_use_is_said_for_every_kind_of_use() -> None:
    manifest = build_manifest(replace(PROVENANCE, training_use="constrained"), title="c", watermark=None)
    entries = assertion(manifest, "cawg.training-mining")["entries"]
    assert len(entries) == 4
    assert {entry["use"] for entry in entries.values()} == {"constrained"}


def test_an_ingredient_that_does_not_fit_the_origin_is_refused() -> None:
    with pytest.raises(ValueError, match="relationship"):
        replace(provenance_of(Origin.CONDITIONED_VIDEO, parent=ANYWHERE), origin=Origin.TEXT_TO_VIDEO)
    with pytest.raises(ValueError, match="one parent, got 0"):
        replace(PROVENANCE, origin=Origin.DERIVED_STILL)
    with pytest.raises(ValueError, match="time zone"):
        replace(PROVENANCE, created_at=datetime(2026, 1, 1))  # noqa: DTZ001
