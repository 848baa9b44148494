"""What a sealed file says about itself: a pure function from a clip's provenance to a C2PA manifest."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.config import PromptPolicy
from studio.consistency.policy import Ruling
from studio.provenance.origin import LABELLED, RECIPES, RESIZED, RETIMED, TRIMMED, Origin, Relationship, Step
from studio.provenance.prompts import PROMPT_FIELDS, repeats, told
from studio.provenance.values import plain, text, without_none
from studio.request import OptionValue

if TYPE_CHECKING:
    from studio.provenance.watermark import WatermarkRecord

__all__ = ["CREATED_LABELS", "GENERATION_LABEL", "Adapter", "Ingredient", "Origin", "Provenance", "build_manifest"]

GENERATOR_NAME = "Local Video Studio"
SPEC_VERSION = "2.4.0"
ACTIONS_LABEL = "c2pa.actions.v2"
GENERATION_LABEL = "org.localvideostudio.generation"
AI_DISCLOSURE_LABEL = "c2pa.ai-disclosure"
SOFT_BINDING_LABEL = "c2pa.soft-binding"
TRAINING_LABEL = "cawg.training-mining"

# Assertions the signer vouches for itself; the SDK treats every other one as hearsay ("gathered").
CREATED_LABELS = ("c2pa.actions", SOFT_BINDING_LABEL, AI_DISCLOSURE_LABEL, GENERATION_LABEL, TRAINING_LABEL)

_TRAINING_ENTRIES = ("cawg.ai_training", "cawg.ai_generative_training", "cawg.ai_inference", "cawg.data_mining")
_TRAINING_USES = ("allowed", "notAllowed", "constrained")
_ENDING = re.compile(r"\.[a-z0-9]{2,5}$", re.ASCII | re.IGNORECASE)
MAX_PROMPT_CHARACTERS = 10_000
CheckResult = tuple[str, bool | None, float | None]


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A LoRA that took part. name: of its file or repository. sha256: of its weights. scale: 1.0 is as trained."""

    name: str
    sha256: str
    scale: float


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """A file that went into another.

    title: what is written into the signed file instead of the path.
    mime_type: what it is taken for where its content does not tell.
    role: what it was to the model, such as ``first-frame``. sha256: hex digest of its bytes.
    """

    path: Path
    title: str
    mime_type: str
    relationship: Relationship
    role: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Everything known about how a clip was made; None where nobody knows.

    repository, revision, weights_sha256: the model's own, as pinned in the catalog.
    pipeline: class name of the generator. frame_rate: frames per second. seed: 0 .. 2**63 - 1.
    adapters: LoRAs. speed_profile: name of the set of speed-ups that was used.
    prompt_key: `studio.provenance.prompts.prompt_key` of this clip; None leaves the proof of the prompt out.
    attribution: words that a provider wants to see beside its clips.
    training_use: allowed, notAllowed or constrained.
    visible_label: ``text`` or ``icon`` where one was drawn into the picture. generate_audio: sound was asked for.
    is_trimmed: a part of its parent. is_resized: scaled, sides in proportion. is_retimed: at another frame rate.
    created_at: when the frames were made, with a time zone.
    warnings: what the user was told. checks: (check id, passed or None, score or None).
    ruling: what was decided after them; None for a file made out of a sealed one, which nobody decides about again.
    software: versions of what took part, by name.
    unbound_sha256: digest of what the hard binding leaves out, see `studio.provenance.unbound_boxes`.

    Titles of ingredients that repeat the prompt are replaced by their role: a title is public, whatever the policy.

    Raises:
        ValueError: an ingredient's relationship does not fit the origin, `created_at` has no time zone, or a word is
            not one of its vocabulary.
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
    attribution: str | None = None
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    ingredients: tuple[Ingredient, ...] = ()
    warnings: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    ruling: Ruling | None = None
    software: Mapping[str, str] = field(default_factory=dict)
    unbound_sha256: str | None = None
    adapters: tuple[Adapter, ...] = ()
    speed_profile: str | None = None
    prompt_key: str | None = field(default=None, repr=False)
    visible_label: str | None = None
    generate_audio: bool = False
    is_trimmed: bool = False
    is_resized: bool = False
    is_retimed: bool = False

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
        if self.training_use not in _TRAINING_USES:
            raise ValueError(f"training_use: expected one of {_TRAINING_USES}, got {self.training_use}")
        if self.visible_label not in (None, "text", "icon"):
            raise ValueError(f"visible_label: expected text, icon or None, got {self.visible_label}")
        titled = tuple(
            replace(item, title=self.public_name(item.title, item.role or "ingredient")) for item in self.ingredients
        )
        object.__setattr__(self, "ingredients", titled)

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts by field name, empty ones included."""
        return {name: getattr(self, name) for name in PROMPT_FIELDS}

    def public_name(self, name: str, otherwise: str) -> str:
        """Return a file name that everybody may read: `otherwise`, with the same ending, if it repeats a prompt."""
        if not repeats(name, self.prompts.values()):
            return text(name)
        return otherwise + (ending[0] if (ending := _ENDING.search(name)) else "")

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
            "adapters": [dict(vars(item)) for item in self.adapters],
            "warnings": list(self.warnings),
            "checks": [list(check) for check in self.checks],
            "ruling": None if self.ruling is None else self.ruling.as_json(),
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
                "adapters": tuple(Adapter(**item) for item in data.get("adapters", ())),
                "warnings": tuple(data["warnings"]),
                "checks": tuple((name, passed, score) for name, passed, score in data["checks"]),
                "ruling": None if data.get("ruling") is None else Ruling.from_json(data["ruling"]),
            }
        )


def build_manifest(
    provenance: Provenance, *, title: str, watermark: WatermarkRecord | None, watermark_is_inherited: bool = False
) -> dict[str, Any]:
    """Return the C2PA manifest definition of a file.

    title: a file name; it is public, so one that repeats the prompt is replaced by the job's id.
    watermark: the mark as read back from the encoded file; None where there is none to be sure of.
    watermark_is_inherited: the mark came with the parent and was not put in anew: it is named as a soft binding, and
        no action claims to have made it (C2PA 2.4: an action needs its binding, a binding needs no action).
    """
    new_mark = None if watermark_is_inherited else watermark
    assertions = [
        _assertion(ACTIONS_LABEL, _actions(provenance, new_mark)),
        _assertion(AI_DISCLOSURE_LABEL, _ai_disclosure(provenance)),
        _assertion(GENERATION_LABEL, generation(provenance) | _mark(watermark, is_inherited=watermark_is_inherited)),
        _assertion(TRAINING_LABEL, {"entries": {name: {"use": provenance.training_use} for name in _TRAINING_ENTRIES}}),
    ]
    if watermark is not None:
        assertions.insert(1, _assertion(SOFT_BINDING_LABEL, _soft_binding(watermark)))
    generator = {"name": GENERATOR_NAME, "version": provenance.studio_version, "specVersion": SPEC_VERSION}
    public = provenance.public_name(title, provenance.job_id)
    return {"claim_version": 2, "claim_generator_info": [generator], "title": public, "assertions": assertions}


def ingredient_label(index: int) -> str:
    """Return the name by which actions refer to the ingredient at this place."""
    return f"ingredient_{index}"


def generation(provenance: Provenance) -> dict[str, Any]:
    """Return the studio's own assertion: how to make this clip again, as far as the prompt policy tells."""
    facts: dict[str, Any] = {
        "job_id": provenance.job_id,
        "origin": provenance.origin.value,
        "task": provenance.task,
        "model": _model(provenance),
        "pipeline": provenance.pipeline,
        "speed_profile": provenance.speed_profile,
        "provider": provenance.provider,
        "provider_job_id": provenance.provider_job_id,
        "attribution": provenance.attribution,
        # The claim's integers are signed 64-bit at best; a provider's seed may be larger.
        "seed": None if provenance.seed is None else str(provenance.seed),
        "num_inference_steps": provenance.num_inference_steps,
        "guidance_scale": provenance.guidance_scale,
        "width": provenance.width,
        "height": provenance.height,
        "num_frames": provenance.num_frames,
        "frame_rate": str(provenance.frame_rate),
        "generate_audio": True if provenance.generate_audio else None,
        "options": {name: value for name, value in provenance.options.items() if _may_tell(provenance, value)},
        "inputs": [without_none(role=item.role, sha256=item.sha256) for item in provenance.ingredients if item.sha256],
        "visible_label": provenance.visible_label,
        "warnings": [words for words in provenance.warnings if _may_tell(provenance, words)],
        "checks": [without_none(id=name, passed=passed, score=score) for name, passed, score in provenance.checks],
        "ruling": None if provenance.ruling is None else _told_ruling(provenance.ruling),
        "software": dict(provenance.software),
        "unbound_sha256": provenance.unbound_sha256,
    }
    return dict(plain(facts)) | {"prompt": told(provenance.prompt_policy, _readable(provenance), provenance.prompt_key)}


