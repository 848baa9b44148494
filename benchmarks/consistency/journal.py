"""What was observed of each clip, one file each, so that a run that was cut off goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.consistency.facts import FrameFacts, MotionFacts
from studio.consistency.picture import PictureFacts
from studio.consistency.report import Region

# Parts of a frame's facts that only some frames have.
_PARTS: dict[str, type[Any]] = {"motion": MotionFacts, "picture": PictureFacts}
_FRAME = tuple(item.name for item in fields(FrameFacts) if item.name not in _PARTS)
# Kept as float16, as there is one for every frame or tile; the others as they are.
_COARSE = frozenset(
    {"flash", "columns", "rows", *(f"motion_{item.name}" for item in fields(MotionFacts))} - {"motion_affine"}
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """A clip with or without a fault as the checks saw it.

    event_frames: where the fault is, empty where there is none or it lasts throughout. region: its part of the frame.
    is_visible: False when the edit changes nothing that can be seen here; there are no facts then.
    adjacent_difference: (T - 1,) mean |difference| of neighbouring frames, 8-bit RGB levels.
    """

    frame_rate: Fraction
    facts: Sequence[FrameFacts] = ()
    event_frames: tuple[int, ...] = ()
    region: Region | None = None
    is_visible: bool = True
    adjacent_difference: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


def save(path: Path, recording: Recording) -> None:
    """Write a file that is there whole or not at all."""
    about = {
        "frame_rate": str(recording.frame_rate),
        "event_frames": list(recording.event_frames),
        "region": None if recording.region is None else recording.region.as_json(),
        "is_visible": recording.is_visible,
    }
    arrays: dict[str, NDArray[Any]] = {"adjacent_difference": recording.adjacent_difference}
    if recording.facts:
        arrays |= _stacked(recording.facts)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def load(path: Path) -> Recording:
    """Return what `save` wrote."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays["about"]))
    return Recording(
        frame_rate=Fraction(about["frame_rate"]),
        facts=tuple(_frames(arrays)) if "index" in arrays else (),
        event_frames=tuple(about["event_frames"]),
        region=None if about["region"] is None else Region(**about["region"]),
        is_visible=about["is_visible"],
        adjacent_difference=arrays["adjacent_difference"],
    )


def replay(path: Path) -> list[FrameFacts]:
    """Return the facts of every frame, to be taken by a `CheckPanel` in place of pictures."""
    return list(load(path).facts)


def _stacked(facts: Sequence[FrameFacts]) -> dict[str, NDArray[Any]]:
    arrays = {name: _small(name, np.array([getattr(item, name) for item in facts])) for name in _FRAME}
    for part, kind in _PARTS.items():
        known = [getattr(item, part) for item in facts]
        arrays[f"has_{part}"] = np.array([item is not None for item in known])
        present = [item for item in known if item is not None]
        for name in (item.name for item in fields(kind) if present):
            arrays[f"{part}_{name}"] = _small(f"{part}_{name}", np.array([getattr(item, name) for item in present]))
    return arrays


def _small(name: str, array: NDArray[Any]) -> NDArray[Any]:
    return np.clip(array, -6e4, 6e4).astype(np.float16) if name in _COARSE else array


def _frames(arrays: dict[str, NDArray[Any]]) -> Iterator[FrameFacts]:
    wide = {name: array.astype(np.float32) if name in _COARSE else array for name, array in arrays.items()}
    places = dict.fromkeys(_PARTS, 0)
    for position in range(len(wide["index"])):
        found: dict[str, Any] = {name: _plain(wide[name][position]) for name in _FRAME}
        for part, kind in _PARTS.items():
            found[part] = None
            if wide[f"has_{part}"][position]:
                names = [item.name for item in fields(kind)]
                found[part] = kind(**{name: _plain(wide[f"{part}_{name}"][places[part]]) for name in names})
                places[part] += 1
        yield FrameFacts(**found)


def _plain(value: Any) -> Any:
    """Give a single figure as Python has it."""
    return value.item() if value.ndim == 0 else value
