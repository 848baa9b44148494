"""Reuse of deep features in UNets of the SVD class: most steps compute the shallow layers alone.

DeepCache: Accelerating Diffusion Models for Free, arXiv 2312.00858. Approximate.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from pipelines.replaced_forward import Forward, replaced_forward
from pipelines.step_clock import StepClock
from studio.errors import UnsupportedValue


@dataclass(frozen=True, kw_only=True)
class FeatureReuse:
    """interval: every so many steps, the first included, the whole UNet is computed; at least 2.

    branch: layers of the first down block that are computed in the steps between, and with them the last branch + 1
    layers of the last up block. With SVD's two layers in a block, 0 leaves 16 % of the operations and is what DeepCache
    uses; 2 leaves 42 % and stays closest.
    """

    interval: int
    branch: int = 0

    def __post_init__(self) -> None:
        if self.interval < 2:
            raise ValueError(f"interval: expected a whole number from 2, got {self.interval}")
        if self.branch < 0:
            raise ValueError(f"branch: expected a whole number from 0, got {self.branch}")

    def describe(self) -> str:
        """Return it in words."""
        return f"deep features renewed every {self.interval} steps"


@contextmanager
def reused_features(pipeline: Any, reuse: FeatureReuse, clock: StepClock) -> Iterator[None]:
    """Compute the pipeline's UNet whole in some steps only. It starts with nothing and leaves nothing behind.

    Until the end the UNet says ``is_cache_enabled``: what is kept between steps is no part of a checkpoint.
    Raises `UnsupportedValue` where the UNet has not the blocks of `UNetSpatioTemporalConditionModel`.
    """
    unet: Any = getattr(pipeline, "unet", None)
    layers = _Layers.of(unet, reuse.branch)
    run = _Run(reuse, clock)
    with ExitStack() as stack:
        stack.enter_context(replaced_forward(unet, run.around_unet))
        for part in layers.idle:
            stack.enter_context(replaced_forward(part, run.idle))
        for block in layers.idle_down_blocks:
            stack.enter_context(replaced_forward(block, _idle_down_block(run, block)))
        stack.enter_context(replaced_forward(layers.source, run.source))
        unet.is_cache_enabled = True
        stack.callback(delattr, unet, "is_cache_enabled")
        yield


@dataclass(frozen=True, kw_only=True)
class _Layers:
    """The modules that do nothing in a step with old features; the last of them, `source`, hands the features on."""

    idle: tuple[Any, ...]
    idle_down_blocks: tuple[Any, ...]
    source: Any

    @classmethod
    def of(cls, unet: Any, branch: int) -> _Layers:
        if not all(hasattr(unet, name) for name in ("down_blocks", "mid_block", "up_blocks", "add_embedding")):
            raise UnsupportedValue("this model has no layers whose features can be reused", field="speed")
        first, last = unet.down_blocks[0], unet.up_blocks[-1]
        if len(unet.down_blocks) < 2 or len(last.resnets) != len(first.resnets) + 1:
            raise UnsupportedValue("this UNet is too flat for features to be reused", field="speed")
        if branch > len(first.resnets):
            raise UnsupportedValue(
                "the first block has fewer layers", field="branch", got=branch, allowed=f"0 to {len(first.resnets)}"
            )
        passed = [*_parts(first)[branch:], *((part,) for part in first.downsamplers or ())]
        deep = [(unet.mid_block,), *((block,) for block in unet.up_blocks[:-1]), *_parts(last)[: -(branch + 1)]]
        *idle, source = (part for parts in (*passed, *deep) for part in parts)
        return cls(idle=tuple(idle), idle_down_blocks=tuple(unet.down_blocks[1:]), source=source)


def _parts(block: Any) -> list[tuple[Any, ...]]:
    """Return the layers of a block: a resnet each, and an attention where it has them."""
    attentions = getattr(block, "attentions", None)
    return list(zip(block.resnets, attentions, strict=True)) if attentions else [(one,) for one in block.resnets]


class _Run:
    """The features of one run, by the place of the call in its step: guidance may call twice."""

    def __init__(self, reuse: FeatureReuse, clock: StepClock) -> None:
        self._reuse = reuse
        self._clock = clock
        self._features: dict[int, tuple[tuple[int, ...], Any]] = {}
        self._step = -1
        self._call = 0
        self._shape: tuple[int, ...] = ()
        self._has_handed_on = False
        self.is_reusing = False

    def around_unet(self, forward: Forward) -> Forward:
        def around(sample: Any, *arguments: Any, **named: Any) -> Any:
            self._begin_call(tuple(sample.shape))
            output = forward(sample, *arguments, **named)
            if not self._has_handed_on:
                raise UnsupportedValue(
                    "features cannot be reused: the UNet is computed without its blocks", field="speed"
                )
            return output

        return around

    def _begin_call(self, shape: tuple[int, ...]) -> None:
        self._call = 0 if self._clock.index != self._step else self._call + 1
        self._step, self._shape, self._has_handed_on = self._clock.index, shape, False
        known, _ = self._features.get(self._call, ((), None))
        # Where guidance begins or ends the batch is another one, and nothing fits.
        self.is_reusing = self._step % self._reuse.interval != 0 and known == shape

    def source(self, forward: Forward) -> Forward:
        """Remember what this layer gives in a whole step, and give it again in the steps between."""

        def source(*arguments: Any, **named: Any) -> Any:
            self._has_handed_on = True
            if self.is_reusing:
                return self._features[self._call][1]
            output = forward(*arguments, **named)
            self._features[self._call] = (self._shape, output)
            return output

        return source

    def idle(self, forward: Forward) -> Forward:
        """Let a layer hand on its first input where nobody looks at the numbers, as the layers after it will not."""

        def idle(hidden_states: Any = None, *arguments: Any, **named: Any) -> Any:
            if not self.is_reusing:
                return forward(hidden_states, *arguments, **named)
            # No channels: a layer of the up path joins others to them, which would be copied for nothing.
            return (hidden_states[:, :0],) if named.get("return_dict") is False else hidden_states[:, :0]

        return idle


def _idle_down_block(run: _Run, block: Any) -> Any:
    states = len(block.resnets) + len(block.downsamplers or ())

    def make(forward: Forward) -> Forward:
        def idle(hidden_states: Any, *arguments: Any, **named: Any) -> Any:
            if not run.is_reusing:
                return forward(hidden_states, *arguments, **named)
            return hidden_states, (hidden_states,) * states

        return idle

    return make
