"""Attention backends: which there are on a device, which one a run uses, and how a model is made to use it.

torch's `scaled_dot_product_attention` is the door that the attention of every model goes through, old processors and
diffusers' dispatcher alike. Inside a routed model each call of it is computed by the backend that was chosen. Setting a
backend as diffusers does reaches its newer models alone: on the UNets of SVD and AnimateDiff, on CogVideoX and Mochi
`set_attention_backend` does nothing and says nothing.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pipelines.kernels.dot_product_attention import dot_product_attention, only
from pipelines.kernels.programs import DotProduct, Program, Programs, can_run_triton, chosen, has_triton, running
from pipelines.sampling import DENOISERS
from studio.errors import MissingPackage, StudioError, UnsupportedValue

if TYPE_CHECKING:
    import torch

XFORMERS_FIX = "`pip install 'local-video-studio[xformers]'`"
TRITON_FIX = "`pip install triton`"
TRITON_NEEDS = "programs in Triton need a CUDA device of compute capability 8.0 or newer"

# Where torch has several kernels and lets one be chosen.
_KERNEL_DEVICES = ("cpu", "cuda")


class Backend(StrEnum):
    """AUTO: the model as it is, which is torch's attention with the kernel that torch prefers for each call.

    SDPA: the same, whatever diffusers' environment variables say, and a batch of any size. SDPA_FLASH, SDPA_EFFICIENT,
    SDPA_CUDNN, SDPA_MATH: that kernel of torch's alone; a call that it does not take is an error. XFORMERS: xformers;
    calls with a mask are torch's. STUDIO: our program in Triton for attention along the frames, SDPA for the rest.
    """

    AUTO = "auto"
    SDPA = "sdpa"
    SDPA_FLASH = "sdpa-flash"
    SDPA_EFFICIENT = "sdpa-efficient"
    SDPA_CUDNN = "sdpa-cudnn"
    SDPA_MATH = "sdpa-math"
    XFORMERS = "xformers"
    STUDIO = "studio"


_DOT_PRODUCTS = {
    Backend.SDPA_FLASH: DotProduct.FLASH,
    Backend.SDPA_EFFICIENT: DotProduct.EFFICIENT,
    Backend.SDPA_CUDNN: DotProduct.CUDNN,
    Backend.SDPA_MATH: DotProduct.MATH,
    Backend.XFORMERS: DotProduct.XFORMERS,
}


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a backend can be used on a device. reason: why not, empty where it can. fix: the command that helps."""

    backend: Backend
    reason: str = ""
    fix: str = ""

    @property
    def is_available(self) -> bool:
        return not self.reason


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A backend that can be used. For job, manifest and log: `str(choice)`."""

    backend: Backend

    def applied_to(self, programs: Programs) -> Programs:
        """Return the programs with attention computed by this backend; AUTO changes none."""
        if self.backend is Backend.AUTO:
            return programs
        temporal = Program.TRITON if self.backend is Backend.STUDIO else Program.TORCH
        attention = _DOT_PRODUCTS.get(self.backend, DotProduct.SDPA)
        return replace(programs, attention=attention, temporal_attention=temporal)

    def __str__(self) -> str:
        return self.backend.value


def available(device: torch.device) -> list[Availability]:
    """Return every backend, in the order of `Backend`, and whether it can be used on this device.

    torch's kernels are tried on a few numbers; nothing else tells for certain.
    """
    return [_availability(backend, device) for backend in Backend]


def choose(name: str, device: torch.device) -> Choice:
    """Return the backend of this name for a device.

    Raises `UnsupportedValue` where there is none of the name, or the device cannot use it; `MissingPackage`.
    """
    if name not in list(Backend):
        allowed = ", ".join(Backend)
        raise UnsupportedValue("no attention backend has this name", field="attention", got=name, allowed=allowed)
    backend = Backend(name)
    found = _availability(backend, device)
    if not found.is_available:
        raise _refusal(found, device)
    return Choice(backend=backend)


@contextmanager
def using(choice: Choice) -> Iterator[None]:
    """Let the operations in pipelines.kernels compute attention by this backend."""
    with running(choice.applied_to(chosen())):
        yield


@contextmanager
def attention_of(pipeline: Any, choice: Choice) -> Iterator[None]:
    """Let the denoisers of a diffusers pipeline use a backend, and leave them as they were found.

    Text encoders and VAEs keep torch's choice: their heads are too wide for most kernels, and their share is small.
    """
    with ExitStack() as routes:
        for name in DENOISERS:
            if (denoiser := getattr(pipeline, name, None)) is not None:
                routes.enter_context(route(denoiser, choice))
        yield


@contextmanager
def route(module: torch.nn.Module, choice: Choice) -> Iterator[None]:
    """Let every attention inside a module's forward be computed by a backend for as long as the context lasts.

    `dot_product_attention` as well. The forward's other operations pass by Python one by one: about a microsecond each.
    """
    if choice.backend is Backend.AUTO:
        yield
        return
    redirect = _redirection()
    open_calls: list[ExitStack] = []

    def enter(*_: Any) -> None:
        open_calls.append(call := ExitStack())
        call.enter_context(using(choice))
        call.enter_context(redirect())

    def leave(*_: Any) -> None:
        open_calls.pop().close()

    with ExitStack() as changes:
        changes.enter_context(_through_torch(module))
        changes.callback(module.register_forward_pre_hook(enter).remove)
        changes.callback(module.register_forward_hook(leave, always_call=True).remove)
        yield


def preferred_kernel(device: torch.device, *, batch: int, tokens: int) -> str:
    """Name the kernel that torch takes by itself for 5 heads of 64 channels: flash, efficient, cudnn or math.

    On devices where torch has one kernel: own.
    """
    import torch
    from torch.nn.attention import SDPBackend

    if device.type not in _KERNEL_DEVICES:
        return "own"
    probe = torch.empty(batch, 5, tokens, 64, device=device, dtype=_probe_dtype(device))
    number = torch._fused_sdp_choice(probe, probe, probe)
    return SDPBackend(number).name.lower().removesuffix("_attention")


@contextmanager
def _through_torch(module: torch.nn.Module) -> Iterator[None]:
    """Let diffusers' dispatcher call torch for this module, and not a backend that somebody else has set."""
    from diffusers.models.attention_dispatch import AttentionBackendName

    processors: list[Any] = [getattr(part, "processor", None) for part in module.modules()]
    told = [
        (processor, processor._attention_backend)
        for processor in processors
        if hasattr(processor, "_attention_backend")
    ]
    for processor, _ in told:
        processor._attention_backend = AttentionBackendName.NATIVE
    try:
        yield
    finally:
        for processor, backend in told:
            processor._attention_backend = backend


