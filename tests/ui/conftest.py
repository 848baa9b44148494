"""The command line in this process, over the scripted models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio import app as studio_app
from studio.catalog.loader import load_catalog
from studio.config import Settings
from tests.fakes import write_scripted_rows
from ui.cli.entry import run


@pytest.fixture(autouse=True)
def scripted(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line see the scripted models, as if a plug-in had brought them."""
    rows = write_scripted_rows(tmp_path / "rows")
    monkeypatch.setattr(studio_app, "load_catalog_with_plugins", lambda _own: load_catalog((rows,)))
    monkeypatch.chdir(tmp_path)


class Terminal:
    """Runs command lines and keeps what they said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.stdout = self.stderr = ""

    def run(self, *arguments: str) -> int:
        code = run(arguments)
        captured = self._capsys.readouterr()
        self.stdout, self.stderr = captured.out, captured.err
        assert "Traceback" not in self.stdout + self.stderr
        return code

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        assert self.run(*arguments, "--json") == code, self.stderr
        data = json.loads(self.stdout)
        assert isinstance(data, dict)
        return data


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)
