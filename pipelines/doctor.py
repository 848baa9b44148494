"""What the doctor says about local models: torch, its device, attention, and the libraries around it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from studio.config import Settings
from studio.doctor import DoctorCheck

if TYPE_CHECKING:
    import torch


def checks(settings: Settings) -> Iterator[DoctorCheck]:
    """Yield the findings. Imports torch, and of the optional libraries xformers alone: others talk when imported."""
    import torch

    yield DoctorCheck(id="torch", ok=True, detail=f"torch {torch.__version__}, {torch.get_num_threads()} CPU threads")
    yield _device(settings)
    for name in ("diffusers", "transformers", "accelerate"):
        yield _package(name)
    yield _xformers()
    device = _chosen_device(settings)
    yield _attention(device)
    yield _triton(device)
    yield _channels_last(device)
    yield _optional("peft", "LoRAs cannot be loaded")
    yield _optional("torchao", "weights cannot be stored in eight bits by it")


def _device(settings: Settings) -> DoctorCheck:
    import torch

    device = _chosen_device(settings)
    if device.type == "cpu":
        fix = "" if torch.version.cuda is None else "update the NVIDIA driver; torch found no usable GPU"
        return DoctorCheck(id="device", ok=None, detail="CPU only: the small models run, large ones are slow", fix=fix)
    if device.type != "cuda":
        return DoctorCheck(id="device", ok=True, detail=str(device))
    free, total = torch.cuda.mem_get_info(device)
    name = torch.cuda.get_device_name(device)
    return DoctorCheck(id="device", ok=True, detail=f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")


def _chosen_device(settings: Settings) -> torch.device:
    from pipelines.placement import choose_placement

    return choose_placement(settings.device, "float16").device


def _package(name: str) -> DoctorCheck:
    try:
        return DoctorCheck(id=name, ok=True, detail=f"{name} {version(name)}")
    except PackageNotFoundError:
        return DoctorCheck(id=name, ok=False, detail="not installed", fix="install the studio anew")


def _xformers() -> DoctorCheck:
    if importlib.util.find_spec("xformers") is None:
        return DoctorCheck(id="xformers", ok=None, detail="not installed; torch's own attention is used")
    return DoctorCheck(id="xformers", ok=True, detail=f"xformers {version('xformers')}")


def _attention(device: torch.device) -> DoctorCheck:
    """Say what auto comes to on this device, and what there is to choose from."""
    from pipelines.attention import available, preferred_kernel

    found = available(device)
    usable = ", ".join(one.backend for one in found if one.is_available)
    others = ", ".join(one.backend for one in found if not one.is_available)
    # Shapes of Stable Video Diffusion, with fewer rows.
    pictures = preferred_kernel(device, batch=2, tokens=2304)
    frames = preferred_kernel(device, batch=1152, tokens=25)
    detail = f"auto is torch's choice, here {pictures} within a frame and {frames} along the frames; there are {usable}"
    return DoctorCheck(id="attention", ok=True, detail=f"{detail}; not here: {others}" if others else detail)


def _triton(device: torch.device) -> DoctorCheck:
    from pipelines.attention import TRITON_FIX, TRITON_NEEDS
    from pipelines.kernels.programs import can_run_triton, has_triton

    if not has_triton():
        if device.type != "cuda":
            return DoctorCheck(id="triton", ok=None, detail=f"not installed, and not needed on {device}")
        return DoctorCheck(
            id="triton", ok=None, detail="not installed; torch's own operations are used", fix=TRITON_FIX
        )
    detail = f"triton {_version('triton')}"
    if not can_run_triton(device):
        return DoctorCheck(id="triton", ok=None, detail=f"{detail}, not used: {TRITON_NEEDS}")
    return DoctorCheck(
        id="triton", ok=True, detail=f"{detail}; auto uses torch's own operations, as ours have not been timed"
    )


def _channels_last(device: torch.device) -> DoctorCheck:
    """Say whether convolutions keep channels side by side, which spares copies between layers."""
    import torch

    pictures = torch.zeros(1, 32, 16, 16, device=device).to(memory_format=torch.channels_last)
    weight = torch.zeros(32, 32, 3, 3, device=device).to(memory_format=torch.channels_last)
    result = torch.nn.functional.conv2d(pictures, weight, padding=1)
    if result.is_contiguous(memory_format=torch.channels_last):
        return DoctorCheck(id="channels-last", ok=True, detail=f"convolutions on {device} keep channels side by side")
    return DoctorCheck(id="channels-last", ok=None, detail=f"convolutions on {device} move channels apart again")


def _optional(name: str, loss: str) -> DoctorCheck:
    if importlib.util.find_spec(name) is None:
        return DoctorCheck(id=name, ok=None, detail=f"not installed; {loss}", fix=f"`pip install {name}`")
    return DoctorCheck(id=name, ok=True, detail=f"{name} {_version(name)}")


def _version(name: str) -> str:
    """Return the version of an installed module; its distribution may go by another name."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "of another distribution"
