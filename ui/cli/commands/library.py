"""`studio library`: the sealed clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studio.errors import UnsupportedValue
from ui.cli import arguments as argument
from ui.cli.commands import curating
from ui.cli.console import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from studio.library.asset import Asset

app = typer.Typer(help="The sealed clips you own.", no_args_is_help=True)
app.add_typer(curating.collections, name="collections")

Flagged = Annotated[bool, typer.Option("--flagged", help="Only those that failed a check.")]
PromptProof = Annotated[
    bool, typer.Option("--prompt-proof", help="Also the key that proves its prompt to whoever you give both.")
]
AssetId = Annotated[str, typer.Argument(help="Id of the asset, or its beginning.", metavar="ID")]
Limit = Annotated[int, typer.Option("--limit", help="At most so many, newest first.", min=1, max=100_000)]


@app.command("list")
def list_(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only this model's.")] = None,
    flagged: Flagged = False,
    limit: Limit = 100,
    as_json: argument.Json = False,
) -> None:
    """List the assets, newest first."""
    from studio.app import Studio

    _show(Studio().store.assets(model=model, flagged=flagged, limit=limit), as_json)


@app.command("search")
def search(
    words: Annotated[list[str], typer.Argument(help="Words of prompt, caption, tags, model or id.")],
    flagged: Flagged = False,
    limit: Limit = 100,
    as_json: argument.Json = False,
) -> None:
    """Find assets whose prompt, caption, tags, model or id hold all the words."""
    from studio.app import Studio

    _show(Studio().store.assets(text=" ".join(words), flagged=flagged, limit=limit), as_json)


@app.command("show")
def show(
    asset_id: AssetId,
    prompt_proof: PromptProof = False,
    report: argument.ReportFolder = None,
    force: argument.Force = False,
    as_json: argument.Json = False,
) -> None:
    """Show one asset with its request and its report."""
    from studio.app import Studio
    from ui.cli.check_lines import check_lines, ruling_lines

    studio = Studio()
    store = studio.store
    asset = store.asset(asset_id)
    if report is not None:
        from studio.reporting import check_report_folder, report_on_asset

        check_report_folder(report, overwrite=force, home=studio.settings.home)
        print_note(f"report: {report_on_asset(asset, report, overwrite=force).page}")
    children = [child.id for child in store.children(asset.id)]
    notes = curating.notes_json(studio, asset.id)
    data = asset.as_json() | {
        "children": children,
        "notes": notes,
        "derivation": asset.derivation,
        "request": asset.request,
        "report": asset.report,
    }
    if prompt_proof:
        data["prompt_proof"] = studio.prompt_proof(asset)
    if as_json:
        print_json({"assets": [data]})
        return
    _print_facts(asset)
    print_line(f"{'children':<14} {', '.join(children) or '-'}")
    for name, value in notes.items():
        print_line(f"{name:<14} {', '.join(value) if isinstance(value, list) else value or '-'}")
    for line in (*check_lines(asset.report), *ruling_lines(asset.ruling)):
        print_line(line)
    for name, value in data.get("prompt_proof", {}).items():
        print_line(f"{name:<28} {value}")


@app.command("export")
def export(
    asset_id: AssetId,
    destination: Annotated[Path, typer.Argument(help="File to write; its ending chooses the format.", metavar="FILE")],
    frame: Annotated[
        int | None, typer.Option("--frame", help="A picture of this frame, 0 is the first.", min=0, metavar="N")
    ] = None,
    last_frame: Annotated[bool, typer.Option("--last-frame", help="A picture of the last frame.")] = False,
    start: Annotated[float | None, typer.Option("--start", help="Seconds into the clip.", metavar="S")] = None,
    end: Annotated[float | None, typer.Option("--end", help="Seconds into the clip.", metavar="S")] = None,
    width: Annotated[int | None, typer.Option("--width", help="Pixels; the height follows.", metavar="W")] = None,
    frame_rate: argument.FrameRate = None,
    force: argument.Force = False,
    as_json: argument.Json = False,
) -> None:
    """Write a sealed file out of the library, byte for byte or as another format, part or picture.

    Without options and with the asset's own ending: a copy. Otherwise .mp4, .mov, .mkv, .webm, .gif, .webp, .png, .jpg
    (the middle frame unless one is chosen) and .wav are made anew: checked, signed, verified, and kept in the library.
    """
    from studio.app import Studio
    from studio.export.derivation import Wish

    if last_frame and frame is not None:
        raise UnsupportedValue("two frames are asked for", field="frame", got=f"{frame} and the last", fix="choose one")
    wish = Wish(
        frame=-1 if last_frame else frame,
        start=argument.parse_seconds(start, "start"),
        end=argument.parse_seconds(end, "end"),
        width=width,
        frame_rate=argument.parse_frame_rate(frame_rate),
    )
    exported = Studio().export(
        asset_id, destination, wish, overwrite=force, on_stage=lambda stage: print_note(f"{stage} ...")
    )
    if as_json:
        sidecar = None if exported.sidecar is None else str(exported.sidecar)
        data = {"assets": [exported.asset.as_json()], "path": str(exported.path), "sidecar": sidecar}
        print_json(data | {"notes": list(exported.notes)})
        return
    print_line(str(exported.path))
    for note in exported.notes:
        print_note(f"note: {note}")


@app.command("remove")
def remove(
    asset_id: AssetId,
    to_bin: Annotated[bool, typer.Option("--bin", help="Into the bin instead, from where it comes back.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Delete an asset and its file. There is no way back, but for `--bin`."""
    from studio.app import Studio

    studio = Studio()
    asset = studio.store.asset(asset_id)
    if to_bin:
        curating.bin_([asset.id], as_json=as_json)
        return
    argument.confirm(f"Delete {asset.path}?", yes=yes, as_json=as_json)
    studio.remove(asset.id)
    if as_json:
        print_json({"assets": [asset.as_json()], "removed": True})
    else:
        print_line(f"removed {asset.id}")


app.command("rate")(curating.rate)
app.command("caption")(curating.caption)
app.command("tag")(curating.tag)
app.command("bin")(curating.bin_)
app.command("bundle")(curating.bundle)


def _print_facts(asset: Asset) -> None:
    for name, value in asset.as_json().items():
        if name == "master" and asset.master is not None:
            for part, words in value.items():
                print_line(f"{f'master {part}':<24} {'-' if words is None else words}")
        elif name not in ("ruling", "master"):
            print_line(f"{name:<14} {'-' if value is None else value}")


def _show(assets: list[Asset], as_json: bool) -> None:
    if as_json:
        print_json({"assets": [asset.as_json() for asset in assets]})
        return
    rows = [
        (
            asset.id,
            asset.kind,
            asset.model,
            f"{asset.width}x{asset.height}",
            str(asset.num_frames),
            asset.standing,
            asset.prompt or "-",
        )
        for asset in assets
    ]
    print_table("", ("asset", "kind", "model", "size", "frames", "checks", "prompt"), rows)
