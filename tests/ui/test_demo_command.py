"""`studio demo`: a first clip without network, key or money."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from studio.app import Studio
from studio.config import Settings
from tests.providers.conformance.jobs import SIGNATURE
from tests.ui.conftest import Terminal
from ui.cli.commands import demo

REAL_KEY = "the-users-own-key-0123456789"


def test_a_provider_is_shown_at_work_without_one(
    terminal: Terminal, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", REAL_KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.com/v1")
    told = terminal.json("demo", "--remote", "--provider", "openai-videos")
    assert Path(told["output"]) == tmp_path / "demo.mp4"
    assert (told["network"], told["home"]) == (False, None)
    assert "no network and no money was used" in told["note"]
    assert told["asset"]["model"] == "openai-videos"
    assert told["provenance"]["state"] in ("valid", "trusted")
    assert REAL_KEY not in terminal.stdout + terminal.stderr
    assert (os.environ["OPENAI_API_KEY"], os.environ["OPENAI_BASE_URL"]) == (REAL_KEY, "https://api.example.com/v1")
    assert not settings.home.exists(), "the user's own library was touched"
    assert Studio(settings).verify(tmp_path / "demo.mp4").is_intact


def test_a_list_price_is_told_before_and_the_library_is_kept_where_it_is_wanted(
    terminal: Terminal, tmp_path: Path
) -> None:
    assert terminal.run("demo", "--remote", "--provider", "ltx", "--home", "kept", "--output", "clip.mp4") == 0
    estimate, made = terminal.stderr.index("estimate: "), terminal.stderr.index("downloading")
    assert estimate < made
    assert "USD at the provider's list price" in terminal.stderr
    assert f"the demo's library is in {Path('kept')}" in terminal.stderr
    kept = Studio(Settings(home=tmp_path / "kept"))
    assert len(kept.store.assets()) == 1
    kept.store.close()
    everything = _all_of(tmp_path / "kept")
    assert "canary" not in everything
    assert SIGNATURE not in everything


@pytest.mark.parametrize("provider", ["openrouter", "replicate"])
def test_a_provider_of_many_models_is_shown_with_one_of_them(terminal: Terminal, provider: str) -> None:
    told = terminal.json("demo", "--remote", "--provider", provider)
    assert told["asset"]["model"] == f"{provider}-any"
    assert told["provenance"]["state"] in ("valid", "trusted")


@pytest.mark.slow
def test_without_a_provider_the_embedded_model_makes_it(terminal: Terminal) -> None:
    told = terminal.json("demo")
    assert told["asset"]["model"] == demo.LOCAL_MODEL
    assert Path(told["output"]).stat().st_size > 1000


def test_what_cannot_be_shown_is_refused_in_words(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert terminal.run("demo", "--provider", "runway") == 2
    assert "add --remote" in terminal.stderr
    assert terminal.run("demo", "--remote", "--provider", "nobody") == 2
    assert "runway" in terminal.stderr
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    assert terminal.run("demo", "--remote") == 3
    assert "comes with the source" in terminal.stderr


def test_a_server_that_does_not_start_is_told_as_such(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "tests" / "providers" / "conformance"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "__main__.py").write_text("raise SystemExit('no room on this machine')")
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    assert terminal.run("demo", "--remote") == 3
    assert "no room on this machine" in terminal.stderr


def _all_of(folder: Path) -> str:
    files = (path for path in folder.rglob("*") if path.is_file())
    return json.dumps([path.read_bytes().decode("latin-1") for path in files])
