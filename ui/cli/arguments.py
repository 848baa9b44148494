"""Arguments that several commands share, and their translation into a request."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.consistency.policy import POLICY_WORDS, Policy
from studio.errors import UnsupportedValue
from studio.request import ON_UNSUPPORTED, Conditioning, GenerationRequest, OnUnsupported, OptionValue, Role, Task
from studio.spending.money import MONEY_WORDS, Money

if TYPE_CHECKING:
    from studio.config import VisibleLabel
from ui.cli.console import print_note

_RATE = re.compile(r"\d{1,6}(\.\d{1,6})?|\d{1,9}/\d{1,9}", re.ASCII)
_SECONDS = re.compile(r"\d{1,5}(\.\d{1,6})?", re.ASCII)
MAX_SECONDS = 10_000_000

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]

ReportFolder = Annotated[
    Path | None,
    typer.Option("--report", help="Also draw the report: a page, a picture and the figures.", metavar="DIR"),
]

ModelId = Annotated[
    str | None, typer.Option("--model", "-m", help="Id of the model, see `studio models`.", metavar="ID")
]
RecipeFile = Annotated[
    Path | None,
    typer.Option("--recipe", help="Make the clip of this sealed file again; other options override.", metavar="FILE"),
]
Prompt = Annotated[str | None, typer.Option("--prompt", "-p", help="What the clip shows.")]
NegativePrompt = Annotated[str | None, typer.Option("--negative-prompt", help="What it should not show.")]
Image = Annotated[Path | None, typer.Option("--image", "-i", help="Picture to start from.", metavar="FILE")]
LastImage = Annotated[Path | None, typer.Option("--last-image", help="Picture to end with.", metavar="FILE")]
Reference = Annotated[
    list[Path] | None,
    typer.Option("--reference", help="Picture of who or what is to appear; repeatable.", metavar="FILE"),
]
Video = Annotated[Path | None, typer.Option("--video", help="Video to change or go on from.", metavar="FILE")]
Seed = Annotated[int | None, typer.Option("--seed", help="Same seed, same frames. Drawn when left out.")]
Width = Annotated[int | None, typer.Option("--width", help="Pixels.")]
Height = Annotated[int | None, typer.Option("--height", help="Pixels.")]
Resolution = Annotated[
    str | None, typer.Option("--resolution", help="Instead of width and height, such as 720p.", metavar="NAME")
]
AspectRatio = Annotated[
    str | None, typer.Option("--aspect-ratio", help="Instead of width and height, such as 16:9.", metavar="W:H")
]
Duration = Annotated[
    str | None, typer.Option("--duration", help="Length of the clip, instead of --num-frames.", metavar="SECONDS")
]
Audio = Annotated[bool | None, typer.Option("--audio/--no-audio", help="With sound, where the model has a choice.")]
Unsupported = Annotated[
    str | None,
    typer.Option("--on-unsupported", help="What the model lacks: reject, or drop with a warning.", metavar="CHOICE"),
]
NumFrames = Annotated[int | None, typer.Option("--num-frames", help="Frames of the clip.")]
FrameRate = Annotated[
    str | None, typer.Option("--frame-rate", help="Frames per second, such as 24 or 30000/1001.", metavar="RATE")
]
Steps = Annotated[int | None, typer.Option("--steps", help="Denoising steps.")]
GuidanceScale = Annotated[float | None, typer.Option("--guidance-scale", help="How closely to follow the prompt.")]
Option = Annotated[
    list[str] | None, typer.Option("--option", "-o", help="The model's own parameter; repeatable.", metavar="KEY=VALUE")
]
Label = Annotated[
    str | None, typer.Option("--label", help="Draw a visible AI label: text, icon or none.", metavar="KIND")
]
OnFail = Annotated[
    str | None,
    typer.Option("--on-fail", help="If it fails a check: flag, hold, refuse or retry:N.", metavar="POLICY"),
]
MaxCost = Annotated[
    str | None,
    typer.Option("--max-cost", help='Refuse a remote clip that may cost more, such as "1 USD".', metavar="MONEY"),
]
TaskName = Annotated[str | None, typer.Option("--task", help="Such as text-to-video or image-to-video.")]


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all the arguments of a request, and hand it the finished one as ``request``."""
    return _with_fields(command, "request", build_request, (_RECIPE,))


