"""Presets and earlier prompts over both databases."""

from __future__ import annotations

from typing import Any

import pytest

from studio.errors import UnsupportedValue
from studio.library.store import Store
from studio.people.account import Role
from studio.people.people import People
from studio.people.presets import Presets, UnknownPreset, last_job, recent_prompts
from studio.people.visitor import LOCAL, Visitor

ADA = Visitor(name="ada", role=Role.CREATOR)


def _request(prompt: str) -> dict[str, Any]:
    return {"model": "micro-wan", "prompt": prompt, "seed": 1, "conditionings": []}


def test_a_preset_is_its_visitors_alone_and_saved_once_for_each_name(people: People, store: Store) -> None:
    people.add("ada", "a long word of ada")
    presets = Presets(store)
    kept = presets.save(ADA, "micro-wan", "draft", {"num_inference_steps": 4, "prompt": "a ★ <b>"})
    assert presets.save(ADA, "micro-wan", " draft ", {"num_inference_steps": 6}).id == kept.id
    assert presets.save(LOCAL, "micro-wan", "draft", {}).id != kept.id
    assert [item.values for item in presets.of_model(ADA, "micro-wan")] == [{"num_inference_steps": 6}]
    with pytest.raises(UnknownPreset):
        presets.remove(LOCAL, kept.id)
    assert presets.remove(ADA, kept.id).name == "draft"
    assert presets.of_model(ADA, "micro-wan") == []
    with pytest.raises(UnsupportedValue):
        presets.save(ADA, "micro-wan", "\u202e", {})


def test_who_leaves_takes_their_presets_along(people: People, store: Store) -> None:
    people.add("root", "a long word of root", Role.ADMIN)
    people.add("ada", "a long word of ada")
    kept = Presets(store).save(ADA, "micro-wan", "draft", {})
    people.remove("ada")
    with pytest.raises(UnknownPreset):
        Presets(store).preset(ADA, kept.id)


def test_prompts_and_the_last_job_are_ones_own(people: People, store: Store) -> None:
    people.add("ada", "a long word of ada")
    for number, prompt in enumerate(["one", "two", "one", " "]):
        store.add_job(f"job-{number}", _request(prompt))
        people.own(f"job-{number}", "ada")
    store.add_job("job-local", _request("of this machine"))
    assert sorted(recent_prompts(store, ADA)) == ["one", "two"]
    assert recent_prompts(store, LOCAL) == ["of this machine"]
    found = last_job(store, LOCAL)
    assert found is not None
    assert found.id == "job-local"
    assert last_job(store, ADA, "another-model") is None
