"""How one run uses the memory there is: what stays on the device, and how much of a clip is computed at a time.

Every plan computes the same clip within rounding. What changes the clip, such as weights stored in eight bits, is for
the user to choose and never part of a plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Residency(StrEnum):
    """Where the weights are while the device computes.

    RESIDENT: all on the device. STAGED: each network on the device while its stage runs, else in main memory.
    STREAMED: in main memory; the device holds the layers that compute and those that come next.
    """

    RESIDENT = "resident"
    STAGED = "staged"
    STREAMED = "streamed"


class DecodeForm(StrEnum):
    """How latents become frames. WHOLE: all frames through each layer at once.

    STREAMED: frame after frame where a layer allows it, with the statistics of the whole clip; frames are let go of as
    they are consumed. PARKED: the same, and what waits between layers waits in main memory.
    """

    WHOLE = "whole"
    STREAMED = "streamed"
    PARKED = "parked"


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How much of a clip a layer computes at a time; None is all of it.

    frames: in layers that look at one frame. positions: of the picture, in layers that look along the frames.
    is_guidance_split: the two branches of guidance run one after the other instead of as one batch.
    """

    frames: int | None = None
    positions: int | None = None
    is_guidance_split: bool = False


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """One rung of the ladder that a model goes down when memory is short. name: for people, unique in its ladder."""

    name: str
    residency: Residency = Residency.RESIDENT
    tiling: Tiling = Tiling()
    decode: DecodeForm = DecodeForm.WHOLE


# The ladders of a denoiser that runs as its library has it. A family with rewritten layers has its own.
ON_CPU = (
    MemoryPlan(name="all frames decoded at once"),
    MemoryPlan(name="frames decoded piece by piece", decode=DecodeForm.STREAMED),
)
ON_DEVICE = (
    MemoryPlan(name="weights resident"),
    MemoryPlan(name="weights resident, frames decoded piece by piece", decode=DecodeForm.STREAMED),
    MemoryPlan(name="weights by stage", residency=Residency.STAGED, decode=DecodeForm.STREAMED),
    MemoryPlan(name="weights streamed", residency=Residency.STREAMED, decode=DecodeForm.STREAMED),
)


def with_forms(plans: Sequence[MemoryPlan], forms: Sequence[DecodeForm]) -> tuple[MemoryPlan, ...]:
    """Return a ladder for a model that decodes in these forms alone; plans that would differ in nothing are one."""
    kept: list[MemoryPlan] = []
    for plan in plans:
        able = plan if plan.decode in forms else replace(plan, decode=forms[-1])
        if all(replace(able, name=other.name) != other for other in kept):
            kept.append(able)
    return tuple(kept)
