"""Which device and number formats a local model runs with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.errors import EnvironmentFault

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Placement:
    """device: where the model computes. dtype: of the denoiser and the text encoder; the VAE decides for itself."""

    device: torch.device
    dtype: torch.dtype

    @property
    def is_cpu(self) -> bool:
        return self.device.type == "cpu"


def choose_placement(wanted: str, gpu_dtype: str) -> Placement:
    """Return the placement for a device named by the user.

    wanted: ``auto`` (CUDA when there is one), ``cpu``, ``cuda`` or ``cuda:N``.
    gpu_dtype: name of a torch dtype; on a CPU everything runs in float32, the only format fast everywhere.
    Raises `EnvironmentFault` when the device is not there.
    """
    import torch

    name = wanted if wanted != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EnvironmentFault(
            "this device cannot be used here",
            field="STUDIO_DEVICE",
            got=wanted,
            allowed="auto, cpu, cuda, cuda:N",
            fix="`studio doctor` shows what there is",
        ) from error
    return Placement(device=device, dtype=torch.float32 if device.type == "cpu" else getattr(torch, gpu_dtype))


def suppose_card(gpu_dtype: str) -> Placement:
    """Return the placement of a card that is not here, to reckon with; nothing is put on it."""
    import torch

    return Placement(device=torch.device("cuda"), dtype=getattr(torch, gpu_dtype))
