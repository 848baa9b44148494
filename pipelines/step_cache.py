"""Step caches of diffusers for transformers: blocks whose outputs hardly change from step to step are not computed.

Approximate. Pyramid attention broadcast is left out: it keeps one memory for both branches of guidance, and Wan's come
one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipelines.sampling import DENOISERS
from studio.errors import UnsupportedValue

_Check = Callable[[Any], bool]


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_fraction(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _are_ratios(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_positive, value))


@dataclass(frozen=True)
class _Kind:
    """config: diffusers' class of it. values: what may be set. needed: what has to be."""

    config: str
    values: Mapping[str, _Check]
    needed: tuple[str, ...]
    words: str


KINDS: Mapping[str, _Kind] = {
    # https://github.com/chengzeyi/ParaAttention, "First Block Cache"
    "first-block": _Kind("FirstBlockCacheConfig", {"threshold": _is_positive}, ("threshold",), "first-block cache"),
    # MagCache, arXiv 2506.09045; the ratios belong to a checkpoint.
    "mag": _Kind(
        "MagCacheConfig",
        {"threshold": _is_positive, "max_skip_steps": _is_count, "retention_ratio": _is_fraction,
         "mag_ratios": _are_ratios},
        ("mag_ratios",),
        "magnitude cache",
    ),
    # From Reusing to Forecasting: Accelerating Diffusion Models with TaylorSeers, arXiv 2503.06923
    "taylorseer": _Kind(
        "TaylorSeerCacheConfig",
        {"cache_interval": _is_count, "disable_cache_before_step": _is_count, "max_order": _is_count},
        (),
        "Taylor forecast cache",
    ),
}  # fmt: skip


# What diffusers puts into modules and does not take away: registries, and a forward in the way of the class's own.
_LEFT_BEHIND = ("forward", "_diffusers_hook", "_cache_config")

# Names of attentions in blocks. Those that diffusers looks for by itself are found in no model whose are numbered.
_ATTENTIONS = r"\w*blocks\.\d+\.attn\w*"


@dataclass(frozen=True, kw_only=True)
class StepCache:
    """kind: one of `KINDS`. values: parameters of diffusers' class for it; what is missing is as diffusers has it."""

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: expected {', '.join(KINDS)}, got {self.kind}")
        kind = KINDS[self.kind]
        for name, value in self.values.items():
            if name not in kind.values:
                raise ValueError(f"{name}: not a parameter of {self.kind}; expected {', '.join(kind.values)}")
            if not kind.values[name](value):
                raise ValueError(f"{name}: {value!r} is outside what {self.kind} takes")
        if missing := [name for name in kind.needed if name not in self.values]:
            raise ValueError(f"{self.kind} needs {', '.join(missing)}")

    def describe(self) -> str:
        """Return it in words."""
        threshold = self.values.get("threshold")
        return KINDS[self.kind].words + (f" at {threshold:g}" if threshold is not None else "")


@contextmanager
def cached_steps(pipeline: Any, cache: StepCache, *, num_inference_steps: int) -> Iterator[None]:
    """Switch the cache on in every denoiser of the pipeline. It starts empty, and nothing of it is left afterwards.

    Raises `UnsupportedValue` where diffusers has no such cache for the model.
    """
    found = [getattr(pipeline, name, None) for name in DENOISERS]
    denoisers = [denoiser for denoiser in found if denoiser is not None]
    if cache.kind == "mag" and len(denoisers) > 1:
        raise _unfit(cache, "the ratios of a magnitude cache are those of one denoiser")
    with ExitStack() as stack:
        for denoiser in denoisers:
            stack.enter_context(_cached(denoiser, cache, num_inference_steps))
        yield


@contextmanager
def _cached(denoiser: Any, cache: StepCache, num_inference_steps: int) -> Iterator[None]:
    if not hasattr(denoiser, "enable_cache"):
        raise _unfit(cache, "this model has no step caches")
    own = {module: _hooks_of(module) for module in denoiser.modules()}
    try:
        try:
            denoiser.enable_cache(_configuration(cache, num_inference_steps))
        except (ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
            raise _unfit(cache, "this model's blocks do not fit this cache") from error
        if all(_hooks_of(module).get("forward") is own[module].get("forward") for module in own):
            raise _unfit(cache, "this cache finds nothing in this model that it could skip")
        yield
    finally:
        if denoiser.is_cache_enabled:
            denoiser.disable_cache()
        for module, hooks in own.items():
            for name in _LEFT_BEHIND:
                vars(module).pop(name, None)
            vars(module).update(hooks)


def _hooks_of(module: Any) -> dict[str, Any]:
    return {name: vars(module)[name] for name in _LEFT_BEHIND if name in vars(module)}


def _configuration(cache: StepCache, num_inference_steps: int) -> Any:
    import diffusers.hooks
    import torch

    values = dict(cache.values)
    if cache.kind == "mag":
        values |= {"num_inference_steps": num_inference_steps, "mag_ratios": torch.tensor(values["mag_ratios"])}
    if cache.kind == "taylorseer":
        values["taylor_factors_dtype"] = None  # the model's own; half precision would be a second approximation
        values["cache_identifiers"] = [_ATTENTIONS]
    return getattr(diffusers.hooks, KINDS[cache.kind].config)(**values)


def _unfit(cache: StepCache, message: str) -> UnsupportedValue:
    return UnsupportedValue(message, field="speed", got=cache.kind, fix="choose speed=exact")
