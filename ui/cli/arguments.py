"""Arguments that several commands share, and their translation into a request."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from studio.errors import UnsupportedValue

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", hidden=True)]

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


def parse_task(text: str | None) -> str | None:
    """Return the task's id, or refuse naming those there are."""
    from studio.request import Task

    if text is not None and text not in set(Task):
        raise UnsupportedValue("no such task", field="task", got=text, allowed=", ".join(task.value for task in Task))
    return text


def parse_frame_rate(text: str | None) -> Fraction | None:
    """Return frames per second as an exact fraction."""
    if text is None:
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UnsupportedValue("not a frame rate", field="frame_rate", got=text, allowed="such as 24, 23.976 or 30000/1001")
    return rate


def parse_options(items: list[str] | None) -> dict[str, str | int | float | bool]:
    """Split ``key=value`` pairs; values are checked against the model's row later."""
    options: dict[str, str | int | float | bool] = {}
    for item in items or []:
        name, separator, value = item.partition("=")
        if not separator or not name.strip():
            raise UnsupportedValue("not a pair", field="option", got=item, allowed="KEY=VALUE")
        options[name.strip()] = value.strip()
    return options
