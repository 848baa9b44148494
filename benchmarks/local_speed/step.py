"""One step of Stable Video Diffusion's sampling, guidance included: stock in several ways, and ours. Imports torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from benchmarks.local_speed.bench import Bench, MeasuredStages, with_throughput
from benchmarks.local_speed.networks import svd_pipeline
from benchmarks.local_speed.pairing import as_it_is
from pipelines.counting import Counting
from pipelines.exact.unet import exact_forward, installed
from pipelines.kernels.dot_product_attention import only
from pipelines.kernels.programs import DotProduct, Program, Programs, running
from pipelines.plan import Tiling
from pipelines.svd import ON_DEVICE

SECTION = "step"
CLIPS = 4


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to compute the step. around: context in which the UNet's forward is that way's; yields what is called.

    missing: why it cannot be measured here; None where it can.
    """

    name: str
    around: Callable[[Any], AbstractContextManager[Callable[..., Any]]]
    missing: str | None = None


def rows(bench: Bench) -> Iterator[dict[str, Any]]:
    """Measure each way in turns with stock, beginning with stock itself."""
    unet = svd_pipeline(bench, MeasuredStages(bench)).unet
    given = inputs(bench, unet)
    stock = partial(_called, unet, given)
    flops = counted_flops(bench, stock)
    yield {"section": SECTION, "name": "kernels of a stock step", "kernels": kernels_of(stock, bench)}
    try:
        for way in ways(bench):
            yield {"section": SECTION} | _row(bench, way, unet, given, flops)
    finally:
        _COMPILED.clear()
        torch._dynamo.reset()
    # Stock's temporal attention then has more rows than torch's kernels take.
    several = inputs(bench, unet, clips=CLIPS)
    for way in _ours(bench, tilings()[-1]):
        name = f"{CLIPS} clips at once: {way.name}"
        yield {"section": SECTION} | _row(bench, replace(way, name=name), unet, several, CLIPS * flops)


def inputs(bench: Bench, unet: Any, clips: int = 1) -> dict[str, Any]:
    """Return the arguments of one call, both branches of guidance in one batch."""
    batch = 2 * clips
    shape, config = bench.size.shape, unet.config
    scale = 2 ** (len(bench.size.svd["vae"]["block_out_channels"]) - 1)
    frames = (batch, shape.num_frames, config.in_channels, shape.height // scale, shape.width // scale)
    return {
        "sample": bench.random(*frames),
        "timestep": torch.ones((), device=bench.device),
        "encoder_hidden_states": bench.random(batch, 1, config.cross_attention_dim),
        "added_time_ids": torch.tensor([[6, 127, 0.02]] * batch, device=bench.device, dtype=bench.dtype),
    }


def ways(bench: Bench) -> list[Way]:
    """Return the ways, stock first."""
    return [
        Way(name="stock", around=nullcontext),
        *(_stock_attention(kernel, bench) for kernel in (DotProduct.FLASH, DotProduct.EFFICIENT, DotProduct.CUDNN)),
        Way(name="stock, forward chunking", around=chunked),
        Way(name="stock, channels last", around=_channels_last),
        Way(name="stock, torch.compile", around=partial(_compiled, bench)),
        Way(name="stock, torch.compile, channels last", around=partial(_compiled_channels_last, bench)),
        Way(name="stock, xformers", around=_with_xformers, missing=_no_xformers(bench)),
        *(way for tiling in tilings() for way in _ours(bench, tiling)),
        *(way for way in _ours(bench, Tiling(), is_compiled=True)),
    ]


def tilings() -> list[Tiling]:
    """Return the tilings of the studio's plans, each once."""
    return list(dict.fromkeys(plan.tiling for plan in ON_DEVICE))


def counted_flops(bench: Bench, work: Callable[[], Any]) -> int:
    """Return the floating-point operations of some work, which is done once."""
    with Counting(device=bench.device.type) as count:
        work()
    return count.flops


def kernels_of(work: Callable[[], Any], bench: Bench, most: int = 15) -> list[dict[str, Any]]:
    """Return the kernels that take longest in some work: on a GPU they tell which attention torch chose."""
    from torch.profiler import ProfilerActivity, profile

    work()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.is_cuda else [])]
    with profile(activities=kinds) as found:
        work()
    of = "self_device_time_total" if bench.is_cuda else "self_cpu_time_total"
    events = sorted(found.key_averages(), key=lambda event: -getattr(event, of))[:most]
    return [{"name": event.key[:120], "ms": getattr(event, of) / 1e3, "calls": event.count} for event in events]


