"""The memory planner: which plan fits this machine, said before the run, and what to change where none does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.placement import Placement
from pipelines.plan import MemoryPlan, Residency
from pipelines.rehearsal import Network, Rehearsed
from pipelines.sampling import DENOISERS
from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.errors import OutOfMemory
from studio.request import ResolvedRequest

GIB = 2**30
# What the allocator of CUDA loses between blocks, and the workspaces of cuBLAS and cuDNN.
DEVICE_SPREAD, DEVICE_WORKSPACE = 1.04, 96 * 2**20
# What the pipelines hold besides, whatever the plan: the picture, noise, latents twice, frames that are handed over.
HELD_BYTES = 64 * 2**20
# Activations of a text encoder with a few hundred tokens, or of an image encoder.
READING_BYTES = 256 * 2**20
# What main memory takes beside tensors, and how much of it an allocator that keeps freed pages takes in addition.
RAM_SPREAD = 1.05
MOST_HEADER_BYTES = 100 * 2**20
# Activations of the hungriest decode known, SVD's of a whole clip in float32: twice 28.1 GiB for 25 x 576 x 1024.
MOST_BYTES_PER_PIXEL = 4400


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be used. device_bytes: of GPU memory, None where models compute on the CPU. ram_bytes: main memory."""

    device_bytes: int | None
    ram_bytes: int

    @classmethod
    def measure(cls, placement: Placement, settings: Settings) -> Budget:
        """Look at what is free now, what this process holds included: a forecast counts it too.

        STUDIO_VRAM_LIMIT bounds it.
        """
        ram = available_ram() + resident_ram()
        if placement.is_cpu:
            return cls(device_bytes=None, ram_bytes=ram)
        return cls(device_bytes=_free_device_bytes(placement.device, settings.vram_limit), ram_bytes=ram)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run by one plan takes. device_bytes: peak of GPU memory, 0 on a CPU. ram_bytes: peak, of the process."""

    plan: MemoryPlan
    device_bytes: int
    ram_bytes: int

    def lacks(self, budget: Budget) -> str | None:
        """Return the resource that is too small, or None where the run fits."""
        if budget.device_bytes is not None and self.device_bytes > budget.device_bytes:
            return "GPU memory"
        return "RAM" if self.ram_bytes > budget.ram_bytes else None


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The plans a model can run by, the fastest first, and what each takes.

    forecast: None where nobody knows. cheaper: changes of the request that take less, the smallest first, as command
    line flags, each with its forecast by the last plan.
    """

    plans: Sequence[MemoryPlan]
    forecast: Callable[[MemoryPlan], Forecast | None]
    budget: Budget
    cheaper: Callable[[], Sequence[tuple[str, Callable[[], Forecast | None]]]] = lambda: ()

    def chosen(self) -> Forecast | None:
        """Return the forecast of the first plan that fits; None where nothing is known. Raises `OutOfMemory`."""
        forecast = None
        for plan in self.plans:
            forecast = self.forecast(plan)
            if forecast is None or forecast.lacks(self.budget) is None:
                return forecast
        if forecast is None:
            return None
        raise self._refusal(forecast)

    def from_what_fits(self) -> list[MemoryPlan]:
        """Return the plan to begin with and all smaller ones. Raises `OutOfMemory` where even the last is too large."""
        chosen = self.chosen()
        return list(self.plans) if chosen is None else list(self.plans[self.plans.index(chosen.plan) :])

    def _refusal(self, smallest: Forecast) -> OutOfMemory:
        resource = smallest.lacks(self.budget) or "RAM"
        is_ram = resource == "RAM"
        needed = smallest.ram_bytes if is_ram else smallest.device_bytes
        free = self.budget.ram_bytes if is_ram else self.budget.device_bytes
        change = self._change_that_fits()
        return OutOfMemory(
            f"this clip needs {needed / GIB:.1f} GiB of {resource} even by the smallest plan ({smallest.plan.name})",
            got=f"{(free or 0) / GIB:.1f} GiB free",
            fix=f"{change} fits" if change else "choose a smaller model, or close other programs",
        )

    def _change_that_fits(self) -> str | None:
        for flags, forecast in self.cheaper():
            found = forecast()
            if found is not None and found.lacks(self.budget) is None:
                return flags
        return None


def forecast_of(
    plan: MemoryPlan,
    rehearsed: Rehearsed,
    networks: Mapping[str, Network],
    *,
    is_cpu: bool,
    base_ram_bytes: int,
    clip_bytes: int,
) -> Forecast:
    """Put weights and stages together as the plan has them. base_ram_bytes: of the process without weights and clips.

    clip_bytes: of the finished frames in eight bits.
    """
    weights = sum(network.weight_bytes for network in networks.values())
    peak = max(stage.peak_bytes for stage in (rehearsed.encoding, rehearsed.step, rehearsed.decode))
    if is_cpu:
        ram = base_ram_bytes + (weights + peak + clip_bytes) * RAM_SPREAD
        return Forecast(plan=plan, device_bytes=0, ram_bytes=int(ram))
    device = (_device_peak(plan, rehearsed, networks) + HELD_BYTES) * DEVICE_SPREAD + DEVICE_WORKSPACE
    ram = base_ram_bytes + (weights + clip_bytes + rehearsed.decode.parked_bytes) * RAM_SPREAD
    return Forecast(plan=plan, device_bytes=int(device), ram_bytes=int(ram))


