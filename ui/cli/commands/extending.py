"""`studio extend`: a clip is made longer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.cli import arguments as argument
from ui.cli.commands.clips import outcome_json, present_outcome
from ui.cli.console import print_json, print_note

if TYPE_CHECKING:
    from studio.consistency.seam_drift import WindowDrift
    from studio.extending.wish import Extension

_FIGURES = ("exposure", "colour", "appearance", "sharpness", "seam_jump")
_NO_FIGURE = "-"


Clip = Annotated[str, typer.Argument(help="Id of an asset, or its beginning; or a video file.", metavar="CLIP")]
Windows = Annotated[int | None, typer.Option("--windows", help="How often the model goes on, 1 unless given.")]
Length = Annotated[
    str | None,
    typer.Option("--duration", help="Length of the finished clip, instead of --windows.", metavar="SECONDS"),
]
Overlap = Annotated[
    int | None, typer.Option("--overlap", help="Frames of the end that each window starts from.", metavar="K")
]
WindowFrames = Annotated[int | None, typer.Option("--num-frames", help="Frames of each window, the overlap included.")]
Output = Annotated[Path | None, typer.Option("--output", help="Also copy the sealed clip here.", metavar="FILE")]
KeepWindows = Annotated[
    bool, typer.Option("--keep-windows", help="Keep each window in the library as a clip of its own.")
]


def extend(
    clip: Clip,
    model: argument.ModelId = None,
    prompt: argument.Prompt = None,
    negative_prompt: argument.NegativePrompt = None,
    windows: Windows = None,
    duration: Length = None,
    overlap: Overlap = None,
    num_frames: WindowFrames = None,
    seed: argument.Seed = None,
    steps: argument.Steps = None,
    guidance_scale: argument.GuidanceScale = None,
    audio: argument.Audio = None,
    option: argument.Option = None,
    on_unsupported: argument.Unsupported = None,
    output: Output = None,
    force: argument.Force = False,
    label: argument.Label = None,
    on_fail: argument.OnFail = None,
    max_cost: argument.MaxCost = None,
    keep_windows: KeepWindows = False,
    as_json: argument.Json = False,
) -> None:
    """Make a clip longer: windows that each go on from the end of what there is, joined and sealed as one.

    Each window is a job like any other. One that is finished is not made again: after a crash the same command goes on.
    How far the windows drift from the clip, and how much it jumps at the joins, is measured and told.
    """
    from studio.app import Studio
    from studio.extending.wish import ExtendWish
    from ui.cli.progress import generation_progress

    wish = ExtendWish(
        clip=clip,
        model=model,
        prompt=prompt,
        negative_prompt=negative_prompt or "",
        windows=windows,
        duration_seconds=argument.parse_duration(duration),
        overlap=overlap,
        num_frames=num_frames,
        seed=seed,
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        generate_audio=audio,
        options=argument.parse_options(option),
        on_unsupported=argument.parse_on_unsupported(on_unsupported) or "reject",
        keeps_windows=keep_windows,
        label=argument.parse_label(label),
        on_fail=argument.parse_policy(on_fail),
        max_cost=argument.parse_money(max_cost, "max_cost"),
    )
    with generation_progress() as observe:
        outcome, extension = Studio().extend(
            wish, output=output, overwrite=force, observe=observe, warn=lambda text: print_note(f"note: {text}")
        )
    if as_json:
        print_json(outcome_json(outcome) | extension.as_json())
        return
    present_outcome(outcome)
    for line in _lines(extension):
        print_note(f"  {line}")


def _lines(extension: Extension) -> list[str]:
    """Return what was added, and a table of the drift of each window."""
    added = [
        f"window {window.number}: frames {window.first_frame} to {window.first_frame + window.num_frames - 1}"
        f"{f', asset {window.asset.id}' if window.is_kept else ''}"
        for window in extension.windows
    ]
    heads = ("window", "exposure", "colour", "appearance", "sharpness", "jump at the join")
    rows = [heads, *(_row(drift) for drift in extension.drift)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [*added, "drift from the clip (! more than clean clips show):", *table]


def _row(drift: WindowDrift) -> tuple[str, ...]:
    told: dict[str, Any] = drift.as_json()
    cells = (
        _NO_FIGURE if told[name] is None else f"{told[name]:.2f}{'!' if name in drift.flagged else ''}"
        for name in _FIGURES
    )
    return str(drift.window), *cells
