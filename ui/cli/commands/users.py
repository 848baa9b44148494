"""`studio users`: who may come in from elsewhere, and what each may do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from studio.people.account import Account
    from studio.people.people import People

app = typer.Typer(
    help="Who may come in to `studio web` from elsewhere: viewers look, creators make clips, admins do all.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Name of the account, see `studio users list`.", metavar="NAME")]
Surplus = Annotated[list[str] | None, typer.Argument(hidden=True)]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, its first line.")
]
_MAX_READ = 65_536


@app.command("list")
def list_users(as_json: argument.Json = False) -> None:
    """List the accounts: what each may do, and whether it is closed."""
    accounts = _people().accounts()
    if as_json:
        print_json({"users": [account.as_json() for account in accounts]})
        return
    if not accounts:
        print_note("note: there are no accounts; `studio users add NAME --role admin` makes the first")
    rows = [(item.name, str(item.role), _state(item), f"{item.created_at:%Y-%m-%d %H:%M}") for item in accounts]
    print_table("", ("name", "role", "state", "since (UTC)"), rows)


@app.command("add")
def add(
    name: Name,
    surplus: Surplus = None,
    role: Annotated[str, typer.Option("--role", help="viewer, creator or admin.", metavar="ROLE")] = "creator",
    password_stdin: FromStdin = False,
    as_json: argument.Json = False,
) -> None:
    """Make an account. Its password is asked for, or read from standard input; it is never an argument."""
    from studio.people.account import Role, fit_name

    _refuse_argument(surplus, f"add {name}")
    wanted = Role.parse(role)
    fit_name(name)
    _conclude(_people().add(name, _read_password(name, from_stdin=password_stdin), wanted), "added", as_json)


@app.command("remove")
def remove(name: Name, as_json: argument.Json = False) -> None:
    """Delete an account and end its logins. Its clips stay, and are nobody's; `close` keeps whose they are."""
    _conclude(_people().remove(name), "removed", as_json)


@app.command("role")
def set_role(
    name: Name,
    role: Annotated[str, typer.Argument(help="viewer, creator or admin.", metavar="ROLE")],
    as_json: argument.Json = False,
) -> None:
    """Change what somebody may do, at once."""
    from studio.people.account import Role

    wanted = Role.parse(role)
    _conclude(_people().set_role(name, wanted), f"is {wanted} now", as_json)


@app.command("password")
def set_password(
    name: Name, surplus: Surplus = None, password_stdin: FromStdin = False, as_json: argument.Json = False
) -> None:
    """Give somebody another password, and end their logins."""
    _refuse_argument(surplus, f"password {name}")
    people = _people()
    people.account(name)
    account = people.set_password(name, _read_password(name, from_stdin=password_stdin))
    _conclude(account, "has another password; their logins have ended", as_json)


@app.command("close")
def close(name: Name, as_json: argument.Json = False) -> None:
    """Let somebody in no more, and end their logins. What is theirs stays theirs."""
    _conclude(_people().close(name), "is closed; their logins have ended", as_json)


@app.command("open")
def reopen(name: Name, as_json: argument.Json = False) -> None:
    """Let somebody in again whose account was closed."""
    _conclude(_people().open(name), "is open again", as_json)


def _people() -> People:
    from studio.app import Studio

    return Studio().people


def _refuse_argument(surplus: list[str] | None, command: str) -> None:
    from studio.errors import RequestError

    if surplus:
        raise RequestError(
            "a password is never an argument: others on this machine see those, and the shell keeps them",
            field="password",
            fix=f"`studio users {command}` asks for it; if this was a real one, choose another",
        )


def _read_password(name: str, *, from_stdin: bool) -> str:
    """Return what is typed unseen, twice, or the first line that comes through the pipe."""
    import getpass

    from studio.errors import RequestError

    if from_stdin:
        return _piped()
    if sys.stdin is None or not sys.stdin.isatty():
        raise RequestError(
            "nobody is there to be asked for a password", field="password", fix="pipe it in with --password-stdin"
        )
    password = getpass.getpass(f"Password of {name} (it is not shown): ")
    if getpass.getpass("Once more: ") != password:
        raise RequestError("the two passwords differ", field="password", fix="run it again")
    return password


def _piped() -> str:
    from studio.errors import RequestError

    try:
        content = "" if sys.stdin is None else sys.stdin.read(_MAX_READ)
    except (OSError, ValueError):  # its words would quote what was read
        raise RequestError("standard input is no text", field="password") from None
    password, _, rest = content.partition("\n")
    if rest.strip():
        raise RequestError("standard input holds more than one line", field="password", allowed="the password alone")
    return password.rstrip("\r")


def _conclude(account: Account, what: str, as_json: bool) -> None:
    if as_json:
        print_json({"user": account.as_json()})
    else:
        print_line(f"{account.name}: {what}")


def _state(account: Account) -> str:
    return "closed" if account.is_closed else "open"
