"""`studio models`, `studio models pull` and `studio models refresh`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.request import Task
from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from studio.app import ModelEntry

_FROM = {
    Task.TEXT_TO_VIDEO: "text",
    Task.IMAGE_TO_VIDEO: "image",
    Task.FIRST_LAST_FRAME_TO_VIDEO: "frames",
    Task.REFERENCE_TO_VIDEO: "references",
    Task.VIDEO_TO_VIDEO: "video",
}
_WIDE = 110
_ADVICE = {
    "no key": "`studio keys list` says where to get one, `studio keys set NAME` keeps it",
    "no weights": "`studio models pull ID` fetches them",
    "retired": "choosing one says what to use instead",
}

app = typer.Typer(
    help="The catalog of models, and their weights. `refresh` asks a provider, such as openrouter, for all it has.",
    invoke_without_command=True,
)


@app.callback()
def models(
    context: typer.Context,
    task: argument.TaskName = None,
    as_json: argument.Json = False,
) -> None:
    """List the models and say which of them would run here."""
    if context.invoked_subcommand is not None:
        return
    from studio.app import Studio

    studio = Studio()
    entries = studio.models(argument.parse_task(task))
    for fault in studio.registry.catalog.faults:
        print_note(f"note: {fault}")
    if as_json:
        print_json({"models": [_as_json(entry) for entry in entries]})
        return
    if sys.stdout.isatty():
        _show_short(entries)
        return
    rows = [
        (
            entry.spec.id,
            "ready" if entry.readiness.ready else "-",
            ", ".join(task.value for task in entry.spec.tasks),
            entry.spec.where,
            entry.spec.licence.id,
            entry.spec.summary if entry.readiness.ready else entry.readiness.reason,
        )
        for entry in entries
    ]
    print_table("", ("model", "here", "tasks", "where", "licence", "about"), rows)


@app.command("pull")
def pull(
    model: Annotated[str, typer.Argument(help="Id of the model.", metavar="ID")],
    as_json: argument.Json = False,
) -> None:
    """Download a model's weights: safetensors only, resumable, recorded and verified."""
    from studio.app import Studio
    from ui.cli.progress import pull_progress

    with pull_progress() as observe:
        folder = Studio().pull(model, observe)
    if as_json:
        print_json({"model": model, "path": str(folder)})
    else:
        print_line(str(folder))


@app.command("refresh")
def refresh(
    provider: Annotated[str, typer.Argument(help="Short name of the provider: openrouter.", metavar="PROVIDER")],
    as_json: argument.Json = False,
) -> None:
    """Ask a provider over the network which models it has, and write a catalog row for each.

    They lie in STUDIO_HOME/catalog. If anything goes wrong, the rows of the last time stay.
    """
    from studio.app import Studio

    found = Studio().refresh_models(provider)
    for item in found.left_out:
        print_note(f"note: {item.name} was left out: {item.reason}")
    for name in found.kept:
        print_note(f"note: {name} is not listed any more; it was kept because a row of yours extends it")
    if as_json:
        left_out = [{"name": item.name, "reason": item.reason} for item in found.left_out]
        rows = {"models": list(found.models), "kept": list(found.kept), "left_out": left_out}
        print_json({"provider": provider, "path": str(found.path), **rows})
    else:
        print_line(f"{provider}: {len(found.models)} models in {found.path}")


def _show_short(entries: Sequence[ModelEntry]) -> None:
    """Print a line a model, however narrow the terminal is."""
    columns = ("model", "here", "makes it from", "about")
    rows = [
        (
            entry.spec.id,
            entry.readiness.word,
            ", ".join(_FROM[task] for task in entry.spec.tasks),
            entry.spec.summary,
        )
        for entry in entries
    ]
    shown = len(columns) if shutil.get_terminal_size().columns >= _WIDE else len(columns) - 1
    print_table("", columns[:shown], [row[:shown] for row in rows], is_cut=shown == len(columns))
    words = {entry.readiness.word for entry in entries}
    print_note("\n".join(f"{word}: {advice}" for word, advice in _ADVICE.items() if word in words))
    print_note("licences and reasons: `studio models | less -S`; all there is: `studio models --json`")


def _as_json(entry: Any) -> dict[str, Any]:
    spec = entry.spec
    return {
        "id": spec.id,
        "name": spec.name,
        "summary": spec.summary,
        "tasks": [task.value for task in spec.tasks],
        "where": spec.where,
        "status": spec.status.value,
        "ready": entry.readiness.ready,
        "reason": entry.readiness.reason or None,
        "licence": spec.licence.model_dump(),
        "parameters_count": spec.parameters_count,
        "size_bytes": spec.weights.size_bytes if spec.weights else None,
        "repository": spec.weights.repository if spec.weights else None,
        "generator": spec.generator,
        "parameters": spec.parameters.model_dump(mode="json"),
        "remote": spec.remote.model_dump(mode="json") if spec.remote else None,
        "retirement": spec.retirement.model_dump(mode="json") if spec.retirement else None,
    }
