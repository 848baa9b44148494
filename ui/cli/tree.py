"""The tree of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli.commands import (
    batch,
    checking,
    clips,
    comparing,
    costs,
    demo,
    extending,
    identity,
    inspection,
    keys,
    library,
    machine,
    models,
    quarantine,
    queueing,
    serving,
    users,
    web,
    working,
)

app = typer.Typer(
    name="studio",
    help="Turn a prompt or a picture into a video clip: checked, watermarked, signed and verified before you see it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from studio import __version__

        typer.echo(f"studio {__version__}")
        raise typer.Exit


@app.callback()
def _globals(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


app.command("generate")(clips.generate)
app.command("extend")(extending.extend)
app.command("demo")(demo.demo)
app.command("estimate")(clips.estimate)
app.command("verify")(inspection.verify)
app.command("check")(checking.check)
app.command("doctor")(machine.doctor)
app.command("worker")(working.worker)
app.command("serve")(serving.serve)
app.command("web")(web.web)
app.add_typer(batch.app, name="batch")
app.add_typer(comparing.app, name="compare")
app.add_typer(models.app, name="models")
app.add_typer(costs.app, name="costs")
app.add_typer(library.app, name="library")
app.add_typer(queueing.app, name="queue")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(identity.app, name="identity")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
