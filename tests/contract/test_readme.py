"""The README says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from studio.catalog.loader import load_catalog
from studio.catalog.markdown import markdown_table
from ui.cli.tree import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_its_table_of_models_is_the_catalogs_local_part() -> None:
    assert markdown_table(load_catalog()) in README


def test_its_table_of_commands_names_every_command_and_no_other() -> None:
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    named = set(re.findall(r"^\| `studio ([a-z]+)", README, flags=re.MULTILINE))
    assert named == set(commands)


def test_its_pictures_and_files_are_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert missing == []


def test_its_two_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"demo", "test"} <= targets
    assert "make demo" in README
    assert "make test" in README
