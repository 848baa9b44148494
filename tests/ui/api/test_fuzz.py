"""The API against its own document: whatever is sent, no server error and no answer that the document does not know."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ui.api.conftest import TOKEN, Served

CONFIGURATION = """
# What is valid depends on the model, which no schema can say: that valid data is taken cannot be asked for.
[checks]
positive_data_acceptance.enabled = false

# "format: binary" is taken for something that bytes can violate; whatever they are, /v1/verify says what it finds.
[[operations]]
include-path = "/v1/verify"
checks.negative_data_rejection.enabled = false
"""
ROOT = Path(__file__).parents[3]


def fuzz(served: Served, folder: Path, *arguments: str, hooks: bool = True) -> None:
    """Run schemathesis as people do; the endless stream of events is left out."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "*"}
    if hooks:
        environment["SCHEMATHESIS_HOOKS"] = "tests.ui.api.fuzz_hooks"
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{served.url}/openapi.json"]
    fixed = ["--exclude-path", "/v1/events", "--no-color", "--continue-on-failure"]
    process = subprocess.run(
        [*command, *fixed, *arguments], env=environment, cwd=folder, capture_output=True, text=True, timeout=900
    )
    assert process.returncode == 0, process.stdout[:12000] + process.stderr[-2000:]
    assert "Selected: 31/32" in process.stdout


def test_a_short_look_finds_nothing(
    served: Served, worker: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "studio.api.visits")
    served.create(prompt="a square")
    fuzz(
        served, tmp_path, "--seed", "1", "--generation-deterministic", "-n", "4",
        "--phases", "examples,coverage,fuzzing,stateful",
    )  # fmt: skip
    assert "unforeseen" not in caplog.text
    assert caplog.text.count("POST /v1/videos 200") > 2


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_long_look_finds_nothing(
    served: Served, worker: None, tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    served.create(prompt="a square")
    # One at a time: it does not expect that another of its own workers deletes what it has just made.
    arguments = ("--seed", str(seed), "--max-time", "150", "--generation-database", "none", "-n", "200")
    fuzz(served, tmp_path, *arguments, hooks=seed % 2 == 1)
    assert "unforeseen" not in caplog.text


@pytest.mark.slow
def test_no_operation_forgets_to_ask_for_the_token(guarded: Served, tmp_path: Path) -> None:
    header = ("-H", f"Authorization: Bearer {TOKEN}")
    fuzz(
        guarded,
        tmp_path,
        *header,
        "-n",
        "5",
        "--seed",
        "3",
        "--generation-database",
        "none",
    )
