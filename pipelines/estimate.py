"""What a local run will take: measured figures where a row has them, else a rehearsal on this machine's terms."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.catalog.schema import ModelSpec
from studio.errors import MissingWeights, OutOfMemory
from studio.generator import Cost, Estimate
from studio.request import ResolvedRequest
from studio.weights import WeightStore

if TYPE_CHECKING:
    from pipelines.local import LocalGenerator
    from pipelines.memory import Forecast, Ladder
    from pipelines.placement import Placement

# Sealed H.264 at the gate's quality: 0.01 to 0.22 byte a pixel and frame, on fifteen clips of the small models.
SEALED_BYTES_PER_PIXEL = 0.25
SIGNATURE_BYTES = 20_000
# From a solid-state disk through the page cache to where the weights compute.
LOADING_BYTES_PER_SECOND = 1.5e9
FREE = Cost(amount=0.0, currency="USD")
ARCHITECTURES = Path(__file__).parent / "architectures"


def estimate_local(generator: LocalGenerator, resolved: ResolvedRequest) -> Estimate:
    """Say what a request takes. Loads no weights; imports torch only where the row holds no measured figures.

    A rehearsal needs the model's configurations: from its weights folder, or from those that ship for well-known
    checkpoints. STUDIO_VRAM_LIMIT asks what would happen on a card of that size.
    """
    spec, settings = generator.spec, generator.settings
    reference = spec.settings.get("reference")
    if reference is not None and settings.vram_limit is None:
        return _scaled(spec, resolved, reference)
    folder = configurations_of(generator)
    if folder is None:
        return _unknown(resolved, "no run of this model has been measured yet, and its configuration is not here")
    return _Prospect.of(generator, resolved, folder).estimate()


def configurations_of(generator: LocalGenerator) -> Path | None:
    """Return the folder that holds the configurations of a model's networks, or None."""
    try:
        return WeightStore(generator.settings).locate(generator.spec)
    except MissingWeights:
        folder = ARCHITECTURES / str(generator.spec.settings.get("architecture", ""))
        return folder if (folder / "model_index.json").is_file() else None


@dataclass(frozen=True, kw_only=True)
class _Prospect:
    """A request on a device. is_supposed: the device is not here, only its size was given."""

    generator: LocalGenerator
    resolved: ResolvedRequest
    placement: Placement
    ladder: Ladder
    folder: Path
    is_supposed: bool

    @classmethod
    def of(cls, generator: LocalGenerator, resolved: ResolvedRequest, folder: Path) -> _Prospect:
        from pipelines.memory import GIB, Budget, available_ram
        from pipelines.placement import choose_placement, suppose_card

        limit = generator.settings.vram_limit
        placement = choose_placement(generator.settings.device, generator.gpu_dtype)
        is_supposed = limit is not None and placement.is_cpu
        if is_supposed and limit is not None:
            placement = suppose_card(generator.gpu_dtype)
            budget = Budget(device_bytes=int(limit * GIB), ram_bytes=available_ram())
        else:
            budget = Budget.measure(placement, generator.settings)
        ladder = generator.foresight(placement, folder).ladder(resolved, budget)
        return cls(
            generator=generator,
            resolved=resolved,
            placement=placement,
            ladder=ladder,
            folder=folder,
            is_supposed=is_supposed,
        )

    def estimate(self) -> Estimate:
        shortage = ""
        try:
            forecast = self.ladder.chosen()
        except OutOfMemory as error:
            forecast, shortage = self.ladder.forecast(self.ladder.plans[-1]), error.sentence()
        if forecast is None:
            return _unknown(self.resolved, "nothing is known about this model")
        return Estimate(
            seconds=None if self.is_supposed else self._seconds(forecast),
            vram_bytes=0 if self.placement.is_cpu else forecast.device_bytes,
            ram_bytes=forecast.ram_bytes,
            disk_bytes=_disk_bytes(self.resolved),
            cost=FREE,
            basis=self._basis(),
            plan=forecast.plan.name,
            shortage=shortage,
        )

    def _seconds(self, forecast: Forecast) -> float | None:
        foresight = self.generator.foresight(self.placement, self.folder)
        computing = foresight.seconds(self.resolved, forecast.plan)
        loading = foresight.weight_bytes(self.resolved) / LOADING_BYTES_PER_SECOND
        return None if computing is None else loading + computing

    def _basis(self) -> str:
        counted = "memory counted by going through the model's own layers without numbers"
        if self.is_supposed:
            return f"{counted}, for a card with this much memory"
        return f"{counted}; time from what this machine computes and moves in a second"


def _scaled(spec: ModelSpec, resolved: ResolvedRequest, reference: Mapping[str, Any]) -> Estimate:
    """Scale the row's reference run to this request.

    ``settings.reference`` of a row: seconds of sampling and decoding at the row's defaults, seconds to load,
    peak RAM in bytes, and the machine they were measured on. VRAM: nothing where there is no NVIDIA driver.
    """
    pixels = resolved.width * resolved.height * resolved.num_frames
    rules = spec.parameters
    default_pixels = rules.width.default * rules.height.default * rules.num_frames.default
    default_steps = rules.num_inference_steps.default if rules.num_inference_steps else 1
    share = pixels / default_pixels * (resolved.num_inference_steps or 1) / default_steps
    return Estimate(
        seconds=reference["load_seconds"] + reference["seconds"] * share,
        vram_bytes=_no_vram(),
        ram_bytes=int(reference["ram_bytes"]),
        disk_bytes=_disk_bytes(resolved),
        cost=FREE,
        basis=f"measured on {reference['machine']}, scaled by pixels, frames and steps",
    )


def _unknown(resolved: ResolvedRequest, why: str) -> Estimate:
    return Estimate(
        seconds=None,
        vram_bytes=None,
        ram_bytes=None,
        disk_bytes=_disk_bytes(resolved),
        cost=FREE,
        basis=f"{why}; disk from the clip's size",
    )


def _disk_bytes(resolved: ResolvedRequest) -> int:
    return int(resolved.width * resolved.height * resolved.num_frames * SEALED_BYTES_PER_PIXEL) + SIGNATURE_BYTES


def _no_vram() -> int | None:
    return 0 if shutil.which("nvidia-smi") is None else None