def _told_ruling(ruling: Ruling) -> dict[str, Any]:
    """Return a ruling as the record tells it: attempts only where there were several, flat enough for every reader."""
    told = ruling.as_json()
    attempts = [item | {"failed": ", ".join(item["failed"])} for item in told.pop("attempts")]
    return told | {"attempts": attempts} if len(attempts) > 1 else {name: told[name] for name in ("policy", "standing")}


def _model(provenance: Provenance) -> dict[str, Any]:
    return without_none(
        id=provenance.model_id,
        name=provenance.model_name,
        repository=provenance.repository,
        revision=provenance.revision,
        weights_sha256=provenance.weights_sha256,
        adapters=[dict(vars(item)) for item in provenance.adapters] or None,
    )


def _readable(provenance: Provenance) -> dict[str, str]:
    """Return the prompts as they can be written down: line breaks stay, what is no text (broken surrogates) goes."""
    return {
        name: words.encode("utf-8", "ignore").decode()[:MAX_PROMPT_CHARACTERS]
        for name, words in provenance.prompts.items()
    }


def _may_tell(provenance: Provenance, value: OptionValue) -> bool:
    """Say whether a warning or an option may stand in the record: not one that repeats a prompt kept back."""
    if provenance.prompt_policy is PromptPolicy.FULL or not isinstance(value, str):
        return True
    return not repeats(value, provenance.prompts.values())


