"""What a provider's limits have to say about a request before it is sent: prompt, seed, sound, inputs, combinations."""

from __future__ import annotations

from studio.catalog.remote import Exclusion, InputLimits
from studio.catalog.schema import ModelSpec
from studio.errors import UnsupportedValue
from studio.request import ResolvedRequest, Role
from studio.resolving.clip_length import seconds_of
from studio.resolving.material import ARGUMENT_OF_ROLE, Material
from studio.resolving.picture_size import names_of
from studio.resolving.remarks import Remarks

_UNITS = {"characters": "characters", "utf16": "UTF-16 units", "bytes": "bytes of UTF-8"}
_FITTED = (Role.FIRST_FRAME, Role.LAST_FRAME)


def refuse_long_prompt(spec: ModelSpec, prompt: str) -> None:
    """Refuse a prompt that is longer than the provider takes, counted as it counts."""
    limit = None if spec.remote is None else spec.remote.prompt_limit
    if limit is not None and limit.count(prompt) > limit.max:
        unit = _UNITS[limit.unit]
        raise UnsupportedValue(
            f"too long for {spec.id}", field="prompt", got=f"{limit.count(prompt)} {unit}",
            allowed=f"up to {limit.max} {unit}", fix="shorten it",
        )  # fmt: skip


def audio_of(spec: ModelSpec, wanted: bool | None, remarks: Remarks) -> bool:
    """Return whether the clip will have sound. wanted: None leaves it to the model, which stays silent if it can."""
    rule = spec.remote.audio if spec.remote is not None else "optional" if spec.parameters.audio else "none"
    match rule:
        case "always":
            if wanted is False:
                remarks.add(f"generate_audio: the sound of {spec.id} cannot be switched off")
            return True
        case "optional":
            return bool(wanted)
    if wanted:
        error = UnsupportedValue(f"{spec.id} makes no sound", field="generate_audio", got="true", allowed="false")
        remarks.lacking(error)
    return False


def fit_material(spec: ModelSpec, item: Material, width: int, height: int, remarks: Remarks) -> None:
    """Refuse a picture or video that the provider does not take; remark on what happens to its size and shape.

    width, height: pixels of the clip.
    """
    if spec.remote is not None:
        limits = spec.remote.video if item.role is Role.SOURCE_VIDEO else spec.remote.image
        if limits is not None:
            _refuse_unfit(spec.remote.provider_name, item, limits)
            if limits.max_side is not None and max(item.width, item.height) > limits.max_side:
                size = f"{item.width}x{item.height}"
                remarks.add(f"{item.role.value}: {size} is scaled down to fit what {spec.remote.provider_name} takes")
    if item.role not in _FITTED or abs(item.width * height / (item.height * width) - 1) <= 0.01:
        return
    given, clip = f"{item.width}x{item.height}", f"{width}x{height}"
    if spec.remote is None:
        remarks.add(f"{item.role.value}: {given} is scaled to cover {clip} and cut at the centre")
    else:
        remarks.add(f"{item.role.value}: {spec.remote.provider_name} fits {given} into {clip} in its own way")


def _refuse_unfit(provider: str, item: Material, limits: InputLimits) -> None:
    field, size = ARGUMENT_OF_ROLE[item.role], f"{item.width}x{item.height}"
    least, most = limits.min_ratio or 0.0, limits.max_ratio or float("inf")
    if not least <= item.width / item.height <= most:
        ends = [f"from {least:g}"] * (least > 0) + [f"to {most:g}"] * (limits.max_ratio is not None)
        allowed = f"width by height {' '.join(ends)}"
        raise UnsupportedValue(f"{provider} does not take this shape", field=field, got=size, allowed=allowed)
    if min(item.width, item.height) < limits.min_side:
        allowed = f"sides of at least {limits.min_side} pixels"
        raise UnsupportedValue(f"too small for {provider}", field=field, got=size, allowed=allowed)
    if limits.max_seconds is not None and item.seconds is not None and item.seconds > limits.max_seconds:
        raise UnsupportedValue(
            f"too long for {provider}", field=field, got=f"{item.seconds:.4g} s",
            allowed=f"up to {limits.max_seconds:g} s", fix="cut it first",
        )  # fmt: skip


def refuse_excluded(spec: ModelSpec, resolved: ResolvedRequest) -> None:
    """Refuse values that the row says do not go together."""
    for rule in () if spec.remote is None else spec.remote.exclusions:
        said = _said(spec, rule, resolved)
        if said is not None:
            field = next(iter(said), "model")
            fix = f"change {' or '.join(said)}" if said else None
            raise UnsupportedValue(rule.reason, field=field, got=", ".join(said.values()) or spec.id, fix=fix)


def _said(spec: ModelSpec, rule: Exclusion, resolved: ResolvedRequest) -> dict[str, str] | None:
    """Return what a rule names, as the request says it, by field; None where any of it does not apply."""
    resolution, aspect_ratio = names_of(spec, resolved.width, resolved.height, resolved.task)
    seconds = float(seconds_of(spec, resolved.num_frames, resolved.frame_rate))
    rate = float(resolved.frame_rate)
    length = f"{seconds:.6g} s"
    named: list[tuple[object, bool, str, str]] = [
        (rule.tasks, resolved.task in rule.tasks, "task", resolved.task.value),
        (rule.resolutions, resolution.casefold() in _folded(rule.resolutions), "resolution", resolution),
        (rule.aspect_ratios, aspect_ratio in rule.aspect_ratios, "aspect_ratio", aspect_ratio),
        (rule.frame_rates, any(abs(rate - item) < 0.001 for item in rule.frame_rates), "frame_rate",
         f"{rate:.6g} frames per second"),
    ]  # fmt: skip
    if rule.longer_than_seconds is not None:
        named.append((True, seconds > rule.longer_than_seconds, "duration_seconds", length))
    if rule.shorter_than_seconds is not None:
        named.append((True, seconds < rule.shorter_than_seconds, "duration_seconds", length))
    if rule.with_audio is not None:
        words = "with sound" if resolved.generate_audio else "without sound"
        named.append((True, resolved.generate_audio == rule.with_audio, "generate_audio", words))
    counted = [(applies, field, text) for is_named, applies, field, text in named if is_named]
    return {field: text for _, field, text in counted} if all(applies for applies, _, _ in counted) else None


def _folded(names: tuple[str, ...]) -> set[str]:
    return {name.casefold() for name in names}