def takes_changes(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all the arguments of a request, and hand it the fields that were given as ``changes``."""
    return _with_fields(command, "changes", dict, ())


def _with_fields(
    command: Callable[..., None], name: str, make: Callable[..., Any], more: tuple[inspect.Parameter, ...]
) -> Callable[..., None]:
    """Put the arguments of a request in the place of the parameter `name`. more: arguments that `make` takes too."""
    of_request = inspect.signature(_fields, eval_str=True).parameters
    own = [item for item in inspect.signature(command, eval_str=True).parameters.values() if item.name != name]

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        others = [values.pop(item.name) for item in more]
        fields = _fields(**{item: values.pop(item) for item in of_request})
        command(**{name: make(fields, *others)}, **values)

    parameters = [*of_request.values(), *more, *own]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {item.name: item.annotation for item in parameters}
    return wrapper


_RECIPE = inspect.Parameter("recipe", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=RecipeFile)


def build_request(fields: Mapping[str, Any], recipe_file: Path | None = None) -> GenerationRequest:
    """Return the request that the arguments describe. Ranges are checked later, against the model's row.

    fields: of `GenerationRequest`, those that were given. recipe_file: what they change the recipe of.
    """
    if recipe_file is not None:
        return _from_recipe(recipe_file, fields)
    if "model" not in fields:
        raise UnsupportedValue("none was named", field="model", fix="add --model ID; `studio models` lists them")
    return GenerationRequest(**fields)


def _from_recipe(path: Path, fields: Mapping[str, Any]) -> GenerationRequest:
    from studio.app import Studio

    studio = Studio()
    recipe = studio.recipe(path)
    for remark in recipe.remarks(fields):
        print_note(f"note: {remark}")
    return recipe.with_changes(fields, studio.registry.catalog.get(recipe.request.model))


def _fields(
    *,
    model: ModelId = None,
    prompt: Prompt = None,
    negative_prompt: NegativePrompt = None,
    image: Image = None,
    last_image: LastImage = None,
    reference: Reference = None,
    video: Video = None,
    task: TaskName = None,
    seed: Seed = None,
    width: Width = None,
    height: Height = None,
    resolution: Resolution = None,
    aspect_ratio: AspectRatio = None,
    num_frames: NumFrames = None,
    duration: Duration = None,
    frame_rate: FrameRate = None,
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    audio: Audio = None,
    option: Option = None,
    on_unsupported: Unsupported = None,
) -> dict[str, Any]:
    """Return the fields of a request that were given."""
    fields = {
        "model": model,
        "task": parse_task(task),
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "seed": seed,
        "width": width,
        "height": height,
        "resolution": resolution,
        "aspect_ratio": aspect_ratio,
        "num_frames": num_frames,
        "duration_seconds": parse_duration(duration),
        "frame_rate": parse_frame_rate(frame_rate),
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "conditionings": _conditionings(image, last_image, reference or [], video) or None,
        "generate_audio": audio,
        "options": parse_options(option) or None,
        "on_unsupported": parse_on_unsupported(on_unsupported),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _conditionings(
    image: Path | None, last_image: Path | None, references: list[Path], video: Path | None
) -> tuple[Conditioning, ...]:
    given = [(Role.FIRST_FRAME, image), (Role.LAST_FRAME, last_image), (Role.SOURCE_VIDEO, video)]
    given += [(Role.REFERENCE, path) for path in references]
    return tuple(Conditioning(role=role, path=path) for role, path in given if path is not None)


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask before something is deleted; refuse where there is nobody to ask."""
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise UnsupportedValue("deleting needs a yes", field="yes", got="nobody to ask", fix="add --yes")
    typer.confirm(question, abort=True, err=True)


def parse_label(text: str | None) -> VisibleLabel | None:
    """Return the kind of label of this name, or refuse naming those there are."""
    match text:
        case None | "none" | "text" | "icon":
            return text
    raise UnsupportedValue("no such label", field="label", got=text, allowed="text, icon or none")


def parse_policy(text: str | None) -> Policy | None:
    """Return the policy of this name, or refuse naming those there are."""
    if text is None:
        return None
    try:
        return Policy.parse(text)
    except ValueError:
        raise UnsupportedValue("no such policy", field="on_fail", got=text, allowed=POLICY_WORDS) from None


def parse_money(text: str | None, field: str) -> Money | None:
    """Return a sum of money such as "1 USD", or refuse."""
    if text is None:
        return None
    try:
        return Money.parse(text)
    except ValueError:
        raise UnsupportedValue("not a sum of money", field=field, got=text, allowed=MONEY_WORDS) from None


def parse_task(text: str | None) -> Task | None:
    """Return the task of this id, or refuse naming those there are."""
    if text is None:
        return None
    try:
        return Task(text)
    except ValueError:
        allowed = ", ".join(task.value for task in Task)
        raise UnsupportedValue("no such task", field="task", got=text, allowed=allowed) from None


def parse_frame_rate(text: str | None) -> Fraction | None:
    """Return frames per second as an exact fraction."""
    if text is None:
        return None
    try:
        rate = Fraction(text) if _RATE.fullmatch(text) else Fraction(0)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UnsupportedValue(
            "not a frame rate", field="frame_rate", got=text, allowed="such as 24, 23.976 or 30000/1001"
        )
    return rate


def parse_duration(text: str | None) -> Fraction | None:
    """Return the length of a clip in seconds, exactly."""
    if text is None:
        return None
    if not _SECONDS.fullmatch(text) or not Fraction(text):
        allowed = "seconds, such as 5 or 2.5"
        raise UnsupportedValue("not a length", field="duration_seconds", got=text, allowed=allowed)
    return Fraction(text)


def parse_on_unsupported(text: str | None) -> OnUnsupported | None:
    """Return what is to become of what a model lacks, or refuse naming the choices."""
    found = next((choice for choice in ON_UNSUPPORTED if choice == text), None)
    if text is not None and found is None:
        allowed = " or ".join(ON_UNSUPPORTED)
        raise UnsupportedValue("no such choice", field="on_unsupported", got=text, allowed=allowed)
    return found


def parse_seconds(seconds: float | None, field: str) -> Fraction | None:
    """Return a time as an exact fraction, to the microsecond."""
    if seconds is None:
        return None
    if not 0 <= seconds < MAX_SECONDS:
        raise UnsupportedValue("not a time in the clip", field=field, got=seconds, allowed="seconds, such as 1.5")
    return Fraction(round(seconds * 1_000_000), 1_000_000)


def parse_options(items: list[str] | None) -> dict[str, OptionValue]:
    """Split ``key=value`` pairs; values are checked against the model's row later."""
    options: dict[str, OptionValue] = {}
    for item in items or []:
        name, separator, value = item.partition("=")
        if not separator or not name.strip():
            raise UnsupportedValue("not a pair", field="option", got=item, allowed="KEY=VALUE")
        if name.strip() in options:
            raise UnsupportedValue("given twice", field=f"option {name.strip()}", got=item, fix="give it once")
        options[name.strip()] = value.strip()
    return options
