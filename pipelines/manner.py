"""How a request wants its clip computed: the options that all local models share, parsed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.lora_files import LoRA, parse_loras, pinned
from pipelines.quantised import Storage
from pipelines.speed import EXACT, SpeedProfile, profile_named, profiles_of
from studio.catalog.schema import ModelSpec
from studio.errors import EnvironmentFault
from studio.request import OptionValue, ResolvedRequest

ORIGINAL = "original"
# Told apart from the model's own parameters: what a file says of them stands elsewhere, or names files of this machine.
LORA = "lora"


@dataclass(frozen=True, kw_only=True)
class Manner:
    """speed: the profile, with the sampler that was asked for. loras: beside the weights, in order.

    attention: name of a backend. storage: how weights are kept, None for as they come. is_compiled: denoisers.
    """

    speed: SpeedProfile = EXACT
    loras: tuple[LoRA, ...] = ()
    attention: str = "auto"
    storage: Storage | None = None
    is_compiled: bool = False

    @classmethod
    def of(cls, options: Mapping[str, OptionValue], spec: ModelSpec, loras_folder: Path) -> Manner:
        """Read the options of a resolved request; a row without them leaves everything as it is.

        loras_folder: where LoRAs named without a folder lie. Raises `UnsupportedValue`, naming the option.
        """
        return cls(
            speed=speed_of(options, spec),
            loras=parse_loras(str(options.get(LORA, "")), loras_folder),
            attention=str(options.get("attention", "auto")),
            storage=storage_of(options),
            is_compiled=bool(options.get("compile", False)),
        )

    def describe(self) -> str | None:
        """Return in one line what of it shows in the clip, for the signed file; None where it is exact."""
        parts = [] if self.speed == EXACT else [self.speed.describe()]
        parts += [f"weights as {self.storage}, approximate"] if self.storage else []
        parts += ["compiled"] if self.is_compiled else []
        return "; ".join(parts) or None


def speed_of(options: Mapping[str, OptionValue], spec: ModelSpec) -> SpeedProfile:
    """Return the speed profile of a request, with the sampler that it names. Raises `UnsupportedValue`."""
    speed = profile_named(str(options.get("speed", EXACT.name)), spec.settings)
    scheduler = str(options.get("scheduler", ORIGINAL))
    return speed if scheduler == ORIGINAL else speed.sampled_with(scheduler)


def storage_of(options: Mapping[str, OptionValue]) -> Storage | None:
    """Return how a request wants weights kept; None for as they come."""
    word = str(options.get("weights_format", ORIGINAL))
    return None if word == ORIGINAL else Storage(word)


def with_steps_of_profile(resolved: ResolvedRequest, asked: int | None, spec: ModelSpec) -> ResolvedRequest:
    """Return the request with the number of steps its profile takes, and a warning where another one was asked for."""
    if resolved.num_inference_steps is None:
        return resolved
    speed = speed_of(resolved.options, spec)
    steps = speed.steps(resolved.num_inference_steps)
    told: tuple[str, ...] = ()
    if asked is not None and asked != steps:
        told = (f"steps: the profile {speed.name} takes {steps}, not {asked}",)
    return replace(resolved, num_inference_steps=steps, warnings=(*resolved.warnings, *told))


def with_pinned_loras(resolved: ResolvedRequest, loras: Iterable[LoRA], loras_folder: Path) -> ResolvedRequest:
    """Return the request with the digests of its LoRAs: a job runs with these very files, or not at all."""
    if LORA not in resolved.options:
        return resolved
    return replace(resolved, options={**resolved.options, LORA: pinned(loras, loras_folder)})


def told_options(options: Mapping[str, OptionValue]) -> dict[str, Any]:
    """Return the options that a signed file may tell: LoRAs are told by name and digest, not by where they lie."""
    return {name: value for name, value in options.items() if name != LORA}


def require_sound_settings(spec: ModelSpec) -> None:
    """Refuse a row whose speed profiles or measured figures make no sense, before anything is asked of it.

    Raises `EnvironmentFault` that names the model and the field.
    """
    try:
        known = profiles_of(spec.settings)
    except (ValueError, TypeError, AttributeError) as error:
        raise _broken_row(spec, "settings.profiles", str(error)) from error
    speed = spec.parameters.options.get("speed")
    for name in () if speed is None else speed.choices:
        if name not in known:
            raise _broken_row(spec, "parameters.options.speed", f"there is no profile {name!r} in settings.profiles")
    if not isinstance(spec.settings.get("reference", {}), dict):
        raise _broken_row(spec, "settings.reference", "expected a table")


def _broken_row(spec: ModelSpec, field: str, why: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"the catalog row of {spec.id} is broken: {why}",
        field=f"{spec.id}.{field}",
        fix="correct the row, or remove the file or plug-in it came with",
    )
