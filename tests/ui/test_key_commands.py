"""`studio keys` in processes of their own, over real keyrings; no key is shown, none lies in a file of ours."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.config import Settings
from studio.errors import GenerationFailed
from studio.jobs.queue import Scope
from studio.jobs.roll import WorkerCard
from studio.jobs.states import FailureReason, JobState
from studio.request import GenerationRequest
from tests.canary import assert_nowhere
from tests.remote_rows import ACME, OWN, PAIRS, write_remote_rows
from ui.api.problems import refusal_of
from ui.cli import entry
from ui.cli.console import print_error

ROOT = Path(__file__).parents[2]
CANARY = "q7Zr-canary-0123456789-abcdefgh"
MAIN = "from ui.cli import main; main()"


class Shell:
    """Runs the command line in processes of their own, and keeps all that they ever said."""

    def __init__(self, folder: Path) -> None:
        self.home, self.keyring = folder / "home", folder / "keyring.json"
        self.environ = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ} | {
            "STUDIO_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "PYTHON_KEYRING_BACKEND": "tests.keyring_backend.JsonKeyring",
            "TEST_KEYRING_FILE": str(self.keyring),
            "OMP_NUM_THREADS": "1",
        }
        self.said: list[str] = []

    def run(self, *arguments: str, typed: str = "", code: int = 0, **environ: str) -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *arguments],
            input=typed,
            capture_output=True,
            text=True,
            env=self.environ | environ,
            timeout=120,
        )
        self.said += [done.stdout, done.stderr]
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr

    def providers(self, **environ: str) -> dict[str, dict[str, Any]]:
        listed = json.loads(self.run("keys", "list", "--json", **environ)[0])["providers"]
        return {item["provider"]: item for item in listed}

    def kept(self) -> dict[str, str]:
        content: dict[str, str] = json.loads(self.keyring.read_text()) if self.keyring.exists() else {}
        return content


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A command line over three providers; whatever happens, no key may be anywhere but in the keyring."""
    shell = Shell(tmp_path)
    write_remote_rows(shell.home / "catalog", ACME, PAIRS, OWN)
    gone = ACME.model_copy(update={"provider": "gone"})
    write_remote_rows(shell.home / "catalog", gone, is_retired=True)
    yield shell
    assert_nowhere(CANARY, shell.home, *shell.said)


def test_a_key_is_set_through_a_pipe_listed_and_removed(shell: Shell) -> None:
    assert json.loads(shell.run("keys", "set", "acme", "--json", typed=CANARY + "\n")[0]) == {
        "provider": "acme",
        "set": True,
        "notes": [],
    }
    shell.run("keys", "set", "pairs", "--secret", typed=CANARY)
    assert shell.kept() == {"local-video-studio/acme": CANARY, "local-video-studio/pairs:secret": CANARY}
    listed = shell.providers(PAIRS_ACCESS_KEY=CANARY)
    assert listed["acme"] == {
        "provider": "acme",
        "name": "Acme",
        "source": "keyring",
        "secret_source": None,
        "variables": ["ACME_API_KEY", "ACME_KEY"],
        "secret_variables": [],
        "needs_key": True,
        "key_url": "https://acme.example/keys",
        "fault": None,
    }
    assert (listed["pairs"]["source"], listed["pairs"]["secret_source"]) == ("PAIRS_ACCESS_KEY", "keyring")
    assert (listed["own"]["source"], listed["own"]["needs_key"]) == (None, False)
    assert "gone" not in listed
    assert shell.run("keys", "remove", "acme") == ("acme: the key was removed\n", "")
    assert shell.kept() == {"local-video-studio/pairs:secret": CANARY}
    assert "no key of this provider" in shell.run("keys", "remove", "acme", code=2)[1]


def test_the_table_for_people_names_places_and_no_key(shell: Shell) -> None:
    shown, _notes = shell.run("keys", "list", ACME_KEY=CANARY)
    row = next(line for line in shown.splitlines() if line.startswith("acme"))
    assert "ACME_KEY " in row
    assert "https://acme.example/keys" in row


def test_a_variable_that_comes_before_the_keyring_is_pointed_out(shell: Shell) -> None:
    _shown, notes = shell.run("keys", "set", "acme", typed=f"  {CANARY}  ", ACME_KEY="another-key")
    assert "note: the environment variable ACME_KEY is set" in notes
    assert "note: the white space around the key was left out" in notes


def test_a_key_that_is_typed_is_not_shown(shell: Shell) -> None:
    terminal, end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "keys", "set", "acme"],
        stdin=end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.environ,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        prompt = b""
        while not prompt.endswith(b"shown): "):
            prompt += process.stderr.read(1)
        os.write(terminal, CANARY.encode() + b"\n")
        shown, rest = process.communicate(timeout=60)
    os.write(end, b"|")  # so that there is something to read
    echo = os.read(terminal, 4096)
    os.close(end)
    os.close(terminal)
    shell.said += [shown.decode(), rest.decode(), echo.decode()]
    assert process.returncode == 0, rest
    assert b"Key of acme" in prompt
    assert shell.kept() == {"local-video-studio/acme": CANARY}


