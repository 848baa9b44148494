"""`studio web`: the studio in a browser, and workers for what is made there."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note


def web(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; beyond loopback people log in.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535)] = 7860,
    login: Annotated[bool, typer.Option("--login", help="Let people log in on this machine too.")] = False,
    https: Annotated[bool, typer.Option("--https", help="A proxy in front of it speaks TLS.")] = False,
    workers: Annotated[
        bool, typer.Option("--workers/--no-workers", help="Start workers when jobs wait that nobody takes.")
    ] = True,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Serve the studio's page until Ctrl-C.

    On this machine alone (the default) nobody logs in. Any other --host asks for a name and a password, and is refused
    while nobody has them: `studio users add NAME --role admin`.
    """
    from studio.app import Studio
    from ui.api.access import is_loopback
    from ui.api.keeper import WorkerKeeper
    from ui.api.server import ApiServer, bind, url_of
    from ui.web.entrance.door import require_login_possible

    studio = Studio()
    needs_login = login or https or not is_loopback(host)
    if needs_login:
        require_login_possible(studio.people, host)
    bound = bind(host, port)
    print_note("starting the page")
    from ui.web.site import create_site  # gradio takes seconds to load: what can be refused was refused before

    site = create_site(studio, needs_login=needs_login, is_https=https)
    url = url_of(bound)
    if not is_loopback(host) and not https:
        print_note("note: what travels is not encrypted; put a proxy with TLS in front of it on a network you share")

    def announce() -> None:
        if as_json:
            print_json({"url": url})
        else:
            print_line(url)
        print_note(f"the studio is at {url}; Ctrl-C stops")
        if browser:
            import webbrowser

            webbrowser.open(url)

    keeper = WorkerKeeper(studio, print_note) if workers else None
    if keeper is not None:
        keeper.start()
    try:
        ApiServer(site, announce).run(sockets=[bound])
    finally:
        if keeper is not None:
            print_note("stopping the workers: each puts its job back at its next step; Ctrl-C once more ends them")
            keeper.stop()
