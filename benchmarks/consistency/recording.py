"""Makes one variant of one segment, writes and reads it as video, and keeps what the checks' observer sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import numpy as np

from benchmarks.consistency import benign, encoding, faults, journal
from benchmarks.consistency.clips import Footage
from benchmarks.consistency.faults import Strength
from benchmarks.consistency.material import Frames, Injected, Material
from studio.consistency.observer import observe
from studio.media.images import fit_image

Group = Literal["clean", "fault", "benign", "raw"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What is done to a segment. name: of the fault or edit. strength: empty but for faults.

    group: "clean" is encoded as it is; "raw" is not encoded.
    """

    group: Group
    name: str = ""
    strength: Strength | Literal[""] = ""

    @property
    def stem(self) -> str:
        """A file name without its ending."""
        return "-".join(part for part in (self.group, self.name, self.strength) if part)


def fitted(frames: Frames, like: Frames) -> Frames:
    height, width = like.shape[1:3]
    """Scale frames to cover the size of others, and cut them at the centre."""
    return np.stack([fit_image(image, width, height) for image in frames])


def record(segment: str, footage: Footage, donor: Frames, variant: Variant) -> journal.Recording:
    """Make a variant and observe it. donor: frames of another segment, of the same size."""
    frames, found = _made(segment, footage, donor, variant)
    if found is not None and not faults.is_visible(footage.frames, frames):
        return journal.Recording(frame_rate=footage.frame_rate, is_visible=False)
    if variant.group != "raw":
        crf = encoding.LOW_CRF if variant.name == benign.LOW_BITRATE else encoding.CRF
        frames = encoding.coded(frames, footage.frame_rate, crf)
    return journal.Recording(
        frame_rate=footage.frame_rate,
        facts=observe(frames, footage.frame_rate),
        event_frames=found.event_frames if found is not None and found.is_located else (),
        region=None if found is None else found.region,
        adjacent_difference=np.array(list(_differences(frames))),
    )


def _made(segment: str, footage: Footage, donor: Frames, variant: Variant) -> tuple[Frames, Injected | None]:
    if variant.group == "benign":
        material = Material(
            frames=footage.frames,
            following=footage.following,
            donor=donor,
            frame_rate=footage.frame_rate,
            rng=faults.rng_of(segment, variant.name, ""),
        )
        return benign.edit(material, cast(benign.Edit, variant.name)), None
    if not variant.name:
        return footage.frames, None
    strength = cast(Strength, variant.strength)
    rng = faults.rng_of(segment, variant.name, strength)
    found = faults.inject(footage.frames, footage.frame_rate, variant.name, strength, rng, donor, footage.following)
    return found.frames, found


def _differences(frames: Frames) -> Iterator[float]:
    import cv2

    for first, second in pairwise(frames):
        yield float(cv2.absdiff(first, second).mean())
