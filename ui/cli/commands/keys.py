"""`studio keys`: which providers have a key, and putting one into the system's keyring."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from studio.keys import KeyChain, KeyFacts

app = typer.Typer(
    help="The keys of providers: from an environment variable or the system's keyring, never in a file.",
    no_args_is_help=True,
)

Provider = Annotated[str, typer.Argument(help="Short name, see `studio keys list`.", metavar="PROVIDER")]
_MAX_READ = 65_536


@app.command("list")
def list_keys(as_json: argument.Json = False) -> None:
    """List the providers and say where the key of each comes from. The keys themselves are never shown."""
    from studio.keyrings import KEYRING

    facts = _chain().facts()
    if KEYRING.fault:
        print_note(f"note: the system's keyring cannot be used: {KEYRING.fault}")
    if as_json:
        print_json({"providers": [_as_json(item) for item in facts]})
        return
    rows = [(item.provider, item.name, _places(item), ", ".join(_variables(item)), item.key_url) for item in facts]
    print_table("", ("provider", "name", "key", "variables", "where to get one"), rows)


@app.command("set")
def set_key(
    provider: Provider,
    surplus: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    secret: Annotated[bool, typer.Option("--secret", help="It is the second half of a pair of keys.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Keep a key in the system's keyring. It is asked for, or read from standard input; it is never an argument."""
    from studio.errors import RequestError

    if surplus:
        raise RequestError(
            "a key is never an argument: others on this machine see those, and the shell keeps them",
            field="key",
            fix=f"`studio keys set {provider}` asks for it; if this was a real one, get another",
        )
    chain = _chain()
    chain.require(provider)
    notes = chain.set(provider, _read_key(provider), is_second=secret)
    _conclude(provider, "set", notes, as_json)


@app.command("remove")
def remove_key(provider: Provider, as_json: argument.Json = False) -> None:
    """Take a provider's key, or both halves of a pair, out of the system's keyring."""
    _conclude(provider, "removed", _chain().remove(provider), as_json)


def _chain() -> KeyChain:
    from studio.app import Studio
    from studio.keys import KeyChain

    return KeyChain.of_catalog(Studio().registry.catalog)


def _read_key(provider: str) -> str:
    """Return what is typed unseen, or what comes through the pipe."""
    import getpass

    from studio.errors import RequestError

    if sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass(f"Key of {provider} (it is not shown): ")
    try:
        return "" if sys.stdin is None else sys.stdin.read(_MAX_READ)
    except (OSError, ValueError):  # its words would quote what was read
        raise RequestError("standard input is no text", field="key", fix="paste the key alone") from None


def _conclude(provider: str, what: str, notes: list[str], as_json: bool) -> None:
    for note in notes:
        print_note(f"note: {note}")
    if as_json:
        print_json({"provider": provider, what: True, "notes": notes})
    else:
        print_line(f"{provider}: {'the key is in the keyring' if what == 'set' else 'the key was removed'}")


def _variables(facts: KeyFacts) -> list[str]:
    return [*facts.variables, *facts.secret_variables]


def _places(facts: KeyFacts) -> str:
    if facts.fault:
        return facts.fault
    found = list(dict.fromkeys(place for place in (facts.source, facts.secret_source) if place))
    return " and ".join(found) or ("-" if facts.needs_key else "- (it does without)")


def _as_json(facts: KeyFacts) -> dict[str, Any]:
    return {
        "provider": facts.provider,
        "name": facts.name,
        "source": facts.source or None,
        "secret_source": facts.secret_source or None,
        "variables": list(facts.variables),
        "secret_variables": list(facts.secret_variables),
        "needs_key": facts.needs_key,
        "key_url": facts.key_url or None,
        "fault": facts.fault or None,
    }
