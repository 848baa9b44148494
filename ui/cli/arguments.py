"""Arguments that several commands share, and their translation into a request."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.errors import UnsupportedValue
from studio.request import Conditioning, GenerationRequest, OptionValue, Role, Task

_RATE = re.compile(r"\d{1,6}(\.\d{1,6})?|\d{1,9}/\d{1,9}", re.ASCII)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]

ModelId = Annotated[str, typer.Option("--model", "-m", help="Id of the model, see `studio models`.", metavar="ID")]
Prompt = Annotated[str, typer.Option("--prompt", "-p", help="What the clip shows.")]
NegativePrompt = Annotated[str, typer.Option("--negative-prompt", help="What it should not show.")]
Image = Annotated[Path | None, typer.Option("--image", "-i", help="Picture to start from.", metavar="FILE")]
Seed = Annotated[int | None, typer.Option("--seed", help="Same seed, same frames. Drawn when left out.")]
Width = Annotated[int | None, typer.Option("--width", help="Pixels.")]
Height = Annotated[int | None, typer.Option("--height", help="Pixels.")]
NumFrames = Annotated[int | None, typer.Option("--num-frames", help="Frames of the clip.")]
FrameRate = Annotated[
    str | None, typer.Option("--frame-rate", help="Frames per second, such as 24 or 30000/1001.", metavar="RATE")
]
Steps = Annotated[int | None, typer.Option("--steps", help="Denoising steps.")]
GuidanceScale = Annotated[float | None, typer.Option("--guidance-scale", help="How closely to follow the prompt.")]
Option = Annotated[
    list[str] | None, typer.Option("--option", "-o", help="The model's own parameter; repeatable.", metavar="KEY=VALUE")
]
TaskName = Annotated[str | None, typer.Option("--task", help="Such as text-to-video or image-to-video.")]


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all the arguments of a request, and hand it the finished one as ``request``."""
    of_request = inspect.signature(build_request, eval_str=True).parameters
    own = [item for item in inspect.signature(command, eval_str=True).parameters.values() if item.name != "request"]

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        request = build_request(**{name: values.pop(name) for name in of_request})
        command(request=request, **values)

    parameters = [*of_request.values(), *own]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {item.name: item.annotation for item in parameters}
    return wrapper


def build_request(
    *,
    model: ModelId,
    prompt: Prompt = "",
    negative_prompt: NegativePrompt = "",
    image: Image = None,
    task: TaskName = None,
    seed: Seed = None,
    width: Width = None,
    height: Height = None,
    num_frames: NumFrames = None,
    frame_rate: FrameRate = None,
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    option: Option = None,
) -> GenerationRequest:
    """Return the request that the arguments describe. Ranges are checked later, against the model's row."""
    return GenerationRequest(
        model=model,
        task=parse_task(task),
        prompt=prompt,
        negative_prompt=negative_prompt,
        seed=seed,
        width=width,
        height=height,
        num_frames=num_frames,
        frame_rate=parse_frame_rate(frame_rate),
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        conditionings=() if image is None else (Conditioning(role=Role.FIRST_FRAME, path=image),),
        options=parse_options(option),
    )


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask before something is deleted; refuse where there is nobody to ask."""
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise UnsupportedValue("deleting needs a yes", field="yes", got="nobody to ask", fix="add --yes")
    typer.confirm(question, abort=True, err=True)


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
