"""Changing what was asked for: a field that is set anew takes the place of others that say the same in another way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from studio.catalog.schema import ModelSpec
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role
from studio.resolving.clip_length import seconds_of
from studio.resolving.picture_size import names_of

_INSTEAD_OF: Mapping[str, tuple[str, ...]] = {
    "width": ("resolution", "aspect_ratio"),
    "height": ("resolution", "aspect_ratio"),
    "resolution": ("width", "height"),
    "aspect_ratio": ("width", "height"),
    "num_frames": ("duration_seconds",),
    "duration_seconds": ("num_frames",),
}
_ENDS = {Role.FIRST_FRAME, Role.LAST_FRAME}


def wish_of(resolved: ResolvedRequest) -> GenerationRequest:
    """Return the wish for the same clip again."""
    shared = {item.name for item in fields(ResolvedRequest)} & {item.name for item in fields(GenerationRequest)}
    return GenerationRequest(**{name: getattr(resolved, name) for name in shared})


def revised(wish: GenerationRequest, changes: Mapping[str, Any], spec: ModelSpec | None) -> GenerationRequest:
    """Return a wish with some of its fields set otherwise.

    changes: by name; None goes back to what the model's row says. spec: the row that the wish was made for, None where
    it is gone. What was drawn or decided for the user there, and could not be asked for, is forgotten. Of a format that
    is changed by one of its names the other is kept; of a clip that lasts whole seconds the seconds are.
    """
    found = {item.name: getattr(wish, item.name) for item in fields(wish)}
    if spec is not None:
        found |= _not_asked(spec) | _kept(wish, changes, spec)
    for name in changes:
        if changes[name] is not None:
            found |= dict.fromkeys(_INSTEAD_OF.get(name, ()))
    if "conditionings" in changes:
        found["conditionings"] = _merged(wish.conditionings, changes["conditionings"])
    return GenerationRequest(**found | {name: changes[name] for name in changes if name != "conditionings"})


def _not_asked(spec: ModelSpec) -> dict[str, Any]:
    seed: dict[str, Any] = {} if spec.parameters.seed else {"seed": None}
    has_always_sound = spec.remote is not None and spec.remote.audio == "always"
    return seed | ({"generate_audio": None} if has_always_sound else {})


def _kept(wish: GenerationRequest, changes: Mapping[str, Any], spec: ModelSpec) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    is_same_model = changes.get("model", spec.id) == spec.id
    names = [name for name in ("resolution", "aspect_ratio") if changes.get(name) is not None]
    if is_same_model and len(names) == 1 and wish.width is not None and wish.height is not None:
        resolution, aspect_ratio = names_of(spec, wish.width, wish.height, wish.task)
        kept = {"resolution": resolution, "aspect_ratio": aspect_ratio}
    counts_seconds = spec.parameters.durations is not None and changes.get("frame_rate") is not None
    if counts_seconds and wish.num_frames is not None and wish.frame_rate is not None:
        kept |= {"duration_seconds": seconds_of(spec, wish.num_frames, wish.frame_rate), "num_frames": None}
    return kept


def _merged(old: tuple[Conditioning, ...], new: tuple[Conditioning, ...]) -> tuple[Conditioning, ...]:
    """Return the new pictures, with the other end of the clip where only one end is set anew."""
    roles = {item.role for item in new}
    if len(roles) != 1 or not roles < _ENDS:
        return new
    return tuple(sorted((*new, *(item for item in old if item.role in _ENDS - roles)), key=lambda item: item.role))
