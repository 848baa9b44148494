"""How a model goes on from a clip: from the last frame alone, or from a part that its first frames show again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from studio.catalog.schema import IntegerRange, ModelSpec
from studio.consistency.policy import next_seed
from studio.errors import UnsupportedValue
from studio.extending.parent import Parent
from studio.extending.part import SETTING, part_rule
from studio.extending.wish import MAX_WINDOWS, ExtendWish
from studio.generator import Generator
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role, Task

LAST_FRAME_ALONE = 1
_WHO_DOES = "choose another model: `studio models --task image-to-video` lists them"


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is to be made, with nothing left open but the seams' pictures.

    role: what the end of what there is is to the model. overlap: frames of it; each window shows them again.
    window: the first window, made from the clip's last frame. num_windows: of them. num_frames: of the finished clip.
    """

    role: Role
    overlap: int
    window: ResolvedRequest
    num_windows: int
    num_frames: int
    has_seed: bool
    max_seed: int | None

    def request(self, number: int, conditioning: Conditioning, seed: int) -> GenerationRequest:
        """Return the wish for one window. number: from 1. seed: of the first."""
        first = self.window
        return GenerationRequest(
            model=first.model,
            prompt=first.prompt,
            negative_prompt=first.negative_prompt,
            seed=next_seed(seed, number - 1, self.max_seed) if self.has_seed else None,
            width=first.width,
            height=first.height,
            num_frames=first.num_frames,
            frame_rate=first.frame_rate,
            num_inference_steps=first.num_inference_steps,
            guidance_scale=first.guidance_scale,
            conditionings=(conditioning,),
            generate_audio=first.generate_audio or None,
            options=first.options,
        )


def model_of(wish: ExtendWish, parent: Parent, specs: Iterable[ModelSpec]) -> str:
    """Return which model goes on. Raises `UnsupportedValue` where none was named and the clip's own cannot."""
    rows = [spec for spec in specs if spec.generator is not None and _takes_anything(spec)]
    if wish.model is not None:
        return wish.model
    if parent.asset is not None and any(spec.id == parent.asset.model for spec in rows):
        return parent.asset.model
    why = "none was named" if parent.asset is None else f"{parent.asset.model} made it, and cannot go on from a picture"
    raise UnsupportedValue(why, field="model", allowed=_some(rows), fix="add --model ID")


def plot(wish: ExtendWish, parent: Parent, generator: Generator, end: Conditioning) -> Course:
    """Settle everything before any work. end: the end of the clip, as a file in the role that `role_of` names.

    Raises `UnsupportedValue`, naming the field, what was got and what the model can do, and what resolving raises.
    """
    spec = generator.spec
    role, overlap = role_of(wish, parent, spec)
    if wish.num_frames is not None:
        _require_new(wish.num_frames, overlap)
    first = _first_window(_with_part(wish, spec, role, overlap), parent, generator, end)
    _require_new(first.num_frames, overlap)
    new = first.num_frames - overlap
    num_windows, num_frames = _length(wish, parent, new)
    remote = spec.remote
    return Course(role=role, overlap=overlap, window=first, num_windows=num_windows, num_frames=num_frames,
                  has_seed=spec.parameters.seed, max_seed=None if remote is None else remote.max_seed)  # fmt: skip


def role_of(wish: ExtendWish, parent: Parent, spec: ModelSpec) -> tuple[Role, int]:
    """Return what the end of the clip is to the model, and how many frames of it are taken."""
    takes_frame, rule = Task.IMAGE_TO_VIDEO in spec.tasks, part_rule(spec)
    part = None if rule is None else rule.frames
    if not takes_frame and part is None:
        raise UnsupportedValue("it makes no clip from a picture, so it cannot go on from one", field="model",
                               got=spec.id, fix=_WHO_DOES)  # fmt: skip
    wanted = _usual(wish, parent, part, takes_frame=takes_frame) if wish.overlap is None else wish.overlap
    if wanted == LAST_FRAME_ALONE and takes_frame:
        return Role.FIRST_FRAME, LAST_FRAME_ALONE
    if part is None or not part.allows(wanted):
        ways = [*(["1"] if takes_frame else []), *([] if part is None else [part.describe()])]
        raise UnsupportedValue(f"{spec.id} does not go on from so many frames", field="overlap", got=wanted,
                               allowed=" or ".join(ways))  # fmt: skip
    if wanted > parent.num_frames:
        raise UnsupportedValue("the clip has fewer frames", field="overlap", got=wanted,
                               allowed=f"up to {parent.num_frames}")  # fmt: skip
    if parent.asset is None:
        raise UnsupportedValue("parts are cut from clips of the library alone", field="overlap", got=wanted,
                               allowed="1, for a file from elsewhere" if takes_frame else "a clip of the library",
                               fix="add --overlap 1" if takes_frame else "choose another model")  # fmt: skip
    return Role.SOURCE_VIDEO, wanted