def _redirection() -> Any:
    """Return a context in which calls of torch's attention go to `dot_product_attention`."""
    from torch.nn.functional import scaled_dot_product_attention
    from torch.overrides import TorchFunctionMode

    class Redirection(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            return _redirected(func, *args, **kwargs) if func is scaled_dot_product_attention else func(*args, **kwargs)

    return Redirection


def _redirected(
    function: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Compute a call of `scaled_dot_product_attention`; torch does if it has dropout or shared heads."""
    if dropout_p or enable_gqa:
        return function(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    return dot_product_attention(query, key, value, mask=attn_mask, scale=scale, is_causal=is_causal)


# -- what there is -------------------------------------------------------------------------------------------------


def _availability(backend: Backend, device: torch.device) -> Availability:
    if backend in (Backend.AUTO, Backend.SDPA):
        return Availability(backend=backend)
    if backend is Backend.STUDIO:
        return _studio(device)
    if backend is Backend.XFORMERS:
        return _xformers(device)
    return Availability(backend=backend, reason=_why_not(_DOT_PRODUCTS[backend], device))


def _studio(device: torch.device) -> Availability:
    if not has_triton():
        return Availability(backend=Backend.STUDIO, reason="Triton is not installed", fix=TRITON_FIX)
    return Availability(backend=Backend.STUDIO, reason="" if can_run_triton(device) else TRITON_NEEDS)


def _xformers(device: torch.device) -> Availability:
    if importlib.util.find_spec("xformers") is None:
        return Availability(backend=Backend.XFORMERS, reason="xformers is not installed", fix=XFORMERS_FIX)
    if device.type != "cuda":
        return Availability(backend=Backend.XFORMERS, reason="it needs a CUDA device")
    try:
        import xformers.ops  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:  # built for another torch
        reason = f"xformers cannot be loaded ({str(error).partition(chr(10))[0]})"
        return Availability(backend=Backend.XFORMERS, reason=reason, fix=XFORMERS_FIX)
    return Availability(backend=Backend.XFORMERS)


def _why_not(kernel: DotProduct, device: torch.device) -> str:
    """Return why torch's kernel cannot be used on a device, in torch's own words where it has some."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    if device.type not in _KERNEL_DEVICES:
        return f"torch has no choice of kernels on {device.type}"
    probe = torch.zeros(1, 1, 16, 64, device=device, dtype=_probe_dtype(device))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with only(kernel):
                scaled_dot_product_attention(probe, probe, probe)
        except RuntimeError:
            reasons = [str(warning.message).partition(" (Triggered")[0] for warning in told]
            return "; ".join(reasons) or "torch has no such kernel for this device"
    return ""


def _probe_dtype(device: torch.device) -> torch.dtype:
    import torch

    return torch.float32 if device.type == "cpu" else torch.float16


def _refusal(found: Availability, device: torch.device) -> StudioError:
    usable = ", ".join(one.backend for one in available(device) if one.is_available)
    kind = MissingPackage if found.fix else UnsupportedValue
    return kind(
        f"this attention backend cannot be used on {device}: {found.reason}",
        field="attention",
        got=found.backend.value,
        allowed=usable,
        fix=found.fix or "choose auto",
    )
