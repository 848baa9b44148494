"""How a file came to be, as rows: which C2PA actions, source types and ingredient relationships tell it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from studio.request import Task

Relationship = Literal["inputTo", "parentOf", "componentOf"]

_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED = _SOURCE_TYPES + "trainedAlgorithmicMedia"
COMPOSITE = _SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"
HUMAN_EDITS = _SOURCE_TYPES + "humanEdits"


class Origin(StrEnum):
    """How a file came to be.

    text_to_video: made by a model from words alone.
    conditioned_video: a new clip made by a model that looked at pictures, clips or sound.
    video_edit: a model changed an existing clip.
    enhanced: a model made an existing clip larger, smoother or sharper.
    provider_output: fetched from a provider that signed it.
    provider_output_unsigned: fetched from a provider that attached no credentials.
    timeline: several clips put together.
    derived_still, trimmed, converted: a picture, a part or another format of one of our own files.
    """

    TEXT_TO_VIDEO = "text_to_video"
    CONDITIONED_VIDEO = "conditioned_video"
    VIDEO_EDIT = "video_edit"
    ENHANCED = "enhanced"
    PROVIDER_OUTPUT = "provider_output"
    PROVIDER_OUTPUT_UNSIGNED = "provider_output_unsigned"
    TIMELINE = "timeline"
    DERIVED_STILL = "derived_still"
    TRIMMED = "trimmed"
    CONVERTED = "converted"

    @classmethod
    def of_task(cls, task: Task) -> Origin:
        """Return the origin of a clip that a local model makes for this task."""
        match task:
            case Task.TEXT_TO_VIDEO:
                return cls.TEXT_TO_VIDEO
            case Task.VIDEO_TO_VIDEO:
                return cls.VIDEO_EDIT
            case _:
                return cls.CONDITIONED_VIDEO


@dataclass(frozen=True, kw_only=True)
class Step:
    """One C2PA action.

    source_type: IPTC digital source type, required on every perceptible change; an opened file keeps its own.
    by_model: the model did it. uses: the relationship of the ingredients it names.
    """

    action: str
    source_type: str | None = None
    by_model: bool = False
    uses: Relationship | None = None


@dataclass(frozen=True)
class Recipe:
    """How an origin is told. steps: its actions, the first one first.

    relationship: what its ingredients are to it, None where it has none.
    """

    steps: tuple[Step, ...]
    relationship: Relationship | None

    @property
    def relationships(self) -> set[Relationship]:
        """All relationships its ingredients may have."""
        return {step.uses for step in self.steps if step.uses is not None}


def _created(source_type: str, uses: Relationship | None = None) -> Step:
    return Step(action="c2pa.created", source_type=source_type, by_model=True, uses=uses)


def _by_model(action: str, source_type: str) -> Step:
    return Step(action=action, source_type=source_type, by_model=True, uses="inputTo")


_OPENED = Step(action="c2pa.opened", uses="parentOf")
_TRIMMED = Step(action="c2pa.trimmed", source_type=HUMAN_EDITS)
_TRANSCODED = Step(action="c2pa.transcoded")
_PLACED = Step(action="c2pa.placed", uses="componentOf")

RECIPES: dict[Origin, Recipe] = {
    Origin.TEXT_TO_VIDEO: Recipe((_created(TRAINED),), None),
    Origin.CONDITIONED_VIDEO: Recipe((_created(TRAINED, uses="inputTo"),), "inputTo"),
    Origin.VIDEO_EDIT: Recipe((_OPENED, _by_model("c2pa.edited", COMPOSITE)), "parentOf"),
    Origin.ENHANCED: Recipe((_OPENED, _by_model("c2pa.enhanced", TRAINED)), "parentOf"),
    Origin.PROVIDER_OUTPUT: Recipe((_OPENED, _TRANSCODED), "parentOf"),
    Origin.PROVIDER_OUTPUT_UNSIGNED: Recipe((_OPENED, _by_model("c2pa.edited", TRAINED), _TRANSCODED), "parentOf"),
    Origin.TIMELINE: Recipe((_created(COMPOSITE), _PLACED), "componentOf"),
    Origin.DERIVED_STILL: Recipe((_OPENED, _TRIMMED, _TRANSCODED), "parentOf"),
    Origin.TRIMMED: Recipe((_OPENED, _TRIMMED, _TRANSCODED), "parentOf"),
    Origin.CONVERTED: Recipe((_OPENED, _TRANSCODED), "parentOf"),
}