def _row(bench: Bench, way: Way, unet: Any, given: dict[str, Any], flops: int) -> dict[str, Any]:
    if way.missing:
        return {"name": way.name, "skipped": way.missing}

    @contextmanager
    def turn() -> Iterator[Callable[[], torch.Tensor]]:
        with way.around(unet) as call:
            yield partial(_called, call, given)

    return with_throughput(bench.compare(way.name, as_it_is(partial(_called, unet, given)), turn), flops)


def _called(call: Callable[..., Any], given: dict[str, Any]) -> torch.Tensor:
    result: torch.Tensor = call(**given, return_dict=False)[0]
    return result


# -- stock ----------------------------------------------------------------------------------------------------------


def _stock_attention(kernel: DotProduct, bench: Bench) -> Way:
    @contextmanager
    def around(unet: Any) -> Iterator[Any]:
        with only(kernel):
            yield unet

    missing = None if bench.is_cuda or kernel is DotProduct.FLASH else "torch has this kernel on a GPU only"
    return Way(name=f"stock, torch's {kernel.value} attention alone", around=around, missing=missing)


@contextmanager
def chunked(unet: Any) -> Iterator[Any]:
    """Compute the feed-forwards row by row, as diffusers advises for little memory."""
    unet.enable_forward_chunking()
    try:
        yield unet
    finally:
        for module in unet.modules():
            if hasattr(module, "set_chunk_feed_forward"):
                module.set_chunk_feed_forward(None, dim=0)


@contextmanager
def _channels_last(unet: Any) -> Iterator[Any]:
    _arrange(unet, torch.channels_last, torch.channels_last_3d)
    try:
        yield unet
    finally:
        _arrange(unet, torch.contiguous_format, torch.contiguous_format)


def _arrange(unet: Any, flat: torch.memory_format, deep: torch.memory_format) -> None:
    for layer in unet.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Conv3d):
            form = flat if isinstance(layer, torch.nn.Conv2d) else deep
            layer.weight.data = layer.weight.data.contiguous(memory_format=form)


@contextmanager
def _compiled(bench: Bench, unet: Any) -> Iterator[Any]:
    yield _compiled_once(bench, unet, "stock")


@contextmanager
def _compiled_channels_last(bench: Bench, unet: Any) -> Iterator[Any]:
    with _channels_last(unet):
        yield _compiled_once(bench, unet, "channels last")


@contextmanager
def _with_xformers(unet: Any) -> Iterator[Any]:
    before = unet.attn_processors
    unet.enable_xformers_memory_efficient_attention()
    try:
        yield unet
    finally:
        unet.set_attn_processor(before)


def _no_xformers(bench: Bench) -> str | None:
    if importlib.util.find_spec("xformers") is None:
        return "xformers is not installed"
    return None if bench.is_cuda else "xformers computes on a GPU only"


# -- ours -----------------------------------------------------------------------------------------------------------


def _ours(bench: Bench, tiling: Tiling, *, is_compiled: bool = False) -> Iterator[Way]:
    for program in (Program.TORCH, Program.TRITON):
        yield Way(
            name=f"ours, {described(tiling)}, programs in {program.value}{', torch.compile' if is_compiled else ''}",
            around=partial(_around_ours, bench, tiling, program, is_compiled),
            missing=None if bench.is_cuda or program is Program.TORCH else "programs in Triton need a GPU",
        )


def described(tiling: Tiling) -> str:
    """Return a tiling in words."""
    parts = [
        "whole clip" if tiling.frames is None else f"{tiling.frames} frames",
        *([] if tiling.positions is None else [f"{tiling.positions} positions"]),
        *(["guidance split"] if tiling.is_guidance_split else []),
    ]
    return ", ".join(parts)


@contextmanager
def _around_ours(bench: Bench, tiling: Tiling, program: Program, is_compiled: bool, unet: Any) -> Iterator[Any]:
    with ExitStack() as stack:
        stack.enter_context(running(Programs.all(program)))
        if is_compiled:
            yield _compiled_once(bench, exact_forward(unet, tiling), f"ours {program.value}")
        else:
            stack.enter_context(installed(unet, tiling))
            yield unet


_COMPILED: dict[tuple[str, str], Any] = {}


def _compiled_once(bench: Bench, call: Any, name: str) -> Any:
    """Return a call compiled, the same each time it is asked for."""
    return _COMPILED.setdefault(
        (bench.size.name, name), torch.compile(call, backend=bench.size.compiler, dynamic=False)
    )
