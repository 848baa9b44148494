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
ENHANCED_BY_ALGORITHM = _SOURCE_TYPES + "algorithmicallyEnhanced"
DRAWN_BY_ALGORITHM = _SOURCE_TYPES + "algorithmicMedia"

# The SDK takes any word for an action or a source type, so what goes in is checked here.
KNOWN_SOURCE_TYPES = frozenset({TRAINED, COMPOSITE, HUMAN_EDITS, ENHANCED_BY_ALGORITHM, DRAWN_BY_ALGORITHM})
KNOWN_ACTIONS = frozenset(
    {
        "c2pa.addedText",
        "c2pa.converted",
        "c2pa.created",
        "c2pa.deleted",
        "c2pa.edited",
        "c2pa.enhanced",
        "c2pa.opened",
        "c2pa.placed",
        "c2pa.resized.proportional",
        "c2pa.transcoded",
        "c2pa.trimmed",
        "c2pa.watermarked.bound",
    }
)
# Actions that change nothing to be perceived, and those that tell their source in another way: no source type needed.
WITHOUT_SOURCE_TYPE = frozenset(
    {
        "c2pa.converted",
        "c2pa.opened",
        "c2pa.placed",
        "c2pa.resized.proportional",
        "c2pa.transcoded",
        "c2pa.watermarked.bound",
    }
)


class Origin(StrEnum):
    """How a file came to be.

    text_to_video: made by a model from words alone.
    conditioned_video: a new clip made by a model that looked at pictures, clips or sound.
    video_edit: a model changed an existing clip.
    enhanced: a model made an existing clip larger, smoother or sharper and changed nothing that is to be seen in it.
    reimagined: a model made an existing clip larger or smoother and invented detail or movement on the way.
    provider_output: fetched from a provider that signed it.
    provider_output_unsigned: fetched from a provider that attached no credentials.
    timeline: several clips put together.
    derived_still, derived_sound, trimmed: a picture, the sound or a part of one of our own files.
    animated_picture, converted: one of our own files as GIF or WebP (a part of it too), or as another video.
    """

    TEXT_TO_VIDEO = "text_to_video"
    CONDITIONED_VIDEO = "conditioned_video"
    VIDEO_EDIT = "video_edit"
    ENHANCED = "enhanced"
    REIMAGINED = "reimagined"
    PROVIDER_OUTPUT = "provider_output"
    PROVIDER_OUTPUT_UNSIGNED = "provider_output_unsigned"
    TIMELINE = "timeline"
    DERIVED_STILL = "derived_still"
    DERIVED_SOUND = "derived_sound"
    TRIMMED = "trimmed"
    ANIMATED_PICTURE = "animated_picture"
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
    by_model: the model did it. uses: the relationship of the ingredients it names. description: what was done, in
    words, where the action alone does not tell.

    Raises:
        ValueError: a word that C2PA 2.4 or IPTC does not know, or a perceptible change without a source type.
    """

    action: str
    source_type: str | None = None
    by_model: bool = False
    uses: Relationship | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        if self.action not in KNOWN_ACTIONS:
            raise ValueError(f"action: expected one of {sorted(KNOWN_ACTIONS)}, got {self.action}")
        if self.source_type is None and self.action not in WITHOUT_SOURCE_TYPE:
            raise ValueError(f"source_type: {self.action} needs one")
        if self.source_type is not None and self.source_type not in KNOWN_SOURCE_TYPES:
            raise ValueError(f"source_type: expected one of {sorted(KNOWN_SOURCE_TYPES)}, got {self.source_type}")


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
_TRANSCODED = Step(action="c2pa.transcoded")
_CONVERTED = Step(action="c2pa.converted")
_PICTURE_REMOVED = Step(action="c2pa.deleted", source_type=HUMAN_EDITS)
_PLACED = Step(action="c2pa.placed", uses="componentOf")
# Told right after the opening, where it happened and the origin does not imply it.
TRIMMED = Step(action="c2pa.trimmed", source_type=HUMAN_EDITS)
# Told after those of the origin, where they happened. Length and content stay when frames are dropped or repeated, so
# that is a plain encoding too, and takes the place of one.
RETIMED = Step(action="c2pa.transcoded", description="the frame rate was changed")
RESIZED = Step(action="c2pa.resized.proportional")
LABELLED = Step(action="c2pa.addedText", source_type=DRAWN_BY_ALGORITHM)

RECIPES: dict[Origin, Recipe] = {
    Origin.TEXT_TO_VIDEO: Recipe((_created(TRAINED),), None),
    Origin.CONDITIONED_VIDEO: Recipe((_created(TRAINED, uses="inputTo"),), "inputTo"),
    Origin.VIDEO_EDIT: Recipe((_OPENED, _by_model("c2pa.edited", COMPOSITE)), "parentOf"),
    Origin.ENHANCED: Recipe((_OPENED, _by_model("c2pa.enhanced", ENHANCED_BY_ALGORITHM)), "parentOf"),
    Origin.REIMAGINED: Recipe((_OPENED, _by_model("c2pa.edited", COMPOSITE)), "parentOf"),
    Origin.PROVIDER_OUTPUT: Recipe((_OPENED, _TRANSCODED), "parentOf"),
    Origin.PROVIDER_OUTPUT_UNSIGNED: Recipe((_OPENED, _by_model("c2pa.edited", TRAINED), _TRANSCODED), "parentOf"),
    Origin.TIMELINE: Recipe((_created(COMPOSITE), _PLACED), "componentOf"),
    Origin.DERIVED_STILL: Recipe((_OPENED, TRIMMED, _TRANSCODED), "parentOf"),
    Origin.DERIVED_SOUND: Recipe((_OPENED, _PICTURE_REMOVED, _CONVERTED), "parentOf"),
    Origin.TRIMMED: Recipe((_OPENED, TRIMMED, _TRANSCODED), "parentOf"),
    Origin.ANIMATED_PICTURE: Recipe((_OPENED, _CONVERTED), "parentOf"),
    Origin.CONVERTED: Recipe((_OPENED, _TRANSCODED), "parentOf"),
}
