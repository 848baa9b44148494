"""Taking out of a file's ingredients what they tell of their prompts, when this file may not tell it.

An ingredient brings its own manifest along, and those of its ingredients. C2PA 2.4 ("Redaction of Assertions") lets a
new claim name assertions that were removed from them: the rest of the old record stays verifiable. The removal is
written into the claim's ``redacted_assertions``. The recommended ``c2pa.redacted`` action is left out: the SDK removes
the whole box, and a verifier that looks for the action's target in the store then calls the new file invalid
(encypher-c2pa 1.7 does); without it every verifier agrees. As the list of actions is then not complete, it says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from studio.config import PromptPolicy
from studio.provenance.manifest import ACTIONS_LABEL, GENERATION_LABEL
from studio.provenance.prompts import tells_more

REDACTED_NOTE = "ingredients: records that told more of a prompt than this file may were taken out of their credentials"
LEFT_OUT_NOTE = "ingredients: credentials that told more of a prompt than this file may were left out"


def policy_of(definition: Mapping[str, Any]) -> PromptPolicy:
    """Return the prompt policy that a manifest definition was made under; the strictest where it names none."""
    said = _data(definition, GENERATION_LABEL).get("prompt")
    return PromptPolicy(said["policy"]) if isinstance(said, dict) and "policy" in said else PromptPolicy.NONE


def to_redact(store: Mapping[str, Any], policy: PromptPolicy) -> list[str]:
    """Return the JUMBF URIs of the records of ours, at any depth, that tell more than the policy allows.

    store: the SDK's JSON of the ingredient's manifest store.
    """
    return [uri for uri, data in records(store).items() if _tells(data, policy)]


def records(store: Mapping[str, Any]) -> dict[str, Any]:
    """Return the studio's own records that stand in a manifest store, by JUMBF URI."""
    return {
        f"self#jumbf=/c2pa/{label}/c2pa.assertions/{_instance(assertion)}": assertion.get("data")
        for label, manifest in (store.get("manifests") or {}).items()
        for assertion in manifest.get("assertions") or ()
        if str(assertion.get("label", "")).split("__", 1)[0] == GENERATION_LABEL
    }


def taken_out(store: Mapping[str, Any]) -> set[str]:
    """Return the JUMBF URIs that the manifests of a store say were taken out of others."""
    return {uri for manifest in (store.get("manifests") or {}).values() for uri in manifest.get("redactions") or ()}


def with_redactions(definition: dict[str, Any], uris: Sequence[str]) -> dict[str, Any]:
    """Return a definition that takes these assertions out of its ingredients and says that it did."""
    if not uris:
        return definition
    changed = with_note(definition, REDACTED_NOTE)
    _data(changed, ACTIONS_LABEL)["allActionsIncluded"] = False
    return changed | {"redactions": list(dict.fromkeys(uris))}


def with_note(definition: dict[str, Any], note: str) -> dict[str, Any]:
    """Return a definition whose record also tells this warning."""
    changed = deepcopy(definition)
    generation = _data(changed, GENERATION_LABEL)
    generation["warnings"] = [*generation.get("warnings", ()), note]
    return changed


def _data(definition: Mapping[str, Any], label: str) -> dict[str, Any]:
    found = (item["data"] for item in definition.get("assertions", ()) if item["label"] == label)
    return next(found, {})


def _instance(assertion: Mapping[str, Any]) -> str:
    """Return the label as it stands in the store, where a second assertion of a kind is numbered."""
    label, number = str(assertion["label"]), int(assertion.get("instance") or 0)
    return label if number == 0 or "__" in label else f"{label}__{number}"


def _tells(data: Any, policy: PromptPolicy) -> bool:
    return tells_more(data, policy) if isinstance(data, Mapping) else policy is not PromptPolicy.FULL
