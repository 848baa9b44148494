"""Published noise schedules that need fewer steps than a model's own.

Align Your Steps: Optimizing Sampling Schedules in Diffusion Models, arXiv 2404.14507.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from studio.errors import UnsupportedValue

_NAME = re.compile(r"ays(?:-(\d{1,3}))?", re.ASCII)
_MOST_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class AlignedSteps:
    """The schedule that Align Your Steps found for Stable Video Diffusion. steps: None takes those of the request."""

    steps: int | None = 10

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= _MOST_STEPS:
            raise ValueError(f"schedule: expected 1 to {_MOST_STEPS} steps, got {self.steps}")

    @classmethod
    def named(cls, name: str) -> AlignedSteps:
        """Return the schedule of a name: ``ays`` or ``ays-10``."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"schedule: expected ays, or ays-10 with any number of steps, got {name}")
        return cls(steps=int(match[1]) if match[1] else None)

    def describe(self) -> str:
        """Return it in words."""
        return "AYS schedule" if self.steps is None else f"AYS {self.steps} steps"

    def sigmas(self, scheduler: Any, num_inference_steps: int) -> list[float]:
        """Return the noise levels for a pipeline's `sigmas`, falling, one more than there are steps; the last is 0.

        For ten steps they are the published ones; for other counts the paper's log-linear interpolation of them.
        Raises `UnsupportedValue` where the scheduler is not that of Stable Video Diffusion.
        """
        import numpy as np
        from diffusers.schedulers import AysSchedules

        if scheduler.config.get("timestep_type") != "continuous":
            raise UnsupportedValue(
                "the AYS schedule is one for Stable Video Diffusion", field="speed", fix="choose speed=exact"
            )
        published = AysSchedules["StableDiffusionVideoSigmas"]
        steps = num_inference_steps if self.steps is None else self.steps
        if steps + 1 == len(published):
            return [float(sigma) for sigma in published]
        levels = np.log([*published[:-1], scheduler.config.get("sigma_min") or 0.002])
        places = np.linspace(0.0, 1.0, steps + 1)
        between = np.exp(np.interp(places, np.linspace(0.0, 1.0, len(levels)), levels))
        return [*(float(sigma) for sigma in between[:-1]), 0.0]
