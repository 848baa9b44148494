"""What the doctor says about local models: torch, its device, attention, and the libraries around it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from studio.config import Settings
from studio.doctor import DoctorCheck


def checks(settings: Settings) -> Iterator[DoctorCheck]:
    """Yield the findings. Imports torch."""
    import torch

    yield DoctorCheck(id="torch", ok=True, detail=f"torch {torch.__version__}, {torch.get_num_threads()} CPU threads")
    yield _device(settings)
    for name in ("diffusers", "transformers", "accelerate"):
        yield _package(name)
    yield _xformers()


def _device(settings: Settings) -> DoctorCheck:
    import torch

    from pipelines.placement import choose_placement

    placement = choose_placement(settings.device, "float16")
    if placement.is_cpu:
        fix = "" if torch.version.cuda is None else "update the NVIDIA driver; torch found no usable GPU"
        return DoctorCheck(id="device", ok=None, detail="CPU only: the small models run, large ones are slow", fix=fix)
    if placement.device.type != "cuda":
        return DoctorCheck(id="device", ok=True, detail=str(placement.device))
    free, total = torch.cuda.mem_get_info(placement.device)
    name = torch.cuda.get_device_name(placement.device)
    return DoctorCheck(id="device", ok=True, detail=f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")


def _package(name: str) -> DoctorCheck:
    try:
        return DoctorCheck(id=name, ok=True, detail=f"{name} {version(name)}")
    except PackageNotFoundError:
        return DoctorCheck(id=name, ok=False, detail="not installed", fix="install the studio anew")


def _xformers() -> DoctorCheck:
    if importlib.util.find_spec("xformers") is None:
        return DoctorCheck(id="xformers", ok=None, detail="not installed; torch's own attention is used")
    return DoctorCheck(id="xformers", ok=True, detail=f"xformers {version('xformers')}")