def _device_peak(plan: MemoryPlan, rehearsed: Rehearsed, networks: Mapping[str, Network]) -> int:
    encoding, sampling, decoding = (
        stage.peak_bytes for stage in (rehearsed.encoding, rehearsed.step, rehearsed.decode)
    )
    vae = sum(network.weight_bytes for name, network in networks.items() if name.startswith("vae"))
    denoisers = [network for name, network in networks.items() if name in DENOISERS]
    readers = [network for name, network in networks.items() if name not in DENOISERS and not name.startswith("vae")]
    reading = READING_BYTES if readers else 0
    match plan.residency:
        case Residency.RESIDENT:
            held = sum(network.weight_bytes for network in networks.values())
            return held + max(reading, encoding, sampling, decoding)
        case Residency.STAGED:
            # A VAE that has read a picture stays: the chain of hooks brings it home with the next network alone.
            stays = vae if encoding else 0
            return max(
                _most(network.weight_bytes for network in readers) + reading,
                _most(network.weight_bytes for network in denoisers) + sampling + stays,
                vae + max(encoding, decoding),
            )
        case Residency.STREAMED:
            read = _most(map(_on_the_way, readers)) + reading
            return vae + max(read, encoding, decoding, _most(map(_on_the_way, denoisers)) + sampling)


def _most(sizes: Iterable[int]) -> int:
    return max(sizes, default=0)


def surely_fits(resolved: ResolvedRequest, budget: Budget) -> bool:
    """Say whether a run on a CPU needs no look ahead: not even the hungriest decode would take half of what is free."""
    pixels = resolved.width * resolved.height * resolved.num_frames
    return pixels * MOST_BYTES_PER_PIXEL < budget.ram_bytes // 2


def _on_the_way(network: Network) -> int:
    """Return what of a streamed network is on the device: the part that computes and the one that comes next."""
    return min(network.weight_bytes, 2 * network.largest_part_bytes + network.loose_bytes)


def require_ram_for_loading(spec: ModelSpec, folder: Path, placement: Placement) -> None:
    """Refuse a model whose weights do not fit into main memory, before the system begins to kill processes."""
    needed = _weight_bytes_in_memory(folder, placement)
    free = available_ram()
    if needed > free:
        raise OutOfMemory(
            f"the weights of {spec.id} do not fit into main memory",
            got=f"{free / GIB:.1f} GiB of RAM free",
            allowed=f"{needed / GIB:.1f} GiB or more",
            fix="close other programs, or choose a smaller model from `studio models`",
        )


def limit_device_memory(placement: Placement, settings: Settings) -> None:
    """Hold this process to STUDIO_VRAM_LIMIT: what would exceed it fails, and is done again by a smaller plan."""
    if placement.device.type != "cuda" or settings.vram_limit is None:
        return
    import torch

    total = torch.cuda.mem_get_info(placement.device)[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, settings.vram_limit * GIB / total), placement.device)


def resident_ram() -> int:
    """Return what this process takes of main memory now, in bytes."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def available_ram() -> int:
    """Return how many bytes of main memory this process may still take, what limits its container included."""
    import psutil

    free = int(psutil.virtual_memory().available)
    limit, used = (_cgroup_bytes(name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else min(free, max(0, limit - used + _cgroup_reserve()))


def _cgroup_bytes(name: str) -> int | None:
    try:
        return int(Path("/sys/fs/cgroup", name).read_text())
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return None


def _cgroup_reserve() -> int:
    """Return how many bytes count as used and are files that the system lets go of when memory gets short."""
    try:
        lines = Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    except (OSError, ValueError, IndexError):
        return 0


def _free_device_bytes(device: Any, limit: float | None) -> int | None:
    if device.type != "cuda":
        return None
    import torch

    free, total = torch.cuda.mem_get_info(device)
    mine = torch.cuda.memory_reserved(device)
    return min(free + mine, total if limit is None else int(limit * GIB))


def _weight_bytes_in_memory(folder: Path, placement: Placement) -> int:
    """Return what the weights take once loaded, in the number format they are loaded to."""
    files = list(folder.rglob("*.safetensors"))
    plain = [file for file in files if ".fp16." not in file.name]
    return sum(map(_numbers_in, plain or files)) * placement.dtype.itemsize


def _numbers_in(file: Path) -> int:
    """Return how many numbers a safetensors file holds, from its header; 0 where it is not one: loading will tell."""
    try:
        with file.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            header = json.loads(content.read(length)) if length < MOST_HEADER_BYTES else {}
        return sum(math.prod(item["shape"]) for name, item in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0
