"""`studio demo`: a first clip, without weights to fetch, a key or an account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.errors import EnvironmentFault, OutputRefused, UnsupportedValue
from studio.request import GenerationRequest
from ui.cli import arguments as argument
from ui.cli.commands.clips import estimate_json, outcome_json, present_outcome
from ui.cli.console import print_json, print_note

if TYPE_CHECKING:
    from studio.app import Outcome, Studio
    from studio.config import Settings
    from studio.generator import Estimate
    from studio.request import OptionValue

ROOT = Path(__file__).parents[3]
_DEMO = "this-is-a-demo"
LOCAL_MODEL = "micro-wan"
PROVIDERS = ("runway", "openai-videos")  # the first that the server plays is shown where none is named
_PATIENCE_SECONDS = 5
_PROMPT = "a large yellow star moving right on a navy background"
_HONEST = "no network and no money was used: the model ran on this machine"
_HONEST_REMOTE = "no network and no money was used: {name} was played by a program on this machine, with a made-up key"


def demo(
    *,
    remote: Annotated[
        bool, typer.Option("--remote", help="Show how a provider makes a clip, played by a server on this machine.")
    ] = False,
    provider: Annotated[
        str | None, typer.Option("--provider", help="Which one is played, such as runway.", metavar="NAME")
    ] = None,
    output: Annotated[Path, typer.Option("--output", help="Where the clip goes.", metavar="FILE")] = Path("demo.mp4"),
    home: Annotated[
        Path | None, typer.Option("--home", help="Keep the demo's library here; else it is thrown away.", metavar="DIR")
    ] = None,
    force: argument.Force = False,
    as_json: argument.Json = False,
) -> None:
    """Make a first clip, in a library of its own: no network, no key, no money."""
    from studio.app import Studio

    if provider is not None and not remote:
        raise UnsupportedValue("only --remote has one", field="provider", got=provider, fix="add --remote")
    with ExitStack() as stack:
        if home is not None and remote:
            _mark_as_demo(home)
        folder = home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="studio-demo-")))
        model, words = LOCAL_MODEL, _HONEST
        options: Mapping[str, OptionValue] = {}
        settings = _settings(folder.resolve())
        studio = Studio(settings)
        if remote:
            played = _chosen(stack.enter_context(_playing()), provider)
            model, options = played.model, played.options
            stack.enter_context(_sent_there(studio, played))
            words = _HONEST_REMOTE.format(name=_name_of(studio, model))
        request = GenerationRequest(model=model, prompt=_PROMPT, options=options)
        _, estimate = studio.estimate(request)
        if not as_json:
            _announce(estimate)
        try:
            outcome = _made(studio, request, output, force=force)
        finally:
            studio.store.close()
        _show(outcome, estimate, words, home=home, as_json=as_json)


@dataclass(frozen=True, kw_only=True)
class _Played:
    """A provider that a server on this machine plays. environment: what sends its adapter there.

    options: without which the model makes nothing, such as the name of one of many.
    """

    model: str
    environment: Mapping[str, str]
    options: Mapping[str, str]


def _mark_as_demo(home: Path) -> None:
    """Keep made-up charges out of a library in which money is counted. Raises `OutputRefused`."""
    if (home / "studio.sqlite3").exists() and not (home / _DEMO).exists():
        raise OutputRefused(
            "this folder holds a library in which real costs are counted",
            field="home",
            got=home,
            allowed="a folder that is new, or of an earlier demo",
        )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / _DEMO).touch()


def _settings(home: Path) -> Settings:
    """Return the user's settings, but for a library of its own that asks nobody anything."""
    from studio.config import Settings

    alone = ("database_url", "assets_url", "shared_identity", "signer", "signer_command", "timestamp_url")
    budgets = ("daily_budget", "monthly_budget")
    return Settings.read().model_copy(update={"home": home, **dict.fromkeys((*alone, *budgets))})


@contextmanager
def _playing() -> Iterator[Mapping[str, _Played]]:
    """Run the server that plays the providers, and yield them by name. Raises `EnvironmentFault`."""
    if not (ROOT / "tests" / "providers" / "conformance" / "__main__.py").is_file():
        raise EnvironmentFault(
            "the server that plays the providers comes with the source, and is not part of the installed package",
            field="--remote",
            fix="run it in a checkout of the source, or without --remote",
        )
    command = [sys.executable, "-m", "tests.providers.conformance", "--signed"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield _read(process)
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _read(process: subprocess.Popen[bytes]) -> dict[str, _Played]:
    """Return what the server says of itself on its second line, once it answers."""
    lines = [stream.readline() for stream in (process.stdout, process.stdout) if stream is not None]
    if not all(lines):
        process.kill()
        said = b"" if process.stderr is None else process.stderr.read()
        why = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise EnvironmentFault("the server that plays the providers did not start", got=why)
    return {name: _Played(**facts) for name, facts in json.loads(lines[1]).items()}


def _chosen(played: Mapping[str, _Played], name: str | None) -> _Played:
    found = name or next((item for item in PROVIDERS if item in played), "")
    if found not in played:
        raise UnsupportedValue("nobody plays this provider", field="provider", got=name, allowed=", ".join(played))
    return played[found]


@contextmanager
def _sent_there(studio: Studio, played: _Played) -> Iterator[None]:
    """Send the adapter to the server, in this process alone; a real key is out of its reach while that lasts."""
    remote = studio.registry.catalog.get(played.model).remote
    names = {*played.environment} | ({*remote.key_variables, *remote.secret_variables} if remote is not None else set())
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(played.environment)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _name_of(studio: Studio, model: str) -> str:
    remote = studio.registry.catalog.get(model).remote
    return model if remote is None else remote.provider_name


def _made(studio: Studio, request: GenerationRequest, output: Path, *, force: bool) -> Outcome:
    from ui.cli.progress import generation_progress

    with generation_progress() as observe:
        return studio.generate(
            request, output=output, overwrite=force, observe=observe, warn=lambda text: print_note(f"note: {text}")
        )


def _announce(estimate: Estimate) -> None:
    if estimate.cost is not None and estimate.cost.amount:
        cost = f"{estimate.cost.amount:.2f} {estimate.cost.currency} at the provider's list price"
        print_note(f"estimate: {cost}, if it were the real one ({estimate.basis})")
    else:
        print_note(f"estimate: {estimate.basis}")


def _show(outcome: Outcome, estimate: Estimate, words: str, *, home: Path | None, as_json: bool) -> None:
    kept = None if home is None else str(home)
    if as_json:
        told: dict[str, Any] = outcome_json(outcome)
        print_json({**told, "estimate": estimate_json(estimate), "home": kept, "network": False, "note": words})
        return
    present_outcome(outcome)
    print_note(f"  {words}")
    if kept is None:
        print_note("  the demo's library was thrown away, so `studio verify` will not know who signed the clip")
    else:
        print_note(f"  the demo's library is in {kept}")
