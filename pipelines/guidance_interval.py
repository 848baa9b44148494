"""Guidance in some steps only: in the others the branch without the prompt is not computed.

Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in Diffusion Models, arXiv 2404.07724;
the interval is given in steps here, in noise levels there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from pipelines.replaced_forward import Forward, replaced_forward
from pipelines.sampling import DENOISERS
from pipelines.step_clock import StepClock
from studio.errors import UnsupportedValue

# One clip per call: a batch of two is its two branches, the unconditional one first.
_BRANCHES = 2


@dataclass(frozen=True, kw_only=True)
class GuidanceInterval:
    """Steps that are guided: those with int(start * steps) <= index < int(stop * steps), as in diffusers' guiders.

    start, stop: fractions of the steps in [0, 1]. 0 and 1 guide every step, equal ones none.
    """

    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= self.stop <= 1.0:
            raise ValueError(f"expected two rising fractions of the steps in [0, 1], got {self.start}, {self.stop}")

    def holds(self, index: int, total: int) -> bool:
        """Say whether the step is guided."""
        return int(self.start * total) <= index < int(self.stop * total)

    def describe(self) -> str:
        """Return it in words."""
        return f"guidance in {self.start:g}-{self.stop:g} of the steps"


@contextmanager
def guided_within(pipeline: Any, interval: GuidanceInterval, clock: StepClock) -> Iterator[None]:
    """Guide the pipeline's steps in the interval only; elsewhere its output is that of guidance scale 1, exactly.

    Three ways of guidance are known: both branches in one batch (SVD, LTX-Video, CogVideoX, Mochi), one call for the
    conditional branch and one for the other (Wan, HunyuanVideo, SkyReels-V2), diffusers' guiders (HunyuanVideo 1.5).
    Raises, at the end of the first step outside, `UnsupportedValue` where the pipeline has another way.
    """
    if getattr(pipeline, "guider", None) is not None:
        with _limited(pipeline, interval):
            yield
        return
    branches = _Branches(interval, clock)
    clock.at_end_of_step(branches.end_step)
    with ExitStack() as stack:
        for name in DENOISERS:
            if (denoiser := getattr(pipeline, name, None)) is not None:
                stack.enter_context(branches.over(denoiser))
        yield


class _Branches:
    """What the denoisers of one pipeline are asked for in one step."""

    def __init__(self, interval: GuidanceInterval, clock: StepClock) -> None:
        self._interval = interval
        self._clock = clock
        self._context: str | None = None
        self._conditional: Any = None
        self._has_computed = self._has_saved = False

    @contextmanager
    def over(self, denoiser: Any) -> Iterator[None]:
        """Answer in place of the denoiser where a branch is not needed."""
        own = vars(denoiser).get("cache_context")
        if hasattr(denoiser, "cache_context"):
            denoiser.cache_context = self._listening(denoiser.cache_context)
        try:
            with replaced_forward(denoiser, self._sparing):
                yield
        finally:
            vars(denoiser).pop("cache_context", None)
            if own is not None:
                denoiser.cache_context = own

    def end_step(self, pipeline: Any) -> None:
        """Forget the step; make sure that it came out as it was meant to."""
        has_failed = self._has_computed and not self._has_saved
        self._conditional, self._has_computed, self._has_saved = None, False, False
        if has_failed and getattr(pipeline, "do_classifier_free_guidance", False):
            raise UnsupportedValue(
                "this model's guidance cannot be limited to some steps", field="speed", fix="choose speed=exact"
            )

    def _listening(self, cache_context: Any) -> Any:
        @contextmanager
        def listening(name: str, **where: Any) -> Iterator[None]:
            self._context = name
            try:
                with cache_context(name, **where):
                    yield
            finally:
                self._context = None

        return listening

    def _sparing(self, forward: Forward) -> Forward:
        def sparing(*arguments: Any, **named: Any) -> Any:
            if self._interval.holds(self._clock.index, self._clock.total):
                return forward(*arguments, **named)
            self._has_computed = True
            if self._context in (None, "uncond") and self._conditional is not None:
                self._has_saved = True
                return self._conditional
            if self._context in (None, "cond_uncond") and _batch(arguments, named) == _BRANCHES:
                self._has_saved = True
                return _twice(forward(*map(_second, arguments), **{key: _second_of(key, named[key]) for key in named}))
            output = forward(*arguments, **named)
            if self._context in (None, "cond"):
                self._conditional = output
            return output

        return sparing


def _batch(arguments: tuple[Any, ...], named: dict[str, Any]) -> int:
    """Return the batch size: that of the sample, which the pipelines give first."""
    return int(next(iter((*arguments, *named.values()))).shape[0])


def _second_of(name: str, value: Any) -> Any:
    """Return the conditional half. AnimateDiff repeats its text for every frame: more rows, the same two halves."""
    rows = value.shape[0] if name.startswith("encoder_") and hasattr(value, "shape") and value.ndim else _BRANCHES
    return _second(value, rows if rows % _BRANCHES == 0 else _BRANCHES)


def _second(value: Any, rows: int = _BRANCHES) -> Any:
    if isinstance(value, dict):
        return {key: _second(item) for key, item in value.items()}
    is_batch = hasattr(value, "shape") and value.ndim > 0 and value.shape[0] == rows
    return value[rows // _BRANCHES :] if is_batch else value


def _twice(output: Any) -> Any:
    """Return an output for both branches: whatever the scale, guidance leaves two equal ones as they are."""
    import torch

    if isinstance(output, torch.Tensor):
        return torch.cat([output] * _BRANCHES)
    if isinstance(output, dict):  # diffusers' outputs are mappings
        return type(output)(**{key: _twice(item) for key, item in output.items()})
    return tuple(map(_twice, output)) if isinstance(output, tuple) else output


@contextmanager
def _limited(pipeline: Any, interval: GuidanceInterval) -> Iterator[None]:
    """Give the pipeline a guider with the interval; copies of it, with a scale of their own, have the interval too."""
    own = pipeline.guider
    is_empty = interval.start == interval.stop  # a guider has to start before the end
    pipeline.guider = own.new(start=0.0 if is_empty else interval.start, stop=0.0 if is_empty else interval.stop)
    try:
        yield
    finally:
        pipeline.guider = own
