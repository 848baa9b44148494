"""The faults by name, with the amounts that count as weak, medium and strong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from benchmarks.consistency import light, objects, timing
from benchmarks.consistency.clips import seeded
from benchmarks.consistency.material import Frames, Injected, Material

Strength = Literal["weak", "medium", "strong"]
STRENGTHS: tuple[Strength, ...] = ("weak", "medium", "strong")

# An edit that changes no 8x8 block by as much as this cannot be seen in this clip: reversing a still picture, say.
_VISIBLE_LEVELS = 2.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way in which a clip goes wrong. amounts: in the unit that `make` says, by strength."""

    make: Callable[[Material, float], Injected]
    amounts: dict[Strength, float]


def _three(make: Callable[[Material, float], Injected], *amounts: float) -> Fault:
    return Fault(make=make, amounts=dict(zip(STRENGTHS, amounts, strict=True)))


def _medium(make: Callable[[Material, float], Injected], amount: float) -> Fault:
    return Fault(make=make, amounts={"medium": amount})


FAULTS: dict[str, Fault] = {
    "global_flicker": _three(light.global_flicker, 0.015, 0.04, 0.10),
    "local_flicker": _three(objects.local_flicker, 0.05, 0.12, 0.30),
    "boil": _three(objects.boil, 4, 9, 18),
    "pop_in": _three(objects.pop_in, 0.10, 0.18, 0.30),
    "pop_out": _medium(objects.pop_out, 0.18),
    "fade_in": _three(objects.fade_in, 0.10, 0.18, 0.30),
    "teleport": _three(objects.teleport, 0.06, 0.14, 0.35),
    "morph": _three(objects.morph, 0.35, 0.65, 1.0),
    "geomorph": Fault(make=objects.geomorph, amounts={"medium": 0.10, "strong": 0.18}),
    "freeze": _three(timing.freeze, 3, 6, 14),
    "duplicates": _three(timing.duplicates, 1, 4, 10),
    "stutter": _three(timing.stutter, 5, 2, 3),
    "shuffle": _three(timing.shuffle, 1, 3, 8),
    "reversed": _medium(timing.reversed_block, 8),
    "jump_cut": _three(timing.jump_cut, 6, 12, 22),
    "speed_jump": _medium(timing.speed_jump, 2),
    "hard_cut": _three(timing.hard_cut, 1, 2, 3),
    "dissolve": _medium(timing.dissolve, 10),
    "colour_drift": _three(light.colour_drift, 0.05, 0.12, 0.25),
    "exposure_drift": _medium(light.exposure_drift, 0.18),
    "black": _three(light.black, 0.5, 1, 5),
    "blur_pulse": _three(light.blur_pulse, 0.8, 1.6, 3.2),
    "soft_drift": _medium(light.soft_drift, 1.6),
    "wobble": _three(light.wobble, 1.0, 2.2, 4.5),
    "banding": _three(light.banding, 24, 12, 6),
    "blocking": _three(light.blocking, 0.25, 0.5, 0.9),
    "seam": _three(light.seam, 4, 8, 16),
    "dead_latent": _three(light.dead_latent, 0.35, 0.7, 1.0),
    "flashing": _three(light.flashing, 0.12, 0.25, 0.5),
}


def strengths_of(fault: str) -> tuple[Strength, ...]:
    """Return the strengths at which a fault is made."""
    return tuple(FAULTS[fault].amounts)


def inject(
    frames: Frames,
    frame_rate: Fraction,
    fault: str,
    strength: Strength,
    rng: np.random.Generator,
    donor: Frames,
    following: Frames | None = None,
) -> Injected:
    """Put a fault into clean frames, (T, H, W, 3) uint8 RGB, T at least 12.

    donor: frames of another shot, of the same size. following: what comes next in this one.
    """
    material = Material(
        frames=frames,
        following=frames[:0] if following is None else following,
        donor=donor,
        frame_rate=frame_rate,
        rng=rng,
    )
    chosen = FAULTS[fault]
    return chosen.make(material, chosen.amounts[strength])


def rng_of(segment: str, fault: str, strength: str) -> np.random.Generator:
    """Return the generator for a fault in a segment: always the same."""
    return seeded(segment, fault, strength)


def is_visible(before: Frames, after: Frames) -> bool:
    """Say whether two clips differ by more than a codec's noise in any 8x8 block of any frame."""
    import cv2

    if len(before) != len(after):
        return True
    height, width = before.shape[1:3]
    size = (max(1, width // 8), max(1, height // 8))
    for first, second in zip(before, after, strict=True):
        difference = cv2.resize(cv2.absdiff(first, second), size, interpolation=cv2.INTER_AREA)
        if difference.max() >= _VISIBLE_LEVELS:
            return True
    return False
