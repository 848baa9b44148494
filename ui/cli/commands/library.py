"""`studio library`: the sealed clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_table

if TYPE_CHECKING:
    from studio.library.asset import Asset

app = typer.Typer(help="The sealed clips you own.", no_args_is_help=True)

VERDICTS = {True: "passed", False: "failed", None: "inconclusive"}

AssetId = Annotated[str, typer.Argument(help="Id of the asset, or its beginning.", metavar="ID")]
Limit = Annotated[int, typer.Option("--limit", help="At most so many, newest first.", min=1, max=100_000)]


@app.command("list")
def list_(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only this model's.")] = None,
    limit: Limit = 100,
    as_json: argument.Json = False,
) -> None:
    """List the assets, newest first."""
    from studio.app import Studio

    _show(Studio().store.assets(model=model, limit=limit), as_json)


@app.command("search")
def search(
    words: Annotated[list[str], typer.Argument(help="Words of the prompt, the model or the id.")],
    limit: Limit = 100,
    as_json: argument.Json = False,
) -> None:
    """Find assets whose prompt, model or id holds all the words."""
    from studio.app import Studio

    _show(Studio().store.assets(text=" ".join(words), limit=limit), as_json)


@app.command("show")
def show(asset_id: AssetId, as_json: argument.Json = False) -> None:
    """Show one asset with its request and its report."""
    from studio.app import Studio

    asset = Studio().store.asset(asset_id)
    data = asset.as_json() | {"request": asset.request, "report": asset.report}
    if as_json:
        print_json({"assets": [data]})
        return
    for name, value in asset.as_json().items():
        print_line(f"{name:<14} {value}")
    for check in asset.report["checks"]:
        print_line(f"check          {check['title']}: {VERDICTS[check['passed']]}")


@app.command("export")
def export(
    asset_id: AssetId,
    destination: Annotated[Path, typer.Argument(help="File or folder to copy to.")],
    force: argument.Force = False,
    as_json: argument.Json = False,
) -> None:
    """Copy a sealed file out of the library, byte for byte."""
    from studio.app import Studio

    path = Studio().export(asset_id, destination, overwrite=force)
    if as_json:
        print_json({"assets": [Studio().store.asset(asset_id).as_json()], "path": str(path)})
    else:
        print_line(str(path))


@app.command("remove")
def remove(
    asset_id: AssetId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Delete an asset and its file. There is no way back."""
    from studio.app import Studio

    studio = Studio()
    asset = studio.store.asset(asset_id)
    argument.confirm(f"Delete {asset.path}?", yes=yes, as_json=as_json)
    studio.remove(asset.id)
    if as_json:
        print_json({"assets": [asset.as_json()], "removed": True})
    else:
        print_line(f"removed {asset.id}")


def _show(assets: list[Asset], as_json: bool) -> None:
    if as_json:
        print_json({"assets": [asset.as_json() for asset in assets]})
        return
    rows = [
        (
            asset.id,
            asset.model,
            f"{asset.width}x{asset.height}",
            str(asset.num_frames),
            VERDICTS[asset.checks_passed],
            asset.prompt or "-",
        )
        for asset in assets
    ]
    print_table("", ("asset", "model", "size", "frames", "checks", "prompt"), rows)
