"""A manifest says what happened, in the vocabulary of C2PA, and no more of the prompt than its policy allows."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from studio.config import PromptPolicy
from studio.provenance.manifest import (
    GENERATION_LABEL,
    Adapter,
    Ingredient,
    Origin,
    Provenance,
    build_manifest,
    generation,
)
from studio.provenance.origin import (
    COMPOSITE,
    DRAWN_BY_ALGORITHM,
    ENHANCED_BY_ALGORITHM,
    HUMAN_EDITS,
    RECIPES,
    TRAINED,
    Step,
)
from studio.provenance.prompts import prompt_digest, prompt_key
from studio.provenance.watermark import ALGORITHM, WatermarkRecord
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
    facts = assertion(build_manifest(provenance, title="c", watermark=None), GENERATION_LABEL)
    assert facts["seed"] == str(2**70)
    assert facts["options"] == {"salt": str(2**64), "steps": 4}


def test_what_nobody_knows_is_left_out() -> None:
    provenance = replace(PROVENANCE, seed=None, revision=None, weights_sha256=None, guidance_scale=None)
    text = json.dumps(build_manifest(provenance, title="c", watermark=None))
    assert "null" not in text.replace('"identity"', "")
    facts = assertion(build_manifest(provenance, title="c", watermark=None), GENERATION_LABEL)
    assert not {"seed", "guidance_scale", "provider"} & facts.keys()
    assert facts["checks"] == [{"id": "flicker", "passed": True, "score": 0.91}, {"id": "identity"}]


@pytest.mark.parametrize("policy", list(PromptPolicy))
def test_the_prompt_policy_rules_both_prompts(policy: PromptPolicy) -> None:
    manifest = build_manifest(replace(PROVENANCE, prompt_policy=policy), title="c", watermark=None)
    text = json.dumps(manifest)
    said = assertion(manifest, GENERATION_LABEL)["prompt"]
    assert said["policy"] == policy.value
    assert (PROMPT in text, "blurry stripes" in text) == ((policy is PromptPolicy.FULL),) * 2
    assert ("prompt_hmac_sha256" in said) == ("negative_prompt_hmac_sha256" in said) == (policy is PromptPolicy.HASH)


def test_only_who_has_the_key_can_prove_a_prompt_or_find_it_by_trying() -> None:
    secret = b"of this install"
    keys = [prompt_key(secret, job) for job in ("job-1", "job-2")]
    proofs = [
        generation(replace(PROVENANCE, prompt_key=key, negative_prompt=PROMPT))["prompt"] for key in (*keys, None)
    ]
    assert proofs[0]["prompt_hmac_sha256"] == prompt_digest(keys[0], "prompt", PROMPT)
    assert len({value for proof in proofs[:2] for name, value in proof.items() if name != "policy"}) == 4
    assert proofs[2] == {"policy": "hash"}
    assert prompt_key(b"of another install", "job-1") not in keys


@pytest.mark.parametrize("policy", [PromptPolicy.HASH, PromptPolicy.NONE])
def test_nothing_else_gives_the_prompt_away(policy: PromptPolicy) -> None:
    parent = provenance_of(Origin.CONDITIONED_VIDEO, parent=Path("A ZEBRA, nobody.png")).ingredients[0]
    provenance = replace(
        PROVENANCE,
        origin=Origin.CONDITIONED_VIDEO,
        prompt_policy=policy,
        ingredients=(replace(parent, title="A ZEBRA, nobody.png", role="first-frame"),),
        options={"style": "with a  Zebra nobody saw", "mode": "soft"},
        warnings=("prompt: 'zebra' is not a word it knows", "the prompt speaks of blurry stripes", "frames were cut"),
    )
    manifest = build_manifest(provenance, title="a zebra-nobody_may know about.mp4", watermark=None)
    assert "zebra" not in json.dumps(manifest).lower()
    assert "stripes" not in json.dumps(manifest)
    assert manifest["title"] == "job-1.mp4"
    assert provenance.ingredients[0].title == "first-frame.png"
    facts = assertion(manifest, GENERATION_LABEL)
    assert facts["warnings"] == ["frames were cut"]
    assert facts["options"] == {"mode": "soft"}


def test_a_prompt_of_one_word_is_kept_back_as_a_word_and_not_as_letters() -> None:
    provenance = replace(PROVENANCE, prompt="cat", warnings=("the cat is gone", "the category is unknown"))
    assert generation(provenance)["warnings"] == ["the category is unknown"]


def test_a_file_that_tells_its_prompt_tells_its_warnings_too() -> None:
    provenance = replace(PROVENANCE, prompt_policy=PromptPolicy.FULL, warnings=("prompt: 'zebra' is not known",))
    assert generation(provenance)["warnings"] == ["prompt: 'zebra' is not known"]


def test_values_from_users_and_providers_are_made_fit_for_the_record() -> None:
    provenance = replace(
        PROVENANCE,
        provider="Some\x00body",
        provider_job_id="x" * 10_000,
        options={"size": 2**70, "share": float("nan"), "name": "a\nb\ud800"},
        checks=(("flicker", True, float("inf")),),
        software={f"package-{number}": "1" for number in range(1000)},
    )
    facts = generation(provenance)
    assert facts["provider"] == "Some body"
    assert len(facts["provider_job_id"]) == 500
    assert facts["options"] == {"size": str(2**70), "name": "a b"}
    assert facts["checks"] == [{"id": "flicker", "passed": True}]
    assert len(facts["software"]) == 200
    json.dumps(facts, allow_nan=False).encode()


def test_adapters_speed_profile_and_inputs_are_told() -> None:
    grain = Adapter(name="grain", sha256="cd" * 32, scale=0.8)
    parent = provenance_of(Origin.CONDITIONED_VIDEO, parent=ANYWHERE).ingredients[0]
    provenance = replace(
        PROVENANCE,
        origin=Origin.CONDITIONED_VIDEO,
        adapters=(grain,),
        speed_profile="fast",
        ingredients=(replace(parent, role="first-frame", sha256="ef" * 32),),
    )
    facts = generation(provenance)
    assert facts["model"]["adapters"] == [{"name": "grain", "sha256": "cd" * 32, "scale": 0.8}]
    assert facts["speed_profile"] == "fast"
    assert facts["inputs"] == [{"role": "first-frame", "sha256": "ef" * 32}]
    assert Provenance.from_json(json.loads(json.dumps(provenance.as_json()))) == provenance


def test_a_record_from_before_a_field_was_known_is_still_understood() -> None:
    old = PROVENANCE.as_json()
    added = ("adapters", "speed_profile", "prompt_key", "visible_label", "generate_audio")
    for name in (*added, "ruling", "is_trimmed", "is_resized", "is_retimed"):
        del old[name]
    assert Provenance.from_json(old) == replace(PROVENANCE, prompt_key=None)


def test_the_prompt_key_is_not_shown() -> None:
    assert "5c5c" not in repr(PROVENANCE)


def test_a_mark_of_few_bits_is_named_with_as_many_bytes() -> None:
    manifest = build_manifest(PROVENANCE, title="c.png", watermark=WatermarkRecord(ALGORITHM, 0xBEEF, 0.9, 16))
    assert base64.b64decode(assertion(manifest, "c2pa.soft-binding")["blocks"][0]["value"]) == b"\xbe\xef"
    assert assertion(manifest, GENERATION_LABEL)["watermark"] == {"algorithm": ALGORITHM, "id": "beef", "bits": 16}


def test_a_mark_that_came_with_the_parent_is_bound_but_not_claimed_as_made() -> None:
    provenance = provenance_of(Origin.CONVERTED, parent=ANYWHERE)
    manifest = build_manifest(provenance, title="c.mp4", watermark=MARK, watermark_is_inherited=True)
    assert [item["action"] for item in assertion(manifest, "c2pa.actions.v2")["actions"]] == [
        "c2pa.opened",
        "c2pa.transcoded",
    ]
    assert assertion(manifest, "c2pa.soft-binding")["alg"] == ALGORITHM
    assert assertion(manifest, GENERATION_LABEL)["watermark"]["inherited"] is True


def test_a_visible_label_and_scaling_are_told_as_actions_before_the_mark() -> None:
    provenance = replace(PROVENANCE, visible_label="icon", is_resized=True)
    created, resized, labelled, marked = actions(provenance)
    assert (created["action"], marked["action"]) == ("c2pa.created", "c2pa.watermarked.bound")
    assert resized == {"action": "c2pa.resized.proportional", "when": "2026-11-22T12:00:00Z"}
    assert (labelled["action"], labelled["digitalSourceType"]) == ("c2pa.addedText", DRAWN_BY_ALGORITHM)
    assert generation(provenance)["visible_label"] == "icon"


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        (Origin.ENHANCED, [("c2pa.opened", None), ("c2pa.enhanced", ENHANCED_BY_ALGORITHM)]),
        (Origin.REIMAGINED, [("c2pa.opened", None), ("c2pa.edited", COMPOSITE)]),
        (Origin.DERIVED_SOUND, [("c2pa.opened", None), ("c2pa.deleted", HUMAN_EDITS), ("c2pa.converted", None)]),
        (Origin.ANIMATED_PICTURE, [("c2pa.opened", None), ("c2pa.converted", None)]),
    ],
)
def test_what_was_done_to_a_parent_is_told(origin: Origin, told: list[tuple[str, str | None]]) -> None:
    found = actions(provenance_of(origin, parent=ANYWHERE), watermark=None)
    assert [(action["action"], action.get("digitalSourceType")) for action in found] == told


@pytest.mark.parametrize(
    ("origin", "names"),
    [
        (Origin.CONVERTED, ["c2pa.opened", "c2pa.transcoded"]),
        (Origin.TRIMMED, ["c2pa.opened", "c2pa.trimmed", "c2pa.transcoded"]),
        (Origin.ANIMATED_PICTURE, ["c2pa.opened", "c2pa.converted", "c2pa.transcoded"]),
    ],
)
def test_another_frame_rate_is_told_where_the_clip_was_encoded(origin: Origin, names: list[str]) -> None:
    found = actions(replace(provenance_of(origin, parent=ANYWHERE), is_retimed=True), watermark=None)
    assert [action["action"] for action in found] == names
    assert found[-1]["description"] == "the frame rate was changed"


def test_a_part_of_a_clip_as_an_animated_picture_or_sound_is_both_cut_and_converted() -> None:
    animated, sound = (
        [step["action"] for step in actions(replace(provenance_of(origin, parent=ANYWHERE), is_trimmed=True))]
        for origin in (Origin.ANIMATED_PICTURE, Origin.DERIVED_SOUND)
    )
    assert animated[:3] == ["c2pa.opened", "c2pa.trimmed", "c2pa.converted"]
    assert sound[:4] == ["c2pa.opened", "c2pa.trimmed", "c2pa.deleted", "c2pa.converted"]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"action": "c2pa.sparkled"}, "action: expected one of"),
        ({"action": "c2pa.edited"}, "needs one"),
        ({"action": "c2pa.edited", "source_type": "foo"}, "source_type: expected one of"),
    ],
)
def test_words_that_no_vocabulary_knows_are_refused(step: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Step(**step)  # type: ignore[arg-type]
    for wrong in ({"training_use": "maybe"}, {"visible_label": "banner"}):
        with pytest.raises(ValueError, match="expected"):
            replace(PROVENANCE, **wrong)


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
