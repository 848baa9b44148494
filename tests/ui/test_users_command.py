"""`studio users`: accounts from the command line; no password is ever an argument, shown or kept."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from studio.config import Settings
from tests.canary import assert_nowhere
from tests.ui.conftest import Terminal

ROOT = Path(__file__).parents[2]
PASSWORD = "tulip-canary engine waltz"
MAIN = "from ui.cli import main; main()"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the password come through the pipe of every command of the test."""

    class Pipe(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            self.seek(0)
            return super().read(size)

    monkeypatch.setattr(sys, "stdin", Pipe(PASSWORD + "\n"))


def add(terminal: Terminal, name: str, role: str) -> None:
    user = terminal.json("users", "add", name, "--role", role, "--password-stdin")["user"]
    assert (user["name"], user["role"], user["is_closed"]) == (name, role, False)


def names(terminal: Terminal) -> dict[str, tuple[str, bool]]:
    return {user["name"]: (user["role"], user["is_closed"]) for user in terminal.json("users", "list")["users"]}


@pytest.mark.usefixtures("typed")
def test_an_account_from_its_first_day_to_its_last(terminal: Terminal, settings: Settings) -> None:
    add(terminal, "boss", "admin")
    add(terminal, "anna", "viewer")
    assert names(terminal) == {"anna": ("viewer", False), "boss": ("admin", False)}
    terminal.json("users", "role", "anna", "creator")
    terminal.json("users", "password", "anna", "--password-stdin")
    terminal.json("users", "close", "anna")
    assert names(terminal)["anna"] == ("creator", True)
    assert terminal.run("users", "list") == 0
    assert "closed" in terminal.stdout
    terminal.json("users", "open", "anna")
    terminal.json("users", "remove", "anna")
    assert names(terminal) == {"boss": ("admin", False)}
    assert_nowhere(PASSWORD, settings.home, terminal.stdout, terminal.stderr)


def test_without_accounts_the_first_step_is_told(terminal: Terminal) -> None:
    assert terminal.run("users", "list") == 0
    assert "studio users add NAME --role admin" in terminal.stderr


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "Anna", "--password-stdin"), "not a name"),
        (("add", "anna", "--role", "king", "--password-stdin"), "no such role"),
        (("add", "anna", PASSWORD), "never an argument"),
        (("password", "boss", PASSWORD), "never an argument"),
        (("add", "boss", "--password-stdin"), "there is an account of this name"),
        (("add", "anna"), "nobody is there to be asked"),
        (("remove", "nobody"), "nobody has an account"),
        (("password", "nobody", "--password-stdin"), "nobody has an account"),
        (("role", "boss", "viewer"), "the last admin"),
        (("remove", "boss"), "the last admin"),
        (("close", "boss"), "the last admin"),
    ],
)
def test_what_will_not_do_is_refused_in_a_sentence(terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    add(terminal, "boss", "admin")
    assert terminal.run("users", *arguments) == 2
    assert words in terminal.stderr
    assert PASSWORD not in terminal.stderr
    assert names(terminal) == {"boss": ("admin", False)}


@pytest.mark.parametrize("piped", ["", "\n", "short\n", "one password here\nand another\n"])
def test_a_pipe_must_hold_one_password_that_will_do(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, piped: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(piped))
    assert terminal.run("users", "add", "anna", "--password-stdin") == 2
    assert names(terminal) == {}


@pytest.mark.parametrize("again", [PASSWORD, PASSWORD + "?"], ids=["same", "other"])
def test_a_password_that_is_typed_is_asked_for_twice_and_not_shown(settings: Settings, again: str) -> None:
    environ = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    environ |= {"STUDIO_HOME": str(settings.home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    terminal, end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "users", "add", "anna"],
        stdin=end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        said = b""
        for prompt, word in ((b"shown): ", PASSWORD), (b"more: ", again)):
            while not said.endswith(prompt):
                said += process.stderr.read(1)
            os.write(terminal, word.encode() + b"\n")
        shown, rest = process.communicate(timeout=60)
    os.write(end, b"|")  # so that there is something to read
    echo = os.read(terminal, 4096)
    os.close(end)
    os.close(terminal)
    assert process.returncode == (0 if again == PASSWORD else 2), rest
    assert (b"anna: added" in shown) == (again == PASSWORD)
    assert (b"the two passwords differ" in rest) == (again != PASSWORD)
    assert_nowhere(PASSWORD, settings.home, shown.decode(), (said + rest).decode(), echo.decode())
