"""What a clip is to be like, said on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.studio.media_files import texture, write_mp4
from tests.studio.resolving.rows import picture, write_cloud_row
from tests.ui.conftest import Terminal

CLOUD = ("--model", "scripted-cloud")


@pytest.fixture(autouse=True)
def cloud(scripted: None, tmp_path: Path) -> None:
    write_cloud_row(tmp_path / "rows")


def asked(terminal: Terminal, *arguments: str) -> dict[str, Any]:
    """Return the request as it would be run."""
    return terminal.json("estimate", *arguments)["request"]


def test_size_and_length_are_asked_for_by_name(terminal: Terminal) -> None:
    request = asked(terminal, *CLOUD, "--resolution", "288p", "--aspect-ratio", "9:16", "--duration", "3")
    assert (request["width"], request["height"], request["num_frames"]) == (288, 512, 24)


def test_a_length_that_is_not_exact_is_told(terminal: Terminal) -> None:
    request = asked(terminal, "--model", "scripted-moving", "--duration", "2.5")
    warning = "duration_seconds: 2.5 s at 8 frames per second is 20 frames; this model makes 21"
    assert (request["num_frames"], request["warnings"]) == (21, [warning])
    assert terminal.run("estimate", "--model", "scripted-moving", "--duration", "2.5") == 0
    assert f"note: {warning}" in terminal.stderr


def test_what_the_model_lacks_is_refused_or_dropped(terminal: Terminal) -> None:
    assert terminal.run("estimate", *CLOUD, "--seed", "5", "--no-audio") == 2
    assert "seed: scripted-cloud takes no seed" in terminal.stderr
    request = asked(terminal, *CLOUD, "--seed", "5", "--no-audio", "--on-unsupported", "drop")
    assert request["warnings"] == [
        "seed: scripted-cloud takes no seed; 5 was left out",
        "generate_audio: the sound of scripted-cloud cannot be switched off",
    ]


def test_every_role_has_its_argument(terminal: Terminal, tmp_path: Path) -> None:
    one, two = (str(picture(tmp_path, 128 + 16 * n, 128).path) for n in range(2))
    write_mp4(tmp_path / "source.mp4", texture(640, 96)[None, :, :160].repeat(8, axis=0))
    for arguments, task, number in (
        (("--image", one, "--last-image", two), "first-last-frame-to-video", 2),
        (("--reference", one, "--reference", two), "reference-to-video", 2),
        (("--video", "source.mp4"), "video-to-video", 1),
    ):
        request = asked(terminal, *CLOUD, *arguments)
        assert (request["task"], len(request["conditionings"])) == (task, number)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("--duration", "soon"), "duration_seconds"),
        (("--duration", "0"), "duration_seconds"),
        (("--duration", "-1"), "duration_seconds"),
        (("--duration", "1e3"), "duration_seconds"),
        (("--on-unsupported", "ignore"), "on_unsupported"),
        (("--aspect-ratio", "4:3"), "aspect_ratio"),
        (("--resolution", "8k"), "resolution"),
        (("--last-image", "nowhere.png"), "image"),
        (("--video", "nowhere.mp4"), "video"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_by_name(terminal: Terminal, arguments: tuple[str, ...], field: str) -> None:
    error = terminal.json("estimate", *CLOUD, *arguments, code=2)["error"]
    assert error["field"] == field
