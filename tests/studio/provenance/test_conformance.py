"""Every kind of file is taken for good by validators, and follows what C2PA 2.4 asks of those who make records.

The rules here are written from the specification. The public rubric (c2pa-org/conformance-public, asset-rubrics) is
run as well where ``STUDIO_TEST_RUBRICS`` names the folder it lies in and ``json_formula`` can be imported;
``python -m benchmarks.conformance`` prints its verdict kind by kind.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conformance.kinds import MP4, PROMPT, PROVENANCE, Maker, Sample, kinds
from benchmarks.conformance.rubric import Rubric, crjson
from studio.provenance.certificates import SigningIdentity
from studio.provenance.inspect import read_c2pa
from studio.provenance.trust import identity_list

Record = dict[str, Any]
Change = Callable[[Record], None]

NUM_KINDS = 33
# C2PA 2.4: actions that need no digital source type, and the assertions of the standard that the studio writes.
NOT_EDITORIAL = {
    "c2pa.opened",
    "c2pa.placed",
    "c2pa.converted",
    "c2pa.transcoded",
    "c2pa.resized.proportional",
    "c2pa.enhanced",
    "c2pa.watermarked.bound",
}
STANDARD = {
    "c2pa.actions.v2",
    "c2pa.ai-disclosure",
    "c2pa.hash.bmff.v3",
    "c2pa.hash.data",
    "c2pa.ingredient.v3",
    "c2pa.soft-binding",
}


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory, identity: SigningIdentity) -> Maker:
    return Maker(tmp_path_factory.mktemp("kinds"), identity)


@pytest.fixture(scope="module", params=range(NUM_KINDS))
def sample(request: pytest.FixtureRequest, maker: Maker) -> Sample:
    return list(kinds(maker))[request.param]()


def test_all_kinds_are_looked_at(maker: Maker) -> None:
    assert len(list(kinds(maker))) == NUM_KINDS


def test_every_kind_is_trusted_at_home_and_valid_elsewhere(sample: Sample, identity: SigningIdentity) -> None:
    facts = {"mime_type": sample.mime_type, "manifest_store": sample.store}
    home = read_c2pa(sample.path, lists=[identity_list(identity)], **facts)
    assert (home.state, home.problem) == ("trusted", None)
    assert read_c2pa(sample.path, **facts).state == "valid"


def test_an_independent_verifier_agrees(
    sample: Sample, identity: SigningIdentity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if sample.store is not None:
        pytest.skip("the other verifier does not know Matroska files")
    monkeypatch.setenv("HOME", str(tmp_path))
    oracle = pytest.importorskip("encypher_c2pa")
    found = oracle.verify(
        str(sample.path),
        sample.mime_type,
        no_default_trust=True,
        trust_pem=identity.anchors_pem.decode(),
        telemetry=False,
        online=False,
    )
    assert found["validation_results"]["failure"] == []
    verdict = (found["validation_state"], found["integrity"], found["signature"], found["hard_binding"])
    assert verdict == ("Trusted", "valid", "valid", "match")


def test_every_kind_follows_the_rules(sample: Sample, identity: SigningIdentity) -> None:
    assert broken_rules(crjson(sample, identity_list(identity))) == []


def test_every_kind_passes_the_public_rubric(maker: Maker, identity: SigningIdentity) -> None:
    folder = os.environ.get("STUDIO_TEST_RUBRICS")
    if folder is None:
        pytest.skip("STUDIO_TEST_RUBRICS names no folder with the public rubric")
    rubric = Rubric(Path(folder))
    for make in kinds(maker):
        good, bad = rubric.judge(crjson(make(), identity_list(identity)))
        assert (len(good), bad) == (31, [])


def test_only_what_the_policy_allows_is_in_the_files(maker: Maker) -> None:
    telling = {sample.name for make in kinds(maker) if PROMPT.encode() in (sample := make()).path.read_bytes()}
    assert telling == {"prompt_full"}


def broken_rules(record: Record) -> list[str]:
    """Return the rules that a record (crJSON) breaks, in words."""
    active = record["manifests"][0]
    claim, assertions = active["claim.v2"], active["assertions"]
    rules = {
        "the manifest's name is a C2PA URN": active["label"].startswith("urn:c2pa:"),
        "the generator names the version of the specification": claim["claim_generator_info"]["specVersion"] == "2.4.0",
        "the signer vouches for the actions first": claim["created_assertions"][0]["url"].endswith("c2pa.actions.v2"),
        "labels are standard or have a name space": all(
            label.split("__")[0] in STANDARD or (not label.startswith("c2pa.") and "." in label) for label in assertions
        ),
        "the validator found no fault": active["validationResults"]["failure"] == [],
        "an ingredient with a record tells how it validated": all(
            ("activeManifest" in item) == ("validationResults" in item) for item in _ingredients(assertions)
        ),
    }
    return [words for words, holds in (rules | _action_rules(assertions)).items() if not holds]


def _ingredients(assertions: Record) -> list[Record]:
    return [item for label, item in assertions.items() if label.startswith("c2pa.ingredient")]


def _action_rules(assertions: Record) -> dict[str, bool]:
    told = assertions["c2pa.actions.v2"]
    actions = told["actions"]
    names = [action["action"] for action in actions]
    parents = [item for item in _ingredients(assertions) if item["relationship"] == "parentOf"]
    opened = [action for action in actions if action["action"] == "c2pa.opened"]
    return {
        "it says whether all actions are told": isinstance(told["allActionsIncluded"], bool),
        "one inception, and it comes first": [name in ("c2pa.created", "c2pa.opened") for name in names]
        == [True] + [False] * (len(names) - 1),
        "what can be seen or heard has a source": all(
            "digitalSourceType" in action for action in actions if action["action"] not in NOT_EDITORIAL
        ),
        "what was opened keeps its own source": not any("digitalSourceType" in action for action in opened),
        "what was opened is the one parent": len(parents)
        == len(opened)
        == sum(len(action["parameters"]["ingredients"]) for action in opened),
        "parameters are standard": all(set(action.get("parameters", {})) <= {"ingredients"} for action in actions),
        "a claimed mark is bound": "c2pa.watermarked.bound" not in names or "c2pa.soft-binding" in assertions,
    }


CHANGES: dict[str, Change] = {
    "specification": lambda m: m["claim.v2"]["claim_generator_info"].pop("specVersion") and _set_version(m),
    "vouches": lambda m: m["claim.v2"]["created_assertions"].reverse(),
    "labels": lambda m: m["assertions"].update({"c2pa.sparkle": {}}),
    "no fault": lambda m: m["validationResults"]["failure"].append({"code": "assertion.bmffHash.mismatch"}),
    "inception": lambda m: _actions(m).reverse(),
    "has a source": lambda m: _actions(m)[0].pop("digitalSourceType"),
    "parameters": lambda m: _actions(m)[0].update(parameters={"colour": "red"}),
    "bound": lambda m: m["assertions"].pop("c2pa.soft-binding"),
}


def _set_version(manifest: Record) -> None:
    manifest["claim.v2"]["claim_generator_info"]["specVersion"] = "1.0"


def _actions(manifest: Record) -> list[Record]:
    actions: list[Record] = manifest["assertions"]["c2pa.actions.v2"]["actions"]
    return actions


@pytest.mark.parametrize("word", list(CHANGES))
def test_the_rules_catch_a_record_that_breaks_them(word: str, maker: Maker, identity: SigningIdentity) -> None:
    record = crjson(maker.sample("ruled", PROVENANCE), identity_list(identity))
    assert broken_rules(record) == []
    broken = deepcopy(record)
    CHANGES[word](broken["manifests"][0])
    assert any(word in words for words in broken_rules(broken))


def test_what_was_opened_must_be_there(maker: Maker, identity: SigningIdentity) -> None:
    converted = next(sample for make in kinds(maker) if (sample := make()).name == "converted")
    record = crjson(converted, identity_list(identity))
    assert converted.mime_type == MP4
    _actions(record["manifests"][0])[0]["parameters"]["ingredients"] = []
    assert broken_rules(record) == ["what was opened is the one parent"]
