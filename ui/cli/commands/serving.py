"""`studio serve`: the REST API, and workers for what it takes in."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; beyond loopback a token is needed.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535)] = 8765,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File that holds the token to be asked for.", metavar="FILE")
    ] = None,
    workers: Annotated[
        bool, typer.Option("--workers/--no-workers", help="Start workers when jobs wait that nobody takes.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not note each request.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Serve the REST API until Ctrl-C; docs/rest.md describes it.

    On this machine alone (the default) no token is needed. Any other --host asks for one: from --token-file, from
    STUDIO_API_TOKEN, or made now and kept in STUDIO_HOME/api-token.
    """
    from studio.app import Studio
    from ui.api.access import Access, is_loopback
    from ui.api.app import create_app
    from ui.api.keeper import WorkerKeeper
    from ui.api.server import ApiServer, bind, url_of
    from ui.api.token import find_token

    studio = Studio()
    token = find_token(studio.settings, token_file, is_needed=not is_loopback(host))
    app = create_app(studio, Access(token=None if token is None else token.secret))
    bound = bind(host, port)
    if token is not None and token.is_new:
        print_note(f"token (shown this once, kept in {token.origin}): {token.secret.get_secret_value()}")
    if not is_loopback(host):
        print_note("note: what travels is not encrypted; put a proxy with TLS in front of it on a network you share")
    url = url_of(bound)

    def announce() -> None:
        if as_json:
            print_json({"url": url, "token": None if token is None else token.origin})
        else:
            print_line(url)
        print_note(f"listening on {url}{'' if token is None else f', with the token of {token.origin}'}; Ctrl-C stops")

    _note_visits(quiet=quiet)
    keeper = WorkerKeeper(studio, print_note) if workers else None
    if keeper is not None:
        keeper.start()
    try:
        ApiServer(app, announce).run(sockets=[bound])
    finally:
        if keeper is not None:
            print_note("stopping the workers: each puts its job back at its next step; Ctrl-C once more ends them")
            keeper.stop()


def _note_visits(*, quiet: bool) -> None:
    logging.getLogger("studio.api.visits").setLevel(logging.WARNING if quiet else logging.INFO)