@pytest.mark.parametrize(
    ("arguments", "typed", "words"),
    [
        (["acme", CANARY], "", "a key is never an argument"),
        (["sora"], CANARY, "got sora; allowed: acme"),
        ([CANARY], "acme", "no such provider"),
        (["acme"], "", "the key is empty"),
        (["acme"], f"{CANARY} {CANARY}", "white space within"),
        (["acme", "--secret"], CANARY, "no second half"),
    ],
    ids=["argument", "unknown", "misplaced", "empty", "two", "no pair"],
)
def test_what_will_not_do_is_refused_in_a_sentence(shell: Shell, arguments: list[str], typed: str, words: str) -> None:
    assert words in shell.run("keys", "set", *arguments, typed=typed, code=2)[1]
    assert shell.kept() == {}


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("keyring.backends.fail.Keyring", "this machine has none"),
        ("keyring.backends.null.Keyring", "it did not keep the key"),
        ("tests.keyring_backend.LockedKeyring", "it raised KeyringLocked"),
        ("no_such_module.Keyring", "it raised ModuleNotFoundError"),
        ("tests.keyring_backend.PlaintextKeyring", "keys are never in a file"),
    ],
)
def test_without_a_keyring_the_variable_is_named(shell: Shell, backend: str, words: str) -> None:
    told = shell.run("keys", "set", "acme", typed=CANARY, code=3, PYTHON_KEYRING_BACKEND=backend)[1]
    assert words in told
    assert "set the environment variable ACME_API_KEY instead" in told
    assert shell.kept() == {}


def test_without_a_keyring_the_environment_still_counts(shell: Shell) -> None:
    listed = shell.providers(ACME_API_KEY=CANARY, PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring")
    assert (listed["acme"]["source"], listed["pairs"]["source"]) == ("ACME_API_KEY", None)
    assert "note: the system's keyring cannot be used: this machine has none" in shell.said[-1]


def test_looking_around_shows_no_key_and_leaves_none_behind(shell: Shell) -> None:
    names = ("OPENAI_API_KEY", "RUNWAYML_API_SECRET", "FAL_KEY", "GEMINI_API_KEY", "ACME_API_KEY", "PAIRS_SECRET_KEY")
    keys = dict.fromkeys(names, CANARY)
    shell.run("keys", "set", "pairs", typed=CANARY)
    found = json.loads(shell.run("doctor", "--json", **keys)[0])["checks"]
    checks = {check["id"]: check for check in found}
    assert checks["keys"]["ok"] is True
    assert checks["key:acme"]["detail"] == "found in ACME_API_KEY"
    assert checks["key:pairs"]["detail"] == "found in keyring and PAIRS_SECRET_KEY"
    assert "key:own" not in checks
    shell.run("models", "--json", **keys)
    shell.run("keys", "list", "--json", **keys)
    assert "key:acme" not in shell.run("doctor", "--json")[0]


# -- the last line of defence ---------------------------------------------------------------------------------------


def test_an_error_that_quotes_a_key_is_printed_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", CANARY)
    print_error(GenerationFailed(f"the hub said: no such token: {CANARY}", got="https://h/p?sig=1"))
    assert capsys.readouterr().err == "studio: the hub said: no such token: ***; got https://h/p?***.\n"


def test_logs_and_tracebacks_of_the_command_line_are_masked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)

    def fail(**_parts: object) -> None:
        logging.getLogger("httpx").warning("GET %s", f"https://h/p?token={CANARY}", exc_info=ValueError(CANARY))
        raise RuntimeError(CANARY)

    monkeypatch.setattr(entry.typer.main, "get_command", lambda _app: fail)
    assert entry.run(["doctor", "--json"]) == 4
    with pytest.raises(RuntimeError) as raised:
        entry.run(["doctor", "--debug"])
    sys.excepthook(RuntimeError, raised.value, None)
    said = "".join(capsys.readouterr())
    assert "RuntimeError: ***" in said
    assert "ValueError: ***" in said
    assert_nowhere(CANARY, settings.home.parent, said)


def test_the_error_that_a_job_ended_with_is_kept_without_keys(studio: Studio, settings: Settings) -> None:
    job = studio.desk.submit(GenerationRequest(model="scripted-moving"))
    queue = studio.workshop.queue
    error = GenerationFailed(f"the library said: Bearer {CANARY}", got=f"https://h/p?sig={CANARY}").as_json()
    with studio.workshop.roll.enlist(WorkerCard(device="cpu")) as badge:
        lease = queue.claim(badge.row, Scope())
        assert lease is not None
        queue.end(lease, JobState.FAILED, reason=FailureReason.GENERATION, error=error)
    told = studio.desk.job(job.id)
    assert told.error is not None
    assert told.error["message"] == "the library said: Bearer ***"
    assert told.attempts[0].error == told.error
    assert_nowhere(CANARY, settings.home)


def test_an_answer_of_the_api_tells_no_key(settings: Settings) -> None:
    refusal = refusal_of(GenerationFailed(f"Bearer {CANARY}", fix=f"see https://h/p?sig={CANARY}"), settings.home)
    assert_nowhere(CANARY, settings.home.parent, json.dumps(refusal.as_json()))
    assert refusal.message == "Bearer ***"
