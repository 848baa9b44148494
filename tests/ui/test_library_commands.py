"""The library's notes, collections, bin and ZIP files, from the command line."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.ui.conftest import Terminal


@pytest.fixture
def made(terminal: Terminal) -> list[str]:
    """The ids of two clips, the older one first."""
    return [
        terminal.json("generate", "--model", "scripted-moving", "--seed", seed, "--prompt", f"clip {seed}")["asset"][
            "id"
        ]
        for seed in ("1", "2")
    ]


def notes(terminal: Terminal, asset_id: str) -> dict[str, Any]:
    told = terminal.json("library", "show", asset_id)["assets"][0]["notes"]
    assert isinstance(told, dict)
    return told


def test_an_asset_is_rated_tagged_captioned_and_found_by_it(terminal: Terminal, made: list[str]) -> None:
    first, second = made
    assert terminal.json("library", "rate", first, "4")["assets"][0]["rating"] == 4
    assert terminal.run("library", "caption", first, "A fox [bold]sleeps[/bold]") == 0
    assert "[bold]sleeps" in terminal.stdout
    terminal.json("library", "tag", first, second, "--add", "Snow", "--add", "dusk")
    terminal.json("library", "tag", second, "--remove", "dusk")
    assert notes(terminal, first) == {"rating": 4, "caption": "A fox [bold]sleeps[/bold]", "tags": ["dusk", "snow"],
                                      "collections": [], "in_bin": False}  # fmt: skip
    assert [item["id"] for item in terminal.json("library", "search", "FOX", "dusk")["assets"]] == [first]
    assert terminal.json("library", "rate", first, "0")["assets"][0]["rating"] is None
    assert terminal.run("library", "show", first) == 0
    assert "dusk, snow" in terminal.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("rate", "ID", "6"), "1 to 5"), (("tag", "ID", "--add", "a,b"), "comma"), (("caption", "ID", "x" * 2001), "2000"),
     (("rate", "nope", "1"), "library list"), (("bin", "ID", "--empty"), "one thing"),
     (("bin", "--older-than", "3"), "--empty"), (("bundle", "a.zip"), "1 to 10000"),
     (("collections", "add", "nope", "ID"), "none yet")],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(
    terminal: Terminal, made: list[str], arguments: tuple[str, ...], words: str
) -> None:
    assert terminal.run("library", *(made[0] if item == "ID" else item for item in arguments)) == 2
    assert words in terminal.stderr


def test_what_is_in_the_bin_is_not_listed_comes_back_and_is_deleted_with_it(
    terminal: Terminal, made: list[str]
) -> None:
    first, second = made
    assert terminal.json("library", "remove", first, "--bin")["binned"] == [first]
    assert terminal.json("library", "bin", second)["binned"] == [second]
    assert terminal.json("library", "list")["assets"] == []
    assert terminal.json("library", "bin", "--restore", second)["restored"] == [second]
    assert [item["id"] for item in terminal.json("library", "bin")["assets"]] == [first]
    assert terminal.run("library", "bin") == 0
    assert first in terminal.stdout
    assert terminal.run("library", "bin", "--empty", "--json") == 2
    assert terminal.json("library", "bin", "--empty", "--older-than", "1", "--yes")["removed"] == []
    assert terminal.json("library", "bin", "--empty", "--yes") == {"removed": [first], "failed": []}
    assert [item["id"] for item in terminal.json("library", "list")["assets"]] == [second]


def test_collections_are_made_filled_written_into_a_zip_and_deleted(
    terminal: Terminal, made: list[str], tmp_path: Path
) -> None:
    assert terminal.json("library", "collections", "create", "Sea")["collections"][0]["count"] == 0
    assert terminal.json("library", "collections", "add", "sea", *made)["collections"][0]["count"] == 2
    assert terminal.json("library", "collections", "remove", "sea", made[0])["collections"][0]["count"] == 1
    assert terminal.json("library", "collections", "rename", "Sea", "Snow")["collections"][0]["name"] == "Snow"
    assert terminal.run("library", "collections", "list") == 0
    assert "Snow" in terminal.stdout
    told = terminal.json("library", "bundle", str(tmp_path / "a.zip"), "--collection", "snow")
    assert [item["id"] for item in told["assets"]] == [made[1]]
    with zipfile.ZipFile(told["path"]) as archive:
        assert archive.namelist() == ["manifest.json", f"{made[1]}.mp4"]
    assert terminal.run("library", "bundle", str(tmp_path / "a.zip"), made[0]) == 2
    assert terminal.run("library", "bundle", str(tmp_path / "b.zip"), *made) == 0
    assert "2 of 2 files" in terminal.stderr
    assert terminal.run("library", "collections", "delete", "Snow", "--json") == 2
    assert terminal.json("library", "collections", "delete", "Snow", "--yes")["collections"] == []
