"""What a generation is told about itself beforehand, and what it led to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio import __version__
from studio.config import Settings, VisibleLabel
from studio.consistency.policy import Standing
from studio.consistency.wording import failure_lines
from studio.delivery import deliver
from studio.errors import StudioError
from studio.export.remarks import mark_warnings
from studio.generator import Declaration, Declares, Generator
from studio.inspection import Verification
from studio.library.asset import Asset, file_sha256
from studio.media import EncodedClip, sniff_mime_type
from studio.provenance.certificates import watermark_key
from studio.provenance.inspect import read_c2pa
from studio.provenance.manifest import Ingredient, Provenance
from studio.provenance.origin import RECIPES, Origin
from studio.provenance.prompts import prompt_key
from studio.provenance.stamp_queue import StampQueue
from studio.request import Conditioning, ResolvedRequest, Role
from studio.weights import WeightStore


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a generation led to. delivered: the copy at --output, None where none was asked for.

    warnings: told before the work. notices: what turned out in the end.
    seconds: from loading the weights to the sealed file.
    """

    asset: Asset
    verification: Verification
    warnings: tuple[str, ...]
    notices: tuple[str, ...]
    seconds: float
    delivered: Path | None


def notices_of(asset: Asset, settings: Settings, told: Collection[str] = ()) -> tuple[str, ...]:
    """Return what its owner should know of a clip that was just sealed. told: what was said before it was made."""
    notes = tuple(note for note in asset.request.get("warnings", ()) if note not in told)
    return (*notes, *check_notices(asset), *mark_warnings(asset.watermark_id), *_stamp_notices(asset, settings))


def check_notices(asset: Asset) -> tuple[str, ...]:
    """Return what is to be said of a clip's checks: each that failed, and how often the clip was made."""
    ruling = asset.ruling or {}
    lines = [f"check failed: {line}" for line in failure_lines(asset.report)]
    if asset.standing == Standing.INCONCLUSIVE:
        lines.append("checks: inconclusive: nothing could be said about this clip")
    made = len(ruling.get("attempts", ()))
    if made > 1:
        which = "none passed, this is the best" if lines else "this one passed"
        lines.append(f"checks: made {made} times with different seeds ({ruling['policy']}): {which}")
    return tuple(lines)


def _stamp_notices(asset: Asset, settings: Settings) -> tuple[str, ...]:
    missed = StampQueue(settings).get(asset.id)
    if missed is None:
        return ()
    return (f"time stamp: there is none ({missed.reason}); `studio identity timestamps retry` asks again",)


def deliver_new(asset: Asset, destination: Path, *, overwrite: bool) -> None:
    """Copy a clip that was just sealed to where its owner wants it. Raises `OutputRefused` or `DiskFull`."""
    try:
        deliver(asset.path, destination, overwrite=overwrite)
    except StudioError as error:
        error.advise(f"the clip is sealed and in the library: `studio library export {asset.id} FILE` copies it")
        raise


def provenance_of(
    job_id: str, resolved: ResolvedRequest, *, generator: Generator, label: VisibleLabel, settings: Settings
) -> Provenance:
    """Return everything that is known about a clip before it is made. label: what is drawn into the picture."""
    spec = generator.spec
    weights = WeightStore(settings)
    declared = generator.declare(resolved) if isinstance(generator, Declares) else Declaration(options=resolved.options)
    return Provenance(
        job_id=job_id,
        origin=Origin.of_task(resolved.task),
        task=resolved.task.value,
        model_id=spec.id,
        model_name=spec.name,
        repository=spec.weights.repository if spec.weights else None,
        revision=weights.commit(spec) if spec.weights else None,
        weights_sha256=weights.digest(spec) if spec.weights else None,
        pipeline=type(generator).__name__,
        attribution=(spec.remote.attribution or None) if spec.remote else None,
        seed=resolved.seed if spec.parameters.seed else None,
        num_inference_steps=resolved.num_inference_steps,
        guidance_scale=resolved.guidance_scale,
        width=resolved.width,
        height=resolved.height,
        num_frames=resolved.num_frames,
        frame_rate=resolved.frame_rate,
        options=declared.options,
        adapters=declared.adapters,
        speed_profile=declared.speed_profile,
        prompt=resolved.prompt,
        negative_prompt=resolved.negative_prompt,
        prompt_policy=settings.prompt_policy,
        prompt_key=prompt_key(watermark_key(settings.identity_folder), job_id),
        generate_audio=resolved.generate_audio,
        visible_label=None if label == "none" else label,
        training_use=settings.training_use,
        ingredients=tuple(_ingredient(item) for item in resolved.conditionings),
        warnings=resolved.warnings,
        software=_software() if spec.where == "local" else {},
        created_at=datetime.now(UTC),
        studio_version=__version__,
    )


def of_provider(provenance: Provenance, clip: EncodedClip, operation: Mapping[str, Any] | None) -> Provenance:
    """Return what is known of a clip that came from a provider: its own file is the parent of what is sealed.

    operation: as the generator saved it, which names provider and job. Content Credentials that the provider attached
    and that are intact tell how the clip came to be; without them we tell what we know.
    """
    operation = operation or {}
    is_signed = read_c2pa(clip.path, mime_type=clip.mime_type).state in ("trusted", "valid")
    origin = Origin.PROVIDER_OUTPUT if is_signed else Origin.PROVIDER_OUTPUT_UNSIGNED
    inputs = (replace(item, relationship="inputTo") for item in provenance.ingredients)
    master = Ingredient(
        path=clip.path,
        title=f"as it came{clip.path.suffix}",
        mime_type=clip.mime_type,
        relationship="parentOf",
        role="provider-output",
        sha256=file_sha256(clip.path),
    )
    allowed = RECIPES[origin].relationships
    job = operation.get("handle", {}).get("id")
    return replace(
        provenance,
        origin=origin,
        provider=str(operation.get("provider", provenance.model_id)),
        provider_job_id=None if job is None else str(job)[:200],
        ingredients=(master, *(item for item in inputs if item.relationship in allowed)),
    )


def work_of(request: Mapping[str, Any]) -> float:
    """Return how much a request asks for, in pixels times steps; a machine does so much per second, more or less."""
    pixels = request["width"] * request["height"] * request["num_frames"]
    return float(pixels * (request["num_inference_steps"] or 1))


def _ingredient(item: Conditioning) -> Ingredient:
    return Ingredient(
        path=item.path,
        title=item.path.name,
        mime_type=sniff_mime_type(item.path) or "application/octet-stream",
        relationship="parentOf" if item.role is Role.SOURCE_VIDEO else "inputTo",
        role=item.role.value,
        sha256=item.sha256,
    )


def _software() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("torch", "diffusers", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
