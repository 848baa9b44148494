"""What a sealed file says about itself: a pure function from a clip's provenance to a C2PA manifest."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.config import PromptPolicy
from studio.provenance.origin import RECIPES, Origin, Relationship
from studio.request import OptionValue

if TYPE_CHECKING:
    from studio.provenance.watermark import WatermarkRecord

__all__ = ["CREATED_LABELS", "GENERATION_LABEL", "Ingredient", "Origin", "Provenance", "build_manifest"]

GENERATOR_NAME = "Local Video Studio"
SPEC_VERSION = "2.4.0"
GENERATION_LABEL = "org.localvideostudio.generation"
AI_DISCLOSURE_LABEL = "c2pa.ai-disclosure"
SOFT_BINDING_LABEL = "c2pa.soft-binding"
TRAINING_LABEL = "cawg.training-mining"

# Assertions the signer vouches for itself; the SDK treats every other one as hearsay ("gathered").
CREATED_LABELS = ("c2pa.actions", SOFT_BINDING_LABEL, AI_DISCLOSURE_LABEL, GENERATION_LABEL, TRAINING_LABEL)

_TRAINING_ENTRIES = ("cawg.ai_training", "cawg.ai_generative_training", "cawg.ai_inference", "cawg.data_mining")
CheckResult = tuple[str, bool | None, float | None]


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """A file that went into another.

    title: what is written into the signed file instead of the path.
    mime_type: what it is taken for where its content does not tell.
    """

    path: Path
    title: str
    mime_type: str
    relationship: Relationship


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Everything known about how a clip was made; None where nobody knows.

    repository, revision, weights_sha256: the model's own, as pinned in the catalog.
    pipeline: class name of the generator. frame_rate: frames per second. seed: 0 .. 2**63 - 1.
    training_use: allowed, notAllowed or constrained.
    created_at: when the frames were made, with a time zone.
    warnings: what the user was told. checks: (check id, passed or None, score or None).
    software: versions of what took part, by name.
    unbound_sha256: digest of what the hard binding leaves out, see `studio.provenance.unbound_boxes`.

    Raises:
        ValueError: an ingredient's relationship does not fit the origin, or `created_at` has no time zone.
    """

    job_id: str
    origin: Origin
    task: str
    model_id: str
    model_name: str
    pipeline: str
    width: int
    height: int
    num_frames: int
    frame_rate: Fraction
    created_at: datetime
    studio_version: str
    prompt: str = ""
    negative_prompt: str = ""
    prompt_policy: PromptPolicy = PromptPolicy.HASH
    training_use: str = "notAllowed"
    repository: str | None = None
    revision: str | None = None
    weights_sha256: str | None = None
    provider: str | None = None
    provider_job_id: str | None = None
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    ingredients: tuple[Ingredient, ...] = ()
    warnings: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    software: Mapping[str, str] = field(default_factory=dict)
    unbound_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.created_at.tzinfo is None:
            raise ValueError(f"created_at: expected a time zone, got {self.created_at.isoformat()}")
        recipe = RECIPES[self.origin]
        found = [item.relationship for item in self.ingredients]
        if set(found) - recipe.relationships:
            allowed = sorted(recipe.relationships) or "none"
            raise ValueError(f"ingredients: {self.origin} expects relationship {allowed}, got {sorted(set(found))}")
        if found.count("parentOf") != (recipe.relationship == "parentOf"):
            raise ValueError(f"ingredients: {self.origin} expects one parent, got {found.count('parentOf')}")

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` turns back into an equal provenance. It holds the prompt in full."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {
            "origin": self.origin.value,
            "prompt_policy": self.prompt_policy.value,
            "frame_rate": str(self.frame_rate),
            "created_at": self.created_at.isoformat(),
            "options": dict(self.options),
            "software": dict(self.software),
            "ingredients": [vars(item) | {"path": str(item.path)} for item in self.ingredients],
            "warnings": list(self.warnings),
            "checks": [list(check) for check in self.checks],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Provenance:
        """Rebuild a provenance stored by `as_json`."""
        return cls(
            **{
                **data,
                "origin": Origin(data["origin"]),
                "prompt_policy": PromptPolicy(data["prompt_policy"]),
                "frame_rate": Fraction(data["frame_rate"]),
                "created_at": datetime.fromisoformat(data["created_at"]),
                "ingredients": tuple(
                    Ingredient(**{**item, "path": Path(item["path"])}) for item in data["ingredients"]
                ),
                "warnings": tuple(data["warnings"]),
                "checks": tuple((name, passed, score) for name, passed, score in data["checks"]),
            }
        )


def build_manifest(provenance: Provenance, *, title: str, watermark: WatermarkRecord | None) -> dict[str, Any]:
    """Return the C2PA manifest definition of a file.

    title: a file name; it is public, so it must not hold the prompt unless the policy is full.
    watermark: the mark as read back from the encoded file; None where there is none to be sure of.
    """
    assertions = [
        _assertion("c2pa.actions.v2", _actions(provenance, watermark)),
        _assertion(AI_DISCLOSURE_LABEL, _ai_disclosure(provenance)),
        _assertion(GENERATION_LABEL, generation(provenance)),
        _assertion(TRAINING_LABEL, {"entries": {name: {"use": provenance.training_use} for name in _TRAINING_ENTRIES}}),
    ]
    if watermark is not None:
        assertions.insert(1, _assertion(SOFT_BINDING_LABEL, _soft_binding(watermark)))
    generator = {"name": GENERATOR_NAME, "version": provenance.studio_version, "specVersion": SPEC_VERSION}
    return {"claim_version": 2, "claim_generator_info": [generator], "title": title, "assertions": assertions}


def ingredient_label(index: int) -> str:
    """Return the name by which actions refer to the ingredient at this place."""
    return f"ingredient_{index}"


def generation(provenance: Provenance) -> dict[str, Any]:
    """Return the studio's own assertion: how to make this clip again, as far as the prompt policy tells."""
    facts: dict[str, Any] = {
        "job_id": provenance.job_id,
        "origin": provenance.origin.value,
        "task": provenance.task,
        "model": _without_none(
            id=provenance.model_id,
            name=provenance.model_name,
            repository=provenance.repository,
            revision=provenance.revision,
            weights_sha256=provenance.weights_sha256,
        ),
        "pipeline": provenance.pipeline,
        "provider": provenance.provider,
        "provider_job_id": provenance.provider_job_id,
        # The claim's integers are signed 64-bit at best; a provider's seed may be larger.
        "seed": None if provenance.seed is None else str(provenance.seed),
        "num_inference_steps": provenance.num_inference_steps,
        "guidance_scale": provenance.guidance_scale,
        "width": provenance.width,
        "height": provenance.height,
        "num_frames": provenance.num_frames,
        "frame_rate": str(provenance.frame_rate),
        "options": {name: _cbor_safe(value) for name, value in provenance.options.items()},
        "prompt": _prompt(provenance),
        "warnings": list(provenance.warnings),
        "checks": [_without_none(id=name, passed=passed, score=score) for name, passed, score in provenance.checks],
        "software": dict(provenance.software),
        "unbound_sha256": provenance.unbound_sha256,
    }
    return _without_none(**facts)


def _actions(provenance: Provenance, watermark: WatermarkRecord | None) -> dict[str, Any]:
    recipe = RECIPES[provenance.origin]
    when = provenance.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    agent = _without_none(name=_agent_name(provenance), version=provenance.revision)
    actions = []
    for step in recipe.steps:
        action = _without_none(action=step.action, when=when, digitalSourceType=step.source_type)
        if step.by_model:
            action["softwareAgent"] = agent
        labels = [
            ingredient_label(index)
            for index, item in enumerate(provenance.ingredients)
            if item.relationship == step.uses
        ]
        if labels:
            action["parameters"] = {"ingredientIds": labels}
        actions.append(action)
    if watermark is not None:
        actions.append({"action": "c2pa.watermarked.bound", "when": when})
    return {"actions": actions, "allActionsIncluded": True}


def _agent_name(provenance: Provenance) -> str:
    return f"{provenance.model_name} ({provenance.provider})" if provenance.provider else provenance.model_name


def _soft_binding(watermark: WatermarkRecord) -> dict[str, Any]:
    value = base64.b64encode(watermark.payload.to_bytes(8, "big")).decode()
    return {
        "alg": watermark.algorithm,
        "name": "invisible watermark",
        "blocks": [{"scope": {}, "value": value}],
        "pad": [],
    }


def _ai_disclosure(provenance: Provenance) -> dict[str, Any]:
    identifier = provenance.model_id
    if provenance.repository:
        identifier = "@".join(filter(None, (provenance.repository, provenance.revision)))
    return {
        "modelType": "c2pa.types.model",
        "modelName": provenance.model_name,
        "modelIdentifier": identifier,
        "contentProfile": {"humanOversightLevel": "prompt_guided"},
    }


def _prompt(provenance: Provenance) -> dict[str, Any]:
    """Say as much about the prompts as the policy allows. A hash proves a prompt that is known;
    a short or guessable prompt can be found by trying, so those who must hide one choose ``none``."""
    told: dict[str, Any] = {"policy": provenance.prompt_policy.value}
    for name in ("prompt", "negative_prompt"):
        text = getattr(provenance, name)
        if not text:
            continue
        if provenance.prompt_policy is PromptPolicy.FULL:
            told[name] = text
        if provenance.prompt_policy is not PromptPolicy.NONE:
            told[f"{name}_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return told


def _cbor_safe(value: OptionValue) -> OptionValue:
    is_large = isinstance(value, int) and not -(2**63) <= value < 2**63
    return str(value) if is_large else value


def _assertion(label: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"label": label, "data": data}


def _without_none(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}
