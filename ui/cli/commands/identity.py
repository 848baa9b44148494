"""`studio identity`: what signs, whom the studio trusts, and missing time stamps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note, print_table
from ui.cli.exit_codes import exit_code

if TYPE_CHECKING:
    from studio.identity import IdentityFacts, ListFacts

app = typer.Typer(help="What signs your clips, whom the studio trusts, and missing time stamps.", no_args_is_help=True)
trust_app = typer.Typer(help="The lists of authorities that files are judged by.", invoke_without_command=True)
stamps_app = typer.Typer(help="Clips that were sealed while the time stamp authority gave none.", no_args_is_help=True)
app.add_typer(trust_app, name="trust")
app.add_typer(stamps_app, name="timestamps")

Slot = Annotated[str, typer.Option("--list", help="c2pa, tsa, or your own additions: signers, clocks.", metavar="NAME")]


@app.command("show")
def show(as_json: argument.Json = False) -> None:
    """Say what signs here."""
    from studio.app import Studio

    _present(Studio().identity.show(), as_json)


@app.command("rotate")
def rotate(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, as_json: argument.Json = False
) -> None:
    """Make a new certificate and key. The old key is destroyed; what it signed stays known as this studio's."""
    from studio.app import Studio

    argument.confirm("Retire the signing key in use and destroy it?", yes=yes, as_json=as_json)
    _present(Studio().identity.rotate(), as_json)


@app.command("import")
def import_(
    chain: Annotated[Path, typer.Option("--chain", help="Certificates, your own first (PEM).", metavar="FILE")],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="Its private key; not needed with STUDIO_SIGNER_COMMAND.", metavar="FILE"),
    ] = None,
    root: Annotated[Path | None, typer.Option("--root", help="The root, if not in the chain.", metavar="FILE")] = None,
    as_json: argument.Json = False,
) -> None:
    """Sign with a certificate of your own. It is tried out first; the identity in use retires."""
    from studio.app import Studio

    facts, warnings = Studio().identity.bring(chain, key, root)
    for warning in warnings:
        print_note(f"note: {warning}")
    _present(facts, as_json, warnings)


@trust_app.callback()
def trust(context: typer.Context, as_json: argument.Json = False) -> None:
    """Show the lists of authorities that files are judged by."""
    from studio.app import Studio

    if context.invoked_subcommand is None:
        _present_lists(Studio().identity.trust(), as_json)


@trust_app.command("update")
def update(
    file: Annotated[Path | None, typer.Argument(help="Authorities' certificates (PEM).", metavar="FILE")] = None,
    slot: Slot = "c2pa",
    reset: Annotated[bool, typer.Option("--reset", help="Go back to the list that ships.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Use a newer list that you downloaded, or add authorities of your own. Nothing is fetched."""
    from studio.app import Studio
    from studio.errors import UnsupportedValue

    desk = Studio().identity
    if (file is None) != reset:
        raise UnsupportedValue("give either a file or --reset", field="file", got="both" if file else "neither")
    _present_lists(desk.reset_trust(slot) if file is None else desk.update_trust(slot, file), as_json)


@stamps_app.command("list")
def list_stamps(as_json: argument.Json = False) -> None:
    """List the clips that wait for a time stamp."""
    from studio.app import Studio

    waiting = Studio().identity.waiting_stamps()
    if as_json:
        print_json({"waiting": [item.as_json() for item in waiting]})
        return
    for item in waiting:
        print_line(f"{item.asset_id}  since {item.since:%Y-%m-%d %H:%M} UTC, {item.attempts} attempts: {item.reason}")


@stamps_app.command("retry")
def retry_stamps(
    assets: Annotated[
        list[str] | None, typer.Argument(help="Ids of clips; all that wait when left out.", metavar="ASSET...")
    ] = None,
    as_json: argument.Json = False,
) -> None:
    """Ask for time stamps again. A clip that never waited can be named too."""
    from studio.app import Studio

    outcomes = Studio().identity.stamp(assets or ())
    done = [item.asset for item in outcomes if item.asset is not None]
    failed = [(item.asset_id, item.error) for item in outcomes if item.error is not None]
    if as_json:
        failures = [{"id": asset_id, "error": error.as_json()} for asset_id, error in failed]
        print_json({"assets": [asset.as_json() for asset in done], "failed": failures})
    for asset in () if as_json else done:
        print_line(f"{asset.id}  has its time stamp")
    for asset_id, error in failed:
        print_note(f"{asset_id}: {error.sentence()}")
    if failed:
        raise typer.Exit(exit_code(failed[0][1]))


def _present(facts: IdentityFacts, as_json: bool, warnings: tuple[str, ...] = ()) -> None:
    if as_json:
        print_json({"identity": facts.as_json(), "warnings": list(warnings)})
        return
    print_line(f"fingerprint  {facts.fingerprint}")
    print_line(f"subject      {facts.subject}")
    print_line(f"issued by    {facts.issuer}")
    print_line(f"valid until  {facts.valid_until:%Y-%m-%d} ({facts.days_left} days left)")
    print_line(f"algorithm    {facts.algorithm}")
    print_line(f"kind         {facts.origin}, signed by {facts.signer}")
    print_line(f"retired      {facts.retired}")
    print_line(f"time stamps  {facts.timestamp_url or 'none: no authority is configured'}")


def _present_lists(lists: list[ListFacts], as_json: bool) -> None:
    if as_json:
        print_json({"lists": [item.as_json() for item in lists]})
        return
    kinds = {"manifest": "signers", "tsa": "time"}
    rows = [
        (
            item.slot or "-",
            item.name,
            kinds[item.kind],
            str(item.certificates),
            item.dated or "-",
            "your own copy" if item.is_replaced else item.source or "this computer",
        )
        for item in lists
    ]
    print_table("", ("list", "name", "vouches for", "certificates", "dated", "source"), rows)