def _usual(wish: ExtendWish, parent: Parent, part: IntegerRange | None, *, takes_frame: bool) -> int:
    """Return how many frames are taken where nobody said how many; not all that a window has, where it is short."""
    most = parent.num_frames if wish.num_frames is None else min(parent.num_frames, wish.num_frames - 1)
    if part is None or (takes_frame and (parent.asset is None or most < part.min)):
        return LAST_FRAME_ALONE
    return part.default if part.default <= most else part.nearest(most)[0]


def _require_new(num_frames: int, overlap: int) -> None:
    if num_frames <= overlap:
        raise UnsupportedValue("a window of so few frames shows nothing new", field="overlap", got=overlap,
                               allowed=f"up to {num_frames - 1}")  # fmt: skip


def _with_part(wish: ExtendWish, spec: ModelSpec, role: Role, overlap: int) -> ExtendWish:
    """Return the wish with the option that says how many frames a model goes on from. Raises for one that says it."""
    rule = part_rule(spec)
    if rule is None or rule.option is None:
        return wish
    if rule.option in wish.options:
        raise UnsupportedValue("how many frames windows start from is not an option here",
                               field=f"option {rule.option}", got=wish.options[rule.option],
                               fix="say it with --overlap")  # fmt: skip
    if role is not Role.SOURCE_VIDEO:
        return wish
    return replace(wish, options={**wish.options, rule.option: overlap})


def _first_window(wish: ExtendWish, parent: Parent, generator: Generator, end: Conditioning) -> ResolvedRequest:
    spec = generator.spec
    own = "" if parent.asset is None else parent.asset.prompt
    prompt = wish.prompt if wish.prompt is not None else own if spec.parameters.prompt != "unused" else ""
    request = GenerationRequest(
        model=spec.id,
        prompt=prompt,
        negative_prompt=wish.negative_prompt,
        seed=wish.seed,
        width=parent.width,
        height=parent.height,
        num_frames=wish.num_frames,
        frame_rate=parent.frame_rate,
        num_inference_steps=wish.num_inference_steps,
        guidance_scale=wish.guidance_scale,
        conditionings=(end,),
        generate_audio=wish.generate_audio,
        options=wish.options,
        on_unsupported=wish.on_unsupported,
    )
    _require_size(spec, parent, generator, request)
    resolved = generator.resolve(request)
    if resolved.frame_rate != parent.frame_rate:
        raise _other_rate(spec, parent)
    return resolved


def _require_size(spec: ModelSpec, parent: Parent, generator: Generator, request: GenerationRequest) -> None:
    """Say which clips the model makes where this one's size or rate is none of them."""
    plain = replace(request, width=None, height=None, frame_rate=None)
    try:
        generator.resolve(request)
    except UnsupportedValue as error:
        if error.field is None or not {*error.field.split()} & {"width", "height", "frame_rate"}:
            raise
        generator.resolve(plain)  # what else is wrong with it is told first
        if error.field == "frame_rate":
            raise _other_rate(spec, parent) from error
        raise UnsupportedValue(f"{spec.id} makes no clips of this one's size, and windows follow the clip",
                               field="clip", got=f"{parent.width}x{parent.height}", allowed=_sizes(spec),
                               fix=_WHO_DOES) from error  # fmt: skip


def _other_rate(spec: ModelSpec, parent: Parent) -> UnsupportedValue:
    rules = spec.parameters
    words = ", ".join(f"{rate:g}" for rate in rules.frame_rates) or rules.frame_rate.describe()
    return UnsupportedValue(f"{spec.id} makes no clips of this one's frame rate, and windows follow the clip",
                            field="clip", got=f"{float(parent.frame_rate):g} frames per second",
                            allowed=f"{words} frames per second", fix=_WHO_DOES)  # fmt: skip


def _sizes(spec: ModelSpec) -> str:
    rules = spec.parameters
    sizes = [(item.width, item.height) for item in rules.formats] or list(rules.sizes)
    if sizes:
        return ", ".join(f"{width}x{height}" for width, height in dict.fromkeys(sizes))
    return f"width {rules.width.describe()}, height {rules.height.describe()}"


def _length(wish: ExtendWish, parent: Parent, new: int) -> tuple[int, int]:
    """Return how many windows are made and how many frames the finished clip has. new: frames each window adds."""
    if wish.duration_seconds is None:
        windows = wish.windows or 1
        return windows, parent.num_frames + windows * new
    num_frames = round(wish.duration_seconds * parent.frame_rate)
    windows = math.ceil(Fraction(num_frames - parent.num_frames, new))
    if not 1 <= windows <= MAX_WINDOWS:
        longest = (parent.num_frames + MAX_WINDOWS * new) / parent.frame_rate
        has, most = float(parent.duration_seconds), float(longest)
        raise UnsupportedValue(
            "this is the length of the finished clip" if windows < 1 else "too much for one extension",
            field="duration_seconds",
            got=f"{float(wish.duration_seconds):g} s",
            allowed=f"more than the {has:.4g} s it has, up to {most:.4g} s ({MAX_WINDOWS} windows of {new} new frames)",
        )
    return windows, num_frames


def _takes_anything(spec: ModelSpec) -> bool:
    return Task.IMAGE_TO_VIDEO in spec.tasks or SETTING in spec.settings


def _some(rows: list[ModelSpec]) -> str:
    names = [spec.id for spec in rows]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more
