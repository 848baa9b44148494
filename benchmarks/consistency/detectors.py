"""Which check is to find which fault, and what is aimed at. Declared before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.consistency.faults import Strength


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """check: the id whose value the fault must raise. others: ids that name the fault rightly as well.

    targets: least ROC AUC against unmodified clips.
    """

    check: str
    others: tuple[str, ...] = ()
    targets: dict[Strength, float] = field(default_factory=dict)


def _found_by(check: str, *others: str, **targets: float) -> Expectation:
    return Expectation(check=check, others=others, targets=targets)  # type: ignore[arg-type]


EXPECTED: dict[str, Expectation] = {
    "global_flicker": _found_by("global_flicker", "flashing", medium=0.98),
    "local_flicker": _found_by("local_flicker", "boil", weak=0.96, medium=0.98),
    "boil": _found_by("boil", "local_flicker", weak=0.86, medium=0.97),
    "pop_in": _found_by("object_pop", weak=0.82, medium=0.95),
    "pop_out": _found_by("object_pop", medium=0.95),
    "fade_in": _found_by("slow_appear", "appearance_drift", "object_pop", medium=0.88),
    "teleport": _found_by("object_pop", weak=0.92, medium=0.98),
    "morph": _found_by("appearance_drift", "slow_appear", weak=0.86, medium=0.95),
    "geomorph": _found_by("appearance_drift"),
    "freeze": _found_by("frozen", "duplicate_frames", medium=0.99),
    "duplicates": _found_by("duplicate_frames", "frozen", "cadence", medium=0.97),
    "stutter": _found_by("cadence", "duplicate_frames", "frozen"),
    "shuffle": _found_by("frame_order", "jump_cut", medium=0.98),
    "reversed": _found_by("frame_order", "jump_cut", medium=0.95),
    "jump_cut": _found_by("jump_cut", "hard_cut", "object_pop", medium=0.95),
    "speed_jump": _found_by("jump_cut", "frame_order"),
    "hard_cut": _found_by("hard_cut", "jump_cut", medium=0.99),
    "dissolve": _found_by("dissolve", medium=0.95),
    "colour_drift": _found_by("colour_drift", medium=0.97),
    "exposure_drift": _found_by("exposure_drift", medium=0.95),
    "black": _found_by("black", "flashing", medium=0.99),
    "blur_pulse": _found_by("sharpness", medium=0.98),
    "soft_drift": _found_by("sharpness", medium=0.98),
    "wobble": _found_by("wobble", medium=0.98),
    "banding": _found_by("banding"),
    "blocking": _found_by("blocking"),
    "seam": _found_by("seams"),
    "dead_latent": _found_by("dead_latents"),
    "flashing": _found_by("flashing"),
}
# Clips that hold true repeats of frames are no clean examples for these.
REPEAT_CHECKS = frozenset({"frozen", "duplicate_frames", "cadence"})
# Checks that look at something else than the picture in time, or that state a fact rather than a fault.
NOT_JUDGED = frozenset({"motion", "audio_silence", "audio_clipping", "audio_length", "audio_gaps", "first_frame"})
CLEAN_LIMIT, ANY_LIMIT, BENIGN_LIMIT = 0.05, 0.15, 0.10
