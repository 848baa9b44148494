"""The part of a clip that some models go on from, as their rows say it.

A row of a model that takes a part says so in its settings::

    [models.settings.continues]
    role = "source-video"
    frames = { min = 9, max = 25, default = 17, step = 8, offset = 1 }
    option = "overlap"

Such a model is given a source video, and its clip begins with so many of that video's last frames. `option` is the one
of the row's options that takes their number; a row whose model takes a source video whole for that names none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from studio.catalog.schema import IntegerRange, ModelSpec
from studio.errors import EnvironmentFault, UnsupportedValue
from studio.request import ResolvedRequest, Role, Task

SETTING = "continues"


@dataclass(frozen=True, kw_only=True)
class PartRule:
    """How a model goes on from a part of a clip. frames: how many it takes. option: that takes the number, or None."""

    frames: IntegerRange
    option: str | None


def part_rule(spec: ModelSpec) -> PartRule | None:
    """Return how a model goes on from a part of a clip, None where it takes none.

    Raises `EnvironmentFault` for a row that makes no sense.
    """
    table: Mapping[str, Any] | None = spec.settings.get(SETTING)
    if table is None:
        return None
    try:
        if Role(table["role"]) is not Role.SOURCE_VIDEO or Task.VIDEO_TO_VIDEO not in spec.tasks:
            raise ValueError("its role is not the source video of a video-to-video model")
        rule = PartRule(frames=IntegerRange.model_validate(table["frames"]), option=table.get("option"))
        if rule.option is not None and not _holds(spec, rule.option, rule.frames):
            raise ValueError(f"its option {rule.option!r} does not take these numbers of frames")
    except (AttributeError, KeyError, TypeError, ValueError, ValidationError) as error:
        why = " ".join(str(error).split())
        raise EnvironmentFault(f"the row of {spec.id} says how it goes on in a way that makes no sense", got=why,
                               fix="correct settings.continues in the catalog") from error  # fmt: skip
    return rule


def part_of(resolved: ResolvedRequest, spec: ModelSpec) -> int:
    """Return how many frames of the source video's end the clip begins with: 0 where it begins with none of them.

    For rows that name an option. Raises `UnsupportedValue` for a number that the model or the clip does not allow.
    """
    rule = part_rule(spec)
    if rule is None or rule.option is None or resolved.task is not Task.VIDEO_TO_VIDEO:
        return 0
    frames = int(resolved.options[rule.option])
    if frames == 0:  # allowed by the option's own range alone
        return 0
    field = f"option {rule.option}"
    if not rule.frames.allows(frames):
        raise UnsupportedValue(f"{spec.id} does not go on from so many frames", field=field, got=frames,
                               allowed=rule.frames.describe())  # fmt: skip
    if frames >= resolved.num_frames:
        raise UnsupportedValue("a clip of so few frames shows nothing new", field=field, got=frames,
                               allowed=f"less than the clip's {resolved.num_frames} frames",
                               fix="ask for more frames, or for less of the source")  # fmt: skip
    return frames


def _holds(spec: ModelSpec, name: str, frames: IntegerRange) -> bool:
    option = spec.parameters.options.get(name)
    return option is not None and all(option.allows(number) for number in (frames.min, frames.max))
