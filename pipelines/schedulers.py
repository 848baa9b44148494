"""Another sampler for a pipeline, where a few-step checkpoint or LoRA was made for it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from studio.errors import UnsupportedValue


class Nature(StrEnum):
    """What a denoiser was trained on: what it predicts, and at which noise levels.

    FLOW: velocities of a straight flow (Wan, LTX-Video, HunyuanVideo). CONTINUOUS: noise levels without bound, SVD's.
    DISCRETE: the thousand steps of DDPM (AnimateDiff, CogVideoX). OTHER: noise levels of its own (Cosmos).
    """

    FLOW = "flow matching"
    CONTINUOUS = "continuous noise levels"
    DISCRETE = "discrete noise levels"
    OTHER = "noise levels of its own"


_CONSISTENCY = "ConsistencySampler"

# diffusers' classes by the names that rows and requests use.
SCHEDULERS: Mapping[Nature, Mapping[str, str]] = {
    Nature.FLOW: {
        "euler": "FlowMatchEulerDiscreteScheduler",
        "flow-match-euler": "FlowMatchEulerDiscreteScheduler",
        "unipc": "UniPCMultistepScheduler",
        "lcm": "FlowMatchLCMScheduler",
    },
    Nature.CONTINUOUS: {"euler": "EulerDiscreteScheduler", "lcm": _CONSISTENCY},
    Nature.DISCRETE: {
        "euler": "EulerDiscreteScheduler",
        "unipc": "UniPCMultistepScheduler",
        "lcm": "LCMScheduler",
    },
    Nature.OTHER: {},
}
NAMES = tuple(dict.fromkeys(name for names in SCHEDULERS.values() for name in names))

# Where these are set and the other scheduler does not know them, it would take other noise levels than the model's.
_SHAPING = (
    "invert_sigmas",
    "shift_terminal",
    "use_dynamic_shifting",
    "scale_factors",
    "rescale_betas_zero_snr",
    "trained_betas",
)


@contextmanager
def sampled_with(pipeline: Any, name: str, rng: Any) -> Iterator[None]:
    """Give the pipeline another scheduler, and its own back afterwards.

    name: one of `NAMES`. rng: the torch generator of the run, for samplers that add noise in every step: some pipelines
    hand none to them, and the noise would be another one every time.
    Raises `UnsupportedValue` where the sampler does not go with what the model was trained on.
    """
    own = pipeline.scheduler
    pipeline.scheduler = another(own, name, rng)
    try:
        yield
    finally:
        pipeline.scheduler = own


def nature_of(scheduler: Any) -> Nature:
    """Return what the denoiser that came with this scheduler was trained on."""
    config = scheduler.config
    if config.get("prediction_type") == "flow_prediction" or type(scheduler).__name__.startswith("FlowMatch"):
        return Nature.FLOW
    if config.get("timestep_type") == "continuous":
        return Nature.CONTINUOUS
    has_levels = "beta_start" in config and float(config.get("snr_shift_scale") or 1.0) == 1.0
    return Nature.DISCRETE if has_levels else Nature.OTHER


def another(scheduler: Any, name: str, rng: Any) -> Any:
    """Return a scheduler of the named kind with the noise levels of this one; see `sampled_with`."""
    import diffusers

    nature = nature_of(scheduler)
    if name not in SCHEDULERS[nature]:
        raise UnsupportedValue(
            f"this sampler does not go with a model of {nature}",
            field="scheduler",
            got=name,
            allowed=", ".join(SCHEDULERS[nature]) or "the model's own only",
        )
    wanted = SCHEDULERS[nature][name]
    made = _consistency_class() if wanted == _CONSISTENCY else getattr(diffusers, wanted)
    _refuse_what_gets_lost(scheduler, made, name)
    return _seeded(made.from_config(scheduler.config, **_flow_values(scheduler, made, nature)), rng)


def _flow_values(scheduler: Any, made: Any, nature: Nature) -> dict[str, Any]:
    """Return what diffusers' two families of flow schedulers call by different names."""
    if nature is not Nature.FLOW:
        return {}
    shift = scheduler.config.get("flow_shift") or scheduler.config.get("shift") or 1.0
    if "flow_shift" in inspect.signature(made.__init__).parameters:
        return {"flow_shift": shift, "use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    return {"shift": shift}


def _refuse_what_gets_lost(scheduler: Any, made: Any, name: str) -> None:
    known = inspect.signature(made.__init__).parameters
    lost = [key for key in _SHAPING if scheduler.config.get(key) and key not in known]
    if lost:
        raise UnsupportedValue(
            f"this sampler does not know the model's {lost[0]}", field="scheduler", got=name, fix="leave it out"
        )


def _seeded(scheduler: Any, rng: Any) -> Any:
    """Let a scheduler that draws noise draw it from `rng`. The generator is no part of its state: a run keeps that."""
    kind = type(scheduler)
    if "generator" not in inspect.signature(kind.step).parameters:
        return scheduler

    class Seeded(kind):  # type: ignore[misc, valid-type]
        def step(self, *arguments: Any, generator: Any = None, **named: Any) -> Any:
            return super().step(*arguments, generator=rng if generator is None else generator, **named)

    Seeded.__name__ = Seeded.__qualname__ = kind.__name__
    scheduler.__class__ = Seeded
    return scheduler


def _consistency_class() -> Any:
    """Return the sampler of consistency models on SVD's noise levels (AnimateLCM-SVD).

    Consistency Models, arXiv 2303.01469, algorithm 1: each step goes to the clean clip and back by fresh noise. The
    scalings are those of SVD's own preconditioning, which are a consistency function's at its lowest noise.
    """
    import diffusers
    from diffusers.utils.torch_utils import randn_tensor

    class ConsistencySampler(diffusers.EulerDiscreteScheduler):  # type: ignore[misc]
        def step(self, *arguments: Any, generator: Any = None, return_dict: bool = True, **named: Any) -> Any:
            given = arguments[0] if arguments else named["model_output"]
            result = super().step(*arguments, return_dict=True, **named)
            clean = result.pred_original_sample
            lowest = self.config.sigma_min or 0.0
            spread = (self.sigmas[self.step_index] ** 2 - lowest**2).clamp(min=0.0).sqrt()
            noise = randn_tensor(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
            result.prev_sample = (clean + noise * spread.to(clean.device)).to(given.dtype)
            return result if return_dict else (result.prev_sample, clean)

    return ConsistencySampler
