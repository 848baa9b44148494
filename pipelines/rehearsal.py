"""What a run will take, found by going through it on torch's meta device: the real modules, shapes without numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.sampling import DENOISERS

if TYPE_CHECKING:
    import torch

META = "meta"


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The shapes of one run, as tensors on the meta device.

    call: arguments by name of one call of the denoiser as the pipeline makes it. calls: such calls for one step.
    latents: what the sampling ends with, as a family's `_decode` takes it.
    picture: what the VAE encodes before the sampling begins, None where nothing is.
    """

    call: Mapping[str, Any]
    latents: Any
    calls: int = 1
    picture: Any = None


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network's weights in bytes. largest_part_bytes: of the largest part that is streamed at a time.

    loose_bytes: of what is in no such part and is on the device while the network computes.
    """

    weight_bytes: int
    largest_part_bytes: int
    loose_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What one stage of a run takes beside weights.

    peak_bytes: of what is alive on the device at a time. parked_bytes: of what waits in main memory meanwhile.
    flops: two for a multiplication with its addition. traffic_bytes: read and written.
    """

    peak_bytes: int
    parked_bytes: int
    flops: int
    convolution_flops: int
    traffic_bytes: int
    operations: int

    @classmethod
    def from_json(cls, data: Any) -> Stage:
        """Read what `dataclasses.asdict` gave. Raises TypeError or ValueError for anything else."""
        found = cls(**data)
        if not all(type(value) is int and value >= 0 for value in vars(found).values()):
            raise ValueError("not a rehearsed stage: its figures are whole numbers from zero")
        return found


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """The stages of a run. step: one step of the sampling."""

    encoding: Stage
    step: Stage
    decode: Stage


def rehearse_encoding(pipeline: Any, outline: Outline) -> Stage:
    """Go through the encoding of the picture that a clip begins with, in the number format the pipelines use.

    Where the VAE is widened for it, its wide weights take the place of its own, and count by what they add.
    """
    found = _counted(lambda: _encode(pipeline, outline.picture))
    if outline.picture is None or not _is_widened(pipeline.vae):
        return found
    from pipelines.counting import weight_bytes

    return replace(found, peak_bytes=max(0, found.peak_bytes - weight_bytes(pipeline.vae)))


def rehearse_step(pipeline: Any, outline: Outline) -> Stage:
    """Go through one step of the sampling, with all its calls of the denoiser."""
    denoiser = next(part for name in DENOISERS if (part := getattr(pipeline, name, None)) is not None)
    return _counted(lambda: denoiser(**outline.call), held=_size(outline.call), times=outline.calls)


def rehearse_decode(outline: Outline, decode: Callable[[], Iterator[torch.Tensor]]) -> Stage:
    """Go through a decode; its frames are let go of as they come."""
    return _counted(lambda: _exhaust(decode()), held=_size({"latents": outline.latents}))


def networks_of(pipeline: Any, adapted: tuple[str, ...]) -> dict[str, Network]:
    """Return the networks of a pipeline by name. adapted: those that are streamed layer by layer."""
    import torch

    parts = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    return {name: _network(part, is_fine=name in adapted) for name, part in parts.items()}


def _counted(work: Callable[[], object], *, held: int = 0, times: int = 1) -> Stage:
    """Do some work on the meta device. held: bytes that are alive from before. times: how often it is done."""
    import torch

    from pipelines.counting import Counting

    with torch.inference_mode(), Counting(device=META) as count:
        work()
    return Stage(
        peak_bytes=count.peak_bytes + held,
        parked_bytes=count.host_memory.peak_bytes,
        flops=count.flops * times,
        convolution_flops=count.convolution_flops * times,
        traffic_bytes=count.traffic_bytes * times,
        operations=count.operations * times,
    )


def _encode(pipeline: Any, picture: Any) -> None:
    if picture is None:
        return
    import torch

    vae = pipeline.vae
    with _in_dtype(vae, torch.float32 if _is_widened(vae) else vae.dtype):
        vae.encode(picture.to(vae.dtype))


def _is_widened(vae: Any) -> bool:
    return bool(getattr(vae.config, "force_upcast", False)) and vae.dtype.itemsize == 2


@contextmanager
def _in_dtype(module: Any, dtype: Any) -> Iterator[None]:
    before = module.dtype
    module.to(dtype)
    try:
        yield
    finally:
        module.to(before)


def _exhaust(pieces: Iterator[torch.Tensor]) -> None:
    for _ in pieces:
        pass


def _size(value: Any) -> int:
    import torch

    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(_size(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_size(item) for item in value)
    return 0


def _network(module: Any, *, is_fine: bool) -> Network:
    """Weigh a network. is_fine: its blocks come apart once more, as those of a UNet into its layers."""
    from pipelines.counting import weight_bytes

    blocks = _outermost_blocks(module)
    parts = [part for block in blocks for part in (_outermost_blocks(block) or [block])] if is_fine else blocks
    sizes = [weight_bytes(part) for part in parts]
    whole = weight_bytes(module)
    loose = 0 if is_fine else whole - sum(sizes)
    if is_fine:
        sizes += [weight_bytes(layer) for layer in _layers_beside(module, parts)]
    return Network(weight_bytes=whole, largest_part_bytes=max(sizes, default=whole), loose_bytes=loose)


def _layers_beside(module: Any, parts: list[Any]) -> list[Any]:
    """Return the layers of a network that are in none of its parts."""
    inside = {layer for part in parts for layer in part.modules()}
    beside = (layer for layer in module.modules() if layer not in inside)
    return [layer for layer in beside if next(layer.parameters(recurse=False), None) is not None]


def _outermost_blocks(module: Any) -> list[Any]:
    """Return the elements of a network's lists that lie in no other list's element."""
    import torch

    found: list[Any] = []
    for child in module.children():
        if isinstance(child, torch.nn.ModuleList):
            found += [block for block in child if block is not None]
        else:
            found += _outermost_blocks(child)
    return found
