"""The programs in Triton, without a GPU: what they compute, in the interpreter, and that they compile for cards."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python where Triton has not been imported yet, with or without its interpreter."""
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return subprocess.run(
        [sys.executable, *arguments], env=inherited | environment, capture_output=True, text=True, cwd=HERE.parents[2]
    )


def test_in_the_interpreter_they_compute_what_torch_does() -> None:
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header")
    run = python("-m", "pytest", *options, str(HERE / "interpreted.py"), TRITON_INTERPRET="1")
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout


@pytest.mark.parametrize(("card", "shared"), [pytest.param(80, 163_840, marks=pytest.mark.slow), (90, 232_448)])
def test_they_compile_for_a_card_and_fit_its_registers(card: int, shared: int, tmp_path: Path) -> None:
    if not (Path(importlib.util.find_spec("triton").origin).parent / "backends/nvidia/bin/cuobjdump").is_file():
        pytest.skip("this Triton comes without NVIDIA's tools")
    run = python("-m", "tests.pipelines.kernels.compiled", str(card), TRITON_CACHE_DIR=str(tmp_path))
    assert run.returncode == 0, run.stderr
    for name, taken in json.loads(run.stdout).items():
        assert taken["stack"] == 0, name
        assert taken["registers"] <= 168, name
        assert taken["shared"] <= shared, name