def _mark(watermark: WatermarkRecord | None, *, is_inherited: bool) -> dict[str, Any]:
    if watermark is None:
        return {}
    mark = {"algorithm": watermark.algorithm, "id": watermark.identifier, "bits": watermark.bits}
    return {"watermark": mark | ({"inherited": True} if is_inherited else {})}


def _actions(provenance: Provenance, watermark: WatermarkRecord | None) -> dict[str, Any]:
    when = provenance.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    actions = [_action(step, provenance, when) for step in _steps(provenance)]
    if watermark is not None:
        actions.append({"action": "c2pa.watermarked.bound", "when": when})
    return {"actions": actions, "allActionsIncluded": True}


def _steps(provenance: Provenance) -> list[Step]:
    steps = [*RECIPES[provenance.origin].steps]
    if provenance.is_trimmed and TRIMMED not in steps:
        steps.insert(1, TRIMMED)
    if provenance.is_retimed:
        steps = [step for step in steps if step.action != RETIMED.action] + [RETIMED]
    steps += [RESIZED] if provenance.is_resized else []
    return steps + ([LABELLED] if provenance.visible_label else [])


def _action(step: Step, provenance: Provenance, when: str) -> dict[str, Any]:
    agent = without_none(name=text(_agent_name(provenance)), version=provenance.revision) if step.by_model else None
    labels = [
        ingredient_label(index) for index, item in enumerate(provenance.ingredients) if item.relationship == step.uses
    ]
    return without_none(
        action=step.action,
        when=when,
        digitalSourceType=step.source_type,
        description=step.description,
        softwareAgent=agent,
        parameters={"ingredientIds": labels} if labels else None,
    )


def _agent_name(provenance: Provenance) -> str:
    return f"{provenance.model_name} ({provenance.provider})" if provenance.provider else provenance.model_name


def _soft_binding(watermark: WatermarkRecord) -> dict[str, Any]:
    value = base64.b64encode(watermark.payload.to_bytes(-(-watermark.bits // 8), "big")).decode()
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
        "modelName": text(provenance.model_name),
        "modelIdentifier": text(identifier),
        "contentProfile": {"humanOversightLevel": "prompt_guided"},
    }


def _assertion(label: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"label": label, "data": data}
