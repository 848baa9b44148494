"""What a local run will take, from the figures in the model's row."""

from __future__ import annotations

import shutil

from studio.catalog.schema import ModelSpec
from studio.generator import Cost, Estimate
from studio.request import ResolvedRequest

# Sealed H.264 at the gate's quality: 0.01 to 0.22 byte a pixel and frame, on fifteen clips of the small models.
SEALED_BYTES_PER_PIXEL = 0.25
SIGNATURE_BYTES = 20_000


def estimate_local(spec: ModelSpec, resolved: ResolvedRequest) -> Estimate:
    """Scale the row's reference run to this request; None where the row holds no measured figure.

    ``settings.reference`` of a row: seconds of sampling and decoding at the row's defaults, seconds to load,
    peak RAM in bytes, and the machine they were measured on. VRAM: nothing where there is no NVIDIA driver.
    """
    pixels = resolved.width * resolved.height * resolved.num_frames
    reference = spec.settings.get("reference")
    disk_bytes = int(pixels * SEALED_BYTES_PER_PIXEL) + SIGNATURE_BYTES
    free = Cost(amount=0.0, currency="USD")
    if reference is None:
        return Estimate(
            seconds=None,
            vram_bytes=None,
            ram_bytes=None,
            disk_bytes=disk_bytes,
            cost=free,
            basis="no run of this model has been measured yet; disk from the clip's size",
        )
    rules = spec.parameters
    default_pixels = rules.width.default * rules.height.default * rules.num_frames.default
    default_steps = rules.num_inference_steps.default if rules.num_inference_steps else 1
    share = pixels / default_pixels * (resolved.num_inference_steps or 1) / default_steps
    return Estimate(
        seconds=reference["load_seconds"] + reference["seconds"] * share,
        vram_bytes=0 if shutil.which("nvidia-smi") is None else None,
        ram_bytes=int(reference["ram_bytes"]),
        disk_bytes=disk_bytes,
        cost=free,
        basis=f"measured on {reference['machine']}, scaled by pixels, frames and steps",
    )
